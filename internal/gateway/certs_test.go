package gateway

import (
	"bytes"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"
)

// breakFiles spoils each of the files in turn, calls test, and mends it.
func breakFiles(t *testing.T, files TLS, test func()) {
	t.Helper()
	for _, path := range []string{files.Cert, files.Key, files.CA} {
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range [][]byte{nil, []byte("no PEM"), good[:len(good)/2]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			test()
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBadCertificates(t *testing.T) {
	ca := newAuthority(t, "lab")
	host := ca.issue(time.Hour, "host")
	write := func(path string, p []byte) {
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1, 2, 3}})
	for _, test := range []struct {
		name  string
		spoil func(files *TLS)
		words string
	}{
		{"no certificate", func(f *TLS) { f.Cert = f.Cert + ".none" }, "no such file"},
		{"no key", func(f *TLS) { f.Key = f.Key + ".none" }, "no such file"},
		{"no authority", func(f *TLS) { f.CA = f.CA + ".none" }, "no such file"},
		{"key of another", func(f *TLS) { f.Key = ca.issue(time.Hour, "x").files(t.TempDir(), ca).Key }, "private key does not match"},
		{"a host as authority", func(f *TLS) { write(f.CA, host.Cert) }, "which is no authority"},
		{"an empty authority", func(f *TLS) { write(f.CA, nil) }, "holds no certificate"},
		{"a broken authority", func(f *TLS) { write(f.CA, broken) }, "authority"},
		{"no name", func(f *TLS) { *f = host.named().files(t.TempDir(), ca) }, "subject alternative name"},
		{"too large", func(f *TLS) { write(f.CA, bytes.Repeat([]byte{'\n'}, certFileBytesMax+1)) }, "larger than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := host.files(t.TempDir(), ca)
			test.spoil(&files)
			if _, err := loadCerts(files); err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("loadCerts: %v", err)
			}
		})
	}
	files := host.files(t.TempDir(), ca)
	padding := bytes.Repeat([]byte{'\n'}, certFileBytesMax-len(ca.Cert))
	write(files.CA, append(ca.Cert, padding...))
	if _, err := loadCerts(files); err != nil {
		t.Errorf("a file of the largest size: %v", err)
	}
}
