package watch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// account is what is known of one account, under its own lock.
type account struct {
	id   string // mail.Address.Key
	who  hijack.Fingerprint
	used uint64 // when it was last asked for, in uses; guarded by Watch.mu
	pins int    // who is at work with it; guarded by Watch.mu

	// signing is held from the look at what a sign-in comes from to the note of it, before mu.
	signing sync.Mutex

	mu     sync.Mutex
	loaded bool
	state  hijack.State
	number uint64    // of the state that was last written, or is on its way
	places []bool    // which of its keys are on their way to the disk
	since  time.Time // when the evidence began that there may be; zero: nothing happened
	last   time.Time // when something last happened that a theft may begin with, or go on with
	odds   float64   // the evidence after what happened last
	told   time.Time // when it was last told that the account would be contained
	heard  *tally    // of strangers who wrote to it; nil: not counted yet
	spoke  lately    // who wrote to it lately, and is known to the store
	wrong  mistakes
	seen   []incident.Origin // whence what is unusual of late was done
	again  again             // whom it was judged for and has not written to yet
	// gave are the credentials with which the evidence was given that there may be, by their names.
	gave map[string]giver
}

// From evidenceBegins on what an account does is part of an incident, with what of it was unusual before
// without a pause of evidencePause.
const (
	evidenceBegins = 10
	evidencePause  = 6 * time.Hour
	// giftPause is how long a credential must have given none, where there is less evidence than
	// that, for what it gave to be over: no pace lasts as long.
	giftPause = time.Hour
)

// noted takes what happened, and the verdict, into what is known of the account; the lock is held. What accounts do
// day and night, such as a telephone that looks for mail, keeps no beginning of long ago.
// It begins with the session in which that was done.
func (a *account) noted(e hijack.Event, s hijack.State, v hijack.Verdict, began, at time.Time) {
	paused := at.Sub(a.last) > evidencePause
	if a.since.IsZero() || paused && math.Min(v.Odds, a.odds) < evidenceBegins {
		a.since, a.seen = earlier(began, at), nil
	}
	if a.last.IsZero() || unusual(e) || !(v.Odds < evidenceBegins) {
		a.last = at
	}
	a.state, a.odds = s, v.Odds
}

// unusual reports whether a theft may begin with an event, or go on with it.
func unusual(e hijack.Event) bool {
	switch e := e.(type) {
	case hijack.SignedIn:
		return e.NewNetwork || e.NewProgram || e.NewPlace
	case hijack.ForwardChanged:
		return true
	}
	return giftOf(e) != giftNone
}

// stateKey returns the key under which the state of an account stands at one of its places.
func stateKey(id string, place int) []byte {
	return append([]byte(prefixState+id), 0, byte(place>>8), byte(place))
}

// mutation is what must be written of the account now; vacate ends it. The lock is held.
// Acts may reach the disk in another order than they were made, so that each has a key of
// its own, and the one with the highest number was written with the most knowledge.
func (a *account) mutation() (m store.Mutation, place int) {
	place = len(a.places)
	for i, taken := range a.places {
		if !taken {
			place = i
			break
		}
	}
	if place == len(a.places) {
		a.places = append(a.places, false)
	}
	a.places[place] = true
	a.number++
	value := binary.BigEndian.AppendUint64(nil, a.number)
	return store.Mutation{Key: stateKey(a.id, place), Value: a.state.Append(value)}, place
}

// vacate gives a key back.
func (a *account) vacate(place int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if place >= 0 && place < len(a.places) {
		a.places[place] = false
	}
}

// load reads what is known of the account; the lock is held. What cannot be read is left
// out; an account of which nothing can be read is a new one.
func (a *account) load(ctx context.Context, st store.Store) error {
	if a.loaded {
		return nil
	}
	var damaged error
	err := st.Scan(ctx, store.Prefix(append([]byte(prefixState+a.id), 0)), func(_, v []byte) (bool, error) {
		if len(v) < 8 {
			return true, nil
		}
		number := binary.BigEndian.Uint64(v)
		s, err := hijack.Restore(v[8:])
		if err != nil {
			damaged = err
			return true, nil
		}
		if number >= a.number {
			a.number, a.state = number, s
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("watch: reading what is known of an account: %w", err)
	}
	if err := a.loadGivers(ctx, st); err != nil {
		return fmt.Errorf("watch: reading with what an account was used: %w", err)
	}
	a.loaded = true
	return damaged
}

// enter returns an account with its lock held, and pinned: whoever entered unlocks it, and
// unpins it when what it wrote has ended.
func (w *Watch) enter(ctx context.Context, of mail.Address) (*account, error) {
	id := of.Key()
	w.mu.Lock()
	a := w.accounts[id]
	if a == nil {
		a = &account{id: id, who: w.o.Key.Account(id)}
		w.accounts[id] = a
	}
	w.uses++
	a.used = w.uses
	a.pins++
	w.evict()
	w.mu.Unlock()
	a.mu.Lock()
	err := a.load(ctx, w.o.Store)
	switch {
	case err == nil:
	case errors.Is(err, hijack.ErrState):
		w.o.Logger.Error("what is known of an account does not read; it begins anew",
			"account", mail.Printable(id, mail.AddressShown), "err", err)
	default:
		a.mu.Unlock()
		w.unpin(a)
		return nil, err
	}
	return a, nil
}

func (w *Watch) unpin(a *account) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.pins--
}

// evict forgets accounts that nobody is at work with, those used longest ago first, until
// there is room for as many again. The lock is held.
func (w *Watch) evict() {
	most := w.o.Limits.Accounts
	if len(w.accounts) <= most {
		return
	}
	oldest := w.uses - uint64(most/2)
	for id, a := range w.accounts {
		if a.pins == 0 && a.used <= oldest {
			delete(w.accounts, id)
		}
	}
}
