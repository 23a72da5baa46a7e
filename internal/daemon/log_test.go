package daemon

import (
	"errors"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"brokerd/internal/broker"
	"brokerd/internal/config"
)

func TestNewLoggerTakesEveryLevelAndFormat(t *testing.T) {
	for level, want := range map[string]zapcore.Level{
		config.LevelDebug: zap.DebugLevel, config.LevelInfo: zap.InfoLevel,
		config.LevelWarn: zap.WarnLevel, config.LevelError: zap.ErrorLevel,
	} {
		for _, format := range []string{config.FormatConsole, config.FormatJSON} {
			log, handle, err := NewLogger(config.Log{Level: level, Format: format})
			if err != nil {
				t.Fatalf("%s, %s: %v", level, format, err)
			}
			if log.Level() != want {
				t.Errorf("%s, %s: level %v", level, format, log.Level())
			}
			if handle.SetLevel(zap.FatalLevel); log.Level() != zap.FatalLevel {
				t.Errorf("%s, %s: level %v after a change to fatal", level, format, log.Level())
			}
		}
	}
	if _, _, err := NewLogger(config.Log{Level: "loud"}); err == nil {
		t.Error("an unknown level is taken")
	}
}

func TestLogEvent(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	logEvent(log, broker.Event{Kind: broker.EventQuarantined, Ring: "md", Detail: ".quarantine-md-1", Err: errors.New("bad magic")})
	logEvent(log, broker.Event{Kind: broker.EventAttached, Ring: "md", ID: "md/c0.1"})
	logEvent(log, broker.Event{Kind: broker.EventCreated, Ring: "md"})
	entries := logs.AllUntimed()
	if len(entries) != 3 {
		t.Fatalf("%d lines, want 3", len(entries))
	}
	for i, want := range []struct {
		level  zapcore.Level
		msg    string
		fields map[string]any
	}{
		{zap.WarnLevel, "quarantined", map[string]any{"ring": "md", "detail": ".quarantine-md-1", "error": "bad magic"}},
		{zap.DebugLevel, "attached", map[string]any{"ring": "md", "id": "md/c0.1"}},
		{zap.InfoLevel, "created", map[string]any{"ring": "md"}},
	} {
		e := entries[i]
		if e.Level != want.level || e.Message != want.msg || len(e.Context) != len(want.fields) {
			t.Errorf("line %d: %v %q with %d fields", i, e.Level, e.Message, len(e.Context))
		}
		for key, value := range want.fields {
			if got := e.ContextMap()[key]; got != value {
				t.Errorf("line %d: %s is %v, want %v", i, key, got, value)
			}
		}
	}
}
