package watch

import (
	"context"
	"iter"
	"maps"
	"slices"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/store"
)

// pastBook is a book with what was learnt since it was last written.
type pastBook struct {
	*book
	pending map[string]store.Mutation                           // by key
	known   map[hijack.Fingerprint]map[hijack.Fingerprint]int64 // pairs among them
}

func newPastBook(ctx context.Context, st store.Store, now time.Time) *pastBook {
	b := &pastBook{book: newBook(ctx, st, now, 0)}
	b.flush()
	return b
}

// Known yields everybody that who knows.
func (b *pastBook) Known(who hijack.Fingerprint) iter.Seq2[hijack.Fingerprint, time.Time] {
	return func(yield func(hijack.Fingerprint, time.Time) bool) {
		for other, since := range b.book.Known(who) {
			if _, later := b.known[who][other]; !later && !yield(other, since) {
				return
			}
		}
		for _, other := range slices.Sorted(maps.Keys(b.known[who])) {
			if !yield(other, time.Unix(0, b.known[who][other])) {
				return
			}
		}
	}
}

// teach takes lessons in, and returns how many correspondents are new by them.
func (b *pastBook) teach(all []hijack.Lesson) (taught int) {
	for _, l := range all {
		if _, known := b.wrote(l.One, l.Other); !known && l.Site {
			taught++
		}
		for _, m := range b.learn([]hijack.Lesson{l}) {
			b.pending[string(m.Key)] = m
		}
		if since, known := b.wrote(l.One, l.Other); !known || l.Since.Before(since) {
			b.asked[[2]hijack.Fingerprint{l.One, l.Other}] = answer{l.Since, true}
			if b.known[l.One] == nil {
				b.known[l.One] = map[hijack.Fingerprint]int64{}
			}
			b.known[l.One][l.Other] = l.Since.UnixNano()
		}
		if since, known := b.Site(l.Other); l.Site && (!known || l.Since.Before(since)) {
			b.asked[[2]hijack.Fingerprint{0, l.Other}] = answer{l.Since, true}
		}
	}
	return taught
}

// flush returns what is to be written, and begins anew: what was asked is asked of the store
// again, so that no run holds more than it has to.
func (b *pastBook) flush() []store.Mutation {
	out := make([]store.Mutation, 0, len(b.pending))
	for _, m := range b.pending {
		out = append(out, m)
	}
	b.pending, b.known = map[string]store.Mutation{}, map[hijack.Fingerprint]map[hijack.Fingerprint]int64{}
	clear(b.asked)
	clear(b.heard)
	return out
}
