package accounts

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"sallyport/internal/store"
)

// knownFreshness is how old the note of a network may grow before another
// sign-in from it is written down.
const knownFreshness = 24 * time.Hour

// knows reports whether the account signed in from the network of late.
func (i *Identity) knows(key string, n netip.Prefix) bool {
	for _, k := range i.networksOf(key) {
		if k.Network == n && n.IsValid() {
			return i.o.Age(k.Last) < i.limits().KnownFor
		}
	}
	return false
}

func (i *Identity) networksOf(key string) []knownNetwork {
	v, _ := i.networks.Load(key)
	n, _ := v.([]knownNetwork)
	return n
}

// remember notes a successful sign-in, lazily: to lose the note costs the owner
// nothing but the privilege of a known network.
func (i *Identity) remember(ctx context.Context, key string, n netip.Prefix, now time.Time) {
	note := knownNetwork{Network: n, Last: now.UTC()}
	if _, changed := noteNetwork(i.networksOf(key), note, i.o.Age, *i.limits()); !changed {
		return
	}
	i.load.Lock()
	defer i.load.Unlock()
	next, changed := noteNetwork(i.networksOf(key), note, i.o.Age, *i.limits())
	if !changed {
		return
	}
	switch err := i.storeNetworks(ctx, key, next); {
	case err == nil:
		i.networks.Store(key, next)
	case errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound):
		// The account was changed or removed in this moment; its next sign-in will tell.
	default:
		i.log(slog.LevelWarn, "a known network could not be noted", key, err)
	}
}

// storeNetworks writes the networks of an account.
func (i *Identity) storeNetworks(ctx context.Context, key string, n []knownNetwork) error {
	value, err := encodeNetworks(n)
	if err != nil {
		return err
	}
	return i.storeBeside(ctx, key, networksKey(key), value)
}

// storeBeside writes only beside an account that exists, so that removing an
// account leaves nothing behind.
func (i *Identity) storeBeside(ctx context.Context, key string, under, value []byte) error {
	account, err := i.st.Get(ctx, accountKey(key))
	if err != nil {
		return err
	}
	_, err = i.st.Apply(ctx, store.Tx{
		Preconditions: []store.Precondition{holds(accountKey(key), account)},
		Mutations:     []store.Mutation{{Key: under, Value: value}},
		Bulk:          true,
	}, store.Lazy)
	return err
}

// noteNetwork returns the networks with n in front: the latest first, none twice,
// none that is known no more, and no more than the limit. It reports whether that
// is worth writing. age is how long ago something was.
func noteNetwork(old []knownNetwork, n knownNetwork, age func(time.Time) time.Duration, l Limits) ([]knownNetwork, bool) {
	if !n.Network.IsValid() {
		return old, false
	}
	out := []knownNetwork{n}
	for _, k := range old {
		if k.Network == n.Network {
			// What was noted by a clock that was ahead is noted anew.
			if since := n.Last.Sub(k.Last); since >= 0 && since < knownFreshness {
				return old, false
			}
			continue
		}
		if age(k.Last) < l.KnownFor && len(out) < l.KnownNetworks {
			out = append(out, k)
		}
	}
	return out, true
}
