// Package deploy installs brokerd into an empty root with `make install` and has systemd's own tools judge what
// lies there. It owns that root and touches nothing outside it but bin/, which the installation builds.
package deploy

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	prefix     = "/usr"
	unitPath   = prefix + "/lib/systemd/system/brokerd.service"
	socketPath = prefix + "/lib/systemd/system/brokerd.socket"
	configPath = "/etc/brokerd/brokerd.yaml"
	// exposureMax is what `systemd-analyze security` may say, in tenths.
	exposureMax = 25
)

func TestInstallPutsEveryFileInItsPlace(t *testing.T) {
	root := install(t)
	for path, mode := range map[string]fs.FileMode{
		prefix + "/bin/brokerd":                 0o755,
		prefix + "/bin/brokerctl":               0o755,
		unitPath:                                0o644,
		socketPath:                              0o644,
		prefix + "/lib/sysusers.d/brokerd.conf": 0o644,
		prefix + "/lib/tmpfiles.d/brokerd.conf": 0o644,
		prefix + "/share/doc/brokerd/LICENSE":   0o644,

		prefix + "/share/man/man1/brokerctl.1":                     0o644,
		prefix + "/share/man/man1/brokerctl-attach.1":              0o644,
		prefix + "/share/bash-completion/completions/brokerctl":    0o644,
		prefix + "/share/zsh/site-functions/_brokerctl":            0o644,
		prefix + "/share/fish/vendor_completions.d/brokerctl.fish": 0o644,
		configPath: 0o644,
	} {
		info, err := os.Stat(root + path)
		if err != nil {
			t.Error(err)
		} else if info.Mode() != mode {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), mode)
		}
	}
	unit := read(t, root+unitPath)
	if !strings.Contains(unit, "\nExecStart="+prefix+"/bin/brokerd --config "+configPath+"\n") {
		t.Errorf("the unit does not start what was installed:\n%s", unit)
	}
	if left := regexp.MustCompile(`@\w+@`).FindString(unit + read(t, root+socketPath)); left != "" {
		t.Errorf("the units still contain %s", left)
	}
}

