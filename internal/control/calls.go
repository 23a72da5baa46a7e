package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// result is what a method answers. The files ride with the reply and are
// closed after it.
type result struct {
	out   any
	files []*os.File
}

type handler func(ctx context.Context, parameters json.RawMessage) (result, error)

// handle makes a handler of a method that takes In, answers Out and does not
// wait.
func handle[In, Out any](method func(In) (Out, error)) handler {
	return handleWaiting(func(_ context.Context, in In) (Out, error) { return method(in) })
}

// handleWaiting is handle for a method that may wait, until ctx ends.
func handleWaiting[In, Out any](method func(context.Context, In) (Out, error)) handler {
	return func(ctx context.Context, parameters json.RawMessage) (result, error) {
		var in In
		if err := wire.DecodeParameters(parameters, &in); err != nil {
			return result{}, err
		}
		out, err := method(ctx, in)
		return result{out: out}, err
	}
}

// handlerOf is the list of methods; nil for what is none.
func (t *session) handlerOf(method string) handler {
	switch method {
	case wire.MethodGetInfo:
		return handle(t.getInfo)
	case wire.MethodGetInterfaceDescription:
		return handle(t.getInterfaceDescription)
	case wire.MethodGetStatus:
		return handle(t.getStatus)
	case wire.MethodCreateRing:
		return handle(t.createRing)
	case wire.MethodRemoveRing:
		return handle(t.removeRing)
	case wire.MethodListRings:
		return handle(t.listRings)
	case wire.MethodDescribeRing:
		return handle(t.describeRing)
	case wire.MethodCollectGarbage:
		return handle(t.collectGarbage)
	case wire.MethodAttach:
		return t.attach
	case wire.MethodDetach:
		return handle(t.detach)
	case wire.MethodListAttachments:
		return handle(t.listAttachments)
	case wire.MethodStats:
		return handle(t.stats)
	case wire.MethodListLinks:
		return handle(t.listLinks)
	case wire.MethodReload:
		return handleWaiting(t.reload)
	}
	return nil
}

// serve answers one call; false when the connection must end. A panic of any
// method ends here, and costs the client its connection.
func (t *session) serve(ctx context.Context, data []byte) (goesOn bool) {
	defer func() {
		if p := recover(); p != nil {
			t.server.o.Log.Error("a call made the daemon panic; its connection is closed",
				append(t.fields(), zap.Any("panic", p), zap.Stack("stack"))...)
			_ = t.send(wire.Failed("the daemon met an error of its own and has logged it; please report it").Reply(), nil)
			goesOn = false
		}
	}()
	call, err := wire.DecodeCall(data)
	if err != nil {
		t.finish(wire.Call{}, result{}, err)
		return false // where its next call begins is anybody's guess
	}
	if call.Method == wire.MethodStats && call.More && !call.Oneway {
		return t.streamStats(ctx, call)
	}
	r, err := t.answer(ctx, call)
	defer unixconn.CloseFiles(r.files)
	return t.finish(call, r, err)
}

// answer runs the method of a call.
func (t *session) answer(ctx context.Context, call wire.Call) (result, error) {
	if err := t.admits(call); err != nil {
		return result{}, err
	}
	return t.handlerOf(call.Method)(ctx, call.Parameters)
}

// admits tells whether the method exists and may be called now.
func (t *session) admits(call wire.Call) error {
	if t.handlerOf(call.Method) == nil {
		return notFound(call.Method)
	}
	if call.Upgrade {
		return wire.InvalidParameter("upgrade", "%s: brokerd upgrades no connection; call without upgrade", call.Method)
	}
	if call.Oneway && call.Method == wire.MethodAttach {
		return wire.InvalidParameter("oneway", "Attach is of no use without its reply, which carries the ring; call without oneway")
	}
	state := wire.DaemonState(t.server.o.State())
	switch call.Method {
	case wire.MethodGetInfo, wire.MethodGetInterfaceDescription, wire.MethodGetStatus:
		return nil
	case wire.MethodAttach, wire.MethodCreateRing, wire.MethodReload:
		if state == wire.DaemonDraining {
			return wire.NotReady(state, "brokerd is stopping and takes nothing on any more; try again when it is back")
		}
	}
	if state == wire.DaemonStarting {
		return wire.NotReady(state, "brokerd is starting; try again in a moment, or watch GetStatus until its state is ready")
	}
	return nil
}

