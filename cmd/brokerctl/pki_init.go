package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"brokerd/internal/pki"
)

func (c *cli) pkiInitCommand() *cobra.Command {
	var v validity
	dir, name := path("."), "brokerd lab"
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a certificate authority",
		Long: `Make a certificate authority: DIR/ca.pem, which all hosts get, and DIR/ca-key.pem,
which signs certificates of hosts and stays here. It can sign no other authority.
The folder is made if it is not there; files that are there are never overwritten.`,
		Example: "  brokerctl pki init --dir lab\n  brokerctl pki issue --dir lab hostA",
		Args:    args(),
		RunE: func(*cobra.Command, []string) error {
			return c.pkiInit(dir, name, &v)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().Var(&dir, "dir", "folder of the authority's files")
	cmd.Flags().StringVar(&name, "name", name, "what the authority is called in its certificate")
	v.register(cmd.Flags(), authorityDays)
	return cmd
}

// authorityReply is what pki init made.
type authorityReply struct {
	CA         string `json:"ca"`
	CAKey      string `json:"ca_key"`
	NotAfterNS int64  `json:"not_after_ns"`
}

func (c *cli) pkiInit(dir path, name string, v *validity) error {
	valid, err := v.at(time.Now())
	if err != nil {
		return err
	}
	pair, err := pki.NewAuthority(name, valid)
	if err != nil {
		return usagef("pki init: %w", err)
	}
	files, err := pairIn(dir, authorityFile)
	if err == nil {
		err = os.MkdirAll(string(dir), 0o700)
	}
	if err == nil {
		err = files.create(pair)
	}
	if err != nil {
		return err
	}
	reply := authorityReply{CA: files.cert, CAKey: files.key, NotAfterNS: valid.Until.UnixNano()}
	return c.print(reply, func(t *table) {
		t.row("certificate", files.cert)
		t.row("key", files.key)
		t.row("valid until", clock(reply.NotAfterNS))
		t.row("next", "brokerctl pki issue --dir "+string(dir)+" HOST")
	})
}
