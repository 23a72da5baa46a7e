package config

import (
	"fmt"
	"io"
	"os"

	"brokerd/configs"
)

// builtinName is the file name in errors about the embedded configuration.
const builtinName = "brokerd.yaml (built in)"

// Load reads and parses the file at path. An empty path means the embedded
// default, configs/brokerd.yaml. Errors are those of os.Open and Parse.
func Load(path string) (*Config, error) {
	if path == "" {
		return Parse(builtinName, configs.Default())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	// One byte more than Parse takes, so that it sees the excess.
	data, err := io.ReadAll(io.LimitReader(f, fileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data)
}

// Parse turns the YAML text of a file into a Config; name stands for the file
// in errors. A text without any key is every default and no ring. The error is
// a *FileError or joins several, in the order of their lines.
func Parse(name string, data []byte) (*Config, error) {
	if len(data) > fileBytesMax {
		return nil, &FileError{File: name,
			Err: fmt.Errorf("%w: expected at most %v", ErrFileTooLarge, Size(fileBytesMax))}
	}
	root, err := document(name, data)
	if err != nil {
		return nil, err
	}
	d := newDecoder(name)
	c := withoutRings()
	if root != nil {
		d.config(c, root)
		d.checkTogether(c)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	return c, nil
}
