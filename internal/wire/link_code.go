package wire

// LinkMode tells which way the bytes of a stream flow, and who may read them.
type LinkMode uint8

// The modes: a ring is copied into a mirror of the dialer's host, read by a
// program without a brokerd, or written by one.
const (
	LinkMirror LinkMode = 1 + iota
	LinkRead
	LinkProduce
)

// String gives the word that messages use.
func (m LinkMode) String() string {
	switch m {
	case LinkMirror:
		return "mirror"
	case LinkRead:
		return "read"
	case LinkProduce:
		return "produce"
	}
	return "unknown"
}

// Where a stream is to start (LinkOpenFrame.From).
const (
	LinkFromLatest   uint8 = iota // behind the newest record
	LinkFromOldest                // at the oldest record
	LinkFromPosition              // at Position of Epoch, or the next record
	LinkFromResume                // at the cursor that the label left
	LinkFromHeld                  // at Position of Epoch, up to where I hold everything; what is lost becomes a gap
)

// linkPolicyMax is the number of the last policy: 1 block, 2 demote, 3 skip,
// 4 latest, as in the ring's memory; 0 is the ring's default.
const linkPolicyMax = 4

// LinkCode tells why a connection closes or a stream ends.
type LinkCode uint16

// The codes. A peer of a later version may send others.
const (
	CodeGoodbye        LinkCode = iota // the sender is done
	CodeProtocol                       // the peer sent what no correct peer sends
	CodeVersion                        // no version in common
	CodeIdentity                       // nobody known by that name or certificate
	CodeBusy                           // too many connections or streams
	CodeSilent                         // nothing was heard for the dead-peer time
	CodeChecksum                       // a frame arrived damaged
	CodeRefused                        // the broker refuses: Name and Parameters of LinkEndFrame say why
	CodePosition                       // data for another epoch or position than was due
	CodeRemoved                        // the ring was removed, or made anew
	CodeDetached                       // an administrator ended it
	CodeCorrupt                        // the bytes are no records
	CodeMirrorOfMirror                 // the ring is a mirror itself
	CodeDenied                         // the identity has no right to it
	CodeInternal                       // something broke, it is in the log of the sender
)

var linkCodeNames = [...]string{"goodbye", "protocol", "version", "identity", "busy", "silent", "checksum", "refused",
	"position", "removed", "detached", "corrupt", "mirror_of_mirror", "denied", "internal"}

// String gives the word that logs, statistics and metrics use; "unknown" for a
// code of a later version.
func (c LinkCode) String() string {
	if int(c) >= len(linkCodeNames) {
		return "unknown"
	}
	return linkCodeNames[c]
}
