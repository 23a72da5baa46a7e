package harness

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// Raw speaks to a daemon without package client, which keeps what it is lent to
// itself. It is for programs that play a role: it returns errors.
type Raw struct{ Conn *unixconn.Conn }

// DialRaw connects to a control socket.
func DialRaw(socket string) (*Raw, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, err := unixconn.Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	return &Raw{conn}, nil
}

// Call calls a method. The files that came with the reply are the caller's. A
// refusal is a *wire.Error. out may be nil.
func (r *Raw) Call(method string, in, out any) ([]*os.File, error) {
	parameters, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	call, err := wire.EncodeCall(wire.Call{Method: method, Parameters: parameters})
	if err == nil {
		err = r.Conn.WriteMessage(call, nil)
	}
	if err == nil {
		err = r.Conn.SetReadDeadline(time.Now().Add(Patience))
	}
	if err != nil {
		return nil, err
	}
	message, files, err := r.Conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
	if err != nil {
		return nil, err
	}
	reply, err := wire.DecodeReply(message)
	if out == nil {
		out = new(json.RawMessage)
	}
	if err == nil {
		err = reply.Decode(out)
	}
	if err != nil {
		unixconn.CloseFiles(files)
		return nil, err
	}
	return files, nil
}

// Attach attaches, and returns what the daemon says and lends.
func (r *Raw) Attach(in wire.AttachIn) (out wire.AttachOut, files []*os.File, err error) {
	files, err = r.Call(wire.MethodAttach, in, &out)
	return out, files, err
}

// Close ends the connection.
func (r *Raw) Close() error { return r.Conn.Close() }
