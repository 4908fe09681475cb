package spool_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// An operation on many changes as many as it was asked for, whatever the batches, the
// first in order, and writes its facts once.
func TestAMassOperationIsBounded(t *testing.T) {
	for limit := range 8 {
		h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
		ids := h.five()
		slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a.Bytes(), b.Bytes()) })
		want := 5
		if limit > 0 {
			want = min(limit, 5)
		}
		n, err := h.q.Hold(ctx, spool.Filter{Limit: limit}, "why", [][]byte{[]byte("held")})
		h.wantN(n, err, want)
		h.wantHead(1)
		h.wantStats(5, want)
		for i, id := range ids {
			if e, err := h.q.Get(ctx, id); err != nil || (e.Held == "why") != (i < want) {
				t.Errorf("limit %d: entry %d held %q, %v", limit, i, e.Held, err)
			}
		}
		// By their IDs, in the order in which they are named.
		n, err = h.q.Remove(ctx, spool.Filter{IDs: ids, Limit: limit}, [][]byte{[]byte("removed")})
		h.wantN(n, err, want)
		h.wantHead(2)
		h.wantStats(5-want, 0)
	}
}

// A listing ends where it is told to, and passes on why.
func TestAListingEnds(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
	h.five()
	for stop := 1; stop <= 6; stop++ {
		for _, why := range []error{nil, errTrouble} {
			n := 0
			err := h.q.List(ctx, spool.Filter{}, func(spool.Entry) (bool, error) {
				if n++; n == stop {
					return false, why
				}
				return true, nil
			})
			if n != min(stop, 5) || stop <= 5 && err != why || stop > 5 && err != nil {
				t.Errorf("to stop at %d: %d entries, %v; want %v", stop, n, err, why)
			}
		}
		n := 0
		err := h.q.List(ctx, spool.Filter{Limit: stop}, func(spool.Entry) (bool, error) { n++; return true, nil })
		h.wantN(n, err, min(stop, 5))
	}
	n := 0
	err := h.q.List(ctx, spool.Filter{Limit: 1}, func(spool.Entry) (bool, error) { n++; return true, errTrouble })
	if n != 1 || !errors.Is(err, errTrouble) {
		t.Errorf("%d entries, %v", n, err)
	}
}

// Each condition of a filter by itself, on an entry that meets it and one that does not.
func TestWhatAFilterChooses(t *testing.T) {
	h := newHouse(t)
	mine := h.idle(localMessage("alice@local.test", "bob@local.test", "x@far.test"))
	received := h.clock.now()
	h.clock.advance(time.Minute)
	null := localMessage("carol@local.test", "dave@local.test")
	null.Envelope.From = mail.NullPath()
	other := h.idle(null)
	yes, no := true, false
	domain := func(s string) mail.Domain { return addr("x@" + s).Domain() }
	check := func(name string, f spool.Filter, want ...mail.ID) {
		t.Helper()
		var got []mail.ID
		if err := h.q.List(ctx, f, func(e spool.Entry) (bool, error) { got = append(got, e.ID); return true, nil }); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(want, func(a, b mail.ID) int { return slices.Compare(a.Bytes(), b.Bytes()) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	check("all", spool.Filter{}, mine, other)
	check("account", spool.Filter{Account: addr("ALICE@local.test")}, mine)
	check("sender", spool.Filter{Sender: addr("Alice@local.test")}, mine)
	check("sender of nothing", spool.Filter{Sender: addr("carol@local.test")})
	check("null", spool.Filter{Null: true}, other)
	check("older, to the moment", spool.Filter{OlderThan: received})
	check("older", spool.Filter{OlderThan: received.Add(1)}, mine)
	check("recipient", spool.Filter{Recipient: addr("Bob@local.test")}, mine)
	check("domain", spool.Filter{Domain: domain("far.test")}, mine)
	check("domain of both", spool.Filter{Domain: domain("local.test")}, mine, other)
	check("recipient in a domain", spool.Filter{Recipient: addr("bob@local.test"), Domain: domain("local.test")}, mine)
	check("recipient in another's domain", spool.Filter{Recipient: addr("bob@local.test"), Domain: domain("far.test")})
	check("not held", spool.Filter{Held: &no}, mine, other)
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "why"); err != nil {
		t.Fatal(err)
	}
	n, err := h.q.Hold(ctx, one(other), "why", nil)
	h.wantN(n, err, 1)
	check("held, each in its way", spool.Filter{Held: &yes}, mine, other)
	check("none is not held", spool.Filter{Held: &no})
}

// Whether an entry waits for its account shows, and one that does is set aside once.
func TestParked(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	if e, err := h.q.Get(ctx, id); err != nil || e.Parked() {
		t.Errorf("parked at once, %v", err)
	}
	h.park(id, id) // asked twice
	if e, err := h.q.Get(ctx, id); err != nil || !e.Parked() || len(h.keysOf("p")) != 1 || len(h.keysOf("d")) != 0 {
		t.Errorf("not parked, %v", err)
	}
	n, err := h.q.Retry(ctx, one(id), [][]byte{[]byte("f")})
	h.wantN(n, err, 0)
	h.wantHead(0)
	h.clock.advance(time.Hour)
	if err := h.q.ReleaseAccount(ctx, addr("alice@local.test")); err != nil {
		t.Fatal(err)
	}
	if e, err := h.q.Get(ctx, id); err != nil || e.Parked() || !e.NextTry.Equal(h.clock.now()) {
		t.Errorf("parked still, or due at %v: %v", e.NextTry, err)
	}
}

// A message that is released while it is set aside is not forgotten there.
func TestParkingMeetsARelease(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "why"); err != nil {
		t.Fatal(err)
	}
	slow := &slowStore{Store: h.st}
	h.st = slow
	h.restart()
	slow.before = func() {
		slow.before = nil
		if err := h.q.ReleaseAccount(ctx, addr("alice@local.test")); err != nil {
			t.Error(err)
		}
	}
	_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrHeld)
	h.wantDue(id)
	h.wantStats(1, 0)
	h.claim(id)
}

