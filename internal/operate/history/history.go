package history

import (
	"time"

	"sallyport/internal/mail"
)

// Sent is something that was sent.
type Sent struct {
	From mail.Address
	To   []mail.Address
	At   time.Time // zero: at some time, nobody knows when
	// Of names the message where several Sent are of one; "": this is all of it.
	Of string
}

// Limits bounds what is read.
type Limits struct {
	Line   int // octets of a line of a list or log; a longer one is left out
	Header int // octets of the header section of a message; a longer one is left out
	Open   int // messages of a log whose lines are put together at once
	Pairs  int // correspondents of all accounts that are held in memory
	Recent int // messages that tell what is normal: the latest
	// Begun is how long after the first message of a history novelty is told from its being the
	// beginning.
	Begun time.Duration
}

// DefaultLimits returns the bounds.
func DefaultLimits() Limits {
	return Limits{Line: 64 << 10, Header: 256 << 10, Open: 50_000, Pairs: 1_000_000, Recent: 2000, Begun: 14 * 24 * time.Hour}
}
