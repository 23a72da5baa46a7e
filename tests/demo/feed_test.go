package main

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseFeed(t *testing.T) {
	f, err := parseFeed([]byte("100 a\n100 \n1000000100 c d\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.lines) != 3 || string(f.lines[2]) != "1000000100 c d\r" || f.at[1] != 0 || f.length() != time.Second {
		t.Errorf("lines %q at %v", f.lines, f.at)
	}
	for text, want := range map[string]string{
		"":             "it is empty",
		"1 a\n2 b":     "line 2 has no end",
		"1 a\nb c\n":   "line 2 does not begin with a time",
		"1 a\n\n":      "line 2 does not begin with a time",
		"1 a\n2\n":     "line 2 does not begin with a time",
		"2 a\n1 b\n":   "line 2 was received before the line above it",
		"1 a\n-2 b\n":  "line 2 does not begin with a time",
		"1 a\n1.5 b\n": "line 2 does not begin with a time",
	} {
		if _, err := parseFeed([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestLoadFeed(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pack := func(text []byte) []byte {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return packed.Bytes()
	}
	line := []byte("1 " + strings.Repeat("x", 1021) + "\n")
	full := bytes.Repeat(line, feedBytesMax/len(line))
	if f, err := loadFeed(write("full", pack(full))); err != nil || len(f.lines) != feedBytesMax/1024 {
		t.Errorf("at the limit: %v", err)
	}
	good := pack([]byte("1 a\n"))
	for name, content := range map[string][]byte{
		"plain":     []byte("1 a\n"),
		"truncated": good[:len(good)-1],
		"too large": pack(append(full, "1 a\n"...)),
	} {
		path := write(name, content)
		if _, err := loadFeed(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want an error that names the file", name, err)
		}
	}
	if _, err := loadFeed(filepath.Join(dir, "absent")); err == nil || !strings.Contains(err.Error(), "top of the source") {
		t.Errorf("absent: %v", err)
	}
}

func FuzzParseFeed(f *testing.F) {
	f.Add([]byte("100 a\n200 b\n"))
	f.Add([]byte("-1 \n9223372036854775807 x\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := parseFeed(text)
		if err != nil {
			return
		}
		if again := append(bytes.Join(parsed.lines, []byte("\n")), '\n'); !bytes.Equal(again, text) {
			t.Errorf("%q became %q", text, again)
		}
		for i, at := range parsed.at {
			if at < 0 || i > 0 && at < parsed.at[i-1] {
				t.Errorf("line %d is at %v", i+1, at)
			}
		}
	})
}
