package watch

import (
	"context"
	"iter"
	"slices"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Sending is a message that an account sent before it came here.
type Sending struct {
	At   time.Time
	Ways []Way
}

// LearnNormal learns from what an account sent elsewhere what is normal at this site, and returns
// from how many messages; with nil facts nothing is written. Whom all accounts wrote to must be
// learnt before: each message is judged as it would have been when it was sent, and what would have
// had the account contained teaches nothing, nor does what follows within the day. Messages of the
// last day, and those not later than what was learnt of the account before, teach nothing either,
// so that a second run changes nothing. The account's own evidence and habits stay as they are.
func (w *Watch) LearnNormal(ctx context.Context, of mail.Address, all []Sending, facts func(messages int) [][]byte) (int, error) {
	now, who, p := w.o.Now(), w.o.Key.Account(of.Key()), w.params(of)
	mark, last := keyOf(prefixTaught, who), time.Time{}
	if v, err := w.o.Store.Get(ctx, mark); err == nil {
		last = decodeTime(v, now)
	}
	all = slices.SortedFunc(slices.Values(all), func(a, b Sending) int { return a.At.Compare(b.At) })
	l := lesson{book: newBook(ctx, w.o.Store, now, 0), who: who, params: p, priors: w.priors(now)}
	for _, s := range all {
		if s.At.After(last) && now.Sub(s.At) >= hijack.Settled {
			l.take(w, s)
		}
	}
	if facts == nil || l.messages == 0 {
		return l.messages, nil
	}
	n := &w.normal
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.site.With(l.site)
	_, err := w.o.Store.Apply(ctx, store.Tx{Facts: facts(l.messages), Mutations: []store.Mutation{
		{Key: []byte(keyNormal), Value: next.Append(nil)}, {Key: mark, Value: encodeTime(l.last)},
	}}, store.Durable)
	if err != nil {
		return 0, err
	}
	n.site, n.asked = next, time.Time{} // it counts at once
	return l.messages, nil
}

// lesson is one account's past, as it is learnt from.
type lesson struct {
	book     *book
	who      hijack.Fingerprint
	params   hijack.Params
	priors   hijack.Priors
	state    hijack.State
	site     hijack.Site
	skip     time.Time // until when it teaches nothing
	last     time.Time // message that was looked at
	messages int
}

func (l *lesson) take(w *Watch, s Sending) {
	l.last = s.At
	if s.At.Before(l.skip) || len(s.Ways) == 0 {
		return
	}
	var prints []hijack.Fingerprint
	for _, way := range s.Ways {
		prints = append(prints, w.printOf(way))
	}
	e := hijack.Submitted{At: s.At, Recipients: hijack.Classify(asOf{l.book, s.At}, l.who, prints, s.At, l.params)}
	e.Recipients.Elsewhere = elsewhere(s.Ways, prints)
	state, v := hijack.Advance(l.state, e, l.priors, l.params)
	if v.Contain {
		l.state, l.skip = state.Cleared(l.params), s.At.Add(pastSkip)
		return
	}
	l.state, l.site = state, l.site.Learn(e, v, l.params)
	l.messages++
}

// asOf is a book as it was at a moment: what it learnt of later is not in it yet.
type asOf struct {
	*book
	at time.Time
}

// Since implements hijack.Book.
func (b asOf) Since(one, other hijack.Fingerprint) (time.Time, bool) {
	since, known := b.book.wrote(one, other)
	return since, known && since.Before(b.at)
}

// Site implements hijack.Book.
func (b asOf) Site(who hijack.Fingerprint) (time.Time, bool) {
	since, known := b.book.Site(who)
	return since, known && since.Before(b.at)
}

// Known implements hijack.Book.
func (b asOf) Known(who hijack.Fingerprint) iter.Seq2[hijack.Fingerprint, time.Time] {
	return func(yield func(hijack.Fingerprint, time.Time) bool) {
		for other, since := range b.book.Known(who) {
			if since.Before(b.at) && !yield(other, since) {
				return
			}
		}
	}
}
