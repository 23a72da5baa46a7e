package client

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// TestRegistersAgain breaks the connection of an attachment and meets first a
// daemon that is not ready, then one that gives the slot, then one that gives
// another generation of it.
func TestRegistersAgain(t *testing.T) {
	r := lender(t)
	s := newScript(t)
	c, p := s.dial()
	out, files := grant(t, r, 3)
	var consumer *Consumer
	done := background(func() (err error) {
		consumer, err = c.Consumer(t.Context(), "md", ConsumerOptions{Name: "book"})
		return err
	})
	var first, again wire.AttachIn
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &first); err != nil {
		t.Fatal(err)
	}
	if !wire.ValidLabel(first.Token) || first.Epoch != nil {
		t.Errorf("asked with token %q, epoch %v", first.Token, first.Epoch)
	}
	p.reply(out, files...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodAttach)
	p.send(wire.NotReady(wire.DaemonStarting, "brokerd is starting").Reply())
	p.next(wire.MethodAttach)
	p.send(wire.LimitExceeded("open_files", 64, 1, 64, "brokerd has all files open that it may").Reply())
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &again); err != nil {
		t.Fatal(err)
	}
	if again.Token != first.Token || again.Name != "book" || again.Epoch == nil || *again.Epoch != 5 {
		t.Errorf("asked again with %+v", again)
	}
	p.reply(out)
	done = background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.TryReceive(); err != ErrEmpty {
		t.Errorf("after it is registered again: got %v", err)
	}

	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodAttach)
	out.Attachment.Generation, out.Attachment.ID = 4, "md/c1.4"
	p.reply(out)
	if call := p.next(wire.MethodDetach); !strings.Contains(string(call.Parameters), "md/c1.4") {
		t.Errorf("got %s, want the new slot given back", call.Parameters)
	}
	p.reply(wire.DetachOut{})
	if _, err := consumer.Receive(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("receive with a slot that was given away: got %v", err)
	}
	if err := consumer.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("close: got %v", err)
	}
}

// TestGrantsThatMakeNoSense must not be mapped, and are given back.
func TestGrantsThatMakeNoSense(t *testing.T) {
	r := lender(t)
	for name, change := range map[string]func(*wire.AttachOut){
		"no data file":            func(o *wire.AttachOut) { o.Files.Data = 2 },
		"negative index":          func(o *wire.AttachOut) { o.Files.Data = -1 },
		"one file for two uses":   func(o *wire.AttachOut) { o.Files.Data = 0 },
		"no cursor":               func(o *wire.AttachOut) { o.Files.Cursors = nil },
		"cursor that is not data": func(o *wire.AttachOut) { o.Files = wire.Files{Data: 0, Cursors: []int{1}} },
		"slot out of range":       func(o *wire.AttachOut) { o.Attachment.Slot = 64 },
		"unknown policy":          func(o *wire.AttachOut) { o.Attachment.Policy = "keep" },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newScript(t).dial()
			done := background(func() error {
				_, err := c.Consumer(t.Context(), "md", ConsumerOptions{})
				return err
			})
			p.next(wire.MethodAttach)
			out, files := grant(t, r, 3)
			change(&out)
			p.reply(out, files...)
			if name == "cursor that is not data" { // what is lent as data is no ring: it asks what became of it
				p.next(wire.MethodDescribeRing)
				p.send(wire.RingNotFound("md", "there is no ring md").Reply())
			}
			p.next(wire.MethodDetach)
			p.reply(wire.DetachOut{})
			if err := <-done; err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func TestPick(t *testing.T) {
	open := func() (files []*os.File) {
		for range 3 {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		return files
	}
	files := open()
	got, err := pick(wire.Files{Data: 2, Cursors: []int{0}}, files)
	if err != nil || got.data != files[2] || !slices.Equal(got.cursors, files[:1]) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := files[1].Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file that nobody asked for is open: %v", err)
	}
	unixconn.CloseFiles(files)
	files = open()
	if _, err := pick(wire.Files{Data: 2, Cursors: []int{0, 3}}, files); !errors.Is(err, ErrProtocol) {
		t.Errorf("an index too large: got %v", err)
	}
	for i, f := range files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("file %d is open after the error: %v", i, err)
		}
	}
}
