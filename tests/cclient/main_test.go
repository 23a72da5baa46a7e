package cclient

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	os.Exit(harness.Roles{roleProducer: produce}.Main(m, &binaries))
}

// compile builds the C client beside the other binaries, once.
var compile = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binaries.Self), "cclient")
	sources, err := filepath.Glob("src/*.c")
	if err != nil {
		return "", err
	}
	flags := []string{"-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", path}
	if out, err := exec.Command("gcc", append(flags, sources...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the C client: %w\n%s", err, out)
	}
	return path, nil
})

// stage is a daemon with rings, and the seed of the records in them.
type stage struct {
	*harness.Daemon
	t       testing.TB
	cclient string
	seed    uint64
	random  *rand.Rand
}

// newStage starts a daemon for a test that needs the C client.
func newStage(t testing.TB, rings string) stage {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skipf("needs gcc (make deps installs it from the Debian package gcc): %v", err)
	}
	path, err := compile()
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return stage{harness.NewPlace(t, binaries, rings).Start(), t, path, seed, rand.New(rand.NewPCG(seed, 0))}
}

// c prepares the C client for a ring.
func (s stage) c(ring string, args ...string) *exec.Cmd {
	common := []string{"--socket", s.Socket, "--ring", ring, "--size-max", strconv.Itoa(recordBytesMax), "--seed", strconv.FormatUint(s.seed, 10)}
	return exec.Command(s.cclient, append(common, args...)...)
}

// goProducer prepares this binary to publish count records; 0 is until its stdin
// ends.
func (s stage) goProducer(ring string, id, count uint64, more ...string) *exec.Cmd {
	return s.Role(roleProducer, append([]string{ring, strconv.FormatUint(s.seed, 10),
		strconv.FormatUint(id, 10), strconv.FormatUint(count, 10)}, more...)...)
}

// sayAttached is what every process prints once it holds the ring.
const sayAttached = "attached\n"

// attach starts a process and waits until it holds the ring.
func (s stage) attach(cmd *exec.Cmd) *harness.Process {
	s.t.Helper()
	p := harness.Launch(s.t, cmd)
	p.WaitSaid(sayAttached)
	return p
}