func notFound(method string) error {
	iface, name, ok := wire.SplitMethod(method)
	switch {
	case !ok:
		return wire.MethodNotFound(method, "%s is not a method; a method is INTERFACE.NAME, such as %s", quoted(method), wire.MethodListRings)
	case iface == wire.Interface || iface == wire.ServiceInterface:
		return wire.MethodNotFound(method, "interface %s has no method %s; GetInterfaceDescription lists them", iface, quoted(name))
	}
	return noInterface(iface)
}

func noInterface(iface string) error {
	return wire.InterfaceNotFound(iface, "there is no interface %s here; there are %s and %s", quoted(iface), wire.Interface, wire.ServiceInterface)
}

// finish sends the reply and takes note; false when it could not be sent.
func (t *session) finish(call wire.Call, r result, err error) bool {
	reply, err := t.reply(call, r, err)
	t.observe(call.Method, err)
	if call.Oneway {
		return true
	}
	return t.deliver(call, reply, r.files)
}

func (t *session) deliver(call wire.Call, reply wire.Reply, files []*os.File) bool {
	err := t.send(reply, files)
	if err != nil {
		t.quiet("connection closed: a reply was not taken", err, callFields(call)...)
	}
	return err == nil
}

// reply makes the reply to a call, and returns the error that it bears.
func (t *session) reply(call wire.Call, r result, err error) (wire.Reply, error) {
	if err == nil {
		var parameters json.RawMessage
		if parameters, err = wire.EncodeParameters(r.out); err == nil && len(parameters) <= wire.ReplyBytesMax-replyFrameBytes {
			return wire.Reply{Parameters: parameters}, nil
		}
		if err == nil {
			err = fmt.Errorf("%w: the answer has %d bytes", wire.ErrFrameTooLarge, len(parameters))
		}
	}
	why := t.refusal(call, err)
	return why.Reply(), why
}

// refusal logs why a call gets an error, and returns it as the client may see
// it. What is no refusal is a fault of the host or of the daemon; the client,
// who may be the operator, is told.
func (t *session) refusal(call wire.Call, err error) *wire.Error {
	name := t.known(call.Method)
	if broker.NoOpenFiles(err) { // the broker's own refusals are none by now
		err = t.noOpenFiles(name)
	}
	if why := (*wire.Error)(nil); errors.As(err, &why) {
		t.quiet(name+" refused: "+shortName(string(why.Name)), err, callFields(call)...)
		return why
	}
	t.server.quiet.Error(name+" failed", append(append(t.fields(), callFields(call)...), zap.Error(err))...)
	return wire.Failed("%s failed: %v", name, err)
}

// noOpenFiles is the refusal of a call that failed in this package, or in the
// daemon's reload, for want of a descriptor.
func (t *session) noOpenFiles(name string) error {
	why := broker.RefuseOpenFiles(name)
	t.server.refusals.add(why)
	return why
}

// callFields are what the parameters of a call name, for the log: nothing in
// them has been checked.
func callFields(call wire.Call) []zap.Field {
	fields := []zap.Field{zap.String("method", clip(call.Method))}
	var parameters map[string]any
	if json.Unmarshal(call.Parameters, &parameters) != nil {
		return fields
	}
	for _, key := range []string{"ring", "id", "name"} {
		if text, ok := parameters[key].(string); ok {
			fields = append(fields, zap.String(key, clip(text)))
		}
	}
	return fields
}

// known is the method without its interface, or "unknown" for what is none:
// clients must not be able to make up labels of metrics and kinds of log lines.
func (t *session) known(method string) string {
	if t.handlerOf(method) == nil {
		return "unknown"
	}
	return shortName(method)
}

func (t *session) observe(method string, err error) {
	outcome := "ok"
	if why := (*wire.Error)(nil); errors.As(err, &why) {
		outcome = shortName(string(why.Name))
	}
	t.server.o.Observe(t.known(method), outcome)
}
