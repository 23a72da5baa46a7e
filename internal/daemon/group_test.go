package daemon

import (
	"strings"
	"testing"
)

func TestGroupID(t *testing.T) {
	for _, c := range []struct {
		group string
		want  int
	}{{"", noGroup}, {"0", 0}, {"4242", 4242}, {"root", 0}} {
		if got, err := groupID(t.Context(), "control.group", c.group); err != nil || got != c.want {
			t.Errorf("%q: got %d, %v, want %d", c.group, got, err, c.want)
		}
	}
	_, err := groupID(t.Context(), "control.admin_group", "no-such-group")
	if err == nil || !strings.Contains(err.Error(), "control.admin_group") || !strings.Contains(err.Error(), `"no-such-group"`) {
		t.Errorf("unknown group: %v, want an error naming key and group", err)
	}
}
