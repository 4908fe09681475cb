package spool_test

import (
	"context"
	"testing"
	"time"

	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// slowStore runs a hook when a commit has been asked for and did not happen yet,
// as between a write and its sync.
type slowStore struct {
	store.Store
	before func()
}

func (s *slowStore) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if s.before != nil {
		s.before()
	}
	return s.Store.Apply(ctx, tx, d)
}

// Somebody looks for due mail while a change that makes some due is being written.
// Whoever looks afterwards finds it, however long the write took.
func TestASearchDuringAChangeHidesNothing(t *testing.T) {
	ways := map[string]func(h *house, c spool.Claim) error{
		"given back": func(h *house, c spool.Claim) error {
			return h.q.Postpone(ctx, c.Token, h.clock.now(), nil)
		},
		"retried": func(h *house, c spool.Claim) error {
			h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
			_, err := h.q.Retry(ctx, spool.Filter{}, nil)
			return err
		},
		"released": func(h *house, c spool.Claim) error {
			if err := h.q.HoldClaimed(ctx, c.Token, "a test", nil); err != nil {
				return err
			}
			_, err := h.q.Release(ctx, spool.Filter{}, nil)
			return err
		},
	}
	for name, change := range ways {
		t.Run(name, func(t *testing.T) {
			slow := &slowStore{Store: mem.New()}
			h := &house{T: t, st: slow, clock: newClock()}
			h.o = options(t, h.clock.now)
			h.q, _ = openSpool(t, slow, h.o)
			c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "hello")
			slow.before = func() {
				h.clock.advance(time.Second)
				h.due()
			}
			if err := change(h, c); err != nil {
				t.Fatal(err)
			}
			slow.before = nil
			h.clock.advance(time.Second)
			h.wantDue(c.Entry.ID)
		})
	}
}

// Who waits for the schedule to change learns that an attempt was deferred: nobody
// told it when a fresh message would be tried again.
func TestADeferralWakes(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "hello")
	select {
	case <-h.q.Watch():
	default:
	}
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
	select {
	case <-h.q.Watch():
	default:
		t.Error("nobody was woken")
	}
	next, ok, err := h.q.NextDue(ctx)
	if err != nil || !ok || !next.Equal(c.Entry.NextTry) {
		t.Errorf("next due at %v, %v, %v; want %v", next, ok, err, c.Entry.NextTry)
	}
}
