package results

import (
	"os"
	"runtime"
	"strings"
)

// unknown stands for a fact that the host does not show: no reason to stop.
const unknown = "unknown"

// Machine is what every figure belongs to.
type Machine struct {
	Kernel string `json:"kernel"`
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
}

// ThisMachine reads the facts of the machine that it runs on.
func ThisMachine() Machine {
	return Machine{Kernel: FirstLine("/proc/sys/kernel/osrelease"), CPU: cpuModel("/proc/cpuinfo"), Cores: runtime.NumCPU()}
}

// LoadAverage is the kernel's line about the load now.
func LoadAverage() string { return FirstLine("/proc/loadavg") }

// FirstLine of a file, or "unknown".
func FirstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// cpuModel is that of the first core.
func cpuModel(path string) string {
	text, _ := os.ReadFile(path) // without it, unknown
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}
