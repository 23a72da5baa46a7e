package control

import (
	"go.uber.org/zap"

	"brokerd/internal/wire"
)

func (t *session) createRing(in wire.CreateRingIn) (wire.CreateRingOut, error) {
	if err := t.needAdmin("create ring " + quoted(in.Ring.Name)); err != nil {
		return wire.CreateRingOut{}, err
	}
	ring, err := t.server.o.Broker.CreateRing(in.Ring, t.subject.uid)
	if err != nil {
		return wire.CreateRingOut{}, err
	}
	t.server.o.Log.Info("ring created", append(t.fields(),
		zap.String("ring", ring.Name), zap.Uint64("epoch", ring.Epoch), zap.Uint64("memory_bytes", ring.MemoryBytes))...)
	return wire.CreateRingOut{Ring: ring}, nil
}

func (t *session) removeRing(in wire.RemoveRingIn) (wire.RemoveRingOut, error) {
	if err := t.needAdmin("remove ring " + quoted(in.Name)); err != nil {
		return wire.RemoveRingOut{}, err
	}
	if err := t.server.o.Broker.RemoveRing(in.Name, in.Force); err != nil {
		return wire.RemoveRingOut{}, err
	}
	t.server.seats.ringGone(in.Name)
	t.server.o.Log.Info("ring removed", append(t.fields(), zap.String("ring", in.Name), zap.Bool("force", in.Force))...)
	return wire.RemoveRingOut{}, nil
}

func (t *session) collectGarbage(in wire.CollectGarbageIn) (wire.CollectGarbageOut, error) {
	if err := t.needAdmin("collect garbage"); err != nil {
		return wire.CollectGarbageOut{}, err
	}
	garbage, more, err := t.server.o.Broker.CollectGarbage(in.DryRun)
	return wire.CollectGarbageOut{Garbage: garbage, More: more}, err
}

func (t *session) listRings(wire.ListRingsIn) (wire.ListRingsOut, error) {
	return wire.ListRingsOut{Rings: t.server.o.Broker.Rings()}, nil
}

func (t *session) describeRing(in wire.DescribeRingIn) (wire.DescribeRingOut, error) {
	return t.server.o.Broker.DescribeRing(in.Name)
}

// needAdmin refuses whoever is no administrator; did says what for.
func (t *session) needAdmin(did string) error {
	if t.server.access.admin(t.subject) {
		return nil
	}
	return t.server.access.explain(t.subject, errNotAdmin, did)
}
