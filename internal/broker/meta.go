package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"brokerd/internal/wire"
)

// DIR/NAME/meta.json: the ring as it was asked for, for the next daemon and
// for an operator's eyes.
const (
	metaName     = "meta.json"
	metaTempName = "meta.json.new" // written first, renamed over metaName
	metaFormat   = 1
	// metaBytesMax holds three Allow lists at their limits, written with indents
	// and every byte of a name as \u0000.
	metaBytesMax = 4 << 20
)

type meta struct {
	Format int       `json:"format"`
	Ring   wire.Ring `json:"ring"`
}

var errMeta = errors.New("ring description not understood")

// writeMeta replaces the description in one step.
func writeMeta(dir string, r wire.Ring) error {
	data, err := json.MarshalIndent(meta{Format: metaFormat, Ring: r}, "", "  ")
	if err != nil {
		return fmt.Errorf("describe ring %s: %w", r.Name, err)
	}
	temp := filepath.Join(dir, metaTempName)
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, metaName))
}

// readMeta reads the description of the ring that lies in dir under name.
func readMeta(dir, name string) (wire.Ring, error) {
	path := filepath.Join(dir, metaName)
	info, err := os.Lstat(path)
	if err != nil {
		return wire.Ring{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > metaBytesMax {
		return wire.Ring{}, fmt.Errorf("%w: %s: not a file of at most %d bytes", errMeta, path, metaBytesMax)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return wire.Ring{}, err
	}
	r, err := decodeMeta(data)
	if err != nil {
		return wire.Ring{}, fmt.Errorf("%s: %w", path, err)
	}
	if r.Name != name {
		return wire.Ring{}, fmt.Errorf("%w: %s: describes ring %q, the folder is %q", errMeta, path, r.Name, name)
	}
	return r, nil
}

func decodeMeta(data []byte) (wire.Ring, error) {
	var m meta
	if err := decodeStrict(data, &m); err != nil {
		return wire.Ring{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if m.Format != metaFormat {
		return wire.Ring{}, fmt.Errorf("%w: format %d, this brokerd reads %d", errMeta, m.Format, metaFormat)
	}
	if err := checkRing(m.Ring); err != nil {
		return wire.Ring{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if of := m.Ring.Mirror; of != nil && !(wire.ValidName(of.Peer) && wire.ValidName(of.Ring)) {
		return wire.Ring{}, fmt.Errorf("%w: mirror of ring %s of %s", errMeta, quoted(of.Ring), quoted(of.Peer))
	}
	if err := geometry(m.Ring).Validate(); err != nil {
		return wire.Ring{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if want := memoryBytes(m.Ring); m.Ring.MemoryBytes != want {
		return wire.Ring{}, fmt.Errorf("%w: memory_bytes %d, computed %d", errMeta, m.Ring.MemoryBytes, want)
	}
	return m.Ring, nil
}
