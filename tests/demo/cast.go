package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"brokerd/client"
)

const (
	// answerWait is how long a reader may take to attach and to answer.
	answerWait = 10 * time.Second
	// readerStopWait is how long it may take to end.
	readerStopWait = 5 * time.Second
)

// role is one reader of the demo.
type role struct {
	name   string
	policy client.Policy
	does   string
}

const (
	bookName = "book"
	skipName = "skip"
	slowName = "slow"
)

func cast() []role {
	return []role{
		{bookName, client.PolicyBlock, "loses nothing; prints best bid and ask"},
		{skipName, client.PolicySkip, "holds nobody up; looks away for a while"},
		{slowName, client.PolicyDemote, "takes 8 times as long as it may"},
	}
}

// actor is a running reader, as the demo sees it.
type actor struct {
	role
	*process
	commands io.WriteCloser
	answers  *os.File // a pipe, so that reading it can be given a deadline
	decoder  *json.Decoder

	last  report // before the newest
	now   report // the newest
	shown uint64 // records that the rows have counted
}

// startActor starts a reader and waits until it is attached.
func startActor(who role, p place, feedPath string) (*actor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := p.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	answers, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := exec.Command(self, readerRole, "-name", who.name, "-policy", string(who.policy), "-socket", p.socket(), "-feed", feedPath)
	cmd.Stdout, cmd.Stderr = theirs, log
	commands, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, answers.Close())
	}
	running, err := start("reader "+who.name, cmd)
	if err != nil {
		return nil, errors.Join(err, answers.Close())
	}
	a := &actor{role: who, process: running, commands: commands, answers: answers, decoder: json.NewDecoder(answers)}
	if err := a.ask(); err != nil {
		return nil, errors.Join(err, a.stop())
	}
	return a, nil
}

// ask brings now up to date.
func (a *actor) ask() error {
	if err := a.tell(commandReport); err != nil {
		return err
	}
	if err := a.answers.SetReadDeadline(time.Now().Add(answerWait)); err != nil {
		return err
	}
	var r report
	switch err := a.decoder.Decode(&r); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s has ended", a.what)
	case err != nil:
		return fmt.Errorf("%s does not answer: %w", a.what, err)
	case r.Error != "":
		return fmt.Errorf("%s: %s", a.what, r.Error)
	}
	a.last, a.now = a.now, r
	return nil
}

// tell sends a command.
func (a *actor) tell(command string) error {
	if _, err := fmt.Fprintln(a.commands, command); err != nil {
		return fmt.Errorf("%s has ended: %w", a.what, err)
	}
	return nil
}

// delay makes it wait for d before each record.
func (a *actor) delay(d time.Duration) error {
	return a.tell(fmt.Sprintf("%s %v", commandDelay, d))
}

// stop detaches it and waits for its end.
func (a *actor) stop() error {
	err := a.process.stop(a.commands.Close, readerStopWait)
	return errors.Join(err, a.answers.Close())
}
