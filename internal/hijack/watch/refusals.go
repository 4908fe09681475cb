package watch

import (
	"context"
	"slices"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
)

// mistakesMost is how many recipients that were refused are remembered of one account, the latest: more than a list of
// people that is out of date has of them, so that a program which tries again and again says nothing new.
const mistakesMost = 300

// mistakes are the recipients of an account that were refused last. A program that sends the
// same message again, to the same misspelt addresses, is no list of words. In memory alone.
type mistakes struct {
	last []hijack.Fingerprint // at most mistakesMost
	next int                  // which of them gives way where there are as many
}

// first reports whether who is none of them, and takes it among them.
func (m *mistakes) first(who hijack.Fingerprint) bool {
	switch {
	case slices.Contains(m.last, who):
		return false
	case len(m.last) < mistakesMost:
		m.last = append(m.last, who)
	default:
		m.last[m.next] = who
		m.next = (m.next + 1) % mistakesMost
	}
	return true
}

// Mistaken reports whether that a recipient is refused now says something of the account. The same one
// again is a program that tries again; that a correspondent is gone whom the account had a day before tells of no list of
// words, and neither does it that an address of ours leads to nobody any more.
func (w *Watch) Mistaken(ctx context.Context, of, recipient mail.Address) bool {
	if w.Mode() == hijack.Off || of.IsZero() {
		return true
	}
	if w.isFormer(ctx, recipient) {
		return false
	}
	a, err := w.enter(ctx, of)
	if err != nil {
		return true
	}
	defer w.unpin(a)
	defer a.mu.Unlock()
	now := w.o.Now()
	b := w.bookAt(ctx, now)
	// A server behind us refuses whom it had a mailbox for, by whose name they were known.
	if b.settled(a.who, w.o.Key.Account(recipient.Key()), now) {
		return false
	}
	return w.mistaken(a, b, recipient, now)
}

// again returns the same mistakes for an account that has another address.
func (m *mistakes) again() mistakes { return mistakes{slices.Clone(m.last), m.next} }

// mistaken is Mistaken of a recipient elsewhere, to whom the account wrote at a moment; its lock is held.
func (w *Watch) mistaken(a *account, b *book, recipient mail.Address, at time.Time) bool {
	f := w.o.Key.Address(recipient)
	return !b.settled(a.who, f, at) && a.wrong.first(f)
}

// Refused tells that recipients of the account were refused, without a message that came
// to its end.
func (w *Watch) Refused(ctx context.Context, by Act, refused, of int) {
	if refused > 0 {
		w.event(ctx, by, hijack.Answered{At: w.o.Passed(), Refused: refused, Of: of, All: of})
	}
}

// Answer is what other servers said for good, in one attempt, of an account's message.
type Answer struct {
	Account mail.Address
	Message mail.ID
	Refused []mail.Address
	Taken   int // recipients
	All     int // recipients of the message
}

// refusedOf is how many of those whom other servers refused say something of the account. Where that cannot be found
// out, all of them do.
func (w *Watch) refusedOf(ctx context.Context, by Answer) (n int) {
	if len(by.Refused) == 0 {
		return 0
	}
	a, err := w.enter(ctx, by.Account)
	if err != nil {
		return len(by.Refused)
	}
	defer w.unpin(a)
	defer a.mu.Unlock()
	at := w.o.Now()
	if !by.Message.IsZero() {
		at = by.Message.Time() // whom it wrote to first with this message is no correspondent, however late the answer is
	}
	b := w.bookAt(ctx, w.o.Now())
	for _, r := range by.Refused {
		// Whoever wrote first is found on no list; but he chooses what his server answers.
		if _, wroteFirst := b.heardFrom(a.who, w.o.Key.Address(r)); !wroteFirst && w.mistaken(a, b, r, at) {
			n++
		}
	}
	return n
}

// Answered tells what other servers said of recipients. What was refused is written lazily at
// once. That somebody was taken is kept in memory until something else is written: a crash
// forgets it, and judges the account no less strictly for that.
func (w *Watch) Answered(ctx context.Context, by Answer) {
	if w.Mode() == hijack.Off || by.Account.IsZero() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	refused := w.refusedOf(ctx, by)
	now, of := w.o.Now(), refused+by.Taken
	e := hijack.Answered{At: w.o.Passed(), Refused: refused, Of: of, All: by.All}
	switch {
	case refused > 0:
		h := w.submittedWith(ctx, by.Account, by.Message)
		w.event(ctx, Act{Account: by.Account, Session: h.Session, Used: h.Used, Began: h.At, Handed: h.At}, e)
	case of > 0:
		a, err := w.enter(ctx, by.Account)
		if err != nil {
			return // what speaks for the account is lost
		}
		a.state, _ = hijack.Advance(a.state, e, w.priors(now), w.params(by.Account))
		a.mu.Unlock()
		w.unpin(a)
	}
}
