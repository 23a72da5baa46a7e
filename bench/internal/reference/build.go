package reference

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Build compiles the programs of the folder source into the folder build and
// returns the compiler's version line.
func Build(ctx context.Context, source, build string) (string, error) {
	if _, err := os.Stat(filepath.Join(source, "ring.h")); err != nil {
		return "", fmt.Errorf("find the C sources: %w: start this in the folder bench, or say -reference FOLDER", err)
	}
	build, err := filepath.Abs(build)
	if err != nil {
		return "", fmt.Errorf("build folder: %w", err)
	}
	out, err := exec.CommandContext(ctx, "make", "-s", "-C", source, "BUILD="+build).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile %s (it takes make and gcc): %w: %s", source, err, strings.TrimSpace(string(out)))
	}
	version, err := exec.CommandContext(ctx, "gcc", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("gcc --version: %w", err)
	}
	line, _, _ := strings.Cut(string(version), "\n")
	return line, nil
}
