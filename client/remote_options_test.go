package client

import (
	"strings"
	"testing"
)

func TestTCPOptions(t *testing.T) {
	files := TCPOptions{Address: "h:1", Cert: "c", Key: "k", CA: "a"}
	for _, tc := range []struct {
		change func(o *TCPOptions)
		says   string
	}{
		{func(o *TCPOptions) {}, ""},
		{func(o *TCPOptions) { o.Address = "h" }, "host:port"},
		{func(o *TCPOptions) { o.Address = "h:" }, "host:port"},
		{func(o *TCPOptions) { o.Address = "[::1]:1" }, ""},
		{func(o *TCPOptions) { o.Key = "" }, "certificate, key and authority"},
		{func(o *TCPOptions) { o.Plain = true }, "one or the other"},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1", Plain: true, ServerName: "x"} }, "one or the other"},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1", Plain: true} }, ""},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1"} }, "brokerctl pki"},
		{func(o *TCPOptions) { o.Name = "a b" }, "name"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMin - 1 }, "dead after"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMax + 1 }, "dead after"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMax }, ""},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMin }, ""},
	} {
		o := files
		tc.change(&o)
		err := o.check()
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%+v: got %v, want %q", o, err, tc.says)
		}
	}
}
