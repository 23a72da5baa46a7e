package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/client"
)

// callTimeout bounds how long a verb waits for the daemon's answer.
const callTimeout = 10 * time.Second

// cli is what all verbs share.
type cli struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	socket path // "" is the client's default
	remote remoteFlags
	output choice
	inVerb bool // the command line was fine, a verb runs
}

func newCLI(stdin io.Reader, stdout, stderr io.Writer) *cli {
	return &cli{stdin: stdin, stdout: stdout, stderr: stderr, output: newChoice("table", "json"), remote: newRemoteFlags()}
}

// run carries out one command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	// The first signal ends ctx, the second one the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return runContext(ctx, args, stdin, stdout, stderr)
}

func runContext(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := newCLI(stdin, stdout, stderr)
	root := c.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !c.inVerb {
		err = &usageError{err}
	}
	code := exitCode(err)
	if err != nil && code != exitDone {
		c.note("%s", message(err))
	}
	return code
}

// message is what err says, on one line but for the errors of a configuration
// file, which has a line for each.
func message(err error) string {
	if errors.Is(err, client.ErrInvalidConfig) {
		return err.Error()
	}
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' })
	return strings.Join(lines, "; ")
}

// note tells something on stderr, where nothing can be done about a failure.
func (c *cli) note(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stderr, "brokerctl: "+format+"\n", args...)
}

const rootLong = `brokerctl speaks to brokerd, the daemon that lends shared-memory rings to the
processes of this host. It creates and removes rings, publishes lines of its
standard input, prints the records of a ring, and shows who is attached.

Without --socket it uses /run/brokerd/control.sock for root, and for others
$XDG_RUNTIME_DIR/brokerd/control.sock, or /tmp/brokerd-UID/control.sock where
that variable is unset.

Exit codes:
  0  done (also after SIGINT or SIGTERM, and when the output was closed)
  1  failed
  2  the command line is wrong
  3  the daemon is unreachable
  4  the daemon refused, or the ring does not hold the start position
  5  a block or demote reader missed records`

const rootExample = `  brokerctl ring create md --capacity 16MiB
  brokerctl attach md --as consumer --from oldest > records.txt
  brokerctl attach md --as producer --name feed < records.txt
  brokerctl stats --watch`

func (c *cli) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "brokerctl",
		Short:         "Create, feed, read and watch the rings of brokerd",
		Long:          rootLong,
		Example:       rootExample,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          verbOf,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: suggestionLetters,
		// Errors before this point are the command line's, later ones the verb's.
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			err := c.remote.check(cmd)
			c.inVerb = err == nil
			return err
		},
	}
	flags := root.PersistentFlags()
	flags.Var(&c.socket, "socket", "path of the daemon's control socket")
	c.remote.register(flags, true)
	flags.VarP(&c.output, "output", "o", "how to print: "+c.output.list())
	root.AddCommand(c.ringCommand(), c.attachCommand(), c.detachCommand(), c.attachmentsCommand(), c.statsCommand(), c.linksCommand(),
		c.statusCommand(), c.reloadCommand(), c.gcCommand(), c.versionCommand(), c.pkiCommand(), c.completionCommand(), c.manCommand())
	root.SetHelpCommand(c.helpCommand())
	root.SetGlobalNormalizationFunc(dashes)
	root.SetFlagErrorFunc(flagError)
	completeFlags(root)
	return root
}

// dashes lets flags be spelled like the keys of the configuration, too:
// --record_max is --record-max.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

// withClient runs one verb's calls with a connection and a bounded time.
func (c *cli) withClient(ctx context.Context, verb func(context.Context, *client.Client) error) error {
	return c.withClientFor(ctx, 0, verb)
}

// withClientFor is withClient that waits up to waitFor for the daemon to answer.
func (c *cli) withClientFor(ctx context.Context, waitFor time.Duration, verb func(context.Context, *client.Client) error) error {
	bounded, cancel := context.WithTimeout(ctx, waitFor+callTimeout)
	defer cancel()
	conn, err := client.Dial(bounded, client.Options{Socket: string(c.socket), WaitFor: waitFor})
	if err != nil {
		return c.timely(bounded, err)
	}
	return c.timely(bounded, errors.Join(verb(bounded, conn), conn.Close()))
}

// waited tells that err comes after a wait that was asked for.
func waited(waitFor time.Duration, err error) error {
	if waitFor <= 0 {
		return err
	}
	return fmt.Errorf("waited %v: %w", waitFor, err)
}

// timely puts the end of ctx into words, if that is why err came.
func (c *cli) timely(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return errInterrupted
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	default:
		return fmt.Errorf("%w at %s: no answer within %v; it may be stopped, or starved of the processor",
			client.ErrUnreachable, c.target(), callTimeout)
	}
}

// errInterrupted is a signal that came before the daemon's answer.
var errInterrupted = errors.New("interrupted before brokerd answered")

// target is who is spoken to.
func (c *cli) target() string {
	if c.remote.address != "" {
		return c.remote.address
	}
	return c.socketPath()
}

func (c *cli) socketPath() string {
	if c.socket == "" {
		return client.DefaultSocket()
	}
	return string(c.socket)
}
