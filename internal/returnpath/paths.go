package returnpath

import (
	"log/slog"
	"sync/atomic"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

// Keys authenticate the two forms. A zero key makes none of its form and accepts none.
type Keys struct {
	Signed  prvs.Key // of senders that are signed
	Forward srs.Key  // of the return paths and marks of forwards
}

// Options are what Paths work with, whatever the configuration says; all but Logger are
// required.
type Options struct {
	Keys Keys
	// Note keeps since when senders are signed.
	Note   Note
	Now    func() time.Time
	Logger *slog.Logger
}

// Paths makes and reads return paths by the Rules in force. Make it with New; until a
// State is adopted it signs nothing, and reads what was signed. Its methods may be called
// from many goroutines.
type Paths struct {
	o      Options
	rules  atomic.Pointer[Rules]
	owners owners
}

// New returns Paths with the zero Rules.
func New(o Options) *Paths {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	p := &Paths{o: o}
	p.rules.Store(&Rules{})
	return p
}

// Reader returns Paths that read by rules whose Since is known, and note nothing: for whoever asks
// what a server would make of a return path, beside it.
func Reader(k Keys, r Rules, now func() time.Time) *Paths {
	p := New(Options{Keys: k, Now: now})
	p.rules.Store(&r)
	return p
}

// Rules returns the rules in force.
func (p *Paths) Rules() Rules { return *p.rules.Load() }

// Learn adds accounts that a forward's return path may stand for. It forgets none:
// whether one still exists the directory tells.
func (p *Paths) Learn(accounts []mail.Address) { p.owners.learn(p.o.Keys.Forward, accounts) }

// Follow has the return paths of former addresses stand for the accounts that had them. Learn
// was called before.
func (p *Paths) Follow(renamed map[mail.Address]mail.Address) {
	p.owners.follow(p.o.Keys.Forward, renamed)
}

// Sign signs the sender of an account's message that leaves, by when that was received;
// false: it leaves as it is, since nothing is signed, its bounces are not ours, or it
// does not fit; then its bounces are taken.
func (p *Paths) Sign(dir *directory.Snapshot, from mail.Address, received time.Time) (mail.Address, bool) {
	r := p.rules.Load()
	if r.Mode == ModeOff || srs.Is(from) || !Ours(dir, from.Domain()) {
		return mail.Address{}, false
	}
	signed, err := p.o.Keys.Signed.Sign(from, prvs.End(received, p.o.Now(), r.Life))
	return signed, err == nil
}

// Forward returns the return path of mail that an account sends on, the same for all
// attempts of a message that was received at that time. Errors are those of srs.Key.Path.
func (p *Paths) Forward(account mail.Address, received time.Time) (mail.Address, error) {
	return p.o.Keys.Forward.Path(account, received)
}

// Mark writes the loop mark of a message that an account sends on now; "": none.
func (p *Paths) Mark(m srs.Mark, account mail.Address, messageID string) string {
	return p.o.Keys.Forward.Mark(m, account, messageID, p.o.Now())
}

// ReadMark returns what a loop mark says of this account and message, if it is ours and
// not too old.
func (p *Paths) ReadMark(text string, account mail.Address, messageID string) srs.Mark {
	return p.o.Keys.Forward.ReadMark(text, account, messageID, p.rules.Load().ForwardAge, p.o.Now())
}
