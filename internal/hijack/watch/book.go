package watch

import (
	"context"
	"encoding/binary"
	"iter"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/store"
)

const (
	prefix        = string(store.SpaceHijack)
	prefixState   = prefix + "state/"
	prefixPair    = prefix + "pair/"
	prefixSite    = prefix + "site/"
	prefixFrom    = prefix + "from/"
	prefixProgram = prefix + "program/"
	prefixReader  = prefix + "reader/"
	prefixReads   = prefix + "reads/"
	prefixPlace   = prefix + "place/"
	prefixOffer   = prefix + "tls/"
	prefixShared  = prefix + "shared/"
	prefixPaused  = prefix + "paused/"
	prefixChanged = prefix + "changed/"
	prefixHeard   = prefix + "heard/"
	prefixWait    = prefix + "wait/"
	prefixRename  = prefix + "renamed/"
	prefixTaught  = prefix + "taught/"
	prefixGave    = prefix + "gave/"
	prefixFormer  = prefix + "former/"
	keyNormal     = prefix + "normal"
	keyPast       = prefix + "past"
)

func keyOf(prefix string, prints ...hijack.Fingerprint) []byte {
	k := make([]byte, 0, len(prefix)+8*len(prints))
	k = append(k, prefix...)
	for _, f := range prints {
		k = binary.BigEndian.AppendUint64(k, uint64(f))
	}
	return k
}

func encodeTime(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixNano())) }

// decodeTime reads what encodeTime wrote; what does not read is long ago for nobody: it
// counts as now, so that whoever it is about is not known for it.
func decodeTime(v []byte, now time.Time) time.Time {
	if len(v) != 8 {
		return now
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(v)))
}

// book answers out of the store who corresponds with whom, and remembers what it was asked
// for one message. An answer that the store fails to give is that nobody is known, which is
// the stricter one.
type book struct {
	ctx   context.Context
	st    store.Store
	now   time.Time
	age   func(time.Time) time.Duration
	keep  time.Duration // how long strangers who wrote first are known
	asked map[[2]hijack.Fingerprint]answer
	heard map[[2]hijack.Fingerprint]answer
}

type answer struct {
	since time.Time
	known bool
}

func newBook(ctx context.Context, st store.Store, now time.Time, keep time.Duration) *book {
	return &book{
		ctx: ctx, st: st, now: now, age: now.Sub, keep: keep, heard: map[[2]hijack.Fingerprint]answer{},
		asked: map[[2]hijack.Fingerprint]answer{},
	}
}

// bookAt is the book as accounts are judged by it at a moment.
func (w *Watch) bookAt(ctx context.Context, now time.Time) *book {
	b := newBook(ctx, w.o.Store, now, w.o.Limits.HeardFor)
	b.age = w.o.Age
	return b
}

// Since tells since when one knows the other: wrote to it, or heard from it.
func (b *book) Since(one, other hijack.Fingerprint) (time.Time, bool) {
	since, known := b.wrote(one, other)
	if at, ok := b.heardFrom(one, other); ok && (!known || at.Before(since)) {
		return at, true
	}
	return since, known
}

// settled reports whether one knew the other at a moment for as long as counts.
func (b *book) settled(one, other hijack.Fingerprint, at time.Time) bool {
	since, known := b.Since(one, other)
	return known && at.Sub(since) >= hijack.Settled
}

// wrote tells since when one knows the other without regard to who heard from whom.
func (b *book) wrote(one, other hijack.Fingerprint) (time.Time, bool) {
	return b.ask([2]hijack.Fingerprint{one, other}, func() []byte { return keyOf(prefixPair, one, other) })
}

// heardFrom tells since when one knows the other for having heard from it. It makes the
// other no correspondent in common with anybody: Known does not yield it, or a stranger who
// writes to everybody would make all of them acquainted with each other.
func (b *book) heardFrom(one, other hijack.Fingerprint) (time.Time, bool) {
	about := [2]hijack.Fingerprint{one, other}
	a, ok := b.heard[about]
	if !ok {
		v, err := b.st.Get(b.ctx, keyOf(prefixHeard, one, other))
		if h, reads := decodeHeard(v); err == nil && reads && b.age(h.last) <= b.keep {
			a = answer{h.last.Add(-hijack.Settled), true}
		}
		b.heard[about] = a
	}
	return a.since, a.known
}

// Site tells when somebody of the site first wrote to who.
func (b *book) Site(who hijack.Fingerprint) (time.Time, bool) {
	return b.ask([2]hijack.Fingerprint{0, who}, func() []byte { return keyOf(prefixSite, who) })
}

func (b *book) ask(about [2]hijack.Fingerprint, key func() []byte) (time.Time, bool) {
	if a, ok := b.asked[about]; ok {
		return a.since, a.known
	}
	v, err := b.st.Get(b.ctx, key())
	a := answer{}
	if err == nil {
		a = answer{decodeTime(v, b.now), true}
	}
	b.asked[about] = a
	return a.since, a.known
}

// Known yields everybody that who knows.
func (b *book) Known(who hijack.Fingerprint) iter.Seq2[hijack.Fingerprint, time.Time] {
	return func(yield func(hijack.Fingerprint, time.Time) bool) {
		begin := keyOf(prefixPair, who)
		_ = b.st.Scan(b.ctx, store.Prefix(begin), func(k, v []byte) (bool, error) {
			if len(k) != len(begin)+8 {
				return true, nil
			}
			return yield(hijack.Fingerprint(binary.BigEndian.Uint64(k[len(begin):])), decodeTime(v, b.now)), nil
		})
	}
}

// learn is what is to be written of lessons: what is known already, since earlier, stays.
func (b *book) learn(lessons []hijack.Lesson) (out []store.Mutation) {
	for _, l := range lessons {
		if since, known := b.wrote(l.One, l.Other); !known || l.Since.Before(since) {
			out = append(out, store.Mutation{Key: keyOf(prefixPair, l.One, l.Other), Value: encodeTime(l.Since)})
		}
		if !l.Site {
			continue
		}
		if since, known := b.Site(l.Other); !known || l.Since.Before(since) {
			out = append(out, store.Mutation{Key: keyOf(prefixSite, l.Other), Value: encodeTime(l.Since)})
		}
	}
	return out
}

// forget is what is to be removed of what an account learnt since a moment, in the hands
// of somebody else.
func (b *book) forget(account hijack.Fingerprint, since time.Time) (out []store.Mutation) {
	for other, at := range b.Known(account) {
		if at.Before(since) {
			continue
		}
		out = append(out, store.Mutation{Key: keyOf(prefixPair, account, other), Delete: true},
			store.Mutation{Key: keyOf(prefixPair, other, account), Delete: true})
		if first, known := b.Site(other); known && !first.Before(since) {
			out = append(out, store.Mutation{Key: keyOf(prefixSite, other), Delete: true})
		}
		if len(out) >= maxForgotten {
			break
		}
	}
	began := func(v []byte) time.Time {
		if h, ok := decodeHeard(v); ok {
			return h.first
		}
		return decodeTime(v, b.now)
	}
	for _, p := range []string{prefixFrom, prefixProgram, prefixReader, prefixReads, prefixPlace, prefixOffer, prefixHeard} {
		_ = b.st.Scan(b.ctx, store.Prefix(keyOf(p, account)), func(k, v []byte) (bool, error) {
			if !began(v).Before(since) {
				out = append(out, store.Mutation{Key: append([]byte(nil), k...), Delete: true})
			}
			return len(out) < 2*maxForgotten, nil
		})
	}
	return out
}

// maxForgotten bounds what one act forgets of an account.
const maxForgotten = 4000
