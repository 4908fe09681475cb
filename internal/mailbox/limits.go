package mailbox

import (
	"errors"
	"time"
)

// Limits bounds what a mailbox holds and what is held of it in memory.
type Limits struct {
	// Message is how many octets a message may have, with CRLF, that a reader appends.
	Message int64
	// Folders is how many folders one account may make.
	Folders int
	// Depth is how many levels the name of a folder may have.
	Depth int
	// Keywords is how many keywords one message may bear.
	Keywords int
	// Words is how many different keywords one folder may have.
	Words int
	// Vanished is how many UIDs a folder remembers of messages that are gone. Whoever was away for
	// longer is told that all of them may be gone, and is told right.
	Vanished int
	// Subscriptions is how many names one account may subscribe to.
	Subscriptions int
	// Messages is how many messages the folders of one account may have together that somebody has
	// open: about 300 octets of memory each. Beyond it no further folder is opened, and nothing is
	// added to one by its readers.
	Messages int
	// AtWork is for how many of one account's readers messages are read at the same time, to be
	// searched or told: a command can ask for much. The others wait for their turn, message by
	// message.
	AtWork int
	// Reserve is how many UIDs are promised ahead, so that none is given twice after a crash.
	Reserve UID
	// Journal is how many octets the journal of a folder has at least before the index is
	// written anew. It may have as many as the index.
	Journal int64
	// Look is how often a folder that somebody waits for is looked at for what other programs
	// did.
	Look time.Duration
	// Full is how often a folder is read in full although its times say that nothing changed.
	Full time.Duration
	// Resting is of how many messages, of all accounts together, what is known stays in memory when
	// nobody has their folder open any more: about 300 octets each. 0: of none.
	Resting int
	// Rest is how long it does.
	Rest time.Duration
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Message: 50 << 20, Folders: 2000, Depth: 20, Keywords: 100, Words: 1000, Vanished: 100_000,
		Subscriptions: 5000, Messages: 2_000_000, AtWork: 2,
		Reserve: 1000, Journal: 64 << 10, Look: time.Second, Full: 10 * time.Minute,
		Resting: 250_000, Rest: 10 * time.Minute,
	}
}

func (l Limits) validate() error {
	if l.Message < 1 || l.Folders < 1 || l.Depth < 1 || l.Keywords < 1 || l.Words < 1 || l.Vanished < 1 ||
		l.Subscriptions < 1 || l.Messages < 1 || l.AtWork < 1 || l.Reserve < 1 || l.Journal < 1 ||
		l.Look <= 0 || l.Full <= 0 || l.Rest <= 0 {
		return errors.New("mailbox: every limit but Resting must be positive")
	}
	return nil
}
