package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/internal/pki"
)

// Files of an authority, in its folder; those of a host are NAME.pem and
// NAME-key.pem beside them.
const (
	authorityFile = "ca"
	certSuffix    = ".pem"
	keySuffix     = "-key.pem"
)

// Days that certificates are valid for.
const (
	authorityDays = 3650
	hostDays      = 825
	daysMax       = 36500
)

// clockSkewMax is how far the clock of a host may be behind the one that issues.
const clockSkewMax = 5 * time.Minute

func (c *cli) pkiCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "Make certificates for links between hosts and remote clients",
		Long: `Make a certificate authority for a lab, and certificates for its hosts: for the
gateways of brokerd and for clients that attach over TCP. All of it happens in
files; no daemon is asked.

One authority serves all hosts that are to trust each other. Its key ca-key.pem
signs, so it belongs on one machine, and on none of the others. A host needs three
files: ca.pem, its certificate NAME.pem and its key NAME-key.pem.`,
		Example: "  brokerctl pki init --dir lab\n  brokerctl pki issue --dir lab exch-1 --san 10.0.0.1\n  brokerctl pki issue --dir lab desk",
		Args:    verbOf,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.pkiInitCommand(), c.pkiIssueCommand())
	return cmd
}

// validity is what --days and --valid-from come to.
type validity struct {
	days int
	from dateFlag
}

func (v *validity) register(flags *pflag.FlagSet, days int) {
	flags.IntVar(&v.days, "days", days, "for how many days it is valid")
	flags.Var(&v.from, "valid-from", "since when it is valid, such as 2026-01-31 or 2026-01-31T08:00:00Z (default now)")
}

func (v *validity) at(now time.Time) (pki.Validity, error) {
	if v.days < 1 || v.days > daysMax {
		return pki.Validity{}, usagef("pki: --days %d: want 1 to %d", v.days, daysMax)
	}
	from := v.from.Time
	if from.IsZero() {
		from = now
	}
	until := from.AddDate(0, 0, v.days)
	if v.from.IsZero() {
		from = from.Add(-clockSkewMax)
	}
	return pki.Validity{From: from, Until: until}, nil
}

// dateFlag is a date or a time. It implements pflag.Value.
type dateFlag struct{ time.Time }

// Set takes a date, which begins at midnight UTC, or a time of RFC 3339.
func (d *dateFlag) Set(text string) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		t, err := time.Parse(layout, text)
		if err == nil {
			d.Time = t
			return nil
		}
	}
	return errors.New("expected a date or a time, such as 2026-01-31 or 2026-01-31T08:00:00Z")
}

func (d *dateFlag) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.RFC3339)
}

// Type names the value in help texts.
func (*dateFlag) Type() string { return "DATE" }

// pairFiles are the paths of a certificate and its key.
type pairFiles struct{ cert, key string }

// pairIn names the files of a host, or of the authority, in a folder.
func pairIn(dir path, name string) (pairFiles, error) {
	dirPath, err := filepath.Abs(string(dir))
	base := filepath.Join(dirPath, name)
	return pairFiles{base + certSuffix, base + keySuffix}, err
}

// create writes both files, or none, and overwrites nothing.
func (f pairFiles) create(p pki.Pair) error {
	if err := createFile(f.key, p.Key); err != nil {
		return err
	}
	if err := createFile(f.cert, p.Cert); err != nil {
		return errors.Join(err, os.Remove(f.key))
	}
	return nil
}

// createFile writes a file that its owner alone may read, and that is not there yet.
func createFile(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there already, and nothing is overwritten: move it away, or name another folder with --dir", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// read reads both files.
func (f pairFiles) read() (p pki.Pair, err error) {
	if p.Cert, err = os.ReadFile(f.cert); err != nil {
		return p, err
	}
	p.Key, err = os.ReadFile(f.key)
	return p, err
}
