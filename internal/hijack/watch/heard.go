package watch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// heard is what is kept of a stranger who wrote to an account with a DMARC pass.
type heard struct {
	last, first time.Time
	domain      hijack.Fingerprint // of the stranger
}

const heardOctets = 24

func (h heard) encode() []byte {
	b := binary.BigEndian.AppendUint64(encodeTime(h.last), uint64(h.first.UnixNano()))
	return binary.BigEndian.AppendUint64(b, uint64(h.domain))
}

// decodeHeard reads what encode wrote. What does not read was never heard.
func decodeHeard(v []byte) (h heard, ok bool) {
	if len(v) != heardOctets {
		return h, false
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64(v[i:])) }
	return heard{time.Unix(0, at(0)), time.Unix(0, at(8)), hijack.Fingerprint(at(16))}, true
}

// refreshed is how old a record is that is written anew when the stranger writes again.
const refreshed = 24 * time.Hour

// tally counts the strangers whom one account has heard: all, and those first heard today.
// It is made out of the store, so that there is no counter that a crash could set back.
type tally struct {
	day     int64 // since 1970, UTC
	total   int
	domains []domainTally // of today
}

type domainTally struct {
	who hijack.Fingerprint
	n   int
}

func dayOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// add counts a stranger.
func (t *tally) add(domain hijack.Fingerprint) {
	t.total++
	for i := range t.domains {
		if t.domains[i].who == domain {
			t.domains[i].n++
			return
		}
	}
	t.domains = append(t.domains, domainTally{domain, 1})
}

// today is how many were first heard today, and how many of those are of a domain.
func (t *tally) today(domain hijack.Fingerprint) (all, of int) {
	for _, d := range t.domains {
		all += d.n
		if d.who == domain {
			of = d.n
		}
	}
	return all, of
}

// record is one stranger in the store.
type record struct {
	key []byte
	heard
}

// recordsOf returns the strangers whom an account has heard. What does not read is as old as
// can be.
func (w *Watch) recordsOf(ctx context.Context, who hijack.Fingerprint) (out []record, err error) {
	err = w.o.Store.Scan(ctx, store.Prefix(keyOf(prefixHeard, who)), func(k, v []byte) (bool, error) {
		h, _ := decodeHeard(v)
		out = append(out, record{slices.Clone(k), h})
		return true, nil
	})
	return out, err
}

// count makes the tally of an account whose lock is held.
func (w *Watch) count(ctx context.Context, a *account, now time.Time) error {
	if a.heard == nil {
		all, err := w.recordsOf(ctx, a.who)
		if err != nil {
			return err
		}
		a.heard = &tally{day: dayOf(now)}
		for _, r := range all {
			if dayOf(r.first) == a.heard.day {
				a.heard.add(r.domain)
			} else {
				a.heard.total++
			}
		}
	}
	if day := dayOf(now); a.heard.day != day {
		a.heard.day, a.heard.domains = day, nil
	}
	return nil
}

// Heard tells that a message comes in for accounts from somebody who proved to be its
// author by a DMARC pass. Its author is known to them then, within Limits, and to nobody
// else: an account that answers strangers is not judged for it. Judged.Also is to be written
// with the message.
func (w *Watch) Heard(ctx context.Context, from mail.Address, ways []Way) Judged {
	if w.Mode() == hijack.Off || from.IsZero() {
		return Judged{}
	}
	ctx = context.WithoutCancel(ctx)
	to := w.listeners(ways)
	if len(to) > w.o.Limits.HeardAtOnce {
		return Judged{}
	}
	var j Judged
	var entered []*account
	for _, of := range to {
		a, err := w.enter(ctx, of)
		if err != nil {
			w.o.Logger.Warn("who wrote to an account is not remembered", "account", of.String(), "err", err)
			continue
		}
		j.Also = append(j.Also, w.hear(ctx, a, from, w.o.Now())...)
		a.mu.Unlock()
		entered = append(entered, a)
	}
	j.done = func(bool) {
		for _, a := range entered {
			w.unpin(a)
		}
	}
	return j
}

// Acquainted reports whether an account has written to somebody, or heard from them with proof
// of who it was.
func (w *Watch) Acquainted(ctx context.Context, of, other mail.Address) bool {
	lessons := hijack.Heard(w.o.Key.Account(of.Key()), w.o.Key.Address(other), w.o.Now())
	for _, l := range lessons {
		for _, prefix := range []string{prefixPair, prefixHeard} {
			if _, err := w.o.Store.Get(ctx, keyOf(prefix, l.One, l.Other)); err == nil {
				return true
			}
		}
	}
	return false
}

