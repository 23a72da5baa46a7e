package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// bench is what all cases share.
type bench struct {
	dir      string // on tmpfs
	bin      string // folder of brokerd and brokerctl
	certs    string // folder of ca.pem, a.pem, a-key.pem, b.pem, b-key.pem
	sizes    sizes
	progress io.Writer
}

// sizes are how much each case moves.
type sizes struct {
	capacity, bytes uint64 // of the mirrored ring, and of one run through it
	messages        int    // of a latency run
	gapNanos        int64  // between two of them
	records         int    // of a rate run
	clients         int    // idle
	links           int
}

func newBench(ctx context.Context, dir string, quick bool, progress io.Writer) (*bench, error) {
	b := &bench{dir: dir, bin: filepath.Join(dir, "bin"), certs: filepath.Join(dir, "certs"), progress: progress}
	b.sizes = sizes{capacity: 256 << 20, bytes: 192 << 20, messages: 3000, gapNanos: 1e6, records: 3e6, clients: 10000, links: 100}
	if quick {
		b.sizes = sizes{capacity: 16 << 20, bytes: 12 << 20, messages: 200, gapNanos: 1e6, records: 100000, clients: 200, links: 10}
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.bin+"/", "./cmd/brokerd", "./cmd/brokerctl")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build brokerd: %w: %s", err, text)
	}
	for _, args := range [][]string{{"pki", "init", "--dir", b.certs}, {"pki", "issue", "a", "--dir", b.certs}, {"pki", "issue", "b", "--dir", b.certs}} {
		if text, err := exec.CommandContext(ctx, filepath.Join(b.bin, "brokerctl"), args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("brokerctl %s: %w: %s", strings.Join(args, " "), err, text)
		}
	}
	return b, nil
}

// certsIf is the folder of certificates, or "" for a connection without TLS.
func (b *bench) certsIf(tls bool) string {
	if !tls {
		return ""
	}
	return b.certs
}

// pacing is how many messages a latency run has and the ns between two, as arguments of a role.
func (b *bench) pacing() (count, gap string) {
	return strconv.Itoa(b.sizes.messages), strconv.FormatInt(b.sizes.gapNanos, 10)
}

// ring is a ring of the configuration.
func (b *bench) ring(name string, capacity uint64, timestamps bool) string {
	return fmt.Sprintf("  - {name: %s, capacity: %dB, policy: block, timestamps: %t, allow: {produce: {users: [root]}, consume: {users: [root]}, gate: {users: [root]}}}\n", name, capacity, timestamps)
}
