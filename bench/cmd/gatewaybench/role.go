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

// Each end of a measurement is a process of its own, pinned to a core: this
// program again, in a role. It prints at most one line when it is ready and one
// with its figure at the end.

const roleVerb = "role"

// roleTimeout bounds how long a role may take.
const roleTimeout = 3 * time.Minute

func play(role string, args []string) error {
	roles := map[string]func([]string) (float64, error){
		"tcp-receive": tcpReceive, "tcp-send": tcpSend,
		"tcp-hear": tcpHear, "tcp-say": tcpSay,
		"ring-hear": ringHear, "ring-say": ringSay,
		"ring-count": ringCount, "ring-flood": ringFlood,
		"nats-serve": natsServe, "nats-count": natsCount, "nats-flood": natsFlood,
		"wake": wakeReference, "door": doorWake,
	}
	run, ok := roles[role]
	if !ok {
		return fmt.Errorf("no such role")
	}
	figure, err := run(args)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(outcome{figure})
}

type outcome struct {
	Figure float64 `json:"figure"`
}

// ready tells the parent that the role is set up; at says where it listens.
func ready(at string) { fmt.Printf("ready %s\n", at) }

// process is a role that runs.
type process struct {
	cmd    *exec.Cmd
	out    *bufio.Reader
	errors bytes.Buffer
	stop   context.CancelFunc
}

// start runs a role on a core and waits until it is ready.
func start(ctx context.Context, core string, role string, args ...string) (p *process, at string, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	return launch(ctx, core, append([]string{self, roleVerb, role}, args...), true)
}

// launch runs a command on a core.
func launch(ctx context.Context, core string, argv []string, waits bool) (p *process, at string, err error) {
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
	if !waits {
		return p, "", nil
	}
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

// both runs a pair of roles on the two cores and returns the first one's figure. The second one is
// given where the first one listens.
func both(ctx context.Context, receiver, sender string, receiverArgs, senderArgs []string) (float64, error) {
	r, at, err := start(ctx, "1", receiver, receiverArgs...)
	if err != nil {
		return 0, err
	}
	if at != "" {
		senderArgs = append([]string{at}, senderArgs...)
	}
	s, _, err := start(ctx, "0", sender, senderArgs...)
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
