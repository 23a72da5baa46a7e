package main

import (
	"fmt"
	"slices"
	"strings"
)

// choice is a flag that takes one of a few words. It implements pflag.Value.
type choice struct {
	value string
	words []string
}

// newChoice makes a choice of words; the first one is the default.
func newChoice(words ...string) choice { return choice{value: words[0], words: words} }

// optionalChoice makes a choice that is "" unless given.
func optionalChoice(words ...string) choice { return choice{words: words} }

// Set takes one of the words.
func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("expected %s", c.list())
	}
	c.value = word
	return nil
}

func (c *choice) String() string { return c.value }

// Type names the value in help texts.
func (c *choice) Type() string { return "WORD" }

func (c *choice) list() string {
	last := len(c.words) - 1
	return strings.Join(c.words[:last], ", ") + " or " + c.words[last]
}
