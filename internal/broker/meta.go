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
	metaName   = "meta.json"
	tempSuffix = ".new" // of a file that is written first, and then renamed
	metaFormat = 1
	// metaBytesMax holds three Allow lists at their limits, written with indents
	// and every byte of a name as \u0000.
	metaBytesMax = 4 << 20
)

// meta is the file. A ring of an earlier brokerd has no boot.
type meta struct {
	Format int       `json:"format"`
	Boot   string    `json:"boot,omitempty"` // that it was made in, or adopted last
	Ring   wire.Ring `json:"ring"`
}

var (
	errMeta   = errors.New("ring description not understood")
	errFormat = errors.New("made by another version of brokerd")
)

// writeMeta replaces the description in one step.
func (b *Broker) writeMeta(dir string, r wire.Ring) error {
	return replaceJSON(filepath.Join(dir, metaName), meta{Format: metaFormat, Boot: b.boot, Ring: r})
}

// replaceJSON writes a file anew in one step, by way of one that has tempSuffix.
func replaceJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.WriteFile(path+tempSuffix, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+tempSuffix, path)
}

// readMeta reads the description of the ring that lies in dir under name.
func readMeta(dir, name string) (meta, error) {
	path := filepath.Join(dir, metaName)
	info, err := os.Lstat(path)
	if err != nil {
		return meta{}, err
	}
	if !info.Mode().IsRegular() || info.Size() > metaBytesMax {
		return meta{}, fmt.Errorf("%w: %s: not a file of at most %d bytes", errMeta, path, metaBytesMax)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return meta{}, err
	}
	m, err := decodeMeta(data)
	if err != nil {
		return meta{}, fmt.Errorf("%s: %w", path, err)
	}
	if m.Ring.Name != name {
		return meta{}, fmt.Errorf("%w: %s: describes ring %q, the folder is %q", errMeta, path, m.Ring.Name, name)
	}
	return m, nil
}

func decodeMeta(data []byte) (meta, error) {
	var m meta
	var any struct{ Format int } // of another version, whose members nobody knows
	if err := json.Unmarshal(data, &any); err == nil && any.Format > metaFormat {
		m.Format = any.Format
	} else if err := decodeStrict(data, &m); err != nil {
		return meta{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if m.Format != metaFormat {
		return meta{}, fmt.Errorf("%w: %w: format %d, this brokerd reads %d", errMeta, errFormat, m.Format, metaFormat)
	}
	if err := checkRing(m.Ring); err != nil {
		return meta{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if of := m.Ring.Mirror; of != nil && !(wire.ValidName(of.Peer) && wire.ValidName(of.Ring)) {
		return meta{}, fmt.Errorf("%w: mirror of ring %s of %s", errMeta, quoted(of.Ring), quoted(of.Peer))
	}
	if err := geometry(m.Ring).Validate(); err != nil {
		return meta{}, fmt.Errorf("%w: %w", errMeta, err)
	}
	if want := memoryBytes(m.Ring); m.Ring.MemoryBytes != want {
		return meta{}, fmt.Errorf("%w: memory_bytes %d, computed %d", errMeta, m.Ring.MemoryBytes, want)
	}
	return m, nil
}
