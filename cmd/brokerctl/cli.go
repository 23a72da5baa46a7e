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

// suggestionLetters is in how many letters a verb may be mistyped to be guessed.
const suggestionLetters = 2

// cli is what all verbs share.
type cli struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	socket string
	output choice
	inVerb bool // the command line was fine, a verb runs
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
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, output: newChoice("table", "json")}
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
		fmt.Fprintf(stderr, "brokerctl: %s\n", oneLine(err))
	}
	return code
}

// oneLine is the message of err on one line.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' })
	return strings.Join(lines, "; ")
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
		PersistentPreRun: func(*cobra.Command, []string) { c.inVerb = true },
	}
	flags := root.PersistentFlags()
	flags.StringVar(&c.socket, "socket", "", "path of the daemon's control socket")
	flags.VarP(&c.output, "output", "o", "how to print: "+c.output.list())
	root.AddCommand(c.ringCommand(), c.attachCommand(), c.detachCommand(), c.attachmentsCommand(),
		c.statsCommand(), c.statusCommand(), c.versionCommand())
	root.SetGlobalNormalizationFunc(dashes)
	return root
}

// dashes lets flags be spelled like the keys of the configuration, too:
// --record_max is --record-max.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

// args wants the arguments that names list. An argument in brackets may be
// left out.
func args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		need := 0
		for _, n := range names {
			if !strings.HasPrefix(n, "[") {
				need++
			}
		}
		switch {
		case len(given) < need:
			return fmt.Errorf("%s: %s is missing; see %s --help", cmd.CommandPath(), names[len(given)], cmd.CommandPath())
		case len(given) > len(names):
			return fmt.Errorf("%s: %q is too much; it takes %s", cmd.CommandPath(), given[len(names)], argList(names))
		}
		return nil
	}
}

func argList(names []string) string {
	if len(names) == 0 {
		return "no arguments"
	}
	return strings.Join(names, " ")
}

// withClient runs one verb's calls with a connection and a bounded time.
func (c *cli) withClient(ctx context.Context, verb func(context.Context, *client.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	conn, err := client.Dial(ctx, client.Options{Socket: c.socket})
	if err != nil {
		return err
	}
	return errors.Join(verb(ctx, conn), conn.Close())
}
