package main

import "errors"

// path is a flag that takes the path of a file or folder. It implements
// pflag.Value.
type path string

// Set takes anything but nothing: a script's unset variable is no default.
func (p *path) Set(text string) error {
	if text == "" {
		return errors.New("expected a path; leave the flag out for the default")
	}
	*p = path(text)
	return nil
}

func (p *path) String() string { return string(*p) }

// Type names the value in help texts.
func (*path) Type() string { return "PATH" }
