// Package intake is the hub through which mail enters: it alone knows how a
// message is accepted.
//
// For each command it collects facts (who is connected, who signed in, whose
// address that is), lets gate and bind decide, and does what they decided. It
// promises that
//
//   - a 250 at end of data means one durable copy in the spool, and any other
//     reply means none;
//   - a recipient outside our domains is only ever accepted with a gate.Grant;
//   - a transaction sees one directory snapshot and one set of limits from MAIL to
//     end of data;
//   - every refusal and every acceptance leaves a fact that names its rule.
//
// It decides nothing itself and touches neither sockets nor disks.
package intake

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/budget"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/kit/workers"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/returnpath"
	"sallyport/internal/screen/greylist"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Accounts is what intake needs of accounts.
type Accounts interface {
	// Lookup returns an account as it stands now; it is asked at every MAIL, RCPT and end of data.
	Lookup(a mail.Address) (accounts.Account, bool)
	// Lapsed says why the certificate that the client shows, of a key that is enrolled, is none
	// to sign in with now; "": there is nothing to say.
	Lapsed(p accounts.Peer) string
	// Offered are the SASL mechanisms for one client; plus: they can be bound to its channel.
	Offered(p accounts.Peer, plus bool) []string
}

// Queue is what intake needs of the spool.
type Queue interface {
	NewBody(ctx context.Context) (*spool.Body, error)
	letter.Queue
}

// Journal is what intake needs of the trace.
type Journal interface {
	// Keep records facts that are synced when it returns.
	Keep(ctx context.Context, facts ...fact.Fact) error
	Stranger(f fact.Fact)
}

// Limits bounds what one message may cost before it is refused.
type Limits struct {
	// Header bounds the header section and the hops. RFC 5321 §6.3
	Header message.Limits
	// Deliveries bounds what the recipients of one message expand to.
	Deliveries int
	// OfferTime is how long servers behind us may take over one message while its
	// sender waits, who waits for ten minutes at least. RFC 5321 §4.5.3.2.6
	OfferTime time.Duration
	// AskTime is how long a recipient may wait for what the servers behind us say.
	AskTime time.Duration
	// InspectTime is how long all inspectors together may take over one message; then
	// it is deferred. RFC 5321 §4.5.3.2.6 lets a client wait ten minutes.
	InspectTime time.Duration
	// InspectedOctets bounds the header fields that inspectors add to one message.
	InspectedOctets int
	// Inspections is how many inspectors may be at work at once, those that did not
	// come back in time among them; beyond it messages are deferred.
	Inspections int
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Header: message.DefaultLimits(), Deliveries: 2000, OfferTime: 5 * time.Minute,
		AskTime: 20 * time.Second, InspectTime: time.Minute, InspectedOctets: 32 << 10, Inspections: 4096,
	}
}

// Watch is what intake needs of who watches accounts for misuse.
type Watch interface {
	// Submitted judges a message before it is answered; Judged.Done follows.
	Submitted(ctx context.Context, m watch.Submission) watch.Judged
	// Heard tells that a message comes in from somebody who proved to be its author.
	Heard(ctx context.Context, from mail.Address, ways []watch.Way) watch.Judged
	// Keep writes by itself what a message would have been made durable with.
	Keep(ctx context.Context, also []store.Mutation)
	BindingFailed(ctx context.Context, by watch.Act, claimed mail.Address)
	// Mistaken reports whether a recipient that is refused counts as one.
	Mistaken(ctx context.Context, of, recipient mail.Address) bool
	Refused(ctx context.Context, by watch.Act, refused, of int)
}

// Findings is what intake needs of who keeps the names that accounts use and do not own.
type Findings interface {
	// Used counts names, and returns what is to become durable with the message, or by Keep.
	Used(account mail.Address, taken bool, ours func(mail.Domain) bool, uses ...bind.Use) []store.Mutation
	Keep(ctx context.Context, all []store.Mutation)
}

