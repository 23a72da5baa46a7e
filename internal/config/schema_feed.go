package config

import "gopkg.in/yaml.v3"

const wantFeedListen = "host:port such as 127.0.0.1:5001"

func (d *decoder) feeds(out *[]Feed) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.sequence(path, n, FeedsMax, func(path string, n *yaml.Node) {
			*out = append(*out, d.feed(path, n))
		})
	}
}

func (d *decoder) feed(path string, n *yaml.Node) Feed {
	f := defaultFeed()
	d.mapping(path, n, []field{
		{"name", d.text(wantName, func(s string) bool { f.Name = s; return validName(s) })},
		{"ring", d.text(wantName, func(s string) bool { f.Ring = s; return validName(s) })},
		{"connect", d.text(wantAddress, func(s string) bool { f.Connect = s; return s == "" || validAddress(s) })},
		{"listen", d.text(wantFeedListen, func(s string) bool { f.Listen = s; return s == "" || validListen(s) })},
		{"direction", d.word(&f.Direction, directionWords())},
		{"framing", d.word(&f.Framing, framingWords())},
		{"frame_max", d.size(&f.FrameMax, FrameBytesMin, FrameBytesMax, wantFrameMax)},
		{"idle_timeout", d.duration(&f.IdleTimeout, 0, FeedIdleTimeoutMax, wantIdleTimeout)},
		{"connections_max", d.count(&f.ConnectionsMax, 1, FeedConnectionsMax)},
	})
	d.required(path, "name", f.Name, wantName)
	d.required(path, "ring", f.Ring, wantName)
	d.required(path, "direction", f.Direction, oneOf(directionWords()))
	d.required(path, "framing", f.Framing, oneOf(framingWords()))
	const one = "exactly one of connect and listen"
	switch {
	case d.wrong[path] || d.wrong[join(path, "connect")] || d.wrong[join(path, "listen")]:
	case f.Connect == "" && f.Listen == "":
		d.bad(join(path, "connect"), "nothing, and no listen", one)
	case f.Connect != "" && f.Listen != "":
		d.bad(join(path, "listen"), "connect as well", one)
	}
	return f
}
