package wire

import (
	"encoding/json"
	"fmt"
)

// ErrorName is the full name of a varlink error. Names are errors themselves,
// so that errors.Is(err, wire.ErrRingNotFound) asks for one.
type ErrorName string

// Error returns the name.
func (n ErrorName) Error() string { return string(n) }

// Errors of io.brokerd.Broker.
const (
	ErrRingNotFound       ErrorName = Interface + ".RingNotFound"
	ErrRingExists         ErrorName = Interface + ".RingExists"
	ErrRingInUse          ErrorName = Interface + ".RingInUse"
	ErrEpochChanged       ErrorName = Interface + ".EpochChanged"
	ErrAttachmentNotFound ErrorName = Interface + ".AttachmentNotFound"
	ErrSlotsExhausted     ErrorName = Interface + ".SlotsExhausted"
	ErrProducerPresent    ErrorName = Interface + ".ProducerPresent"
	ErrLimitExceeded      ErrorName = Interface + ".LimitExceeded"
	ErrNoSpace            ErrorName = Interface + ".NoSpace"
	ErrAccessDenied       ErrorName = Interface + ".AccessDenied"
	ErrInvalidRing        ErrorName = Interface + ".InvalidRing"
	ErrInvalidConfig      ErrorName = Interface + ".InvalidConfig"
	ErrCursorInUse        ErrorName = Interface + ".CursorInUse"
	ErrNotReady           ErrorName = Interface + ".NotReady"
	ErrRingCorrupt        ErrorName = Interface + ".RingCorrupt"
	ErrFailed             ErrorName = Interface + ".Failed"
)

// Errors of org.varlink.service.
const (
	ErrInterfaceNotFound    ErrorName = ServiceInterface + ".InterfaceNotFound"
	ErrMethodNotFound       ErrorName = ServiceInterface + ".MethodNotFound"
	ErrMethodNotImplemented ErrorName = ServiceInterface + ".MethodNotImplemented"
	ErrInvalidParameter     ErrorName = ServiceInterface + ".InvalidParameter"
	ErrPermissionDenied     ErrorName = ServiceInterface + ".PermissionDenied"
	ErrExpectedMore         ErrorName = ServiceInterface + ".ExpectedMore"
)

// Error is a varlink error, made by a constructor of this package or read from
// a reply. Parameters is a JSON object, the message among its members; decode
// it into the struct named after the error, such as EpochChangedParameters.
// Name may be one that this version does not know.
type Error struct {
	Name       ErrorName
	Message    string
	Parameters json.RawMessage
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Is tells whether target is the ErrorName of e.
func (e *Error) Is(target error) bool {
	name, ok := target.(ErrorName)
	return ok && name == e.Name
}

// Reply returns the reply that carries e.
func (e *Error) Reply() Reply {
	return Reply{Error: string(e.Name), Parameters: e.Parameters}
}

// Decode fills out, a struct of this package, from the parameters of e. It
// skips members that out does not have.
func (e *Error) Decode(out any) error {
	if absent(e.Parameters) {
		return nil
	}
	if err := json.Unmarshal(e.Parameters, out); err != nil {
		return fmt.Errorf("parameters of %s: %w", e.Name, err)
	}
	return nil
}

// newError is for parameters of this package, which always encode.
func newError(name ErrorName, message string, parameters any) *Error {
	data, err := json.Marshal(parameters)
	if err != nil {
		panic("wire: " + err.Error())
	}
	return &Error{Name: name, Message: message, Parameters: data}
}

// errorOf reads the error of a reply. A service that gives no message, as
// org.varlink.service does not ask for one, gets one made of what it did give.
func errorOf(r Reply) *Error {
	e := &Error{Name: ErrorName(r.Error), Parameters: r.Parameters}
	var members map[string]any
	if !absent(r.Parameters) && json.Unmarshal(r.Parameters, &members) == nil {
		e.Message, _ = members["message"].(string)
	}
	if e.Message != "" {
		return e
	}
	e.Message = r.Error
	if _, name, ok := SplitMethod(r.Error); ok {
		e.Message = name
	}
	if len(members) > 0 {
		e.Message += " " + excerpt(r.Parameters)
	}
	return e
}
