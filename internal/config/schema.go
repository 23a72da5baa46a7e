package config

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

const wantListen = `host:port such as 127.0.0.1:9464, or "" for no listener`

// config decodes the whole file into c.
func (d *decoder) config(c *Config, root *yaml.Node) {
	d.lines[""] = root.Line
	d.mapping("", root, []field{
		{"dir", d.dir(&c.Dir)},
		{"control", d.control(&c.Control)},
		{"admin", d.admin(&c.Admin)},
		{"limits", d.limits(&c.Limits)},
		{"rings", d.rings(&c.Rings)},
		{"gateway", d.gateway(&c.Gateway)},
		{"feeds", d.feeds(&c.Feeds)},
		{"log", d.log(&c.Log)},
	})
}

func (d *decoder) control(c *Control) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"socket", d.socket(&c.Socket)},
			{"mode", d.mode(&c.Mode)},
			{"group", d.principal(&c.Group)},
			{"admin_group", d.principal(&c.AdminGroup)},
		})
	}
}

func (d *decoder) admin(a *Admin) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"listen", d.text(wantListen, func(s string) bool {
				a.Listen = s
				return s == "" || validListen(s)
			})},
		})
	}
}

func (d *decoder) limits(l *Limits) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"memory", d.size(&l.Memory, MemoryBytesMin, MemoryBytesMax, wantMemory())},
			{"rings", d.count(&l.Rings, 1, RingsMax)},
			{"attachments", d.count(&l.Attachments, 1, AttachmentsMax)},
			{"connections", d.count(&l.Connections, 1, ConnectionsMax)},
			{"per_uid", d.perUID(&l.PerUID)},
		})
	}
}

func (d *decoder) perUID(p *PerUID) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"memory", d.size(&p.Memory, MemoryBytesMin, MemoryBytesMax, wantMemory())},
			{"attachments", d.count(&p.Attachments, 1, AttachmentsMax)},
			{"connections", d.count(&p.Connections, 1, ConnectionsMax)},
		})
	}
}

func wantMemory() string {
	return fmt.Sprintf("a size from %v to %v, such as 1GiB", Size(MemoryBytesMin), Size(MemoryBytesMax))
}

func (d *decoder) log(l *Log) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"level", d.word(&l.Level, []string{LevelDebug, LevelInfo, LevelWarn, LevelError})},
			{"format", d.word(&l.Format, []string{FormatConsole, FormatJSON})},
		})
	}
}

func (d *decoder) rings(out *[]Ring) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.sequence(path, n, RingsMax, func(path string, n *yaml.Node) {
			*out = append(*out, d.ring(path, n))
		})
	}
}

// ring decodes and judges one ring. What a bad value leaves behind is a
// default, so the judgement adds nothing about keys already reported; whether
// record_max fits is unknown while the capacity is.
func (d *decoder) ring(path string, n *yaml.Node) Ring {
	r := DefaultRing("")
	d.mapping(path, n, []field{
		{"name", d.anyText(&r.Name, wantName)},
		{"capacity", d.size(&r.Capacity, CapacityBytesMin, CapacityBytesMax, wantCapacity)},
		{"record_max", d.size(&r.RecordMax, 1, RecordMaxLimit(CapacityBytesMax), wantRecordMax)},
		{"producers", d.word(&r.Producers, producerWords())},
		{"consumers_max", d.count(&r.ConsumersMax, ConsumersMaxMin, ConsumersMaxMax)},
		{"timestamps", d.boolean(&r.Timestamps)},
		{"checksum", d.boolean(&r.Checksum)},
		{"policy", d.word(&r.Policy, policyWords())},
		{"demote_after", d.duration(&r.DemoteAfter, DemoteAfterMin, DemoteAfterMax, wantDemoteAfter)},
		{"resume_for", d.duration(&r.ResumeFor, 0, ResumeForMax, wantResumeFor)},
		{"allow", d.allow(&r.Allow)},
	})
	r = fillRing(r)
	for _, e := range checkRing(r) {
		key := join(path, e.Key)
		if d.wrong[path] || d.wrong[key] || e.Key == "record_max" && d.wrong[join(path, "capacity")] {
			continue
		}
		d.bad(key, e.Got, e.Expected)
	}
	return r
}

func (d *decoder) allow(a *Allow) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"produce", d.principals(&a.Produce)},
			{"consume", d.principals(&a.Consume)},
			{"gate", d.principals(&a.Gate)},
		})
	}
}

func (d *decoder) principals(out **Principals) decodeFunc {
	return func(path string, n *yaml.Node) {
		p := &Principals{}
		*out = p
		before := len(d.errs)
		d.mapping(path, n, []field{
			{"users", d.names(&p.Users)},
			{"groups", d.names(&p.Groups)},
		})
		if len(d.errs) > before {
			*out = nil // reported already; nothing is left to judge
		}
	}
}

func (d *decoder) names(out *[]string) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.sequence(path, n, principalsMax, d.text(wantPrincipal, func(s string) bool {
			*out = append(*out, s)
			return validPrincipal(s)
		}))
	}
}

// validListen accepts what net.Listen does, without looking a host up.
func validListen(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || len(s) > quotedBytesMax*4 {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil && !strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c > '~' })
}
