package gateway

import (
	"errors"
	"fmt"
)

// CheckFiles reads every certificate, key and authority that s names, as New and
// Apply will. The error has a line for each key of the configuration whose files
// cannot be used.
func CheckFiles(s Settings) error {
	var errs []error
	check := func(key string, t *TLS) {
		if t == nil {
			return
		}
		if _, err := loadCerts(*t); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	check("gateway.tls", s.TLS)
	for i, p := range s.Peers {
		check(fmt.Sprintf("gateway.peers[%d].tls (%s)", i, p.Name), p.TLS)
	}
	return errors.Join(errs...)
}