// Options are everything that intake works with; all fields but Screen, Greylist, Acquainted,
// Watch, Networks, Memory, ReturnPaths, Binding, Findings, Offers, Recipients, Asks, International,
// Reserved and Inspectors are required.
type Options struct {
	Hostname  mail.Domain
	Directory func() *directory.Snapshot
	Accounts  Accounts
	Desk      *signin.Desk // where people sign in
	Queue     Queue
	Journal   Journal
	// Ledger counts the recipients of each account, and Allowance says how many it may
	// have, as things stand.
	Ledger    *ledger.Ledger
	Allowance func(accounts.Account) budget.Limits
	// Inflow bounds what networks bring and mailboxes take.
	Inflow *inflow.Budget
	// Screen judges strangers; nil: nobody does.
	Screen Screen
	// Greylist puts strangers off that nobody knows; nil: nobody is put off. Acquainted says
	// whom an account knows; nil: nobody.
	Greylist   *greylist.Greylist
	Acquainted func(ctx context.Context, account, sender mail.Address) bool
	// Watch watches accounts for misuse; nil: nobody does.
	Watch Watch
	// Networks knows the networks that sign in as accounts; nil: none does.
	Networks Networks
	// Binding says what becomes of senders and authors that are not the account's, as the
	// configuration has it now; nil: they are refused.
	Binding func() bind.Mode
	// Findings keeps those that were met while they are only reported; nil: nobody does.
	Findings Findings
	// LocalUser says whose account a user of this host sends as; nil: nobody's.
	LocalUser func(uid uint32) LocalUser
	// Offers gives messages to the servers behind us; nil: all are queued.
	Offers Offers
	// Recipients asks the servers behind us; nil: what only they know is not known.
	Recipients Recipients
	// Asks reports whether a server behind us is being asked about an address right now; nil: none ever is.
	Asks func(d directory.Domain, a mail.Address) bool
	// International knows which servers behind us take addresses beyond ASCII; nil: all.
	International International
	// Handoff receives each accepted message with its first claim; it must not
	// block.
	Handoff func(spool.Claim)
	// Memory bounds what is held of mail that is not judged yet; nil: DefaultMemory of
	// its own.
	Memory *allowance.Budget
	// Notice is the administrator's word to strangers, added to the refusals that
	// they get for want of a right; may be empty. Adjust replaces it.
	Notice string
	// ReturnPaths tells what the form of a recipient says, as that of a return path does;
	// bounce: the mail comes from outside, with the null path. Nil: nothing.
	ReturnPaths func(dir *directory.Snapshot, a mail.Address, bounce bool) returnpath.Reading
	// Reserved names the header fields that no stranger may bring along, since what
	// they say is for our own checks to say; nil: none.
	Reserved func() []string
	// Inspectors judge each complete message, in this order; none may be nil.
	Inspectors []Inspector
	Limits     Limits // to begin with; Adjust replaces them
	Now        func() time.Time
	Rand       io.Reader
	Logger     *slog.Logger
}

// linger is how long a goroutine of an inspection is kept for the next one.
const linger = 2 * time.Second

// Intake makes sessions; it implements server.Backend.
type Intake struct {
	Options
	set        atomic.Pointer[settings]
	inspecting chan struct{} // holds one token for each inspector at work
	inspectors *workers.Crew // on which they work
}

// New returns an Intake.
func New(o Options) *Intake {
	in := &Intake{Options: o, inspecting: make(chan struct{}, o.Limits.Inspections), inspectors: workers.New(linger)}
	if in.Memory == nil {
		in.Memory = allowance.New(DefaultMemory)
	}
	in.set.Store(&settings{o.Limits, o.Notice})
	return in
}

// settings are what Adjust replaces.
type settings struct {
	limits Limits
	notice string
}

// Adjust replaces limits and notice, from the next MAIL on. How many inspectors work at once
// stays as it was.
func (in *Intake) Adjust(l Limits, notice string) {
	in.set.Store(&settings{l, notice})
}

// Bounds returns the limits of the next transaction.
func (in *Intake) Bounds() Limits { return in.set.Load().limits }

func (in *Intake) notice() string { return in.set.Load().notice }

// Connect greets every client: who may do what is decided per transaction. At the
// sendmail door it is the user who is known, or turned away.
func (in *Intake) Connect(ctx context.Context, c *server.Conn) (server.Session, mail.Reply) {
	s := &session{in: in, conn: c}
	s.visit = in.Desk.Visit(s)
	if c.Kind == server.KindSendmail {
		return s.recognise(ctx)
	}
	if r := s.tooMany(ctx); !r.IsZero() {
		return nil, r
	}
	return s, mail.R(220, "", "")
}

// peer returns the client's address without an IPv4-in-IPv6 wrapping.
func peer(c *server.Conn) netip.Addr { return c.Remote.Addr().Unmap() }
