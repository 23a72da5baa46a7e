package daemon

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"brokerd/internal/config"
)

// parse reads the text of a configuration that is good.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("test", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	oldKeys = `dir: /a
control: {socket: /a/s, mode: 0660, group: "1", admin_group: "2"}
admin: {listen: "127.0.0.1:1"}
limits: {memory: 1GiB, rings: 1, attachments: 1, connections: 1}
log: {level: info, format: json}
`
	newKeys = `dir: /b
control: {socket: /b/s, mode: 0600, group: "", admin_group: "3"}
admin: {listen: ""}
limits:
  memory: 2GiB
  rings: 2
  attachments: 2
  connections: 2
  per_uid: {memory: 1MiB, attachments: 3, connections: 4}
log: {level: debug, format: console}
`
)

func TestCompareNamesEveryKey(t *testing.T) {
	changed, kept := compare(keys(false), parse(t, oldKeys), parse(t, newKeys))
	wantChanged := []string{
		"control.admin_group is 3, was 2",
		"limits.memory is 2GiB, was 1GiB",
		"limits.rings is 2, was 1",
		"limits.attachments is 2, was 1",
		"limits.connections is 2, was 1",
		"limits.per_uid.memory is 1MiB, was none",
		"limits.per_uid.attachments is 3, was none",
		"limits.per_uid.connections is 4, was none",
		"log.level is debug, was info",
	}
	wantKept := []string{
		"dir stays /a: " + staysDir + "; restart brokerd to make it /b",
		"control.socket stays /a/s: " + staysSocket + "; restart brokerd to make it /b/s",
		"control.mode stays 0660: " + staysSocket + "; restart brokerd to make it 0600",
		"control.group stays 1: " + staysSocket + "; restart brokerd to make it none",
		"admin.listen stays 127.0.0.1:1: " + staysListen + "; restart brokerd to make it none",
		"log.format stays json: " + staysFormat + "; restart brokerd to make it console",
	}
	if !slices.Equal(changed, wantChanged) {
		t.Errorf("changed:\n%s\nwant:\n%s", strings.Join(changed, "\n"), strings.Join(wantChanged, "\n"))
	}
	if !slices.Equal(kept, wantKept) {
		t.Errorf("kept:\n%s\nwant:\n%s", strings.Join(kept, "\n"), strings.Join(wantKept, "\n"))
	}
	if changed, kept := compare(keys(false), parse(t, newKeys), parse(t, newKeys)); changed != nil || kept != nil {
		t.Errorf("a file compared to itself: %q, %q", changed, kept)
	}
	_, kept = compare(keys(true), parse(t, oldKeys), parse(t, newKeys))
	for _, want := range []string{"control.mode is not 0600: " + staysManager, "control.group is not none: " + staysManager} {
		if !slices.Contains(kept, want) {
			t.Errorf("an inherited socket: no %q in %q", want, kept)
		}
	}
}

// A key that is added to the configuration must be added to the list.
func TestKeysIsComplete(t *testing.T) {
	want := leaves(reflect.TypeFor[config.Config]())
	want -= 2 + leaves(reflect.TypeFor[config.Gateway]()) // Rings are the broker's to compare, Gateway and Feeds the gateway's
	if got := len(keys(false)); got != want {
		t.Errorf("keys has %d, the configuration has %d beside its rings and the gateway", got, want)
	}
}

func leaves(of reflect.Type) int {
	if of.Kind() != reflect.Struct {
		return 1
	}
	n := 0
	for i := range of.NumField() {
		n += leaves(of.Field(i).Type)
	}
	return n
}

func TestInForceMixesOldAndNew(t *testing.T) {
	old, next := parse(t, oldKeys), parse(t, newKeys)
	mixed := inForce(old, next)
	for _, k := range keys(false) {
		want := k.value(next)
		if k.stays != "" {
			want = k.value(old)
		}
		if got := k.value(mixed); got != want {
			t.Errorf("%s is %s, want %s", k.name, got, want)
		}
	}
}
