package quota

import (
	"context"
	"errors"
	"time"

	"sallyport/internal/mail"
)

// errSlow is that a look takes longer than somebody waits.
var errSlow = errors.New("it is being counted")

// known returns the line of an account, looked at within an age; exact: also if something went
// since. Whoever waits too long, or whose look failed, gets an error.
func (k *Keeper) known(ctx context.Context, account mail.Address, age time.Duration, exact bool) (*line, error) {
	wait := time.NewTimer(k.o.Limits.Wait)
	defer wait.Stop()
	k.mu.Lock()
	l := k.line(account)
	// A look that was under way began before what is asked about, perhaps; the next did not.
	for n := 0; n < 2 && !k.isKnown(l, age, exact); n++ {
		before, done := l.counted, l.looking
		if done == nil {
			done = k.begin(l)
		}
		k.mu.Unlock()
		select {
		case <-done:
		case <-wait.C:
			return nil, errSlow
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if k.mu.Lock(); l.counted.Equal(before) {
			k.mu.Unlock()
			return nil, errors.New("it could not be looked at")
		}
	}
	k.mu.Unlock()
	return l, nil
}

func (k *Keeper) isKnown(l *line, age time.Duration, exact bool) bool {
	passed := k.o.Now().Sub(l.counted)
	return !l.counted.IsZero() && passed >= 0 && passed < age && !(exact && l.stale)
}

// begin begins a look, which ends by itself whoever waits for it. The lock is held.
func (k *Keeper) begin(l *line) chan struct{} {
	done := make(chan struct{})
	l.looking, l.stale, l.since = done, false, Usage{}
	began := k.o.Now()
	k.under.Go(func() {
		k.looks <- struct{}{}
		u, err := k.o.Count(k.ctx, l.account)
		<-k.looks
		if err != nil && k.ctx.Err() == nil {
			k.o.Logger.Warn("it could not be looked how full a mailbox is", "account", l.account.String(), "err", err)
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if err == nil {
			// What came meanwhile may be in it, and counts twice until the next look, which whoever
			// would be refused for it waits for.
			if k.set(l, u.plus(l.since)); l.counted.Equal(began) {
				began = began.Add(1)
			}
			l.counted, l.stale = began, l.stale || l.since != (Usage{})
		} else {
			l.stale = true
		}
		l.looking = nil
		close(done)
	})
	return done
}

// sweep looks at every mailbox with a quota, and forgets those that are no account's.
func (k *Keeper) sweep(ctx context.Context) error {
	all, err := k.o.Accounts(ctx)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(all))
	for _, a := range all {
		there[a.Key()] = true
		mailbox, domain, _, ok := k.quotas(a)
		if !ok || !mailbox.Bounds() && !domain.Bounds() {
			k.forget(a.Key())
			continue
		}
		// One that cannot be looked at was told of.
		_, _ = k.known(ctx, a, k.o.Limits.Fresh, true)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(k.o.Limits.Pause):
		}
	}
	var others []mail.Address
	k.mu.Lock()
	for key, l := range k.lines {
		if !there[key] {
			others = append(others, l.account)
		}
	}
	k.mu.Unlock()
	for _, a := range others {
		// The mailbox of a role has mail and no account.
		if l, err := k.known(ctx, a, k.o.Limits.Fresh, true); err == nil && l.used == (Usage{}) {
			k.forget(a.Key())
		}
	}
	return k.write(ctx)
}

// forget drops a line; what the store has of it goes with the next write.
func (k *Keeper) forget(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.lines[key]
	if l == nil || l.way != (Usage{}) || l.looking != nil {
		return
	}
	k.set(l, Usage{})
	l.told = told{}
	if l.written == (told{}) {
		delete(k.lines, key)
	}
}
