// Package pki makes the certificates of a lab: an authority of its own, and
// certificates by which hosts know each other's gateways and remote clients.
//
// # What it owns
//
// What such a certificate says. An authority (NewAuthority) may sign hosts and no
// further authority, for TLS only. A host's certificate (Issue) bears the host's
// names, and serves for both directions: a gateway accepts and dials. All keys are
// ECDSA P-256; everything is PEM. It touches no files and has no clock of its own.
//
// # Who calls it
//
// brokerctl pki, and tests that need certificates, valid and otherwise. The
// daemon and the client library read certificates with crypto/tls alone: those
// of any other authority do as well.
//
// # What it distrusts
//
// The authority that it is given: it has to be one, its key has to be its own, and
// it has to outlive what it signs. Names: what cannot stand in a certificate is
// refused.
package pki
