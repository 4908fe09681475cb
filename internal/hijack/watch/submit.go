package watch

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Way is one delivery of a message.
type Way struct {
	Recipient mail.Address
	Mailbox   mail.Address // of ours; zero: it leaves
}

// Directory knows where mail comes to: mailboxes of ours, or with leaves another host.
type Directory interface {
	Leads(account, a mail.Address) (mailboxes []mail.Address, leaves bool)
}

// WaysTo is where a message to an address would go, as when the account submits it.
func WaysTo(d Directory, account, a mail.Address) (out []Way) {
	mailboxes, leaves := d.Leads(account, a)
	if leaves {
		return []Way{{Recipient: a}}
	}
	for _, m := range mailboxes {
		out = append(out, Way{Recipient: a, Mailbox: m})
	}
	return out
}

func (w *Watch) printOf(way Way) hijack.Fingerprint {
	if !way.Mailbox.IsZero() {
		return w.o.Key.Account(way.Mailbox.Key())
	}
	return w.o.Key.Address(way.Recipient)
}

// Submission is a message that an account submits.
type Submission struct {
	Act
	ID      mail.ID
	Cause   Cause
	Ways    []Way
	Invalid int    // recipients that were refused in the same transaction
	Gist    string // what its text has in common with copies of it; "": nothing
}

// Judged is what follows for a message. Done must be called when it is known whether the
// message is durable.
type Judged struct {
	// Contained: the account is contained, and the message must not be taken. Fault: it
	// must not be taken now.
	Contained bool
	Fault     error
	// Paused is what the message bears that is paused: it must not be taken now.
	Paused incident.Shared
	// Also must be written in the act that makes the message durable.
	Also []store.Mutation
	// Waits: some of its recipients may not leave yet.
	Waits bool

	done func(taken bool)
}

// Done ends it.
func (j Judged) Done(taken bool) {
	if j.done != nil {
		j.done(taken)
	}
}

// Submitted judges a message before it is answered. An account that must be contained is
// when Submitted returns, and so is paused what must be.
func (w *Watch) Submitted(ctx context.Context, m Submission) Judged {
	if w.Mode() == hijack.Off || m.Account.IsZero() || len(m.Ways) == 0 {
		return Judged{}
	}
	ctx = context.WithoutCancel(ctx)
	a, err := w.enter(ctx, m.Account)
	if err != nil {
		return Judged{Fault: err}
	}
	now, p := w.o.Now(), w.params(m.Account)
	bears := w.bears(ctx, a, m, now)
	if of := w.paused(away(bears)); !of.IsZero() {
		// Nothing of it happens: it neither counts against the account nor is learnt from.
		a.mu.Unlock()
		w.unpin(a)
		return Judged{Paused: of}
	}
	b := w.bookAt(ctx, now)
	prints := make([]hijack.Fingerprint, len(m.Ways))
	for i, way := range m.Ways {
		prints[i] = w.printOf(way)
	}
	judged, others := a.again.part(b, a.who, prints, w.o.Passed())
	e := hijack.Submitted{At: w.o.Passed(), Recipients: hijack.Classify(b, a.who, judged, now, p)}
	e.Recipients.Again, e.Recipients.Invalid, e.Recipients.Elsewhere = others, m.Invalid, elsewhere(m.Ways, prints)
	s, v := hijack.Advance(a.state, e, w.priors(now), p)
	gave := w.took(a, e, s, v, m.Act, now)
	since := a.since
	state, place := a.mutation()
	a.mu.Unlock()
	end := func() { a.vacate(place); w.unpin(a) }
	also, stop := w.share(m, a.who, bears, e.Recipients, now)
	also = append(append(also, state), gave...)
	if refused, is := w.stopped(ctx, a, m, v, since, stop); is {
		defer end()
		if refused.Fault == nil {
			w.remember(ctx, also...)
		}
		return refused
	}
	w.learnt(e, v, p)
	if w.Mode() != hijack.Enforce {
		v.Leave = len(m.Ways) // nobody waits
	}
	wait, leaves := w.sort(b, a.who, m, prints, v, now, p)
	j := Judged{Also: append(also, b.learn(hijack.Wrote(a.who, leaves, now))...)}
	if wait != nil && w.Mode() == hijack.Enforce {
		j.Waits, wait.Bears = true, away(bears)
		value, err := json.Marshal(wait)
		if err != nil {
			end()
			return Judged{Fault: err}
		}
		j.Also = append(j.Also, store.Mutation{Key: waitKey(m.ID), Value: value})
		w.queue.put(m.ID, wait)
	}
	j.done = func(taken bool) {
		w.judgedFor(a, b, wait, prints, taken)
		end()
		if !taken && j.Waits {
			w.queue.drop(m.ID)
		}
	}
	return j
}