func TestInstallKeepsTheOperatorsConfigurationAndUninstallToo(t *testing.T) {
	root := install(t)
	const edited = "log:\n  level: debug\n"
	if err := os.WriteFile(root+configPath, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	makeIn(t, root, "install")
	if got := read(t, root+configPath); got != edited {
		t.Errorf("a second installation changed the configuration to:\n%s", got)
	}
	makeIn(t, root, "uninstall")
	if got := read(t, root+configPath); got != edited {
		t.Errorf("the removal changed the configuration to:\n%s", got)
	}
	var left []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && path != root+configPath {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		t.Errorf("the removal left %v (%v)", left, err)
	}
}

func TestInstalledConfigurationIsTakenAndFitsTheUnit(t *testing.T) {
	root := install(t)
	daemon := root + prefix + "/bin/brokerd"
	output(t, daemon, "--config", root+configPath, "--check")
	effective := output(t, daemon, "--config", root+configPath, "--print-config")
	for _, want := range []string{
		`(?m)^dir: "?/dev/shm/brokerd"?$`,
		`(?m)^ +socket: "?/run/brokerd/control.sock"?$`,
		`(?m)^admin:\n +listen: 127.0.0.1:9464$`,
		`(?m)^gateway:\n +name: ""\n +listen: ""$`,
	} {
		if !regexp.MustCompile(want).MatchString(effective) {
			t.Errorf("the effective configuration has no line like %s:\n%s", want, effective)
		}
	}
}

func TestInstalledBinariesCarryTheVersion(t *testing.T) {
	root := install(t, "VERSION=v1.2.3-deploy-test")
	t.Cleanup(func() { output(t, "make", "-s", "-C", moduleRoot(t), "build") }) // bin/ gets its own version back
	for _, args := range [][]string{{"brokerd", "--version"}, {"brokerctl", "version"}} {
		cmd := exec.Command(root+prefix+"/bin/"+args[0], args[1:]...)
		out, _ := cmd.Output() // brokerctl may also miss a daemon; what it says of itself is what counts here
		if !strings.Contains(string(out), "v1.2.3-deploy-test") {
			t.Errorf("%v says %q", cmd.Args, out)
		}
	}
}

func TestUnitsAreVerifiedWithoutAWord(t *testing.T) {
	needs(t, "systemd-analyze")
	root := install(t)
	addBase(t, root)
	if said := verify(t, root); said != "" {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
	// It exits with 0 on an unknown key, so its silence is the test; show that it does speak.
	spoil(t, root+unitPath, "[Service]\n", "[Service]\nNoSuchKey=1\n")
	spoil(t, root+socketPath, "[Socket]\n", "[Socket]\nNorThisOne=1\n")
	if said := verify(t, root); !strings.Contains(said, "NoSuchKey") || !strings.Contains(said, "NorThisOne") {
		t.Errorf("systemd-analyze verify did not mind wrong keys: %q", said)
	}
}

func TestUnitIsHardened(t *testing.T) {
	needs(t, "systemd-analyze")
	root := install(t)
	addBase(t, root)
	if out, err := security(root); err != nil {
		t.Errorf("exposure over %d: %v\n%s", exposureMax, err, out)
	}
	spoil(t, root+unitPath, "\nSystemCallFilter=", "\n#SystemCallFilter=")
	spoil(t, root+unitPath, "\nCapabilityBoundingSet=", "\n#CapabilityBoundingSet=")
	if out, err := security(root); err == nil {
		t.Errorf("a unit without its filters passes too:\n%s", out)
	}
}

// TestUnitKeepsWhatTheDaemonNeeds names settings that look like hardening, or like a detail, and would break it.
func TestUnitKeepsWhatTheDaemonNeeds(t *testing.T) {
	unit := read(t, install(t)+unitPath)
	for _, line := range []string{
		"Type=notify", "NotifyAccess=main", "WatchdogSec=10s", "Restart=always", "StartLimitIntervalSec=0",
		"User=brokerd", "RuntimeDirectory=brokerd", "RuntimeDirectoryPreserve=yes", "RemoveIPC=no", "UMask=0022",
		"PrivateTmp=no", "PrivateUsers=no", "PrivateIPC=no", "ProtectProc=default",
		"RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
		"ExecReload=" + prefix + "/bin/brokerd --config " + configPath + " --check\nExecReload=/bin/kill -HUP $MAINPID",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
	if bad := regexp.MustCompile(`(?m)^(SystemCallFilter=.*~.*|PrivateDevices=.*|PrivateNetwork=.*|ProcSubset=.*)$`).FindString(unit); bad != "" {
		t.Errorf("the unit has %s", bad)
	}
}

// TestSocketUnitFitsTheDaemon: the daemon refuses a socket that is not its control.socket, clients need the path to
// outlive it, and the socket is for whom control.mode and control.group would have it for.
func TestSocketUnitFitsTheDaemon(t *testing.T) {
	root := install(t)
	unit := read(t, root+socketPath)
	configured := regexp.MustCompile(`(?m)^ +socket: "?([^"\n]+)"?$`).FindStringSubmatch(read(t, root+configPath))
	if configured == nil {
		t.Fatalf("%s names no control.socket", configPath)
	}
	for _, line := range []string{
		"ListenStream=" + configured[1], "SocketUser=brokerd", "SocketGroup=brokerd", "SocketMode=0660", "RemoveOnStop=no",
		"TriggerLimitIntervalSec=0", "WantedBy=sockets.target",
	} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the socket unit lacks %s", line)
		}
	}
	// Names belong to units: brokerd.socket starts brokerd.service, and one stream socket is what it takes.
	if bad := regexp.MustCompile(`(?m)^(Service=.*|Accept=.*|Listen(Datagram|SequentialPacket)=.*)$`).FindString(unit); bad != "" {
		t.Errorf("the socket unit has %s", bad)
	}
	if n := strings.Count(unit, "\nListen"); n != 1 {
		t.Errorf("the socket unit has %d sockets", n)
	}
}

func TestUserAndFoldersAreMade(t *testing.T) {
	needs(t, "systemd-sysusers")
	needs(t, "systemd-tmpfiles")
	if os.Getuid() != 0 {
		t.Skip("giving folders to another user needs root")
	}
	root := install(t)
	output(t, "systemd-sysusers", "--root="+root)
	user := regexp.MustCompile(`(?m)^brokerd:x:(\d+):(\d+):.*:/usr/sbin/nologin$`).FindStringSubmatch(read(t, root+"/etc/passwd"))
	if user == nil {
		t.Fatalf("no user brokerd without a login in:\n%s", read(t, root+"/etc/passwd"))
	}
	if group := fmt.Sprintf("brokerd:x:%s:\n", user[2]); !strings.Contains(read(t, root+"/etc/group"), group) {
		t.Errorf("no group brokerd in:\n%s", read(t, root+"/etc/group"))
	}
	output(t, "systemd-tmpfiles", "--root="+root, "--create")
	for _, dir := range []string{"/run/brokerd", "/dev/shm/brokerd"} {
		got := strings.TrimSpace(output(t, "stat", "-c", "%F %a %u %g", root+dir))
		if want := "directory 755 " + user[1] + " " + user[2]; got != want {
			t.Errorf("%s is %q, want %q", dir, got, want)
		}
	}
}

// TestPrefixOfTheToolsOwn covers `make install` as one types it: systemd's tools read below /usr/local too.
func TestPrefixOfTheToolsOwn(t *testing.T) {
	needs(t, "systemd-sysusers")
	needs(t, "systemd-analyze")
	root := install(t, "PREFIX=/usr/local")
	addBase(t, root)
	if said := verify(t, root); said != "" {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
	output(t, "systemd-sysusers", "--root="+root)
	if passwd := read(t, root+"/etc/passwd"); !strings.Contains(passwd, "brokerd:x:") {
		t.Errorf("no user brokerd in:\n%s", passwd)
	}
}
