package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// renameVersion is the version of records of accounts whose correspondents are on their way
// to another address.
const renameVersion = 1

// renamed is an account whose correspondents are on their way to another address.
type renamed struct {
	Version int          `json:"v"`
	From    mail.Address `json:"from"`
	To      mail.Address `json:"to"` // zero: they are nobody's any more
}

func (r renamed) key() []byte { return []byte(prefixRename + r.From.Key()) }

// Moving plans that what is known of an account is known of another address of it, as a share
// in the act that renames it. Whom it corresponds with may be many: that follows the act, a
// part at a time, and at the next start if this process ends before. Nobody is known for it
// meanwhile who was not.
func (w *Watch) Moving(from, to mail.Address) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		r := renamed{renameVersion, from, to}
		note, err := json.Marshal(r)
		if err != nil {
			return store.Share{}, err
		}
		old, err := w.enter(ctx, from)
		if err != nil {
			return store.Share{}, err
		}
		next, err := w.enter(ctx, to)
		if err != nil {
			old.mu.Unlock()
			w.unpin(old)
			return store.Share{}, err
		}
		before, begun, gave := next.state, next.since, next.gave
		next.state, next.since, next.last, next.odds, next.told, next.wrong, next.gave = old.state, old.since, old.last, old.odds, old.told, old.wrong.again(), maps.Clone(old.gave)
		m, at := next.mutation()
		gone, place := old.forgotten()
		next.heard, next.spoke, next.seen, next.again = nil, lately{}, slices.Clone(old.seen), maps.Clone(old.again) // who wrote is counted anew
		next.mu.Unlock()
		old.mu.Unlock()
		return store.Share{Mutations: []store.Mutation{{Key: r.key(), Value: note}, m, gone, w.former(from)}, Done: func(err error) error {
			defer w.unpin(old)
			defer w.unpin(next)
			next.vacate(at)
			old.vacate(place)
			switch {
			case errors.Is(err, store.ErrInDoubt):
			case err != nil:
				next.mu.Lock()
				next.state, next.since, next.gave = before, begun, gave
				next.mu.Unlock()
			default:
				old.clear()
				return w.follow(context.WithoutCancel(ctx), r)
			}
			return nil
		}}, nil
	}
}

// Dropping plans that nothing is known of an account any more, as a share in the act by which it comes or goes: who has
// its address next is somebody else, of whom nothing is known and against whom nothing speaks. Its correspondents follow,
// as with Moving.
func (w *Watch) Dropping(of mail.Address) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		r := renamed{Version: renameVersion, From: of}
		note, err := json.Marshal(r)
		if err != nil {
			return store.Share{}, err
		}
		a, err := w.enter(ctx, of)
		if err != nil {
			return store.Share{}, err
		}
		m, place := []store.Mutation{{Key: r.key(), Value: note}, w.former(of)}, -1
		if a.number > 0 { // else nothing stands in the store, and where nobody is watched it stays so
			var gone store.Mutation
			gone, place = a.forgotten()
			m = append(m, gone)
		}
		a.mu.Unlock()
		return store.Share{Mutations: m, Done: func(err error) error {
			defer w.unpin(a)
			defer a.vacate(place)
			if err != nil {
				return nil
			}
			a.clear()
			return w.follow(context.WithoutCancel(ctx), r)
		}}, nil
	}
}

// forgotten is the mutation by which nothing is known of the account; the lock is held.
func (a *account) forgotten() (m store.Mutation, place int) {
	known := a.state
	a.state = hijack.State{}
	m, place = a.mutation()
	a.state = known
	return m, place
}

// clear forgets in memory what is known of the account.
func (a *account) clear() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state, a.since, a.last, a.odds, a.told = hijack.State{}, time.Time{}, time.Time{}, 0, time.Time{}
	a.heard, a.spoke, a.wrong, a.seen, a.again, a.gave = nil, lately{}, mistakes{}, nil, nil, nil
}

// openRenamed ends what a process before this one began.
func (w *Watch) openRenamed(ctx context.Context) error {
	var all []renamed
	err := w.o.Store.Scan(ctx, store.Prefix([]byte(prefixRename)), func(_, v []byte) (bool, error) {
		var r renamed
		err := errors.Join(codec.Decode(v, &r), codec.Version(r.Version, renameVersion))
		if err != nil {
			return false, fmt.Errorf("watch: which account was renamed does not read: %w", err)
		}
		all = append(all, r)
		return true, nil
	})
	for _, r := range all {
		err = errors.Join(err, w.follow(ctx, r))
	}
	return err
}

// followMost is how many keys one act takes to another address.
const followMost = 1000

// follow takes whom a renamed account corresponds with to its other address, a part at a time,
// and then forgets that it was to be done.
func (w *Watch) follow(ctx context.Context, r renamed) error {
	from, to := w.o.Key.Account(r.From.Key()), hijack.Fingerprint(0)
	if !r.To.IsZero() {
		to = w.o.Key.Account(r.To.Key())
	}
	for {
		m, err := w.following(ctx, from, to)
		if err != nil {
			return fmt.Errorf("watch: whom a renamed account corresponds with: %w", err)
		}
		if len(m) == 0 {
			m = []store.Mutation{{Key: r.key(), Delete: true}}
		}
		if _, err := w.o.Store.Apply(ctx, store.Tx{Mutations: m}, store.Durable); err != nil {
			return fmt.Errorf("watch: whom a renamed account corresponds with: %w", err)
		}
		if m[0].Delete && string(m[0].Key) == string(r.key()) {
			return nil
		}
	}
}

// following is what is to be written next; nothing: all is done. Where to is nobody, all is forgotten.
func (w *Watch) following(ctx context.Context, from, to hijack.Fingerprint) (out []store.Mutation, err error) {
	now := w.o.Now()
	move := func(k, v, other []byte) error {
		out = append(out, store.Mutation{Key: slices.Clone(k), Delete: true})
		if to == 0 {
			return nil
		}
		was, err := w.o.Store.Get(ctx, other)
		switch {
		case err == nil && !decodeTime(v, now).Before(decodeTime(was, now)):
			return nil // it is known for longer
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		out = append(out, store.Mutation{Key: other, Value: slices.Clone(v)})
		return nil
	}
	for other := range w.bookAt(ctx, now).Known(from) {
		for _, pair := range [][4]hijack.Fingerprint{{from, other, to, other}, {other, from, other, to}} {
			k := keyOf(prefixPair, pair[0], pair[1])
			v, err := w.o.Store.Get(ctx, k)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			switch {
			case err != nil:
			case other == to: // nobody corresponds with himself
				out = append(out, store.Mutation{Key: k, Delete: true})
			default:
				err = move(k, v, keyOf(prefixPair, pair[2], pair[3]))
			}
			if err != nil {
				return nil, err
			}
		}
		if len(out) >= followMost {
			return out, nil
		}
	}
	for _, p := range []string{prefixSite, prefixFrom, prefixProgram, prefixReader, prefixReads, prefixPlace, prefixOffer, prefixChanged, prefixHeard, prefixTaught, prefixGave} {
		begins := keyOf(p, from)
		err := w.o.Store.Scan(ctx, store.Prefix(begins), func(k, v []byte) (bool, error) {
			err := move(k, v, append(keyOf(p, to), k[len(begins):]...))
			return len(out) < followMost, err
		})
		if err != nil || len(out) >= followMost {
			return out, err
		}
	}
	return out, nil
}
