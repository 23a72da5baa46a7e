package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Sizes of one frame, its ending NUL not counted.
const (
	CallBytesMax  = 64 << 10
	ReplyBytesMax = 16 << 20
)

// ErrFrameTooLarge is returned when a frame would exceed CallBytesMax or
// ReplyBytesMax.
var ErrFrameTooLarge = errors.New("frame too large")

// ErrMalformedReply is returned by DecodeReply for what no varlink service
// sends.
var ErrMalformedReply = errors.New("malformed reply")

// Call is one request. Parameters is a JSON object, or nil for none.
type Call struct {
	Method     string          `json:"method"`
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Oneway     bool            `json:"oneway,omitempty"`
	More       bool            `json:"more,omitempty"`
	Upgrade    bool            `json:"upgrade,omitempty"`
}

// Reply is one answer. Error is the full name of an error, or "" for success;
// Parameters belong to either. Continues tells that another reply follows.
type Reply struct {
	Parameters json.RawMessage `json:"parameters,omitempty"`
	Continues  bool            `json:"continues,omitempty"`
	Error      string          `json:"error,omitempty"`
}

// EncodeCall returns the frame of c, its ending NUL included. The error is
// ErrFrameTooLarge, or tells what in c is no JSON object.
func EncodeCall(c Call) ([]byte, error) {
	return encodeFrame(c, c.Parameters, CallBytesMax)
}

// EncodeReply returns the frame of r, its ending NUL included. Errors are as
// with EncodeCall.
func EncodeReply(r Reply) ([]byte, error) {
	return encodeFrame(r, r.Parameters, ReplyBytesMax)
}

func encodeFrame(v any, parameters json.RawMessage, bytesMax int) ([]byte, error) {
	parameters = bytes.TrimSpace(parameters)
	if !absent(parameters) && parameters[0] != '{' {
		return nil, fmt.Errorf("parameters must be a JSON object, got %s", excerpt(parameters))
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode frame: %w", err)
	}
	if len(data) > bytesMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooLarge, len(data), bytesMax)
	}
	return append(data, 0), nil
}

// DecodeCall reads one frame, given without its ending NUL. The error is always
// an *Error named InvalidParameter, fit to be sent back; the stream should then
// be closed, for a peer that frames badly cannot be followed any further.
func DecodeCall(data []byte) (Call, error) {
	if len(data) > CallBytesMax {
		return Call{}, InvalidParameter("call", "the call has %d bytes, at most %d are taken", len(data), CallBytesMax)
	}
	members, err := splitFrame(data, "call")
	if err != nil {
		return Call{}, err
	}
	var c Call
	for _, m := range members {
		if absent(m.value) {
			continue
		}
		switch m.name {
		case "method":
			err = decodeText(m.value, &c.Method, "method")
		case "parameters":
			c.Parameters, err = decodeObject(m.value, "parameters")
		case "oneway":
			err = decodeFlag(m.value, &c.Oneway, "oneway")
		case "more":
			err = decodeFlag(m.value, &c.More, "more")
		case "upgrade":
			err = decodeFlag(m.value, &c.Upgrade, "upgrade")
		default:
			err = InvalidParameter(clip(m.name), "a call has no member %s; its members are method, parameters, oneway, more, upgrade", quote(m.name))
		}
		if err != nil {
			return Call{}, err
		}
	}
	if c.Method == "" {
		return Call{}, InvalidParameter("method", "the call names no method")
	}
	return c, nil
}

// DecodeReply reads one frame, given without its ending NUL. Members that this
// version does not know are skipped. The error wraps ErrMalformedReply or
// ErrFrameTooLarge.
func DecodeReply(data []byte) (Reply, error) {
	if len(data) > ReplyBytesMax {
		return Reply{}, fmt.Errorf("%w: a reply of %d bytes, at most %d are taken", ErrFrameTooLarge, len(data), ReplyBytesMax)
	}
	members, err := splitFrame(data, "reply")
	if err != nil {
		return Reply{}, fmt.Errorf("%w: %w", ErrMalformedReply, err)
	}
	var r Reply
	for _, m := range members {
		if absent(m.value) {
			continue
		}
		switch m.name {
		case "parameters":
			r.Parameters, err = decodeObject(m.value, "parameters")
		case "continues":
			err = decodeFlag(m.value, &r.Continues, "continues")
		case "error":
			err = decodeText(m.value, &r.Error, "error")
		}
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", ErrMalformedReply, err)
		}
	}
	return r, nil
}

func splitFrame(data []byte, what string) ([]member, error) {
	if err := checkSyntax(data, what); err != nil {
		return nil, err
	}
	return splitObject(data, what)
}

// Decode fills out from the parameters of a successful reply, skipping members
// that this version does not know. A reply that bears an error gives that
// error, as *Error.
func (r Reply) Decode(out any) error {
	if r.Error != "" {
		return errorOf(r)
	}
	if absent(r.Parameters) {
		return nil
	}
	if err := json.Unmarshal(r.Parameters, out); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformedReply, err)
	}
	return nil
}

// EncodeParameters returns v, a struct of this package, as JSON.
func EncodeParameters(v any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode parameters: %w", err)
	}
	return data, nil
}

// SplitMethod cuts a full method name at its last dot, such as
// "io.brokerd.Broker" and "Attach". ok is false when either half is missing.
func SplitMethod(method string) (iface, name string, ok bool) {
	i := strings.LastIndexByte(method, '.')
	if i <= 0 || i == len(method)-1 {
		return "", "", false
	}
	return method[:i], method[i+1:], true
}
