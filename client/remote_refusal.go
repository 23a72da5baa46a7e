package client

import (
	"encoding/json"
	"errors"
	"fmt"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// errEndedThere says that the other side ended a stream for a reason of its own,
// which may pass.
var errEndedThere = errors.New("the gateway ended it")

// refusalOf is why a stream of a ring was not opened, as a Client would tell it.
func refusalOf(ring string, e wire.LinkEndFrame) error {
	switch e.Code {
	case wire.CodeRefused:
		return &Error{Name: wire.ErrorName(e.Name), Message: e.Message, Parameters: json.RawMessage(e.Parameters)}
	case wire.CodePosition:
		var p wire.LinkPositionParameters
		if e.Parameters != "" && json.Unmarshal([]byte(e.Parameters), &p) == nil {
			return &shmring.PositionError{Wanted: p.Wanted, Oldest: p.Oldest, Newest: p.Newest, Inside: p.Inside}
		}
		return fmt.Errorf("ring %s: %s", ring, e.Message)
	case wire.CodeDenied, wire.CodeIdentity:
		return wire.AccessDenied("gateway.peers", "%s", e.Message)
	case wire.CodeMirrorOfMirror:
		return wire.AccessDenied("mirror", "%s", e.Message)
	case wire.CodeRemoved:
		return wire.RingNotFound(ring, "%s", e.Message)
	case wire.CodeCorrupt:
		return wire.RingCorrupt(ring, "%s", e.Message)
	case wire.CodeDetached:
		return fmt.Errorf("ring %s: %w: %w", ring, errEndedThere, ErrDetached)
	}
	return fmt.Errorf("ring %s: %w: %s: %s", ring, errEndedThere, e.Code, e.Message)
}
