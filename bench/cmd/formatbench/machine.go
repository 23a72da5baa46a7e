package main

import (
	"os"
	"runtime"
	"strings"

	"brokerd/bench/internal/results"
)

// Machine is what the figures belong to.
type Machine struct {
	results.Machine
	Caches     []string `json:"caches"` // of the first core
	Compiler   string   `json:"compiler"`
	Flags      string   `json:"flags"`
	Go         string   `json:"go"`
	LoadBefore string   `json:"load_before"`
}

func machineFacts(compiler string) Machine {
	return Machine{
		Machine:    results.ThisMachine(),
		Caches:     caches(),
		Compiler:   compiler,
		Flags:      "-std=c11 -O3 -march=native",
		Go:         runtime.Version(),
		LoadBefore: results.LoadAverage(),
	}
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
			all = append(all, "L"+results.FirstLine(at+"level")+" "+results.FirstLine(at+"type")+" "+results.FirstLine(at+"size"))
		}
	}
	return all
}
