package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// roleTimeout bounds how long a role may take.
const roleTimeout = 3 * time.Minute

// process is a role, or another program that behaves like one.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	errors bytes.Buffer
	stop   context.CancelFunc
}

// command is this program in a role.
func command(role string, args ...string) ([]string, error) {
	self, err := os.Executable()
	return append([]string{self, roleVerb, role}, args...), err
}

// start runs a role on a core and waits until it is ready; at is where it listens.
func start(ctx context.Context, core string, role string, args ...string) (p *process, at string, err error) {
	argv, err := command(role, args...)
	if err != nil {
		return nil, "", err
	}
	return launch(ctx, core, argv)
}

// launch is start for any command.
func launch(ctx context.Context, core string, argv []string) (p *process, at string, err error) {
	ctx, stop := context.WithTimeout(ctx, roleTimeout)
	p = &process{stop: stop, cmd: exec.CommandContext(ctx, "taskset", append([]string{"-c", core}, argv...)...)}
	p.cmd.Stderr = &p.errors
	pipe, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		stop()
		return nil, "", err
	}
	p.out = bufio.NewReader(pipe)
	line, err := p.out.ReadString('\n')
	at, ok := strings.CutPrefix(strings.TrimSpace(line), "ready")
	if err != nil || !ok {
		p.kill()
		return nil, "", fmt.Errorf("%s: %s%s", strings.Join(argv[1:], " "), line, p.errors.String())
	}
	return p, strings.TrimSpace(at), nil
}

// figure waits for the end of a role and returns what it measured.
func (p *process) figure() (float64, error) {
	defer p.stop()
	var o outcome
	text, err := io.ReadAll(p.out)
	if err == nil {
		err = p.cmd.Wait()
	}
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s%s", strings.Join(p.cmd.Args, " "), err, text, p.errors.String())
	}
	return o.Figure, nil
}

func (p *process) kill() {
	p.stop()
	_ = p.cmd.Wait() // it was told to end
}

// both runs a pair of roles. The second one gets where the first one listens, if it does, as its first argument.
func both(ctx context.Context, receiver, sender string, receiverArgs, senderArgs []string) (float64, error) {
	receive, err := command(receiver, receiverArgs...)
	if err != nil {
		return 0, err
	}
	send, err := command(sender)
	if err != nil {
		return 0, err
	}
	return pair(ctx, receive, func(at string) []string {
		if at != "" {
			send = append(send, at)
		}
		return append(send, senderArgs...)
	})
}

// pair runs a receiver on core 1, then a sender on core 0 that is told where the first one listens, and
// returns the receiver's figure.
func pair(ctx context.Context, receive []string, send func(at string) []string) (float64, error) {
	r, at, err := launch(ctx, "1", receive)
	if err != nil {
		return 0, err
	}
	s, _, err := launch(ctx, "0", send(at))
	if err != nil {
		r.kill()
		return 0, err
	}
	figure, err := r.figure()
	if err != nil {
		s.kill()
		return 0, err
	}
	_, err = s.figure()
	return figure, err
}
