package spool

import (
	"errors"
	"log/slog"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/store"
)

var (
	// ErrNoGrant refuses a delivery to a foreign address that no Grant covers.
	ErrNoGrant = errors.New("spool: no grant covers the delivery")
	// ErrFull means that a limit of the queue is reached; try again later.
	ErrFull = errors.New("spool: the queue is full")
	// ErrTooLarge means that a message or its envelope is beyond a limit for good.
	ErrTooLarge = errors.New("spool: the message is too large")
	// ErrUnavailable means that the disk is full or fails; try again later.
	ErrUnavailable = store.ErrUnavailable
	// ErrLow is the ErrUnavailable of new mail while the disk has no more free space
	// than is to stay free.
	ErrLow = store.ErrLow
	// ErrStale means that a token's claim has ended: settled, expired and claimed
	// again, or its entry removed. Nothing was changed.
	ErrStale = errors.New("spool: the claim has ended")
	// ErrNotFound means that there is no such entry.
	ErrNotFound = errors.New("spool: no such entry")
	// ErrClaimed means that somebody else holds a live claim on the entry.
	ErrClaimed = errors.New("spool: the entry is claimed")
	// ErrHeld means that the entry or its account is held.
	ErrHeld = errors.New("spool: held")
	// ErrQueued means that an account has messages in the queue.
	ErrQueued = errors.New("spool: there are messages in the queue")
	// ErrDamaged means that a record or a body does not verify.
	ErrDamaged = errors.New("spool: damaged")
	// ErrInvalid means that a caller's message or outcomes make no sense.
	ErrInvalid = errors.New("spool: invalid")
)

// Options configures Open.
type Options struct {
	Key    gate.Key     // authenticates stored grants
	Policy sched.Policy // when to try again
	Limits Limits       // zero fields mean their default
	// Paused says that nobody delivers: Put records no attempt, and what it stores is due at once.
	Paused bool
	Now    func() time.Time
	// Passed is the time by which messages wait, grow old and are claimed, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	Logger *slog.Logger
	// Damage is told of what goes into quarantine; nil: the log is.
	Damage damage.Note
}

// Limits bounds the queue. DefaultLimits gives every field.
type Limits struct {
	InlineOctets      int           // a body up to this is stored beside its entry, larger ones in a file
	MessageOctets     int64         // largest body: what may come (limits.message_size), and as much as a Prefix
	PrefixOctets      int           // largest Prefix
	Recipients        int           // most deliveries of one message
	Entries           int           // most messages in the queue
	Octets            int64         // most octets in the queue, bodies and prefixes
	EntriesPerAccount int           // most messages of one account; strangers' are bounded by Entries alone
	Claims            int           // most live claims: one for each message that may be active, and for each connection that may bring one
	ClaimTime         time.Duration // how long the claim that Put returns lives
	Remembered        int           // how many ended claims Settle can repeat its answer for
	Batch             int           // most entries changed in one transaction of a mass operation
	Spawned           int           // most messages that one settlement puts into the queue
	VerifyEntries     int           // most entries that Open verifies before it returns
	VerifyTime        time.Duration // most time that Open spends on verifying
}

// DefaultLimits returns the limits of a server of ordinary size.
func DefaultLimits() Limits {
	return Limits{
		InlineOctets:      128 << 10,
		MessageOctets:     50<<20 + 64<<10,
		PrefixOctets:      64 << 10,
		Recipients:        2000,
		Entries:           2_000_000,
		Octets:            64 << 30,
		EntriesPerAccount: 50_000,
		Claims:            10_000 + 4096,
		ClaimTime:         time.Hour,
		Remembered:        4096,
		Batch:             500,
		Spawned:           32,
		VerifyEntries:     20_000,
		VerifyTime:        2 * time.Second,
	}
}

// Kind says where a delivery goes. The zero value refuses.
type Kind uint8

const (
	KindUnknown  Kind = iota
	KindLocal         // into a mailbox of ours
	KindOutbound      // to another host; needs a Grant
)

// Delivery is one recipient and the way to it. One recipient of the envelope may
// have several, when an alias names several mailboxes.
type Delivery struct {
	Recipient mail.Recipient
	Kind      Kind
	Mailbox   mail.Address // the account that receives, for KindLocal
	Detail    string       // what stood behind the "+", for KindLocal
}

// Message is what Put stores beside the body.
type Message struct {
	ID         mail.ID
	Envelope   mail.Envelope
	Account    mail.Address // who answers for it, as the Grant says too; zero for a stranger
	MessageID  string
	Deliveries []Delivery
	Grant      gate.Grant // zero if nothing is outbound
	Prefix     []byte     // header fields of ours, delivered before the body
	Hold       string     // why it is held from the start; "" to deliver it
	Junk       bool       // mailboxes of ours keep it apart from other mail
	Forward    Forward
	// Also is changed in the act that makes the message durable: what must be known of
	// it if and only if it exists. Only Put does it. The keys are the caller's own.
	Also []store.Mutation
}

// State is what became of a delivery so far. The zero value is none.
type State uint8

