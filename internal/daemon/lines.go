package daemon

import (
	"strings"

	"go.uber.org/zap"
)

// linesError puts a prefix before each line of an error: one problem a line, and
// each says where it comes from.
type linesError struct {
	prefix string
	err    error
}

func (e *linesError) Error() string {
	var text strings.Builder
	for line := range strings.Lines(e.err.Error()) {
		text.WriteString(e.prefix)
		text.WriteString(line)
	}
	return text.String()
}

func (e *linesError) Unwrap() error { return e.err }

// LogLines writes an error down, one log line for each of its lines.
func LogLines(log *zap.Logger, err error) {
	for line := range strings.Lines(err.Error()) {
		log.Error(strings.TrimSuffix(line, "\n"))
	}
}