// listeners are the accounts that a message comes in for, each once.
func (w *Watch) listeners(ways []Way) (out []mail.Address) {
	seen := map[string]bool{}
	for _, way := range ways {
		a := way.Mailbox
		if a.IsZero() {
			a = way.Recipient // of a server behind us, or of nobody here
		}
		if _, ok := w.o.Account(a); ok && !seen[a.Key()] {
			seen[a.Key()] = true
			out = append(out, a)
		}
	}
	return out
}

// hear is what is to be written when an account, whose lock is held, hears somebody.
func (w *Watch) hear(ctx context.Context, a *account, from mail.Address, now time.Time) []store.Mutation {
	l := w.o.Limits
	lessons := hijack.Heard(a.who, w.o.Key.Address(from), now)
	if len(lessons) == 0 {
		return nil
	}
	who := lessons[0].Other
	if a.spoke.holds(who, w.o.Age) {
		return nil
	}
	if _, err := w.o.Store.Get(ctx, keyOf(prefixPair, a.who, who)); err == nil {
		a.spoke.add(who, now)
		return nil // they correspond already
	} else if !errors.Is(err, store.ErrNotFound) {
		return nil // that is not known now
	}
	next := record{keyOf(prefixHeard, a.who, who), heard{now, now, w.o.Key.Text("domain", from.Domain().ASCII())}}
	v, err := w.o.Store.Get(ctx, next.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if old, ok := decodeHeard(v); ok && w.o.Age(old.last) <= l.HeardFor {
		if now.Sub(old.last) < refreshed {
			if w.o.Age(old.last)+latelyFor <= l.HeardFor {
				a.spoke.add(who, now)
			}
			return nil
		}
		next.first, next.domain = old.first, old.domain
		return []store.Mutation{{Key: next.key, Value: next.encode()}}
	}
	if err := w.count(ctx, a, now); err != nil {
		return nil
	}
	if all, of := a.heard.today(next.domain); all >= l.HeardDay || of >= l.HeardDomainDay {
		return nil
	}
	var out []store.Mutation
	if a.heard.total >= l.Heard {
		if out = w.makeRoom(ctx, a, next.key, now); len(out) == 0 {
			return nil
		}
	}
	a.heard.add(next.domain)
	return append(out, store.Mutation{Key: next.key, Value: next.encode()})
}

// roomFor is which part of an account's strangers is forgotten at once where there are as
// many as may be, so that they need not all be looked at for each new one.
const roomFor = 8

// makeRoom forgets strangers of an account: those who expired, and who was silent for longest,
// but not the one for whom there must be room.
func (w *Watch) makeRoom(ctx context.Context, a *account, but []byte, now time.Time) (out []store.Mutation) {
	all, err := w.recordsOf(ctx, a.who)
	if err != nil {
		return nil
	}
	slices.SortFunc(all, func(x, y record) int { return x.last.Compare(y.last) })
	for i, r := range all {
		if w.o.Age(r.last) <= w.o.Limits.HeardFor && i > w.o.Limits.Heard/roomFor {
			break
		}
		if !bytes.Equal(r.key, but) {
			out = append(out, store.Mutation{Key: r.key, Delete: true})
		}
	}
	a.heard.total = max(0, a.heard.total-len(out))
	a.spoke = lately{}
	return out
}

// How often strangers are looked for whose time is over, and how many are forgotten in one
// act.
const (
	fadeEvery = 24 * time.Hour
	fadeMost  = 1000
)

// fade forgets strangers who wrote to an account long ago and had no answer, and what
// accounts had in common.
func (w *Watch) fade(ctx context.Context) {
	now := w.o.Now()
	if since := now.Sub(w.faded); since >= 0 && since < fadeEvery {
		return
	}
	w.faded = now
	gone, err := w.fadeChanged(ctx, now)
	gone = append(gone, w.fadeShared()...)
	err = errors.Join(err, w.o.Store.Scan(ctx, store.Prefix([]byte(prefixHeard)), func(k, v []byte) (bool, error) {
		if h, ok := decodeHeard(v); ok && w.o.Age(h.last) <= w.o.Limits.HeardFor {
			return true, nil
		}
		gone = append(gone, store.Mutation{Key: slices.Clone(k), Delete: true})
		return len(gone) < fadeMost, nil // the others follow tomorrow
	}))
	if err == nil && len(gone) > 0 {
		_, err = w.o.Store.Apply(ctx, store.Tx{Mutations: gone}, store.Lazy)
	}
	if err != nil {
		w.o.Logger.Warn("what is over for long is not forgotten", "err", err)
	}
}
