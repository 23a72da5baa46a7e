package wire

// NameBytesMax is the length of the longest name of a ring, label or token.
const NameBytesMax = 64

// ValidName tells whether s can name a ring: 1 to NameBytesMax of
// [a-zA-Z0-9._-], the first a letter or a digit. A ring's name is also the name
// of its folder; a first dot would make it hidden, or "..".
func ValidName(s string) bool {
	return ValidLabel(s) && alphanumeric(s[0])
}

// ValidLabel tells whether s can be the name or the token of an attachment:
// 1 to NameBytesMax of [a-zA-Z0-9._-].
func ValidLabel(s string) bool {
	if len(s) == 0 || len(s) > NameBytesMax {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !alphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
