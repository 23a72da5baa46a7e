package netns

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(harness.Main(m, &binaries)) }

// counter gives each network of this process a name of its own.
type counter struct{ n atomic.Int32 }

func (c *counter) take() string { return fmt.Sprintf("%c", 'a'+c.n.Add(1)) }

var suffixes counter
