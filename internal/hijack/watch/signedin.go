package watch

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/store"
)

// SignedIn tells that somebody signed in as the account.
func (w *Watch) SignedIn(ctx context.Context, by Act) {
	if w.Mode() == hijack.Off || by.Account.IsZero() {
		return
	}
	now, who := w.o.Now(), w.o.Key.Account(by.Account.Key())
	var also []store.Mutation
	novel := func(prefix, what, text string) bool {
		if text == "" {
			return false
		}
		fresh, m := w.origin(ctx, keyOf(prefix, who), keyOf(prefix, who, w.o.Key.Text(what, text)), now)
		also = append(also, m...)
		return fresh
	}
	programs := prefixProgram
	if by.Reads {
		programs = prefixReader // who has sent for long begins to read with no program that is strange for it
	}
	e := hijack.SignedIn{At: now, NewNetwork: novel(prefixFrom, "network", by.Network), NewProgram: novel(programs, "program", by.Program)}
	novel(prefixOffer, "tls", by.Offer)
	if by.Network != "" || by.Program != "" {
		w.event(ctx, by, e, also...)
	}
}

// origin tells whether an account comes from somewhere, or with something, for the first
// time, and what is to be written for it. The first of all is no new one.
func (w *Watch) origin(ctx context.Context, all, one []byte, now time.Time) (fresh bool, also []store.Mutation) {
	if _, err := w.o.Store.Get(ctx, one); !errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	n := 0
	_ = w.o.Store.Scan(ctx, store.Prefix(all), func(_, _ []byte) (bool, error) { n++; return n < w.o.Limits.Origins, nil })
	if n < w.o.Limits.Origins {
		also = []store.Mutation{{Key: one, Value: encodeTime(now)}}
	}
	return n > 0, also
}
