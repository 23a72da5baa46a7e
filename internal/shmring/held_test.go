package shmring

import "testing"

// A producer that was stopped between a fault of a page and what it does about it
// finds the slot lent to another reader, whose page is whole.
func TestEvictionIsAboutWhoseThePageWas(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	holds := func() bool {
		_, ok := p.gateOf(0, p.tail)
		return ok
	}
	h.bind(0, 1, PolicyBlock, 0)
	store64(h.m.cursors[0], cuGate, 0)
	if !holds() {
		t.Fatal("the first reader does not hold the producer")
	}
	h.bind(0, 2, PolicyBlock, 0)
	store64(h.m.cursors[0], cuGate, 0)
	p.evict(0)
	if !holds() || load64(h.b, producerEntry(0)+psDemotions) != 0 {
		t.Fatal("the second reader pays for the first one's page")
	}
	p.evict(0)
	if holds() || load64(h.b, producerEntry(0)+psDemotions) != 1 {
		t.Fatal("a reader whose page faults goes on holding the producer")
	}
}

// A demotion that comes late is about a generation that is over, and undoes none.
func TestLateDemotion(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	h.bind(0, 2, PolicyDemote, 0)
	demoted := consumerEntry(0) + csDemoted
	for _, late := range []struct {
		generation uint32
		want       uint64
	}{{1, 1}, {2, 2}, {1, 2}, {2, 2}} {
		p.demote(0, late.generation)
		if got := load64(h.b, demoted); got != late.want {
			t.Fatalf("demoted %d: the word is %d, want %d", late.generation, got, late.want)
		}
	}
}