// The reason of a hold is kept up to a bound, and never empty.
func TestTheReasonOfAHold(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	m.Hold = strings.Repeat("x", 513)
	if _, err := offer(h.q, m, "x"); err != nil {
		t.Fatal(err)
	}
	if e, err := h.q.Get(ctx, m.ID); err != nil || e.Held != m.Hold[:512] || !e.HeldAt.Equal(h.clock.now()) {
		t.Errorf("held %q at %v, %v", e.Held, e.HeldAt, err)
	}
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), ""); err != nil {
		t.Fatal(err)
	}
	if reason, held := h.q.AccountHeld(addr("alice@local.test")); !held || reason != "held" {
		t.Errorf("held %v: %q", held, reason)
	}
	if reason, held := h.q.AccountHeld(mail.Address{}); held || reason != "" {
		t.Errorf("strangers are held: %q", reason)
	}
}

// What is removed ends the claim on it, and its figures with it.
func TestRemovingEndsAClaim(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), strings.Repeat("x", big))
	n, err := h.q.Remove(ctx, one(c.Entry.ID), nil)
	h.wantN(n, err, 1)
	if got := h.q.Stats(); got != (spool.Stats{}) {
		t.Errorf("left: %+v", got)
	}
	h.wantError(h.q.Extend(c.Token, time.Hour, h.clock.now()), spool.ErrStale)
	h.wantEmpty()
}

// An entry changed under the hands of an operation is judged again: one that the filter
// no longer chooses is left alone, one that was damaged meanwhile too.
func TestAMassOperationJudgesAgain(t *testing.T) {
	for name, row := range map[string]struct {
		change func(h *house, id mail.ID)
		want   int
	}{
		"still chosen": {func(h *house, id mail.ID) {
			h.clock.advance(1)
			n, err := h.q.Retry(ctx, one(id), nil)
			h.wantN(n, err, 1)
		}, 3},
		"held meanwhile":    {func(h *house, id mail.ID) { n, err := h.q.Hold(ctx, one(id), "other", nil); h.wantN(n, err, 1) }, 2},
		"damaged meanwhile": {func(h *house, id mail.ID) { h.write("se"+string(id.Bytes()), []byte("nonsense")) }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(o *spool.Options) { o.Logger = quiet() })
			slow := &slowStore{Store: h.st}
			h.st = slow
			h.restart()
			var ids []mail.ID
			for range 3 {
				ids = append(ids, h.idle(localMessage("alice@local.test", "bob@local.test")))
			}
			slow.before = func() {
				slow.before = nil
				row.change(h, ids[1])
			}
			no := false
			n, err := h.q.Hold(ctx, spool.Filter{Held: &no}, "why", [][]byte{[]byte("f")})
			h.wantN(n, err, row.want)
			h.wantHead(1)
			held := 0
			err = h.q.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) {
				if e.Held == "why" {
					held++
				}
				return true, nil
			})
			h.wantN(held, err, row.want)
		})
	}
}
