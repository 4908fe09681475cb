package spool_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// idle puts a message and gives its claim back, so that it is due at once.
func (h *house) idle(m spool.Message) mail.ID {
	h.Helper()
	c := put(h, h.q, m, "x")
	if err := h.q.Postpone(ctx, c.Token, h.clock.now(), nil); err != nil {
		h.Fatal(err)
	}
	return m.ID
}

func one(id mail.ID) spool.Filter { return spool.Filter{IDs: []mail.ID{id}} }

func (h *house) wantN(n int, err error, want int) {
	h.Helper()
	if err != nil || n != want {
		h.Errorf("%d entries, %v; want %d", n, err, want)
	}
}

func TestHoldAndRelease(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	h.wantDue(id)
	n, err := h.q.Hold(ctx, one(id), "suspicious", [][]byte{[]byte("held")})
	h.wantN(n, err, 1)
	n, err = h.q.Hold(ctx, one(id), "again", [][]byte{[]byte("held")})
	h.wantN(n, err, 0)
	h.wantHead(1)
	h.wantStats(1, 1)
	h.wantDue()
	_, err = h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrHeld)
	n, err = h.q.Retry(ctx, one(id), nil)
	h.wantN(n, err, 0)
	if r := h.restart(); r.Held != 1 {
		t.Errorf("report %+v", r)
	}
	e, err := h.q.Get(ctx, id)
	if err != nil || e.Held != "suspicious" || e.HeldAt.IsZero() {
		t.Errorf("entry %+v, %v", e, err)
	}
	n, err = h.q.Release(ctx, one(id), nil)
	h.wantN(n, err, 1)
	h.wantStats(1, 0)
	h.wantDue(id)
	c := h.claim(id)
	if err := h.q.HoldClaimed(ctx, c.Token, "", nil); err != nil {
		t.Fatal(err)
	}
	h.wantStats(1, 1)
	if e, err := h.q.Get(ctx, id); err != nil || e.Held == "" {
		t.Errorf("entry %+v, %v", e, err)
	}
	n, err = h.q.Remove(ctx, one(id), [][]byte{[]byte("removed")})
	h.wantN(n, err, 1)
	h.wantHead(2)
	h.wantEmpty()
}

// What an operator does while an attempt is under way, the settlement respects.
func TestOperatorsAndAttemptsMeet(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
	c := put(t, h.q, m, "x")
	n, err := h.q.Hold(ctx, one(m.ID), "wait", nil)
	h.wantN(n, err, 1)
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250), outcome("carol@local.test", 451))
	h.wantStats(1, 1)
	if e, err := h.q.Get(ctx, m.ID); err != nil || e.Held != "wait" || len(e.Pending()) != 1 {
		t.Errorf("entry %+v, %v", e, err)
	}
	n, err = h.q.Release(ctx, one(m.ID), nil)
	h.wantN(n, err, 1)
	c = h.claim(m.ID)
	n, err = h.q.Remove(ctx, one(m.ID), nil)
	h.wantN(n, err, 1)
	_, err = h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("carol@local.test", 250)}, h.clock.now(), spool.Final{Facts: [][]byte{[]byte("f")}})
	h.wantError(err, spool.ErrStale)
	h.wantHead(0)
	h.wantEmpty()
}

