package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPKI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	run := func(args ...string) outcome {
		return brokerctl(t.Context(), "", append([]string{"pki"}, args...)...)
	}
	if got := run("issue", "--dir", dir, "hostA"); got.code != exitFailed || !strings.Contains(got.stderr, "brokerctl pki init --dir "+dir) {
		t.Errorf("without an authority: %+v", got)
	}
	if got := run("init", "--dir", dir); got.code != exitDone || !strings.Contains(got.stdout, filepath.Join(dir, "ca-key.pem")) {
		t.Fatalf("init: %+v", got)
	}
	before, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	got := run("issue", "--dir", dir, "hostA", "--san", "localhost,127.0.0.1", "--days", "2", "-o", "json")
	var reply hostReply
	decodeStrict(t, got.stdout, &reply)
	pair, err := tls.LoadX509KeyPair(reply.Cert, reply.Key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(before)
	for _, name := range []string{"hostA", "localhost", "127.0.0.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := time.Until(pair.Leaf.NotAfter); left < 47*time.Hour || left > 48*time.Hour || pair.Leaf.NotAfter.Unix() != reply.NotAfterNS/1e9 {
		t.Errorf("valid for %v", left)
	}
	for _, again := range [][]string{{"init", "--dir", dir}, {"issue", "--dir", dir, "hostA"}} {
		if got := run(again...); got.code != exitFailed || !strings.Contains(got.stderr, "is there already, and nothing is overwritten") {
			t.Errorf("%v again: %+v", again, got)
		}
	}
	if now, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err != nil || string(now) != string(before) {
		t.Errorf("the authority is another one: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 4 {
		t.Errorf("files %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
}

// TestPKIHalf: a certificate that is in the way leaves no key behind.
func TestPKIHalf(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := brokerctl(t.Context(), "", "pki", "init", "--dir", dir); got.code != exitFailed {
		t.Errorf("got %+v", got)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("files %v", files)
	}
}

// TestPKIExpired: what a test needs can be made, too.
func TestPKIExpired(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"init"}, {"issue", "old", "--valid-from", "2020-01-31", "--days", "1"}} {
		if got := brokerctl(t.Context(), "", append(append([]string{"pki"}, args...), "--dir", dir)...); got.code != exitDone {
			t.Fatalf("got %+v", got)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "old.pem"), filepath.Join(dir, "old-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if got := pair.Leaf.NotBefore.Format(time.RFC3339) + " " + pair.Leaf.NotAfter.Format(time.RFC3339); got != "2020-01-31T00:00:00Z 2020-02-01T00:00:00Z" {
		t.Errorf("valid %s", got)
	}
}

func TestPKIUsage(t *testing.T) {
	for _, args := range [][]string{
		{"issue"}, {"issue", "a", "b"}, {"issue", "ca"}, {"issue", "a b"}, {"issue", "a", "--san", "x y"}, {"issue", "a", "--days", "0"},
		{"init", "--days", "36501"}, {"init", "--valid-from", "tomorrow"}, {"init", "--dir", ""}, {"init", "--name", ""}, {"make"},
	} {
		if got := brokerctl(t.Context(), "", append([]string{"pki"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: %+v", args, got)
		}
	}
}
