package main

import (
	"bytes"
	"testing"
)

// FuzzMessages: what is read is what was put, and any other size is refused.
func FuzzMessages(f *testing.F) {
	f.Add(make([]byte, quoteBytes))
	f.Add(make([]byte, orderBytes))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readQuote(b)
		if (err == nil) != (len(b) == quoteBytes) {
			t.Errorf("a quote of %d bytes: %v", len(b), err)
		}
		if again := make([]byte, quoteBytes); err == nil {
			if q.put(again); !bytes.Equal(again, b) {
				t.Errorf("quote %x came back as %x", b, again)
			}
		}
		o, err := readOrder(b)
		if (err == nil) != (len(b) == orderBytes) {
			t.Errorf("an order of %d bytes: %v", len(b), err)
		}
		if again := make([]byte, orderBytes); err == nil {
			if o.put(again); !bytes.Equal(again, b) {
				t.Errorf("order %x came back as %x", b, again)
			}
		}
	})
}
