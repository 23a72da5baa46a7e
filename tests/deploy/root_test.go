package deploy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// install runs `make install` into a new root and returns it. Further variables override PREFIX and the rest.
func install(t *testing.T, variables ...string) string {
	t.Helper()
	root := t.TempDir()
	makeIn(t, root, append([]string{"install"}, variables...)...)
	return root
}

func makeIn(t *testing.T, root string, args ...string) {
	t.Helper()
	output(t, "make", append([]string{"-s", "-C", moduleRoot(t), "DESTDIR=" + root, "PREFIX=" + prefix}, args...)...)
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// output runs a command that has to succeed and returns what it printed on stdout.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, stderr.Bytes())
	}
	return string(out)
}

// needs skips the test when a tool of the Debian package systemd is not there.
func needs(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("%s not found: install the Debian package systemd", tool)
	}
}

// addBase puts into the root what every system has and the unit refers to: systemd's own units and kill.
func addBase(t *testing.T, root string) {
	t.Helper()
	units := root + "/usr/lib/systemd/system"
	for _, dir := range []string{units, root + "/usr/bin"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	output(t, "cp", "-a", "--no-clobber", "/lib/systemd/system/.", units)
	output(t, "cp", "/bin/kill", root+"/usr/bin/kill")
	if err := os.Symlink("usr/bin", root+"/bin"); err != nil {
		t.Fatal(err)
	}
}

// verify returns everything that systemd-analyze says about the installed units.
func verify(t *testing.T, root string) string {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "verify", "--root="+root, "brokerd.service", "brokerd.socket").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s(%v)", out, err)
	}
	return string(out)
}

func security(root string) (string, error) {
	out, err := exec.Command("systemd-analyze", "security", "--root="+root, "--offline=true",
		fmt.Sprintf("--threshold=%d", exposureMax), "brokerd.service").CombinedOutput()
	return string(out), err
}

// spoil changes an installed unit.
func spoil(t *testing.T, path, from, to string) {
	t.Helper()
	unit := read(t, path)
	if !strings.Contains(unit, from) {
		t.Fatalf("%s has no %q to change", path, from)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(unit, from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
