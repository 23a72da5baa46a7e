//go:build ringstep

package stepping

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Env makes a test's program the process of an operation. Its value are Main's args.
//
// The two processes speak in lines of a word and numbers:
//
//	ready ...   child: what comes before the operation is done
//	go          parent
//	            the operation, with a kill or a stop in it
//	done N last child: it is complete and has N stores
//	end ...     parent
//	ended ...   child, which then exits
const Env = "BROKERD_STEP"

// Child is the process that is stopped, as it sees itself.
type Child struct {
	Dir   string
	Mode  Mode
	Round uint64
	Last  bool     // it is the last round
	Said  []uint64 // with ready
	// After, if set, is what comes once the operation is complete.
	After func(answer []uint64) (said []uint64, err error)
}

// Hooks are shmring.ArmSteps and shmring.DisarmSteps.
type Hooks struct {
	Arm    func(at uint64, signal syscall.Signal)
	Disarm func() (taken uint64)
}

// Main is the process. Arguments: operation (with _ for a space), round, k, mode, dir.
func Main(args []string, ops []Op, hooks Hooks) error {
	runtime.LockOSThread() // the signal is sent to the thread that has made the store
	name := strings.ReplaceAll(args[0], "_", " ")
	n, err := numbers(args[1:4])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(ops, func(op Op) bool { return op.Name == name })
	if i < 0 {
		return fmt.Errorf("no operation %q", name)
	}
	in := bufio.NewReader(os.Stdin)
	c := &Child{Dir: args[4], Mode: Mode(n[2]), Round: n[0]}
	operation, err := ops[i].Child(c)
	if err != nil {
		return fmt.Errorf("before the operation: %w", err)
	}
	if err := tell(os.Stdout, "ready", c.Said...); err != nil {
		return err
	}
	if _, err := listen(in, "go"); err != nil {
		return err
	}
	taken, err := hooks.armed(n[1], c.Mode, operation)
	if err != nil && c.Mode != Evict {
		return fmt.Errorf("the operation: %w", err)
	}
	if n[1] > taken+1 {
		return fmt.Errorf("the operation has %d stores only", taken)
	}
	last := uint64(0)
	if c.Last {
		last = 1
	}
	if err := tell(os.Stdout, "done", taken, last); err != nil {
		return err
	}
	answer, err := listen(in, "end")
	if err != nil {
		return err
	}
	var said []uint64
	if c.After != nil {
		if said, err = c.After(answer); err != nil {
			return fmt.Errorf("after the operation: %w", err)
		}
	}
	return tell(os.Stdout, "ended", said...)
}

func (h Hooks) armed(k uint64, mode Mode, operation func() error) (taken uint64, err error) {
	signal := syscall.SIGSTOP
	if mode == Kill {
		signal = syscall.SIGKILL
	}
	h.Arm(k, signal)
	err = operation()
	return h.Disarm(), err
}

func tell(to io.Writer, word string, n ...uint64) error {
	for _, n := range n {
		word += " " + strconv.FormatUint(n, 10)
	}
	_, err := fmt.Fprintln(to, word)
	return err
}

func listen(from *bufio.Reader, word string) ([]uint64, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("no %q: %w", word, err)
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || fields[0] != word {
		return nil, fmt.Errorf("%q instead of %q", line, word)
	}
	return numbers(fields[1:])
}

func numbers(words []string) ([]uint64, error) {
	n := make([]uint64, len(words))
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(words[i], 10, 64); err != nil {
			return nil, err
		}
	}
	return n, nil
}
