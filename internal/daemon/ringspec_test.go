package daemon

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/config"
	"brokerd/internal/wire"
)

func TestRingSpecCarriesEveryKey(t *testing.T) {
	in := config.Ring{
		Name: "md", Capacity: 1 << 20, RecordMax: 4096, Producers: config.ProducersMany, ConsumersMax: 7,
		Timestamps: false, Checksum: true, Policy: config.PolicySkip, DemoteAfter: 250 * time.Millisecond, ResumeFor: 30 * time.Second,
		Allow: config.Allow{
			Produce: &config.Principals{Users: []string{"alice"}},
			Gate:    &config.Principals{Groups: []string{"42"}},
		},
	}
	got, err := json.Marshal(ringSpec(in))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"name":"md","capacity":1048576,"record_max":4096,"producers":"many","consumers_max":7,` +
		`"timestamps":false,"checksum":true,"policy":"skip","demote_after_ns":250000000,"resume_for_ns":30000000000,` +
		`"allow":{"produce":{"users":["alice"],"groups":[]},"gate":{"users":[],"groups":["42"]}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A key that is added to either side must be added to the mapping above.
	if c, w := reflect.TypeFor[config.Ring]().NumField(), reflect.TypeFor[wire.RingSpec]().NumField(); c != 11 || w != 11 {
		t.Errorf("config.Ring has %d fields and wire.RingSpec %d; this test knows 11 of each", c, w)
	}
}

func TestEveryMethodOfTheDescriptionIsCounted(t *testing.T) {
	counted := map[string]bool{}
	for _, m := range methods() {
		counted[m] = true
	}
	found := 0
	for _, text := range []string{wire.Description, wire.ServiceDescription} {
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "method "); ok {
				method, _, _ := strings.Cut(rest, "(")
				found++
				if !counted[method] {
					t.Errorf("%s is not in methods()", method)
				}
			}
		}
	}
	if found+1 != len(counted) || !counted[unknownMethod] {
		t.Errorf("methods() lists %d, the descriptions have %d, and there is one for unknown methods", len(counted), found)
	}
}
