package spool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// between is a store that does something else after the next commit, before who asked for it is answered.
type between struct {
	store.Store
	then func()
}

func (b *between) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	rev, err := b.Store.Apply(ctx, tx, how)
	if then := b.then; then != nil {
		b.then = nil
		then()
	}
	return rev, err
}

// A command that makes a message due while Put is about to return lets nobody else begin: who accepted it has the claim.
func TestAnAcceptedMessageHasOneClaim(t *testing.T) {
	h := newHouse(t)
	b := &between{Store: h.st}
	h.q, _ = openSpool(t, b, h.o)
	m := localMessage("alice@local.test", "bob@local.test")
	b.then = func() {
		n, err := h.q.Retry(ctx, spool.Filter{IDs: []mail.ID{m.ID}}, nil)
		if n != 1 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		if due, err := h.q.Due(ctx, h.clock.now(), 10); len(due) != 0 || err != nil {
			t.Errorf("due: %v, %v", due, err)
		}
		if _, err := h.q.Claim(ctx, m.ID, "another", time.Minute, h.clock.now()); !errors.Is(err, spool.ErrClaimed) {
			t.Errorf("a claim before Put returns: %v", err)
		}
	}
	c := put(t, h.q, m, "text")
	if s := h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250)); !s.Done {
		t.Errorf("settled %+v", s)
	}
}

// A message whose account is held while it is committed is accepted, and nobody gets a claim on it.
func TestAHoldThatMeetsAnAcceptedMessage(t *testing.T) {
	h := newHouse(t)
	b := &between{Store: h.st}
	h.q, _ = openSpool(t, b, h.o)
	m := localMessage("alice@local.test", "bob@local.test")
	m.Account = addr("alice@local.test")
	b.then = func() {
		if err := h.q.HoldAccount(ctx, m.Account, "contained"); err != nil {
			t.Error(err)
		}
	}
	if c := put(t, h.q, m, "text"); c.Token != (spool.Token{}) || !c.Entry.ID.IsZero() {
		t.Errorf("there is a claim: %+v", c.Token)
	}
	if _, err := h.q.Claim(ctx, m.ID, "another", time.Minute, h.clock.now()); !errors.Is(err, spool.ErrHeld) {
		t.Errorf("a claim on what is held: %v", err)
	}
	if err := h.q.ReleaseAccount(ctx, m.Account); err != nil {
		t.Fatal(err)
	}
	if _, err := h.q.Claim(ctx, m.ID, "another", time.Minute, h.clock.now()); err != nil {
		t.Errorf("after the end of the hold: %v", err)
	}
}

// A hold and a release of one account that meet leave in memory what they leave in the store, whoever is told first.
func TestAHoldThatMeetsARelease(t *testing.T) {
	conflict := store.ErrConflict
	for name, row := range map[string]struct {
		meet func(release, hold func(error))
		held bool
	}{
		"released, held, told of the hold first": {func(release, hold func(error)) { hold(nil); release(nil) }, true},
		"released, held, told in their order":    {func(release, hold func(error)) { release(nil); hold(nil) }, true},
		"released, and not held":                 {func(release, hold func(error)) { release(nil); hold(conflict) }, false},
		"not held, and released":                 {func(release, hold func(error)) { hold(conflict); release(nil) }, false},
		"held, and not released":                 {func(release, hold func(error)) { hold(nil); release(conflict) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			alice := addr("alice@local.test")
			if err := h.q.HoldAccount(ctx, alice, "before"); err != nil {
				t.Fatal(err)
			}
			release, err := h.q.Releasing(alice)(ctx)
			hold, err2 := h.q.Holding(alice, "again")(ctx)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			row.meet(func(err error) { _ = release.Done(err) }, func(err error) { _ = hold.Done(err) })
			if _, held := h.q.AccountHeld(alice); held != row.held {
				t.Errorf("held: %v", held)
			}
		})
	}
}
