package config

import (
	"bytes"
	"fmt"
	"time"

	"gopkg.in/yaml.v3"
)

// The structs below are the file's shape for printing. The order of their
// fields is the order of the keys.
type (
	printedConfig struct {
		Dir     string         `yaml:"dir"`
		Control printedControl `yaml:"control"`
		Admin   printedAdmin   `yaml:"admin"`
		Limits  printedLimits  `yaml:"limits"`
		Rings   []printedRing  `yaml:"rings"`
		Gateway printedGateway `yaml:"gateway"`
		Feeds   []printedFeed  `yaml:"feeds"`
		Log     printedLog     `yaml:"log"`
	}
	printedControl struct {
		Socket     string `yaml:"socket"`
		Mode       string `yaml:"mode"`
		Group      string `yaml:"group"`
		AdminGroup string `yaml:"admin_group"`
	}
	printedAdmin struct {
		Listen string `yaml:"listen"`
	}
	printedLimits struct {
		Memory      string `yaml:"memory"`
		Rings       int    `yaml:"rings"`
		Attachments int    `yaml:"attachments"`
		Connections int    `yaml:"connections"`

		PerUID printedPerUID `yaml:"per_uid,omitempty"`
	}
	printedPerUID struct {
		Memory      string `yaml:"memory,omitempty"`
		Attachments int    `yaml:"attachments,omitempty"`
		Connections int    `yaml:"connections,omitempty"`
	}
	printedRing struct {
		Name         string        `yaml:"name"`
		Capacity     string        `yaml:"capacity"`
		RecordMax    string        `yaml:"record_max"`
		Producers    string        `yaml:"producers"`
		ConsumersMax int           `yaml:"consumers_max"`
		Timestamps   bool          `yaml:"timestamps"`
		Checksum     bool          `yaml:"checksum"`
		Policy       string        `yaml:"policy"`
		DemoteAfter  time.Duration `yaml:"demote_after"`
		ResumeFor    time.Duration `yaml:"resume_for"`
		Allow        printedAllow  `yaml:"allow,omitempty"`
	}
	printedAllow struct {
		Produce *Principals `yaml:"produce,omitempty"`
		Consume *Principals `yaml:"consume,omitempty"`
		Gate    *Principals `yaml:"gate,omitempty"`
	}
	printedLog struct {
		Level  string `yaml:"level"`
		Format string `yaml:"format"`
	}
)

func printPerUID(q PerUID) printedPerUID {
	p := printedPerUID{Attachments: q.Attachments, Connections: q.Connections}
	if q.Memory > 0 { // 0 stands for no quota, and would print as 0B
		p.Memory = q.Memory.String()
	}
	return p
}

// YAML prints c with every key, defaults included; rights, quotas
// and TLS that nobody has given are left out, for want of a word for none, and of
// a feed's addresses the one it does not have. Parse of the text gives a
// Config equal to c.
func (c *Config) YAML() ([]byte, error) {
	p := printedConfig{
		Dir: c.Dir,
		Control: printedControl{
			Socket:     c.Control.Socket,
			Mode:       fmt.Sprintf("0%03o", c.Control.Mode),
			Group:      c.Control.Group,
			AdminGroup: c.Control.AdminGroup,
		},
		Admin: printedAdmin(c.Admin),
		Limits: printedLimits{
			Memory:      c.Limits.Memory.String(),
			Rings:       c.Limits.Rings,
			Attachments: c.Limits.Attachments,
			Connections: c.Limits.Connections,
			PerUID:      printPerUID(c.Limits.PerUID),
		},
		Gateway: printGateway(c.Gateway),
		Log:     printedLog(c.Log),
	}
	for _, f := range c.Feeds {
		p.Feeds = append(p.Feeds, printFeed(f))
	}
	for _, r := range c.Rings {
		p.Rings = append(p.Rings, printedRing{
			Name:         r.Name,
			Capacity:     r.Capacity.String(),
			RecordMax:    r.RecordMax.String(),
			Producers:    r.Producers,
			ConsumersMax: r.ConsumersMax,
			Timestamps:   r.Timestamps,
			Checksum:     r.Checksum,
			Policy:       r.Policy,
			DemoteAfter:  r.DemoteAfter,
			ResumeFor:    r.ResumeFor,
			Allow:        printedAllow(r.Allow),
		})
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(p); err != nil {
		return nil, fmt.Errorf("print configuration: %w", err)
	}
	return out.Bytes(), nil
}
