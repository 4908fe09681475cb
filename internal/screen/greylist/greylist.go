// Package greylist defers the first mail of senders that nobody here knows: an honest server tries
// again, and much of what sends spam does not. RFC 6647
//
// It promises that
//
//   - who tries again after the wait and within a day is let through, and from then on all of
//     that network for as long as it goes on writing;
//   - what was seen outlives a restart;
//   - what is remembered is bounded: where there is no room, who is new stays put off, and
//     who is known stays known;
//   - the zero verdict puts off, and so does a store that cannot be read.
//
// In the store it has the keys that begin with "greylist/".
package greylist

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// Rule names what put off, for the trace.
const Rule = "screen-greylisted"

// Limits say how long somebody waits, and what is remembered.
type Limits struct {
	Wait    time.Duration // of new senders, before they are let through; 0: nobody waits
	Window  time.Duration // within which they must try again
	Crowded time.Duration // the same where there is no room for others
	Keep    time.Duration // for which a network stays known after it last wrote
	Entries int           // senders that were put off, and as many networks that were let through
}

// DefaultLimits returns those of a server that greylists nobody. Servers try again for four
// days at least, the first time within half an hour (RFC 5321 §4.5.4.1).
func DefaultLimits() Limits {
	return Limits{Window: 24 * time.Hour, Crowded: time.Hour, Keep: 60 * 24 * time.Hour, Entries: 200_000}
}

// Sighting is when somebody was first seen and last let through; zero: never.
type Sighting struct{ First, Passed time.Time }

// Verdict is the answer about a recipient. The zero Verdict puts off.
type Verdict struct {
	OK   bool
	Wait time.Duration // until it is let through
}

// Reply is what who is put off is told. RFC 6647 §5
func (v Verdict) Reply() mail.Reply {
	minutes := max(int((v.Wait+time.Minute-1)/time.Minute), 1)
	return mail.R(450, "4.7.1",
		fmt.Sprintf("greylisted: this server takes the first mail of whom it does not know at the second try (%s); try again in %d minutes", Rule, minutes))
}

// Decide says whether somebody who was seen so is let through now, and what is remembered of
// them from then on. A clock that was set back begins the wait anew.
func Decide(s Sighting, now time.Time, l Limits) (Verdict, Sighting) {
	switch since := now.Sub(s.First); {
	case l.Wait <= 0:
		return Verdict{OK: true}, s
	case !s.Passed.IsZero() && !now.Before(s.Passed) && now.Sub(s.Passed) <= l.Keep:
		s.Passed = now
		return Verdict{OK: true}, s
	case s.First.IsZero() || !s.Passed.IsZero() || since < 0 || since > l.Window:
		return Verdict{Wait: l.Wait}, Sighting{First: now}
	case since < l.Wait:
		return Verdict{Wait: l.Wait - since}, s
	}
	s.Passed = now
	return Verdict{OK: true}, s
}

// old reports whether nothing follows from a sighting any more.
func (s Sighting) old(now time.Time, l Limits, window time.Duration) bool {
	if s.Passed.IsZero() {
		return now.Sub(s.First) > window
	}
	return now.Sub(s.Passed) > l.Keep
}

// Options of a Greylist; all are needed.
type Options struct {
	Limits Limits
	Now    func() time.Time // the time that passes, whatever the clock was set to
	Logger *slog.Logger
}

// Greylist remembers who was seen. It is safe for concurrent use.
type Greylist struct {
	st store.Store
	o  Options

	mu    sync.Mutex
	many  map[byte]int // entries of each kind
	swept time.Time
	// Of the senders that were put off since the start, by their keys, whose network each is of,
	// and how many each has.
	owners  map[string]string
	waiting map[string]int
}

// networkShare is the part of the senders that are remembered, one in so many, that may be of one
// network: what more of it comes is put off and not remembered, so that nobody alone keeps others
// from being let through.
const networkShare = 16

// The kinds of entries.
const (
	kindSender  byte = 's' // a network with a sender and a recipient, put off
	kindNetwork byte = 'n' // let through
)

const (
	// fresh is how old what is stored of a network may be before it is written anew.
	fresh = 24 * time.Hour
	// sweepEvery is how often old entries are dropped, sweepSoon at most where there is no
	// room, and sweepMost how many at once.
	sweepEvery = time.Hour
	sweepSoon  = time.Minute
	sweepMost  = 10_000
)

