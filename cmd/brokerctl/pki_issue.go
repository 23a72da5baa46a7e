package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"brokerd/internal/pki"
)

func (c *cli) pkiIssueCommand() *cobra.Command {
	var v validity
	var also []string
	dir := path(".")
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Make the certificate of a host or of a remote client",
		Long: `Make the certificate of a host or of a remote client, signed by the authority in
DIR: DIR/NAME.pem and its key DIR/NAME-key.pem. Files that are there are never
overwritten. NAME is what others know it by: the peers[].name of their
configuration. What to write there is printed.

A peer that is dialed has to prove its name; so does a gateway that a client
dials, the host of --address or what --server-name says. --san gives a
certificate more names: host names or IP addresses.`,
		Example: "  brokerctl pki issue --dir lab hostA --san 10.0.0.1 --san hosta.lab\n" +
			"  brokerctl pki issue --dir lab strategy1 --days 90",
		Args: args("NAME"),
		RunE: func(_ *cobra.Command, given []string) error {
			return c.pkiIssue(dir, pki.Host{Name: given[0], Also: also}, &v)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(&dir, "dir", "folder of the authority's files, and of what is made")
	cmd.Flags().StringSliceVar(&also, "san", nil, "another `NAME` in the certificate: a host name or an IP address")
	v.register(cmd.Flags(), hostDays)
	return cmd
}

// hostReply is what pki issue made.
type hostReply struct {
	Name       string `json:"name"`
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	CA         string `json:"ca"`
	NotAfterNS int64  `json:"not_after_ns"`
}

func (c *cli) pkiIssue(dir path, h pki.Host, v *validity) (err error) {
	if h.Name == authorityFile {
		return usagef("pki issue: a host cannot be called %s: the files of the authority are", authorityFile)
	}
	if h.Validity, err = v.at(time.Now()); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return usagef("pki issue: %w", err)
	}
	authority, err := pairIn(dir, authorityFile)
	if err != nil {
		return err
	}
	signer, err := authority.read()
	if os.IsNotExist(err) {
		return fmt.Errorf("no authority in %s: %w; make one with brokerctl pki init --dir %s", dir, err, dir)
	}
	if err != nil {
		return err
	}
	pair, err := pki.Issue(signer, h)
	if err != nil {
		return fmt.Errorf("%s: %w", authority.cert, err)
	}
	files, err := pairIn(dir, h.Name)
	if err == nil {
		err = files.create(pair)
	}
	if err != nil {
		return err
	}
	reply := hostReply{h.Name, files.cert, files.key, authority.cert, h.Validity.Until.UnixNano()}
	return c.print(reply, func(t *table) { t.lines(configurationOf(reply)) })
}

// configurationOf is what to write where, now that a host has a certificate: the
// host's own part as it is, the rest as comments.
func configurationOf(r hostReply) []string {
	return []string{
		"# valid until " + clock(r.NotAfterNS) + "; the key is for its owner alone",
		"gateway:",
		"  name: " + r.Name,
		"  tls: {cert: " + r.Cert + ", key: " + r.Key + ", ca: " + r.CA + "}",
		"# where others are to know it, under gateway.peers:",
		"#   - {name: " + r.Name + ", address: HOST:PORT}",
		"# as a remote client:",
		"#   brokerctl --address HOST:PORT --cert " + r.Cert + " --key " + r.Key + " --ca " + r.CA + " attach ...",
	}
}