func TestHoldingAnAccount(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 3 })
	alice := addr("Alice@local.test")
	var hers []mail.ID
	for range 8 {
		hers = append(hers, h.idle(localMessage("alice@local.test", "bob@local.test")))
	}
	his := h.idle(localMessage("bob@local.test", "alice@local.test"))
	if err := h.q.HoldAccount(ctx, alice, "hijacked", []byte("contained")); err != nil {
		t.Fatal(err)
	}
	h.wantHead(1)
	h.wantStats(9, 8) // all of hers, though none has had its turn
	if reason, held := h.q.AccountHeld(addr("alice@local.test")); !held || reason != "hijacked" {
		t.Errorf("held %v: %q", held, reason)
	}
	_, err := h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), bodyOf(t, h.q, []byte("x")), nil)
	h.wantError(err, spool.ErrHeld)
	for _, id := range hers[:5] {
		_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrHeld)
	}
	h.wantStats(9, 8)
	if r := h.restart(); r.Held != 8 || r.Entries != 9 {
		t.Errorf("report %+v", r)
	}
	for _, id := range hers {
		_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrHeld)
	}
	h.wantDue(his) // hers no longer stand in the way
	held := true
	if n := h.count(spool.Filter{Held: &held}); n != 8 {
		t.Errorf("%d entries are listed as held", n)
	}
	n, err := h.q.Release(ctx, one(hers[0]), nil)
	h.wantN(n, err, 0)
	if err := h.q.ReleaseAccount(ctx, alice, []byte("released")); err != nil {
		t.Fatal(err)
	}
	h.wantHead(2)
	h.wantStats(9, 0)
	if got := len(h.due()); got != 9 {
		t.Errorf("%d due, want all", got)
	}
	h.claim(hers[7])
	if err := h.q.HoldAccount(ctx, mail.Address{}, "strangers"); err == nil {
		t.Error("all strangers can be held as if they were one account")
	}
}

// An entry held by itself stays so through its account's hold and release.
func TestTwoHoldsAreTwo(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	n, err := h.q.Hold(ctx, one(id), "by hand", nil)
	h.wantN(n, err, 1)
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "hijacked"); err != nil {
		t.Fatal(err)
	}
	if err := h.q.ReleaseAccount(ctx, addr("alice@local.test")); err != nil {
		t.Fatal(err)
	}
	h.wantStats(1, 1)
	h.wantDue()
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "hijacked"); err != nil {
		t.Fatal(err)
	}
	n, err = h.q.Release(ctx, one(id), nil)
	h.wantN(n, err, 1)
	_, err = h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrHeld)
}

// A release that was interrupted half-way is finished by the next opening.
func TestAnInterruptedReleaseIsFinished(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "hijacked"); err != nil {
		t.Fatal(err)
	}
	_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrHeld)
	h.wantStats(1, 1)
	// The marker goes, and then the power.
	if _, err := h.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: []byte("saalice@local.test"), Delete: true}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.wantStats(1, 0)
	h.wantDue(id)
}

func (h *house) count(f spool.Filter) int {
	h.Helper()
	n := 0
	if err := h.q.List(ctx, f, func(spool.Entry) (bool, error) { n++; return true, nil }); err != nil {
		h.Error(err)
	}
	return n
}

