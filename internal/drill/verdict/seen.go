package verdict

import (
	"strings"
	"time"

	"sallyport/internal/fact"
)

// Actor is who wrote a message of the rehearsal, as the message itself says. The zero Actor is
// nobody of the rehearsal: the server wrote it.
type Actor string

// The cast.
const (
	Stranger Actor = "stranger" // has no account here
	Owner    Actor = "owner"    // has an account, and uses it as its owner does
	Liar     Actor = "liar"     // has an account, and writes in the names of others
	Thief    Actor = "thief"    // has somebody else's password
	Smuggler Actor = "smuggler" // hid the message within another one
	Bouncer  Actor = "bouncer"  // returns what was never sent from here
	Bomber   Actor = "bomber"   // sends what is too large
)

// messageDomain is that of the Message-IDs of the rehearsal.
const messageDomain = "@message.drill.test"

// MessageID is the Message-ID of a message of the rehearsal, without its angle brackets.
func MessageID(id string) string { return id + messageDomain }

// IDOf is the identifier in a Message-ID; "": it is none of the rehearsal's.
func IDOf(messageID string) string {
	id, ours := strings.CutSuffix(strings.Trim(messageID, "<>"), messageDomain)
	if !ours {
		return ""
	}
	return id
}

// domainOf is the domain of an address as it was written: a quoted local-part may hold an @ of its own.
// RFC 5321 §4.1.2
func domainOf(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// Letter is one message where it arrived.
type Letter struct {
	ID      string // that of the rehearsal; "": the server wrote it
	Actor   Actor
	Account string   // whose account it was sent from, as the message itself says; "": nobody's
	From    string   // envelope sender; "" for notifications
	To      []string // of the envelope; for a mailbox, its address
	Authors []string // every address in From, Sender and their Resent forms
	Unread  bool     // an author field that no reader understands
	Queue   string   // identifier in the queue, as the Received field has it
	Size    int64
	Boxed   bool // in a mailbox, which may be another than that of the recipient
	Junk    bool // and kept apart there
}

// Waiting is one message in the queue.
type Waiting struct {
	ID    string // that of the rehearsal; "": the server wrote it
	Queue string
	Size  int64
	To    []string // who waits for it, or has it
	Held  bool
}

// Ack is a 250 to the end of a message.
type Ack struct {
	ID   string
	To   []string
	Size int64
}

// Contained is an account that was stopped.
type Contained struct {
	Account string
	At      time.Time
}

// Bounds are those of the configuration that figures are held against.
type Bounds struct {
	MessageOctets int64
	// Leak is how many recipients new to an account may be written to at once.
	Leak int
	// Contain is how long a hijack may last.
	Contain time.Duration
	// Disk is how much the data folder may grow beside what was accepted; Memory is how much
	// memory the process may take.
	Disk, Memory int64
	// Serve is how long honest mail may take, and Again until when what was put off must have been taken.
	Serve, Again time.Duration
}

// DefaultBounds are those that no key of the configuration has.
func DefaultBounds() Bounds {
	return Bounds{Contain: time.Minute, Disk: 192 << 20, Memory: 1 << 30, Serve: 10 * time.Second, Again: time.Hour}
}

// Siege is what honest people had of the server while it was beset.
type Siege struct {
	Hostile int           // connections or messages that beset it
	Slowest time.Duration // until honest mail was answered
	PutOff  time.Duration // until honest mail that was put off had come again and was taken, by the clock of the rehearsal
	Failed  int           // honest messages that were not taken
	Why     []string      // what they were answered
	Honest  int           // that were tried
	Memory  int64         // the most that the process had
}

// Wait is how long slow senders were served, by the clock of the rehearsal.
type Wait struct {
	Took, Most time.Duration
	Left       int // that were still served when no session might last any longer
}

// Verified is what recomputing the chain of the trace found.
type Verified struct {
	Records int64
	Faults  []string
}

// Asked is what the trace told of one message that was asked about.
type Asked struct {
	Queue   string
	Lacking string // what was not told; "": nothing
}

// Seen is what one scenario left behind.
type Seen struct {
	Scenario string
	Bounds   Bounds
	Ours     []string // domains
	Innocent string   // the domain whose people forged senders name
	Forwards []string // addresses that accounts forward to
	// Frozen is the account that forwards and may not send; "": none.
	Frozen string

	Acks      []Ack // what clients were told
	Left      []Letter
	Boxes     []Letter
	Queue     []Waiting
	Facts     []fact.Fact
	Contained []Contained
	Stolen    []string  // accounts whose password a thief has
	Verified  *Verified // nil: nobody looked
	Asked     []Asked
	Siege     *Siege // nil: nobody beset it
	Wait      *Wait  // nil: nobody was slow
	Grown     int64  // octets by which the data folder grew
	// What the scenario is about, beside what every scenario shows.
	Smuggled bool // messages within others were tried
	Bombed   bool // what is too large was
	Flooded  bool // bounces by the thousand were
}
