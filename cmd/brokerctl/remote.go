package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/client"
)

// attacher is where rings are attached to: a client.Client or a client.Remote.
type attacher interface {
	Producer(ctx context.Context, ring string, o client.ProducerOptions) (*client.Producer, error)
	Consumer(ctx context.Context, ring string, o client.ConsumerOptions) (*client.Consumer, error)
	Close() error
}

// remoteFlags say where another host is, and how to reach it.
type remoteFlags struct {
	address, asPeer, serverName string
	cert, key, ca               path
	tls                         choice
}

func newRemoteFlags() remoteFlags { return remoteFlags{tls: newChoice("on", "off")} }

// remoteFlagNames are those that need --address, in the order of the help.
func remoteFlagNames() []string {
	return []string{"cert", "key", "ca", "server-name", "tls", "as-peer"}
}

// register makes the flags known. They may stand before the verb, so the root has
// them, too, where no help shows them.
func (f *remoteFlags) register(flags *pflag.FlagSet, hidden bool) {
	flags.StringVar(&f.address, "address", "", "`HOST:PORT` of a gateway on another host; no daemon here is needed")
	flags.Var(&f.cert, "cert", "with --address: certificate of this client, a PEM file")
	flags.Var(&f.key, "key", "with --address: its key, a PEM file")
	flags.Var(&f.ca, "ca", "with --address: certificates of the authorities that vouch for gateways, a PEM file")
	flags.StringVar(&f.serverName, "server-name", "", "with --address: `NAME` that the gateway's certificate must bear (default the host of --address)")
	flags.Var(&f.tls, "tls", "with --address: "+f.tls.list())
	flags.StringVar(&f.asPeer, "as-peer", "", "with --address: `NAME` of this client in the gateway's peers, for --tls off")
	for _, name := range append(remoteFlagNames(), "address") {
		flags.Lookup(name).Hidden = hidden
	}
}

// check refuses what does not go together; attach is the one verb for other hosts.
func (f *remoteFlags) check(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if !flags.Changed("address") {
		i := slices.IndexFunc(remoteFlagNames(), flags.Changed)
		if i >= 0 {
			return usagef("%s: --%s is for a gateway on another host: say which with --address", verb(cmd), remoteFlagNames()[i])
		}
		return nil
	}
	switch {
	case cmd.Name() != "attach":
		return usagef("%s: --address is for attach only; %s speaks to the daemon of this host", verb(cmd), verb(cmd))
	case flags.Changed("socket"):
		return usagef("attach: --address and --socket: want one or the other")
	case f.tls.value == "on" && (f.cert == "" || f.key == "" || f.ca == ""):
		return usagef("attach: --address needs --cert, --key and --ca (brokerctl pki makes them), or --tls off")
	}
	for _, name := range []string{"cert", "key", "ca", "server-name"} {
		if f.tls.value == "off" && flags.Changed(name) {
			return usagef("attach: --%s and --tls off: want one or the other", name)
		}
	}
	return nil
}

func (f *remoteFlags) options(waitFor time.Duration) client.TCPOptions {
	return client.TCPOptions{
		Address: f.address, Name: f.asPeer, Cert: string(f.cert), Key: string(f.key), CA: string(f.ca),
		ServerName: f.serverName, Plain: f.tls.value == "off", WaitFor: waitFor,
	}
}

// waitingRemote attaches to rings that may come to exist until deadline. There is
// nothing to ask whether they do but to attach.
type waitingRemote struct {
	*client.Remote
	deadline time.Time
}

// ringPause is the time between two tries.
const ringPause = 100 * time.Millisecond

func (w waitingRemote) Producer(ctx context.Context, ring string, o client.ProducerOptions) (*client.Producer, error) {
	return onceThere(ctx, w.deadline, func() (*client.Producer, error) { return w.Remote.Producer(ctx, ring, o) })
}

func (w waitingRemote) Consumer(ctx context.Context, ring string, o client.ConsumerOptions) (*client.Consumer, error) {
	return onceThere(ctx, w.deadline, func() (*client.Consumer, error) { return w.Remote.Consumer(ctx, ring, o) })
}

// onceThere attaches, again and again until deadline while the ring is not there.
func onceThere[T any](ctx context.Context, deadline time.Time, attach func() (T, error)) (T, error) {
	begin := time.Now()
	for {
		t, err := attach()
		if !errors.Is(err, client.ErrRingNotFound) && !errors.Is(err, client.ErrNotReady) {
			return t, err
		}
		if !time.Now().Add(ringPause).Before(deadline) || !sleepFor(ctx, ringPause) {
			return t, waited(time.Since(begin).Truncate(ringPause), err)
		}
	}
}

// dial connects to the daemon of this host, or to the gateway of another.
func (c *cli) dial(ctx context.Context, waitFor time.Duration) (attacher, error) {
	if c.remote.address == "" {
		return client.Dial(ctx, client.Options{Socket: string(c.socket), WaitFor: waitFor})
	}
	deadline := time.Now().Add(waitFor)
	r, err := client.DialTCP(ctx, c.remote.options(waitFor))
	switch {
	case err == nil:
		return waitingRemote{r, deadline}, nil
	case errors.Is(err, client.ErrUnreachable), errors.Is(err, client.ErrProtocol), client.IsRefused(err):
		return nil, err
	default: // what was given makes no sense
		return nil, usagef("attach: %w", err)
	}
}
