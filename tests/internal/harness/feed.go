package harness

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"testing"
)

// FeedRecords is how many records the feed has.
const FeedRecords = 58_325

const (
	// feedVariable names another place of the recorded feed.
	feedVariable = "BROKERD_FEED"
	feedDefault  = "../../../shared/data/btcusdt-spot-20240809.jsonl.gz"

	feedBytesMax        = 28_572 // of the longest record
	feedSeed     uint64 = 20240809
)

// Feed is the recorded feed, a receive time and a message of the exchange a
// line, or where that recording is absent as many records of about the same
// sizes.
func Feed(t testing.TB) []byte {
	t.Helper()
	path := os.Getenv(feedVariable)
	if path == "" {
		path = feedDefault
	}
	data, err := recordedFeed(path)
	switch {
	case err == nil:
		t.Logf("feed: %s, %d bytes", path, len(data))
	case errors.Is(err, fs.ErrNotExist) && os.Getenv(feedVariable) == "":
		data = generatedFeed(feedSeed)
		t.Logf("feed: generated with seed %d, %d bytes (%s is absent)", feedSeed, len(data), path)
	default:
		t.Fatalf("feed %s: %v", path, err)
	}
	checkFeed(t, data)
	return data
}

func recordedFeed(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// generatedFeed has the sizes of the recording: more than half of its records
// have 166 bytes, one in a hundred has more than 2,715.
func generatedFeed(seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	var out bytes.Buffer
	for i := range FeedRecords {
		size := 166
		switch share := random.IntN(1000); {
		case i == FeedRecords/2:
			size = feedBytesMax
		case share < 10:
			size = 2715 + random.IntN(feedBytesMax-2715)
		case share < 450:
			size = 167 + random.IntN(600)
		}
		text := fmt.Sprintf(`{"n":%d,"x":"`, i)
		out.WriteString(text)
		for range size - len(text) - len(`"}`) {
			out.WriteByte('a' + byte(random.IntN(26)))
		}
		out.WriteString("\"}\n")
	}
	return out.Bytes()
}

// checkFeed makes sure that a test of the whole feed has the whole feed.
func checkFeed(t testing.TB, data []byte) {
	t.Helper()
	records, most := 0, 0
	for line := range bytes.Lines(data) {
		records++
		most = max(most, len(bytes.TrimSuffix(line, []byte("\n"))))
	}
	if records != FeedRecords || most != feedBytesMax || !bytes.HasSuffix(data, []byte("\n")) {
		t.Fatalf("the feed has %d records of up to %d bytes, want %d of up to %d", records, most, FeedRecords, feedBytesMax)
	}
}
