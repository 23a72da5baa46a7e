package link

import (
	"fmt"
	"strings"
	"testing"
)

func TestDbg(t *testing.T) {
	w := newWorld(*firstSeed)
	s := newMirrorSim(w)
	defer func() {
		if r := recover(); r != nil {
			w, _ := r.(wrong)
			fmt.Println(strings.SplitN(w.message, "\n", 2)[0])
			for _, r := range s.host.readers {
				fmt.Printf("%s %+v expected %d\n", r.policy, r.Stats(), r.expected)
				st, _ := s.host.ring.ConsumerStats(r.slot)
				fmt.Printf("   %+v\n", st)
			}
			k, l, err := s.host.mirror.Progress()
			fmt.Println(k, l, err)
			for _, st := range s.accept.conn.streams {
				fmt.Printf("sent %v limit %d span %d bytes at %d\n", st.tx.sent, st.tx.limit, len(st.tx.span.Bytes), st.tx.span.Position)
			}
			for _, st := range s.dial.conn.streams {
				fmt.Printf("%+v\n", *st.rx)
			}
		}
	}()
	for range w.between(50, 250) {
		s.step()
	}
	s.settle()
}
