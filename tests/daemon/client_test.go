package daemon

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// client is a connection to the control socket.
type client struct {
	t    *testing.T
	conn *unixconn.Conn
}

func dial(t *testing.T, socket string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := unixconn.Dial(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn}
}

// send sends one call.
func (c *client) send(method string, in any, more bool) {
	c.t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	parameters, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	message, err := wire.EncodeCall(wire.Call{Method: method, Parameters: parameters, More: more})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.conn.WriteMessage(message, nil); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads one reply into out and tells whether another will follow.
func (c *client) receive(out any) (continues bool, err error) {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false, err
	}
	message, files, err := c.conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
	for _, f := range files {
		c.t.Cleanup(func() { _ = f.Close() })
	}
	if err != nil {
		return false, err
	}
	reply, err := wire.DecodeReply(message)
	if err != nil {
		return false, err
	}
	return reply.Continues, reply.Decode(out)
}

// try sends one call and reads its reply.
func (c *client) try(method string, in, out any) error {
	c.t.Helper()
	c.send(method, in, false)
	_, err := c.receive(out)
	return err
}

// call is try for a call that has to succeed.
func (c *client) call(method string, in, out any) {
	c.t.Helper()
	if err := c.try(method, in, out); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

func (c *client) status() wire.GetStatusOut {
	c.t.Helper()
	var out wire.GetStatusOut
	c.call(wire.MethodGetStatus, wire.GetStatusIn{}, &out)
	return out
}

func (c *client) attachments() []wire.Attachment {
	c.t.Helper()
	var out wire.ListAttachmentsOut
	c.call(wire.MethodListAttachments, wire.ListAttachmentsIn{}, &out)
	return out.Attachments
}

// attach makes this process a reader of md.
func (c *client) attach(name, token string) wire.AttachOut {
	c.t.Helper()
	var out wire.AttachOut
	c.call(wire.MethodAttach, wire.AttachIn{Ring: "md", Role: wire.RoleConsumer, Name: name, Token: token}, &out)
	if pid := os.Getpid(); out.Attachment.PID != pid {
		c.t.Errorf("attached as pid %d, this is %d", out.Attachment.PID, pid)
	}
	return out
}
