package spool_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// asked counts transactions that ask whether a key is absent.
type asked struct {
	store.Store
	absent int
}

func (a *asked) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	for _, p := range tx.Preconditions {
		if p.Absent {
			a.absent++
		}
	}
	return a.Store.Apply(ctx, tx, d)
}

// Of a new ID the store is not asked; of one that was used it is known, or found out, however long ago that was
// and whoever has opened the queue since. A clock that was set back makes nothing of it.
func TestNoIDEntersTwice(t *testing.T) {
	st, clk := &asked{Store: mem.New()}, newClock()
	o := options(t, clk.now)
	o.Paused, o.Limits.Entries, o.Limits.EntriesPerAccount = true, 10_000, 10_000
	q, _ := openSpool(t, st, o)
	message := func(id mail.ID) spool.Message {
		m := localMessage("alice@local.test", "bob@local.test")
		m.ID = id
		return m
	}
	enter := func(id mail.ID, want error, asks int) {
		t.Helper()
		before := st.absent
		c, err := q.Put(t.Context(), message(id), bodyOf(t, q, []byte("x")), nil)
		if !errors.Is(err, want) || c.Token != (spool.Token{}) {
			t.Fatalf("%v, %+v; want %v", err, c.Token, want)
		}
		if n := st.absent - before; n != asks {
			t.Fatalf("the store was asked for %d absent keys, want %d", n, asks)
		}
	}
	first := newID()
	enter(first, nil, 0)
	enter(first, spool.ErrInvalid, 1)
	for range 5000 { // more than are remembered
		enter(newID(), nil, 0)
	}
	enter(first, spool.ErrInvalid, 1)
	q, _ = openSpool(t, st, o)
	enter(first, spool.ErrInvalid, 1)
	past, err := mail.NewID(time.Now().Add(-time.Hour), zeros{})
	if err != nil {
		t.Fatal(err)
	}
	enter(past, nil, 1)
	enter(past, spool.ErrInvalid, 1)
	soon, err := mail.NewID(time.Now().Add(time.Second), zeros{})
	if err != nil {
		t.Fatal(err)
	}
	enter(soon, nil, 0)
}

// zeros is no chance at all.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// What enters a paused queue is due at once and untried, for whoever delivers one day.
func TestPaused(t *testing.T) {
	st, clk := mem.New(), newClock()
	o := options(t, clk.now)
	o.Paused = true
	q, _ := openSpool(t, st, o)
	m := localMessage("alice@local.test", "bob@local.test")
	if c := put(t, q, m, "text"); c.Token != (spool.Token{}) {
		t.Errorf("a claim in a paused queue: %+v", c.Token)
	}
	o.Paused = false
	q, _ = openSpool(t, st, o)
	due, err := q.Due(t.Context(), clk.now(), 10)
	if err != nil || len(due) != 1 || due[0].ID != m.ID {
		t.Fatalf("due: %+v, %v", due, err)
	}
	c, err := q.Claim(t.Context(), m.ID, "test", time.Minute, clk.now())
	if err != nil || c.Entry.Attempts != 1 {
		t.Errorf("attempt %d, %v", c.Entry.Attempts, err)
	}
	wantBody(t, q, m.ID, "text")
}
