package main

import (
	"os"
	"runtime"
	"strings"
)

// Machine is what the figures belong to.
type Machine struct {
	Kernel     string   `json:"kernel"`
	CPU        string   `json:"cpu"`
	Cores      int      `json:"cores"`
	Caches     []string `json:"caches"` // of the first core
	Compiler   string   `json:"compiler"`
	Flags      string   `json:"flags"`
	Go         string   `json:"go"`
	LoadBefore string   `json:"load_before"`
}

func machineFacts(compiler string) Machine {
	return Machine{
		Kernel:     firstLine("/proc/sys/kernel/osrelease"),
		CPU:        cpuModel(),
		Cores:      runtime.NumCPU(),
		Caches:     caches(),
		Compiler:   compiler,
		Flags:      "-std=c11 -O3 -march=native",
		Go:         runtime.Version(),
		LoadBefore: loadAverage(),
	}
}

func loadAverage() string {
	return firstLine("/proc/loadavg")
}

// firstLine of a file, or "unknown": a missing fact is no reason to stop.
func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func caches() []string {
	const dir = "/sys/devices/system/cpu/cpu0/cache/"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "index") {
			at := dir + e.Name() + "/"
			all = append(all, "L"+firstLine(at+"level")+" "+firstLine(at+"type")+" "+firstLine(at+"size"))
		}
	}
	return all
}