const (
	StateUnknown State = iota
	StatePending
	StateDelivered
	StateFailed
	// StateUntold is failed, and nobody may be told of it: it is not tried again by
	// itself, and keeps its entry in the queue until a person decides. Release tries it
	// again.
	StateUntold
)

// RecipientState is a delivery and what became of it.
type RecipientState struct {
	Delivery
	State  State
	Last   mail.Reply // of the last attempt
	LastAt time.Time
	Remote string // who gave the last reply
}

// Entry is a message in the queue. Slices are shared: nobody changes them.
type Entry struct {
	ID         mail.ID
	Envelope   mail.Envelope
	Account    mail.Address // where the record names none, that of a Grant that verifies
	MessageID  string
	Prefix     []byte
	Received   time.Time // by the clock
	Since      time.Time // the same moment, by Options.Passed
	Size       int64     // octets of the body, without the Prefix
	SHA256     [32]byte
	Attempts   int
	NextTry    time.Time // by Options.Passed; Shown says what the clock will show then
	Held       string    // why it is held; "" when it is not held by itself
	HeldAt     time.Time
	Junk       bool // mailboxes of ours keep it apart from other mail
	Forward    Forward
	Warned     bool // the sender was told of the delay
	Recipients []RecipientState

	grant   []byte // sealed
	file    string // the blob that holds the body; "" when it stands beside the entry
	place   place  // the index in which the entry stands
	leased  bool   // an attempt was recorded and not settled
	settled uint64 // fence of the last settlement, to recognise it when repeated
}

// Pending returns the deliveries still to be made, in order.
func (e Entry) Pending() []RecipientState {
	var out []RecipientState
	for _, r := range e.Recipients {
		if r.State == StatePending {
			out = append(out, r)
		}
	}
	return out
}

// Untold returns the deliveries that failed without anybody being told, in order.
func (e Entry) Untold() []RecipientState {
	var out []RecipientState
	for _, r := range e.Recipients {
		if r.State == StateUntold {
			out = append(out, r)
		}
	}
	return out
}

// Parked reports whether the entry waits because its account is held.
func (e Entry) Parked() bool { return e.place == placeParked }

// Token names one claim. A later claim of the same entry has a higher fence. The
// zero Token is stale everywhere.
type Token struct {
	ID    mail.ID
	Fence uint64
}

// Claim is the exclusive right to attempt the pending deliveries of an entry
// until it is settled, postponed or expires.
type Claim struct {
	Token   Token
	Entry   Entry
	Grant   gate.Grant // verified; zero if nothing of the message may leave
	Body    []byte     // the body if it is small, else nil: use OpenBody
	Expires time.Time
}

// Account returns who answers for the message, and whose standing counts: the account
// of its Grant, which is sealed; of what may not leave, who submitted it. It is zero for
// a stranger's and for a notification.
func (c Claim) Account() mail.Address {
	if !c.Grant.IsZero() {
		return c.Grant.Answers()
	}
	return c.Entry.Account
}

// DueEntry is an entry whose next try has come.
type DueEntry struct {
	ID      mail.ID
	NextTry time.Time // by Options.Passed
}

// Final is what Settle commits in one act with the outcomes.
type Final struct {
	Facts  [][]byte
	Spawn  []Spawned // at most Limits.Spawned
	Warned bool      // the sender is told of the delay now, and need not be again
	Kept   bool      // the mailbox gets a copy now of what was sent on without one
	Next   time.Time // when what is left is tried again, by Options.Passed; zero: when Claim recorded
	Untold bool      // of what fails now nobody may be told
	Hold   string    // why the entry is held from now on; "" if it is not
}

// Settled says what an attempt came to.
type Settled struct {
	ID        mail.ID
	Delivered int
	Failed    int // also those of whom nobody is told
	Deferred  int
	Done      bool      // there is nothing left to do or to decide; the entry is gone
	NextTry   time.Time // of what was deferred, by Options.Passed; zero when Done
}

// Stats are the queue's counts.
type Stats struct {
	Entries int
	Held    int   // of Entries: held themselves, or with their account
	Octets  int64 // bodies and prefixes
	Claims  int
}

// Report says what Open or Verify found.
type Report struct {
	Entries  int
	Held     int
	Octets   int64
	Verified int // entries whose record, and whose body's presence and length, were checked
	Hashed   int // of Verified: whose body's SHA-256 was checked too
	Resumed  int // entries whose attempt was interrupted, and which are due now
	Orphans  int // bodies without an entry, removed
	Damaged  int // entries quarantined meanwhile
	Repaired int // index records rebuilt from their entry, or removed with it
	Complete bool
	Took     time.Duration
}

// Filter chooses entries; empty fields choose all.
type Filter struct {
	IDs       []mail.ID
	Account   mail.Address
	Sender    mail.Address
	Null      bool // only the null reverse-path
	Recipient mail.Address
	Domain    mail.Domain // of a recipient
	Held      *bool       // by itself or with its account
	OlderThan time.Time   // received before
	Limit     int
}