func TestListing(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
	var ids []mail.ID
	for i := range 7 {
		m := localMessage(fmt.Sprintf("a%d@local.test", i%2), fmt.Sprintf("r%d@local.test", i), "x@far.test")
		if i == 6 {
			m.Envelope.From, m.Account = mail.NullPath(), mail.Address{}
		}
		ids = append(ids, h.idle(m))
		h.clock.advance(time.Minute)
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	yes, no := true, false
	n, err := h.q.Hold(ctx, spool.Filter{Sender: addr("A1@local.test"), Limit: 2}, "x", nil)
	h.wantN(n, err, 2)
	start := newClock().now()
	for name, c := range map[string]struct {
		f    spool.Filter
		want int
	}{
		"all":           {spool.Filter{}, 7},
		"limit":         {spool.Filter{Limit: 3}, 3},
		"account":       {spool.Filter{Account: addr("A0@local.test")}, 3},
		"sender":        {spool.Filter{Sender: addr("a1@local.test")}, 3},
		"null":          {spool.Filter{Null: true}, 1},
		"recipient":     {spool.Filter{Recipient: addr("R3@local.test")}, 1},
		"domain":        {spool.Filter{Domain: addr("x@far.test").Domain()}, 7},
		"other domain":  {spool.Filter{Domain: addr("x@near.test").Domain()}, 0},
		"both":          {spool.Filter{Recipient: addr("r1@local.test"), Domain: addr("x@far.test").Domain()}, 0},
		"held":          {spool.Filter{Held: &yes}, 2},
		"not held":      {spool.Filter{Held: &no}, 5},
		"older":         {spool.Filter{OlderThan: start.Add(150 * time.Second)}, 3},
		"ids":           {spool.Filter{IDs: append([]mail.ID{newID()}, ids[:3]...)}, 3},
		"ids and null":  {spool.Filter{IDs: ids, Null: true}, 1},
		"no ids at all": {spool.Filter{IDs: []mail.ID{}}, 0},
	} {
		if got := h.count(c.f); got != c.want {
			t.Errorf("%s: %d entries, want %d", name, got, c.want)
		}
	}
	var listed []mail.ID
	if err := h.q.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) { listed = append(listed, e.ID); return true, nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(listed, ids) {
		t.Errorf("listed %v, want %v", listed, ids)
	}
	n, err = h.q.Retry(ctx, spool.Filter{}, nil)
	h.wantN(n, err, 5)
	n, err = h.q.Remove(ctx, spool.Filter{Limit: 5}, nil)
	h.wantN(n, err, 5)
	n, err = h.q.Remove(ctx, spool.Filter{}, nil)
	h.wantN(n, err, 2)
	h.wantEmpty()
}

// The schedule is searched from its first entry, whatever was delivered before,
// and finds what comes in earlier than what is there.
func TestTheScheduleIsNeverMissed(t *testing.T) {
	h := newHouse(t)
	late := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	far := h.clock.now().Add(100 * time.Hour)
	if err := h.q.Postpone(ctx, late.Token, far, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || !at.Equal(far) {
			t.Fatalf("next due %v %v %v", at, ok, err)
		}
		h.wantDue()
	}
	soon := h.idle(localMessage("alice@local.test", "bob@local.test"))
	h.wantDue(soon)
	if n, err := h.q.Retry(ctx, one(late.Entry.ID), nil); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if got := h.due(); len(got) != 2 {
		t.Errorf("due %v", got)
	}
	h.claim(soon)
	h.claim(late.Entry.ID)
	h.wantDue()
	if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || at.Before(h.clock.now()) {
		t.Errorf("with all claimed, next due %v %v %v", at, ok, err)
	}
	h.clock.advance(10 * time.Minute) // the claims expire, and the leases too
	if got := h.due(); len(got) != 2 {
		t.Errorf("due %v", got)
	}
	if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || at.After(h.clock.now()) {
		t.Errorf("with all overdue, next due %v %v %v", at, ok, err)
	}
}

func TestAnOverdueClaimIsWaitedFor(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	now := h.clock.advance(10 * time.Minute) // the lease is over, the claim is not
	h.wantDue()
	at, ok, err := h.q.NextDue(ctx)
	if err != nil || !ok || !at.After(now) {
		t.Errorf("next due %v %v %v: nobody can claim before the claim expires", at, ok, err)
	}
	if err := h.q.Extend(c.Token, 3*time.Hour, now); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(2 * time.Hour)
	h.wantDue()
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	if _, ok, err := h.q.NextDue(ctx); ok || err != nil {
		t.Errorf("an empty queue has something due: %v", err)
	}
	h.wantEmpty()
}

func TestClaimsAreBounded(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Claims = 2 })
	a := h.idle(localMessage("alice@local.test", "bob@local.test"))
	b := h.idle(localMessage("alice@local.test", "bob@local.test"))
	c := h.idle(localMessage("alice@local.test", "bob@local.test"))
	h.claim(a)
	h.claim(b)
	_, err := h.q.Claim(ctx, c, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrFull)
	_, err = h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), bodyOf(t, h.q, nil), nil)
	h.wantError(err, spool.ErrFull)
	h.clock.advance(2 * time.Minute)
	h.claim(c)
}
