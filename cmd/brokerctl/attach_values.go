package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"brokerd/client"
)

// startFlag is the value of --from. It implements pflag.Value.
type startFlag struct {
	text  string
	start client.Start
}

// startWords are those that --from takes besides a position.
func startWords() []string { return []string{"oldest", "latest", "resume"} }

// Set takes one of startWords or a position.
func (f *startFlag) Set(text string) error {
	switch text {
	case "oldest":
		f.start = client.FromOldest()
	case "latest":
		f.start = client.FromLatest()
	case "resume":
		f.start = client.FromResume()
	default:
		position, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return errors.New("expected resume, oldest, latest or a position in bytes")
		}
		f.start = client.FromPosition(position)
	}
	f.text = text
	return nil
}

func (f *startFlag) String() string {
	if f.text == "" {
		return "latest"
	}
	return f.text
}

// Type names the value in help texts.
func (*startFlag) Type() string { return "START" }

// tagsFlag is the value of --tag: tags without doubles, in the order given. It
// implements pflag.Value.
type tagsFlag []uint16

// Set adds one tag, or several with commas in between.
func (t *tagsFlag) Set(text string) error {
	for word := range strings.SplitSeq(text, ",") {
		tag, err := strconv.ParseUint(word, 10, 16)
		if err != nil {
			return errors.New("expected tags from 0 to 65535 with commas in between, such as 1,2")
		}
		if !slices.Contains(*t, uint16(tag)) {
			*t = append(*t, uint16(tag))
		}
	}
	if len(*t) > client.TagsMax {
		return errors.New("expected at most " + strconv.Itoa(client.TagsMax) + " tags")
	}
	return nil
}

func (t *tagsFlag) String() string {
	words := make([]string, len(*t))
	for i, tag := range *t {
		words[i] = strconv.Itoa(int(tag))
	}
	return strings.Join(words, ",")
}

// Type names the value in help texts.
func (*tagsFlag) Type() string { return "TAGS" }
