package daemon

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/broker"
	"brokerd/internal/config"
)

// NewLogger returns the logger that c asks for (lines for people, or one JSON
// object a line, on stderr) and the handle that changes its level.
func NewLogger(c config.Log) (*zap.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, zap.AtomicLevel{}, fmt.Errorf("log.level: %w", err)
	}
	z := zap.NewProductionConfig()
	z.Level = level
	z.Sampling = nil // what a client can cause is limited where it is logged
	z.DisableCaller = true
	z.DisableStacktrace = true
	z.EncoderConfig.TimeKey = "time"
	z.EncoderConfig.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if c.Format == config.FormatConsole {
		z.Encoding = "console"
		z.EncoderConfig.EncodeTime = zapcore.TimeEncoderOfLayout(time.StampMilli)
		z.EncoderConfig.EncodeLevel = zapcore.CapitalLevelEncoder
	}
	log, err := z.Build()
	if err != nil {
		return nil, zap.AtomicLevel{}, fmt.Errorf("log: %w", err)
	}
	return log, level, nil
}

// logEvent writes down what the broker did. Attaching and detaching are the
// control server's to log, which knows who asked.
func logEvent(log *zap.Logger, e broker.Event) {
	level := zapcore.InfoLevel
	switch e.Kind {
	case broker.EventAttached, broker.EventReattached, broker.EventDetached:
		level = zapcore.DebugLevel
	case broker.EventQuarantined, broker.EventRetired, broker.EventSucceeded, broker.EventLeftAlone,
		broker.EventRepaired, broker.EventDemoted, broker.EventFailed:
		level = zapcore.WarnLevel
	}
	if e.Kind == broker.EventRepaired && e.Detail == broker.NothingLeftOpen {
		level = zapcore.InfoLevel
	}
	entry := log.Check(level, string(e.Kind))
	if entry == nil {
		return
	}
	var fields []zap.Field
	for _, f := range []struct{ key, value string }{{"ring", e.Ring}, {"id", e.ID}, {"detail", e.Detail}} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	if e.Err != nil {
		fields = append(fields, zap.Error(e.Err))
	}
	entry.Write(fields...)
}
