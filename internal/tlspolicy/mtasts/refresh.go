package mtasts

import (
	"context"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Run refreshes policies before they end, and forgets those that have ended, until
// ctx ends. RFC 8461 §10.2: a policy that is refreshed in time cannot be kept from us
// by whoever blocks its web server at the right moment.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		k.sweep(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(k.o.Limits.RefreshRun):
		}
	}
}

// sweep looks at every policy once.
func (k *Keeper) sweep(ctx context.Context) {
	now := k.o.Now()
	var refresh, ended []mail.Domain
	err := k.each(ctx, func(d mail.Domain, e entry) {
		switch {
		case !e.valid(now):
			ended = append(ended, d)
		case now.Sub(e.fetched) >= min(k.o.Limits.Refresh, e.policy.MaxAge/2) && now.Sub(e.used) < k.o.Limits.Keep:
			refresh = append(refresh, d)
		}
	})
	if err != nil && ctx.Err() == nil {
		k.o.Logger.Warn("kept policies cannot be read", "err", err)
		return
	}
	for _, d := range ended {
		k.forget(ctx, d)
	}
	for _, d := range refresh {
		if ctx.Err() != nil {
			return
		}
		each, cancel := context.WithTimeout(ctx, k.o.Limits.Wait)
		// One after the other: nobody waits for these.
		if id, err := k.record(each, d); err == nil {
			_ = k.fetch(each, d, id) // remembered and logged where it failed; the policy stays
		}
		cancel()
	}
}

// forget removes a policy unless it was renewed meanwhile.
func (k *Keeper) forget(ctx context.Context, d mail.Domain) {
	e, err := k.load(ctx, d)
	if err != nil || e.valid(k.o.Now()) {
		return
	}
	_, err = k.o.Store.Apply(ctx, store.Tx{
		Preconditions: []store.Precondition{{Key: entryKey(d), Value: e.encode()}},
		Mutations:     []store.Mutation{{Key: entryKey(d), Delete: true}},
	}, store.Lazy)
	if err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, d)
}
