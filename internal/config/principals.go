package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

const (
	// principalsMax bounds each list of users or groups.
	principalsMax = 256
	// principalBytesMax bounds one name of a user or group.
	principalBytesMax = 256
	// principalNumberMax is the largest uid or gid: the next one means "none" to
	// the kernel.
	principalNumberMax = 1<<32 - 2

	wantPrincipal = "a name, or a number from 0 to 4294967294 without leading zeros"
)

// Principals are users and groups. Each entry is a name or a decimal number;
// names are looked up by whoever enforces the rule, not here.
type Principals struct {
	Users  []string `yaml:"users,omitempty"`
	Groups []string `yaml:"groups,omitempty"`
}

// check judges p as the value of key. A nil p is the absence of the key.
func (p *Principals) check(key string) []*KeyError {
	if p == nil {
		return nil
	}
	if len(p.Users)+len(p.Groups) == 0 {
		return []*KeyError{{Key: key, Got: "nobody",
			Expected: "users or groups (leave the key out for the daemon's user and root only)"}}
	}
	return append(checkPrincipals(key+".users", p.Users), checkPrincipals(key+".groups", p.Groups)...)
}

func checkPrincipals(key string, list []string) []*KeyError {
	if len(list) > principalsMax {
		return []*KeyError{{Key: key, Got: fmt.Sprintf("%d entries", len(list)),
			Expected: fmt.Sprintf("at most %d entries", principalsMax)}}
	}
	var errs []*KeyError
	for i, s := range list {
		if !validPrincipal(s) {
			errs = append(errs, &KeyError{Key: index(key, i), Got: quote(s), Expected: wantPrincipal})
		}
	}
	return errs
}

// validPrincipal allows what directories use for names, spaces and backslashes
// included. It refuses a leading dash or plus, which a lookup command would
// take for an option and a reader for a number, and what /etc/group cannot hold.
func validPrincipal(s string) bool {
	if s == "" || len(s) > principalBytesMax || strings.ContainsAny(s[:1], "-+ ") {
		return false
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseUint(s, 10, 64)
		return err == nil && n <= principalNumberMax && (s == "0" || s[0] != '0')
	}
	return strings.IndexFunc(s, func(c rune) bool {
		return c == ':' || c == '/' || c == ',' || c == unicode.ReplacementChar || !unicode.IsPrint(c)
	}) < 0
}
