// Package nexthop defines what a delivery is: a Job that names one message and some of its
// recipients, and a Target that carries it somewhere and reports what became of each of them.
//
// It promises that every attempt ends in exactly one outcome per recipient, in
// their order, whatever happened: a Target has no other way to answer. The
// packages below it are the targets, and know nothing of each other.
package nexthop

import (
	"context"
	"errors"
	"io"
	"time"

	"sallyport/internal/mail"
)

// ErrWithdrawn says that a message may not be delivered any more, although its job
// has begun: its account was frozen, say, while it waited for a connection. It is
// nobody's fault. What was not delivered by then is deferred.
var ErrWithdrawn = errors.New("nexthop: the message was withdrawn")

// Recipient is one recipient of a Job.
type Recipient struct {
	mail.Recipient
	Mailbox mail.Address // the account whose mailbox it ends in; zero when it leaves this server
	Detail  string       // what followed the detail separator, "" for none
}

// Job is one attempt to deliver one message to some of its recipients. It is a
// value that a Target reads and never changes.
type Job struct {
	ID         mail.ID
	Envelope   mail.Envelope // as accepted, but that From may be signed where it leaves; the recipients of this attempt stand in Recipients
	Recipients []Recipient
	Prefix     []byte // the header fields that we put before the body; already part of what Open reads
	Size       int64  // exact number of octets that Open reads
	Received   time.Time
	Junk       bool // a mailbox keeps it apart from other mail, where it can
	Attempt    int  // 1 for the first attempt; more means that an earlier one may have succeeded unnoticed
	// Open returns the whole message, Prefix first, and may be called again. The
	// reader ends in io.EOF only when the body is known to be undamaged, so that a
	// Target makes nothing final before it has seen io.EOF.
	//
	// A Target calls it when all else is ready, and before it tells a next hop
	// anything of the message: it fails with ErrWithdrawn when the message may not
	// leave any more.
	Open func() (io.ReadCloser, error)
}

// Target delivers jobs. Deliver returns exactly one outcome for each of
// j.Recipients, in their order, also when ctx ends early; it is safe for
// concurrent use. Delivery is at least once: a Target may be given the same
// recipient again after it reported a success.
type Target interface {
	Deliver(ctx context.Context, j Job) []mail.Outcome
}

// All returns the same reply, said by remote, for every recipient of the job.
func (j Job) All(r mail.Reply, remote string) []mail.Outcome {
	out := make([]mail.Outcome, len(j.Recipients))
	for i, to := range j.Recipients {
		out[i] = mail.Outcome{Recipient: to.Address, Reply: r, Remote: remote}
	}
	return out
}
