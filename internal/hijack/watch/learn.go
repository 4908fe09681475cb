package watch

import (
	"context"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Acquaintance is somebody whom an account wrote to before it came here.
type Acquaintance struct {
	Way
	Since time.Time // zero: long enough ago to count
}

// Learn teaches whom an account wrote to elsewhere, and returns how many it did not know,
// or not for as long. What facts makes of that is written in the same act; with nil facts
// nothing is written. Evidence stays as it is: learning makes nobody less suspected, only
// better acquainted from now on.
func (w *Watch) Learn(ctx context.Context, of mail.Address, all []Acquaintance, facts func(taught int) [][]byte) (int, error) {
	now, who := w.o.Now(), w.o.Key.Account(of.Key())
	since := map[hijack.Fingerprint]time.Time{}
	var order []hijack.Fingerprint
	for _, a := range all {
		f, at := w.printOf(a.Way), sane(a.Since, now)
		first, named := since[f]
		if !named {
			order = append(order, f)
		}
		if !named || at.Before(first) {
			since[f] = at
		}
	}
	b, tx, taught := w.bookAt(ctx, now), store.Tx{}, 0
	for _, f := range order {
		at, known := b.wrote(who, f)
		lessons := b.learn(hijack.Wrote(who, []hijack.Fingerprint{f}, since[f]))
		if len(lessons) > 0 && (!known || since[f].Before(at)) {
			taught++
		}
		tx.Mutations = append(tx.Mutations, lessons...)
	}
	if facts == nil || len(tx.Mutations) == 0 {
		return taught, nil
	}
	tx.Facts = facts(taught)
	_, err := w.o.Store.Apply(ctx, tx, store.Durable)
	return taught, err
}

// sane is a time that mail can have been sent at: what says that it comes from the future
// is of now, and does not count yet.
func sane(at, now time.Time) time.Time {
	if at.IsZero() {
		return now.Add(-hijack.Settled)
	}
	if earliest := time.Unix(0, 0); at.Before(earliest) {
		return earliest
	}
	if at.After(now) {
		return now
	}
	return at
}
