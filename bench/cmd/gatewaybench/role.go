package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// Each end of a measurement is a process of its own, pinned to a core: this
// program again, in a role. It prints at most one line when it is ready and one
// with its figure at the end.

const roleVerb = "role"

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