// elsewhere is how many of a message's recipients leave, each counted once.
func elsewhere(ways []Way, prints []hijack.Fingerprint) int {
	leave := map[hijack.Fingerprint]bool{}
	for i, way := range ways {
		if way.Mailbox.IsZero() {
			leave[prints[i]] = true
		}
	}
	return len(leave)
}

// stopped pauses and contains what must be, and says whether the message is refused for it.
func (w *Watch) stopped(ctx context.Context, a *account, m Submission, v hijack.Verdict, since time.Time,
	stop []incident.Incident) (Judged, bool) {
	if err := w.pause(ctx, stop, m.Act); err != nil {
		return Judged{Fault: err}, true
	}
	if v.Contain {
		switch err := w.contain(ctx, a, m.Act, v, since, m.Cause); {
		case errors.Is(err, errContained):
			return Judged{Contained: true}, true
		case err != nil:
			return Judged{Fault: err}, true
		}
	}
	if len(stop) > 0 && w.Mode() == hijack.Enforce {
		return Judged{Paused: stop[0].Shared}, true
	}
	return Judged{}, false
}

// Keep writes what a message would have been made durable with, for one that enters no
// queue.
func (w *Watch) Keep(ctx context.Context, also []store.Mutation) { w.remember(ctx, also...) }

// remember writes what is known of an account by itself.
func (w *Watch) remember(ctx context.Context, state ...store.Mutation) {
	if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: state}, store.Lazy); err != nil {
		w.o.Logger.Warn("what is known of an account is kept in memory alone", "err", err)
	}
}

// sort parts those who may leave from those who wait, and tells whom the account has
// written to then. Whom it may not write to yet it has not written to: a second message to
// the same one waits as well.
func (w *Watch) sort(b *book, who hijack.Fingerprint, m Submission, prints []hijack.Fingerprint,
	v hijack.Verdict, now time.Time, p hijack.Params) (*waiting, []hijack.Fingerprint) {
	out, passed := waiting{Version: waitVersion, Account: m.Account, At: now}, w.o.Passed()
	var leaves []hijack.Fingerprint
	left := v.Leave
	counted := map[hijack.Fingerprint]bool{}
	for i, way := range m.Ways {
		f := prints[i]
		if f == who {
			continue
		}
		since, known := b.Since(who, f)
		first, met := b.Site(f)
		settled := met && now.Sub(first) >= hijack.Settled
		switch {
		case known && p.Hold > 0 && !settled && now.Sub(since) < p.Hold:
			// The account wrote to it moments ago, and that one still waits.
			out.hold(way, passed.Add(p.Hold-now.Sub(since)))
		case known:
			// Whom it answers is its correspondent from now on, for longer than a stranger is.
			if _, wrote := b.wrote(who, f); !wrote && !counted[f] {
				counted[f] = true
				leaves = append(leaves, f)
			}
		case counted[f] || left > 0:
			if !counted[f] {
				left--
				counted[f] = true
				leaves = append(leaves, f)
			}
			if v.Hold > 0 && !settled {
				out.hold(way, passed.Add(v.Hold))
			}
		default:
			out.ask(way)
		}
	}
	if len(out.Held) == 0 && len(out.Asking) == 0 {
		return nil, leaves
	}
	return &out, leaves
}
