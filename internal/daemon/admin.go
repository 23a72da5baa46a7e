package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/wire"
)

// Limits of the admin listener.
const (
	adminConnectionsMax = 64
	adminHeaderBytesMax = 8 << 10
	adminReadMax        = 5 * time.Second
	adminWriteMax       = 10 * time.Second
	adminIdleMax        = 30 * time.Second
	adminShutdownMax    = time.Second
)

// admin is the HTTP listener of /metrics, /readyz and /healthz.
type admin struct {
	server   *http.Server
	listener net.Listener
	open     atomic.Int64 // connections
}

// newAdmin binds the address and serves nothing yet. The caller runs serve,
// which closes the listener.
func newAdmin(listen string, handler http.Handler, log *zap.Logger) (*admin, error) {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("admin.listen %s: %w; free the address, or set admin.listen to another one or to \"\" for none", listen, err)
	}
	errorLog, err := zap.NewStdLogAt(log.Named("admin"), zapcore.DebugLevel)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	a := &admin{listener: listener}
	a.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: adminReadMax,
		ReadTimeout:       adminReadMax,
		WriteTimeout:      adminWriteMax,
		IdleTimeout:       adminIdleMax,
		MaxHeaderBytes:    adminHeaderBytesMax,
		ErrorLog:          errorLog,
		ConnState:         a.count,
	}
	address := listener.Addr().String()
	log.Info("admin HTTP listens", zap.String("address", address))
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("admin.listen is not a loopback address: everybody who reaches it can read the metrics, it has no password",
			zap.String("address", address))
	}
	return a, nil
}

// count closes a connection past adminConnectionsMax as soon as it is open.
func (a *admin) count(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if a.open.Add(1) > adminConnectionsMax {
			_ = c.Close() // the server notices at its first read
		}
	case http.StateClosed, http.StateHijacked:
		a.open.Add(-1)
	}
}

// serve answers until ctx is done, then lets answers under way finish for
// adminShutdownMax.
func (a *admin) serve(ctx context.Context) error {
	stopped := make(chan error, 1)
	keep := context.AfterFunc(ctx, func() {
		limit, cancel := context.WithTimeout(context.Background(), adminShutdownMax)
		defer cancel()
		err := a.server.Shutdown(limit)
		if err != nil {
			err = a.server.Close()
		}
		stopped <- err
	})
	err := a.server.Serve(a.listener)
	if !keep() {
		err = <-stopped
	}
	return err
}

// adminHandler routes the three paths. late names the loops that have missed
// their beat.
func adminHandler(p *phase, late func() []string, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		state, doing := p.get()
		answer(w, state == wire.DaemonReady, fmt.Sprintf("%s: %s", state, doing))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		missed := late()
		answer(w, len(missed) == 0, strings.Join(append(missed, ""), "\n"))
	})
	return mux
}

// answer says 200 and ok, or 503 and why not.
func answer(w http.ResponseWriter, good bool, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	code, text := http.StatusOK, "ok"
	if !good {
		code, text = http.StatusServiceUnavailable, strings.TrimSpace(why)
	}
	w.WriteHeader(code)
	fmt.Fprintln(w, text)
}
