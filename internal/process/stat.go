package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// ID is a process, unmistakably until the next boot.
type ID struct {
	PID   int
	Start uint64 // clock ticks from boot to the start of the process
}

// Self returns the ID of this process.
func Self() (ID, error) {
	pid := os.Getpid()
	start, err := startTime(pid)
	return ID{pid, start}, err
}

// startTime reads the start of a process. Its error wraps os.ErrNotExist when
// there is no such process, or when it is hidden.
func startTime(pid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	start, err := parseStart(data)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return start, nil
}

// startField is the number of the start time among the fields, counted from 1
// as in proc(5); the name of the program is the second.
const startField = 22

// parseStart finds the start time in the text of a stat file. The name of the
// program stands in parentheses and may itself hold spaces, parentheses and
// newlines; what follows it never has a parenthesis, so the last one ends it.
func parseStart(stat []byte) (uint64, error) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("no program name in %q", stat)
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) <= startField-3 {
		return 0, fmt.Errorf("%d fields after the program name, the start time is number %d", len(fields), startField-2)
	}
	start, err := strconv.ParseUint(string(fields[startField-3]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("start time: %w", err)
	}
	return start, nil
}
