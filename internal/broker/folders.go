package broker

import (
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"brokerd/internal/wire"
)

// Folders beside the rings, .new-NAME-7, .rm-NAME-7 and .quarantine-NAME-TIME. A
// ring's name starts with a letter or digit, so none can be taken for one.
const (
	newPrefix        = ".new-"
	removePrefix     = ".rm-"
	quarantinePrefix = ".quarantine-"
	quarantineTime   = "20060102T150405.000000" // UTC
)

var folderName = regexp.MustCompile(`^(\.new-|\.rm-)(.+)-\d+$|^(\.quarantine-)(.+)-\d{8}T\d{6}\.\d{6}$`)

// buildingFolder names the folder in which a ring is built. Its epoch would not do:
// a mirror may come back with the one that it had.
func buildingFolder(info wire.Ring) string {
	return fmt.Sprintf("%s%s-%d", newPrefix, info.Name, info.CreatedNS)
}

// graveFolder names the folder of a ring that is being deleted; no two rings of a
// name have the same number.
func graveFolder(ring string, number int64) string {
	return fmt.Sprintf("%s%s-%d", removePrefix, ring, number)
}

func quarantineFolder(ring string, at time.Time) string {
	return quarantinePrefix + ring + "-" + at.UTC().Format(quarantineTime)
}

// ownFolder tells the ring for which a folder was made by one of the functions above,
// and the prefix of its name; what else somebody has put beside the rings is not ours.
func ownFolder(e fs.DirEntry) (prefix, ring string, ok bool) {
	m := folderName.FindStringSubmatch(e.Name())
	if m == nil || !e.IsDir() {
		return "", "", false
	}
	prefix, ring = m[1]+m[3], m[2]+m[4]
	return prefix, ring, wire.ValidName(ring)
}
