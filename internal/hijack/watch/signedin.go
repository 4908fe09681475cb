package watch

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/store"
)

// SignedIn tells that somebody signed in as the account. Mail programs sign in several times at once: one sign-in
// is looked at after another, so that a place from which ten of them come is new once, and not ten places.
func (w *Watch) SignedIn(ctx context.Context, by Act) {
	if w.Mode() == hijack.Off || by.Account.IsZero() {
		return
	}
	ctx = context.WithoutCancel(ctx)
	a, err := w.enter(ctx, by.Account)
	if err != nil {
		w.o.Logger.Error("a sign-in was not judged", "account", by.Account.String(), "err", err)
		return
	}
	a.mu.Unlock()
	defer w.unpin(a)
	a.signing.Lock()
	defer a.signing.Unlock()
	now, who := w.o.Now(), w.o.Key.Account(by.Account.Key())
	var also []store.Mutation
	novel := func(prefix, what, text string) (fresh, unknown bool) {
		if text == "" {
			return false, false
		}
		fresh, m := w.origin(ctx, keyOf(prefix, who), keyOf(prefix, who, w.o.Key.Text(what, text)), now)
		also = append(also, m...)
		return fresh, len(m) > 0
	}
	programs, networks, network := prefixProgram, prefixFrom, by.Network
	if by.Reads {
		// Whoever has sent for long begins to read with no program that is strange for it. And what
		// reads is a phone, which a carrier gives one address after another of the same
		// networks: only one far from all that are known is new, and what reads takes no place
		// among those that send.
		programs, networks, network = prefixReader, prefixReads, wide(by.Network)
		if _, err := w.o.Store.Get(ctx, keyOf(prefixFrom, who, w.o.Key.Text("network", by.Network))); err == nil {
			network = ""
		}
	}
	e := hijack.SignedIn{At: w.o.Passed()}
	var unknown, far bool
	e.NewNetwork, unknown = novel(networks, "network", network)
	e.NewProgram, _ = novel(programs, "program", by.Program)
	// A network that is known is no new place, though nobody noted places when it became known.
	_, far = novel(prefixPlace, "place", wide(by.Network))
	e.NewPlace = far && unknown
	novel(prefixOffer, "tls", by.Offer)
	if by.Network != "" || by.Program != "" {
		w.event(ctx, by, e, also...)
	}
}

// The networks that count as one where somebody reads, and that are one place for everybody: what a
// carrier or an office has of addresses, more or less.
const (
	wide4 = 16
	wide6 = 32
)

// wide is the network around a network; what is none stays what it is.
func wide(network string) string {
	p, err := netip.ParsePrefix(network)
	if err != nil {
		return network
	}
	bits := wide4
	if p.Addr().Is6() {
		bits = wide6
	}
	return netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked().String()
}

// origin tells whether an account comes from somewhere, or with something, for the first
// time, and what is to be written for it. The first of all is no new one. Where as many are
// remembered as may be, the youngest gives way: what an account has had for long stays known,
// and what it comes from now is no new place at each sign-in.
func (w *Watch) origin(ctx context.Context, all, one []byte, now time.Time) (fresh bool, also []store.Mutation) {
	if _, err := w.o.Store.Get(ctx, one); !errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	n := 0
	var youngest store.Mutation
	var at time.Time
	_ = w.o.Store.Scan(ctx, store.Prefix(all), func(k, v []byte) (bool, error) {
		n++
		if t := decodeTime(v, now); youngest.Key == nil || t.After(at) {
			youngest, at = store.Mutation{Key: append([]byte(nil), k...), Delete: true}, t
		}
		return n < w.o.Limits.Origins, nil
	})
	if n >= w.o.Limits.Origins && youngest.Key != nil {
		also = append(also, youngest)
	}
	return n > 0, append(also, store.Mutation{Key: one, Value: encodeTime(now)})
}
