package link

import (
	"fmt"
	"encoding/binary"
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
			fmt.Printf("key %x  -> %d\n", s.origin.config.Key, uint64(0x6477d2704ed84ecf)^s.origin.config.Key)
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
		if s.accept == nil {
			continue
		}
		for _, st := range s.accept.conn.streams {
			if st.tx == nil || st.tx.source == nil {
				continue
			}
			ok := func(b []byte, pos uint64) bool {
				v := binary.LittleEndian.Uint64(b) ^ s.origin.config.Key
				return v&^15 == pos
			}
			stats := st.tx.source.Stats()
			if st.tx.taken && !ok(st.tx.span.Bytes, st.tx.span.Position) {
				fmt.Println(w.now, "pending bad", st.tx.span.Position, st.tx.span.Stable, st.tx.source.Intact(), stats.Gating, stats.Demoted, st.tx.released, st.tx.sent)
			}
			for _, f := range s.accept.conn.out.queue {
				if f.ring && !ok(f.body, f.from.Position) {
					fmt.Println(w.now, "queued bad", f.from, st.tx.source.Intact(), stats.Gating, stats.Demoted, st.tx.released, st.tx.sent)
				}
			}
		}
	}
	s.settle()
}
