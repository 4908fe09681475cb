package signin

import (
	"context"
	"crypto/tls"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/mail"
)

// Accounts is what the desk needs of accounts.
type Accounts interface {
	// Lookup returns an account as it stands now.
	Lookup(a mail.Address) (accounts.Account, bool)
	// Begin starts a SASL exchange.
	Begin(mech string, p accounts.Peer) (*accounts.Exchange, error)
	// Unasked returns who signed in by the certificate of TLS alone; false: nobody.
	Unasked(ctx context.Context, p accounts.Peer) (accounts.Proof, bool)
	// Fallen says why what was proved at a sign-in gives no right any more; "": it does.
	Fallen(p accounts.Proof) string
}

// Journal is what the desk needs of the trace.
type Journal interface {
	Write(ctx context.Context, facts ...fact.Fact) error
	Stranger(f fact.Fact)
	// Many takes a fact of an account that makes too many to stand by themselves.
	Many(f fact.Fact)
}

// Watch is what the desk needs of who watches accounts for misuse.
type Watch interface {
	SignedIn(ctx context.Context, by watch.Act)
}

// Limits bounds what one account may have.
type Limits struct {
	// SessionsPerAccount bounds the live sessions of one account that are there to send.
	SessionsPerAccount int
	// ReadersPerAccount bounds those that read its mailbox. A mail program keeps several open,
	// on each device.
	ReadersPerAccount int
	// Facts bounds the sign-ins, refusals and ends of connections of one account that stand
	// in the trace by themselves within an hour; more are summed up as strangers' are.
	Facts int
	// ReadingFacts bounds those of sessions that read: mail programs look for mail every few
	// minutes, all day.
	ReadingFacts int
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{SessionsPerAccount: 32, ReadersPerAccount: 64, Facts: 20_000, ReadingFacts: 120}
}

// of returns how many sessions of a scope an account may have.
func (l Limits) of(s accounts.Scope) int {
	if s == accounts.ScopeReceive {
		return l.ReadersPerAccount
	}
	return l.SessionsPerAccount
}

// Options are what a Desk works with; all but Watch are required.
type Options struct {
	Accounts Accounts
	Journal  Journal
	Watch    Watch  // nil: nobody does
	Limits   Limits // to begin with; Adjust replaces them
	Now      func() time.Time
	Logger   *slog.Logger
}

// Desk is where people sign in. It is safe for use by many goroutines.
type Desk struct {
	o      Options
	limits atomic.Pointer[Limits]
	live   live
	noise  *noise // of those who send
	hum    *noise // of those who read
}

// New returns a Desk at which nobody has signed in.
func New(o Options) *Desk {
	d := &Desk{o: o, live: live{by: map[string]map[*Visit]session{}}, noise: newNoise(o.Limits.Facts), hum: newNoise(o.Limits.ReadingFacts)}
	d.limits.Store(&o.Limits)
	return d
}

// Adjust replaces the limits, from the next sign-in and fact on.
func (d *Desk) Adjust(l Limits) {
	d.limits.Store(&l)
	d.noise.adjust(l.Facts)
	d.hum.adjust(l.ReadingFacts)
}

// Bounds returns the limits in force.
func (d *Desk) Bounds() Limits { return *d.limits.Load() }

// EndFallen ends those of the account's live sessions whose sign-in gives no right any more,
// since a credential was revoked or the account changed, and returns how many there were.
// The others go on.
func (d *Desk) EndFallen(account mail.Address) int {
	set := d.live.those(account, func(p accounts.Proof) bool { return d.o.Accounts.Fallen(p) != "" })
	// Outside the lock: a session that ends removes itself.
	for _, v := range set {
		v.guest.End()
	}
	return len(set)
}

// Sessions returns every live session that signed in, with when it did, in no order.
func (d *Desk) Sessions() iter.Seq2[time.Time, fact.Session] {
	return func(yield func(time.Time, fact.Session) bool) {
		for _, s := range d.live.all() {
			if !yield(s.since, s.as) {
				return
			}
		}
	}
}

// Tell records a fact of somebody who signed in, and that accompanies no other change. It is
// evidence, kept by itself; of one account that makes more of them than Limits.Facts in
// an hour the rest is summed up as strangers' are, by network, door and rule.
func (d *Desk) Tell(ctx context.Context, account mail.Address, f fact.Fact) {
	if d.noise.fits(account, f.At) {
		d.Write(ctx, f)
		return
	}
	d.o.Journal.Many(f)
}

// TellReading is Tell of a session that reads, with Limits.ReadingFacts.
func (d *Desk) TellReading(ctx context.Context, account mail.Address, f fact.Fact) {
	if d.hum.fits(account, f.At) {
		d.Write(ctx, f)
		return
	}
	d.o.Journal.Many(f)
}

// Write records a fact that accompanies no other change. A journal that can't be
// written is reported; the store refuses new mail by itself in that state.
func (d *Desk) Write(ctx context.Context, f fact.Fact) {
	if err := d.o.Journal.Write(context.WithoutCancel(ctx), f); err != nil {
		d.o.Logger.Error("fact not recorded", "kind", string(f.Kind), "conn", f.Conn, "err", err)
	}
}

// TLSName names what a connection agreed on, for facts; "" in clear text.
func TLSName(cs *tls.ConnectionState) string {
	if cs == nil {
		return ""
	}
	return tls.VersionName(cs.Version) + " " + tls.CipherSuiteName(cs.CipherSuite)
}
