package client

import (
	"time"

	"brokerd/internal/shmring"
)

// Options configure a Client.
type Options struct {
	// Socket is the path of the daemon's control socket, "" for DefaultSocket.
	Socket string
	// WaitFor is how long Dial waits for a daemon that does not answer yet.
	// 0 makes it fail at once.
	WaitFor time.Duration
}

// ProducerOptions configure a Producer.
type ProducerOptions struct {
	// Name is a label that attachments are listed with: at most 64 of
	// [a-zA-Z0-9._-]. It identifies nothing.
	Name string
	// WaitStrategy is how to wait when a reader holds the producer; "" is auto.
	WaitStrategy WaitStrategy
	// OnFull is what to do then.
	OnFull OnFull
	// BlockTimeout bounds one such wait with OnFullBlock; ErrFull follows.
	// 0 waits until the context ends.
	BlockTimeout time.Duration
	// Tag is that of its records until SetTag: a number for readers to choose by.
	Tag uint16
}

// TagsMax is how many tags a Consumer can select.
const TagsMax = shmring.TagsMax

// ConsumerOptions configure a Consumer.
type ConsumerOptions struct {
	// Name is a label that attachments are listed with: at most 64 of
	// [a-zA-Z0-9._-]. On a ring with resume_for it is also the name of the cursor
	// that this reader leaves.
	Name string
	// Policy is "" for the ring's own. PolicyBlock needs the right to gate.
	Policy Policy
	// From is where to begin. The zero value is FromLatest.
	From Start
	// WaitStrategy is how to wait for records; "" is auto.
	WaitStrategy WaitStrategy
	// Tags, if any, are those of the records to deliver, at most TagsMax. Others
	// are stepped over and counted as ConsumerStats.Filtered.
	Tags []uint16
}
