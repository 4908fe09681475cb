package letter

import (
	"io"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Out is a message on its way to one destination: from the queue, or to a server behind us
// while its sender waits.
type Out struct {
	ID       mail.ID
	Envelope mail.Envelope
	Grant    gate.Grant // zero where nothing may leave
	To       []nexthop.Recipient
	// Sender is the one that a next hop beyond us is told; it stands for the envelope's.
	Sender   mail.ReversePath
	Prefix   []byte
	Size     int64 // of what Open gives
	Received time.Time
	Attempt  int
	Junk     bool
	// May is asked when the connection stands: it may have taken its time.
	May func() bool
	// Open opens the whole message.
	Open func() (io.ReadCloser, error)
}

// Job is the work for the destination. What may not leave any more, and whatever is for a
// recipient beyond us whom the Grant does not cover, is withdrawn before its first octet.
func (o Out) Job() nexthop.Job {
	j := nexthop.Job{
		ID: o.ID, Envelope: o.Envelope, Recipients: o.To, Prefix: o.Prefix, Size: o.Size,
		Received: o.Received, Attempt: o.Attempt, Junk: o.Junk,
	}
	covered := true
	for _, to := range o.To {
		if to.Mailbox.IsZero() {
			covered = covered && o.Grant.Covers(o.ID, o.Envelope.From, to.Address)
			j.Envelope.From = o.Sender
		}
	}
	j.Open = func() (io.ReadCloser, error) {
		if !covered || !o.May() {
			return nil, nexthop.ErrWithdrawn
		}
		return o.Open()
	}
	return j
}
