package daemon

import (
	"errors"
	"io/fs"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestLinesErrorPrefixesEachProblem(t *testing.T) {
	err := error(&linesError{"brokerd.yaml: ", errors.Join(errors.New("a"), fs.ErrExist)})
	if want := "brokerd.yaml: a\nbrokerd.yaml: file already exists"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(err, fs.ErrExist) {
		t.Error("the cause is lost")
	}
	core, logs := observer.New(zap.DebugLevel)
	LogLines(zap.New(core), err)
	entries := logs.AllUntimed()
	if len(entries) != 2 || entries[0].Message != "brokerd.yaml: a" || entries[1].Message != "brokerd.yaml: file already exists" ||
		entries[1].Level != zap.ErrorLevel {
		t.Errorf("logged as %+v", entries)
	}
}
