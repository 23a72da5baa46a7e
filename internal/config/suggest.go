package config

// suggestDistanceMax is how many letters a key may be off to be suggested, and
// suggestBytesMax how long a key may be to be compared at all.
const (
	suggestDistanceMax = 2
	suggestBytesMax    = 32
)

// suggest returns the known key that is closest to key, or "" when none is close.
func suggest(key string, known []string) string {
	if len(key) > suggestBytesMax {
		return ""
	}
	best, least := "", suggestDistanceMax+1
	for _, k := range known {
		// A distance of the whole key would suggest anything for "a".
		if d := distance(key, k); d < least && d < len(key) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the single-byte insertions, deletions and replacements that
// turn a into b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
