package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// explain says what an error of crypto/tls means to an operator. The result
// wraps errEnded, errSlow, errChatty, errBroken, errNotTLS or errHandshake.
func explain(err error, c *certs) error {
	for _, ours := range []error{errSlow, errChatty, errBroken} {
		if errors.Is(err, ours) {
			return err
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnded
	}
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) {
		return fmt.Errorf("%w: the peer answered with %q; it has to use TLS, or this side has to set tls: off", errNotTLS, notTLS.RecordHeader[:])
	}
	var alert *net.OpError
	if errors.As(err, &alert) && alert.Op == "remote error" {
		return &handshakeError{reasonByPeer, "the peer refuses: " + explainAlert(alert.Err.Error())}
	}
	return explainCertificate(err, c)
}

// handshakeError is a TLS handshake that failed. It is an errHandshake.
type handshakeError struct {
	reason string // a word of refusals.go
	text   string
}

func (e *handshakeError) Error() string { return errHandshake.Error() + ": " + e.text }
func (e *handshakeError) Unwrap() error { return errHandshake }

// explainAlert adds to the words of an alert what they mean here.
func explainAlert(alert string) string {
	alert = strings.TrimPrefix(alert, "tls: ")
	switch alert {
	case "unknown certificate authority":
		return alert + ": this host's certificate is not signed by the authority of the peer"
	case "certificate required":
		return alert + ": this host shows no certificate"
	case "expired certificate":
		return alert + ": this host's certificate has expired, or the clocks differ"
	case "bad certificate":
		return alert + ": the peer cannot verify this host's certificate; its log says why"
	case "protocol version not supported":
		return alert + ": TLS 1.3 is wanted"
	}
	return alert
}

func explainCertificate(err error, c *certs) *handshakeError {
	var unverified *tls.CertificateVerificationError
	shown := "the peer's certificate"
	if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
		leaf := unverified.UnverifiedCertificates[0]
		shown = fmt.Sprintf("the peer's certificate (for %s, issued by %s)", quoted(namesOf(leaf)), leaf.Issuer)
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return &handshakeError{reasonAuthority, fmt.Sprintf("%s is not signed by the authority in %s", shown, c.files.CA)}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		from, to, now := invalid.Cert.NotBefore.UTC(), invalid.Cert.NotAfter.UTC(), time.Now().UTC()
		return &handshakeError{reasonExpired, fmt.Sprintf("%s is valid from %s to %s, and here it is %s", shown,
			from.Format(time.RFC3339), to.Format(time.RFC3339), now.Format(time.RFC3339))}
	case errors.As(err, &name):
		return &handshakeError{reasonName, fmt.Sprintf("%s is not for %q", shown, name.Host)}
	case strings.Contains(err.Error(), "didn't provide a certificate"):
		return &handshakeError{reasonNoCertificate, "the peer shows no certificate; many programs show none where theirs is of another authority than this side asks for"}
	}
	return &handshakeError{reasonHandshake, strings.TrimPrefix(err.Error(), "tls: ")}
}

// quoted lists the first of names; they are the peer's words.
func quoted(names []string) string {
	const shownMax = 4
	if len(names) > shownMax {
		return fmt.Sprintf("%.80q and %d more", names[:shownMax], len(names)-shownMax)
	}
	return fmt.Sprintf("%.80q", names)
}
