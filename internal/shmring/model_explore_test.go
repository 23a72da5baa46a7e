//go:build ringmodel

package shmring

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// scenario explores what build sets up, as a subtest, and prints the state count. Of
// a failure the first line says what it is (tests/bugs reads it): a property is
// violated, or the scenario is broken.
func scenario(t *testing.T, name string, build func() *machine) {
	t.Run(name, func(t *testing.T) {
		res := explore(build)
		if res.failure != "" {
			t.Fatalf("%s (%d states, %.1fs)\nschedule:%s", res.failure, res.states, res.took.Seconds(), res.trace)
		}
		fmt.Printf("model: %-40s %8d states %8d schedules %6.1fs\n", name, res.states, res.runs, res.took.Seconds())
	})
}

// result of an exploration.
type result struct {
	took         time.Duration
	states, runs int
	failure      string
	trace        string
}

// explore runs every schedule of what build sets up, until the first failure.
func explore(build func() *machine) (res result) {
	began := time.Now()
	seen := map[uint64]struct{}{}
	stack := [][]byte{nil}
	for len(stack) > 0 && res.failure == "" {
		trace := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		res.runs++
		m := build()
		model = m
		for _, i := range trace {
			m.do(m.actions()[i])
		}
		trace = append(make([]byte, 0, 2*len(trace)+64), trace...)
		for m.failure == "" {
			as := m.actions()
			if len(as) == 0 {
				if err := m.atEnd(); err != nil {
					m.fail("at the end: %v", err)
				}
				break
			}
			key := m.key()
			if _, old := seen[key]; old {
				break
			}
			seen[key] = struct{}{}
			for i := 1; i < len(as); i++ {
				stack = append(stack, append(append(make([]byte, 0, len(trace)+1), trace...), byte(i)))
			}
			m.do(as[0])
			trace = append(trace, 0)
		}
		res.failure = m.failure
		model = nil
		m.close()
		if res.failure != "" {
			res.trace = describe(build, trace)
		}
	}
	res.states, res.took = len(seen), time.Since(began)
	return res
}

// describe replays a schedule and lists its accesses to shared memory: thread,
// what, memory (0 is the first touched) and offset, value.
func describe(build func() *machine, trace []byte) string {
	m := build()
	m.logging = true
	model = m
	for _, i := range trace {
		a := m.actions()[i]
		if a.kind != 's' {
			m.log = append(m.log, fmt.Sprintf("%s %c", a.t.name, a.kind))
		}
		m.do(a)
	}
	model = nil
	m.close()
	return "\n" + strings.Join(m.log, "\n")
}
