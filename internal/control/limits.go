package control

import "time"

// Every bound of the control socket that is not a setting. The size of a call
// (wire.CallBytesMax) and of a reply (wire.ReplyBytesMax) belong to wire.
const (
	// halfCallMax is how long the rest of a call may take once its first byte
	// is there. A connection that says nothing at all may stay for ever.
	halfCallMax = 10 * time.Second
	// replyWriteMax is how long a client may take to make room for one reply.
	replyWriteMax = 5 * time.Second
	// drainMax is how long Serve waits for the replies of calls under way.
	drainMax = 5 * time.Second
	// evictIdleMin is how long a connection must have been silent before a new
	// one may take its place.
	evictIdleMin = time.Second
	// beatMax is the longest the accept loop goes without a beat.
	beatMax = 500 * time.Millisecond
	// admitMax is how long one new connection may occupy the accept loop before
	// the beat stops.
	admitMax = 2 * time.Second
	// acceptRetryMin is the pause after an accept that failed for want of
	// descriptors or memory.
	acceptRetryMin = 20 * time.Millisecond

	// statsIntervalMin, statsIntervalMax and statsIntervalDefault bound
	// interval_ms of a Stats call with more.
	statsIntervalMin     = 10 * time.Millisecond
	statsIntervalMax     = time.Hour
	statsIntervalDefault = time.Second

	// getentMax is how long one look-up of a name may take.
	getentMax = 2 * time.Second
	// nameAgeMax is how long an answer, "no such name" included, is believed.
	nameAgeMax = time.Minute
	// nameRetryMin is how long a look-up that got no answer is not tried again.
	nameRetryMin = 5 * time.Second
	// namesMax bounds the answers kept.
	namesMax = 4096

	// replyFrameBytes is more than a reply needs around its parameters.
	replyFrameBytes = 1 << 10
	// quietLinesMax bounds equal log lines that clients provoke in each
	// quietEvery.
	quietLinesMax = 10
	quietEvery    = time.Minute
	// groupsShownMax bounds the groups a refusal lists; each costs a look-up.
	groupsShownMax = 8
	// quoteBytesMax bounds what a message or a log line repeats of a client's
	// words.
	quoteBytesMax = 80
)

// patience is how long the server waits for a client. It is always what
// newPatience returns, but in tests of what happens when it ends.
type patience struct{ halfCall, replyWrite, drain time.Duration }

func newPatience() patience {
	return patience{halfCall: halfCallMax, replyWrite: replyWriteMax, drain: drainMax}
}