// Open counts what was kept.
func Open(ctx context.Context, st store.Store, o Options) (*Greylist, error) {
	g := &Greylist{st: st, o: o, many: map[byte]int{}, swept: o.Now(), owners: map[string]string{}, waiting: map[string]int{}}
	err := st.Scan(ctx, store.SpaceGreylist.All(), func(k, _ []byte) (bool, error) {
		if len(k) > len(store.SpaceGreylist) {
			g.many[k[len(store.SpaceGreylist)]]++
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("greylist: counting who was seen: %w", err)
	}
	return g, nil
}

// Adjust replaces the limits.
func (g *Greylist) Adjust(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.o.Limits = l
}

// Judge says whether a recipient is taken now from a client and a sender, and remembers it.
func (g *Greylist) Judge(ctx context.Context, client netip.Addr, from mail.ReversePath, to mail.Address) Verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, l := g.o.Now(), g.o.Limits
	if l.Wait <= 0 {
		return Verdict{OK: true}
	}
	network := screen.Network(client).String()
	networkKey := store.SpaceGreylist.Key([]byte{kindNetwork}, digest(network))
	known, err := g.get(ctx, networkKey)
	if err != nil {
		return g.unread(err, l)
	}
	if !known.Passed.IsZero() {
		if v, next := Decide(known, now, l); v.OK {
			if next.Passed.Sub(known.Passed) >= fresh {
				g.put(ctx, put{key: networkKey, Sighting: next})
			}
			return v
		}
	}
	senderKey := store.SpaceGreylist.Key([]byte{kindSender}, digest(network, from.String(), to.Key()))
	seen, err := g.get(ctx, senderKey)
	if err != nil {
		return g.unread(err, l)
	}
	v, next := Decide(seen, now, l)
	switch {
	case v.OK && (known != (Sighting{}) || g.room(ctx, kindNetwork, now)):
		g.put(ctx, put{key: networkKey, Sighting: next, added: known == Sighting{}}, put{key: senderKey})
	case v.OK:
		g.put(ctx, put{key: senderKey, Sighting: next}) // this sender alone is let through
	case next != seen && (seen != (Sighting{}) || g.room(ctx, kindSender, now) && g.waiting[network] < max(1, l.Entries/networkShare)):
		g.put(ctx, put{senderKey, next, seen == Sighting{}, network})
	}
	return v
}

func (g *Greylist) unread(err error, l Limits) Verdict {
	g.o.Logger.Warn("who was seen before cannot be read; strangers are put off", "err", err)
	return Verdict{Wait: l.Wait}
}

// digest is a key of bounded length.
func digest(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = codec.AppendText(b, p)
	}
	sum := sha256.Sum256(b)
	return sum[:16]
}

// get reads a sighting; one that cannot be understood is none.
func (g *Greylist) get(ctx context.Context, key []byte) (Sighting, error) {
	v, err := g.st.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return Sighting{}, nil
	}
	return decode(v), err
}

// put is one thing to write; the zero Sighting is removed.
type put struct {
	key []byte
	Sighting
	added   bool
	network string // whose it is, of a sender that is added
}

// put writes. What could not be written was not seen: its sender waits longer.
func (g *Greylist) put(ctx context.Context, all ...put) {
	var tx store.Tx
	for _, p := range all {
		m := store.Mutation{Key: p.key, Delete: p.Sighting == Sighting{}}
		if !m.Delete {
			m.Value = encode(p.Sighting)
		}
		tx.Mutations = append(tx.Mutations, m)
	}
	if _, err := g.st.Apply(context.WithoutCancel(ctx), tx, store.Lazy); err != nil {
		g.o.Logger.Warn("who was seen is not remembered", "err", err)
		return
	}
	for _, p := range all {
		kind := p.key[len(store.SpaceGreylist)]
		switch {
		case p.added:
			g.many[kind]++
			if p.network != "" {
				g.owners[string(p.key)] = p.network
				g.waiting[p.network]++
			}
		case p.Sighting == Sighting{}:
			g.many[kind]--
			g.disown(string(p.key))
		}
	}
}

// disown takes a sender from its network; the lock is held.
func (g *Greylist) disown(key string) {
	network, ok := g.owners[key]
	if !ok {
		return
	}
	delete(g.owners, key)
	if g.waiting[network]--; g.waiting[network] == 0 {
		delete(g.waiting, network)
	}
}

// room reports whether there is room for another of a kind; the lock is held.
func (g *Greylist) room(ctx context.Context, kind byte, now time.Time) bool {
	full := g.many[kind] >= g.o.Limits.Entries
	every := sweepEvery
	if full {
		every = sweepSoon
	}
	if d := now.Sub(g.swept); d >= every || d < 0 {
		g.sweep(ctx, now, full)
	}
	return g.many[kind] < g.o.Limits.Entries
}

// sweep drops what is old; the lock is held.
func (g *Greylist) sweep(ctx context.Context, now time.Time, crowded bool) {
	g.swept = now
	window := g.o.Limits.Window
	if crowded {
		window = g.o.Limits.Crowded
	}
	var gone []put
	err := g.st.Scan(ctx, store.SpaceGreylist.All(), func(k, v []byte) (bool, error) {
		if decode(v).old(now, g.o.Limits, window) {
			gone = append(gone, put{key: append([]byte(nil), k...)})
		}
		return len(gone) < sweepMost, nil
	})
	if err != nil {
		g.o.Logger.Warn("who was seen long ago is not forgotten", "err", err)
		return
	}
	if len(gone) > 0 {
		g.put(ctx, gone...)
	}
}

// entryVersion is the first octet of a stored Sighting; no other is read.
const entryVersion = 1

func encode(s Sighting) []byte {
	b := []byte{entryVersion}
	for _, at := range []time.Time{s.First, s.Passed} {
		n := int64(0)
		if !at.IsZero() {
			n = at.UnixNano()
		}
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

func decode(v []byte) (s Sighting) {
	if len(v) != 17 || v[0] != entryVersion {
		return Sighting{}
	}
	for i, at := range []*time.Time{&s.First, &s.Passed} {
		if n := int64(binary.BigEndian.Uint64(v[1+8*i:])); n != 0 {
			*at = time.Unix(0, n).UTC()
		}
	}
	return s
}
