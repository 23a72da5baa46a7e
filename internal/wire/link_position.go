package wire

// LinkPositionParameters are the Parameters of a LinkEndFrame with CodePosition
// that answers an Open: the position that was asked for, and what the ring held
// then, in bytes. Inside: it is held, but no record starts there.
type LinkPositionParameters struct {
	Wanted uint64 `json:"wanted"`
	Oldest uint64 `json:"oldest"`
	Newest uint64 `json:"newest"`
	Inside bool   `json:"inside"`
}
