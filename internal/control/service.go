package control

import (
	"os"
	"slices"

	"brokerd/internal/wire"
)

func (t *session) getInfo(wire.GetInfoIn) (wire.GetInfoOut, error) {
	return wire.GetInfoOut{
		Vendor: "brokerd", Product: "brokerd", Version: t.server.o.Version,
		Interfaces: wire.List[string]{wire.ServiceInterface, wire.Interface},
	}, nil
}

func (t *session) getInterfaceDescription(in wire.GetInterfaceDescriptionIn) (wire.GetInterfaceDescriptionOut, error) {
	switch in.Interface {
	case wire.Interface:
		return wire.GetInterfaceDescriptionOut{Description: wire.Description}, nil
	case wire.ServiceInterface:
		return wire.GetInterfaceDescriptionOut{Description: wire.ServiceDescription}, nil
	}
	return wire.GetInterfaceDescriptionOut{}, noInterface(in.Interface)
}

func (t *session) listLinks(wire.ListLinksIn) (wire.ListLinksOut, error) {
	return t.server.o.Links(), nil
}

func (t *session) getStatus(wire.GetStatusIn) (wire.GetStatusOut, error) {
	b, o := t.server.o.Broker.Status(), t.server.o
	file, reloaded := o.Config()
	return wire.GetStatusOut{
		Version:          o.Version,
		State:            wire.DaemonState(o.State()),
		PID:              os.Getpid(),
		StartedNS:        t.server.started.UnixNano(),
		Dir:              b.Dir,
		Rings:            b.Rings,
		RingsMax:         b.RingsMax,
		Attachments:      b.Attachments,
		AttachmentsMax:   b.AttachmentsMax,
		Connections:      t.server.Connections(),
		ConnectionsMax:   t.server.seats.limit(),
		MemoryBytes:      b.MemoryBytes,
		MemoryBytesMax:   b.MemoryBytesMax,
		RingsAdopted:     b.Adopted,
		Repairs:          uint64(b.Repairs),
		Retired:          b.Retired,
		Quarantined:      b.Quarantined,
		QuarantinedBytes: b.QuarantinedBytes,
		Problems:         slices.Concat(b.Problems, o.Problems()),
		ConfigFile:       file,
		ReloadedNS:       reloaded,
	}, nil
}
