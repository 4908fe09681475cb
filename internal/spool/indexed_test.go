package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// reads counts what is read of a store, and does something when an index has been read.
type reads struct {
	store.Store
	entries int                       // keys of entries that were stepped over
	after   func(prefix string) error // of the range that was read
}

func (r *reads) Scan(ctx context.Context, rg store.Range, fn func(k, v []byte) (bool, error)) error {
	err := r.Store.Scan(ctx, rg, func(k, v []byte) (bool, error) {
		if store.SpaceEntries.Has(k) {
			r.entries++
		}
		return fn(k, v)
	})
	if err == nil && r.after != nil {
		err = r.after(string(rg.From[:2]))
	}
	return err
}

// crowd is a house of a hundred messages of a hundred accounts, and of three of alice's: due,
// held and parked.
func crowd(t *testing.T) (*house, *reads, []mail.ID) {
	h := newHouse(t)
	r := &reads{Store: h.st}
	h.st = r
	h.restart()
	var hers []mail.ID
	for i := range 100 {
		h.idle(localMessage(fmt.Sprintf("person%d@local.test", i), "bob@local.test"))
		if i%40 == 0 {
			hers = append(hers, h.idle(localMessage("alice@local.test", "bob@local.test")))
		}
	}
	slices.SortFunc(hers, func(a, b mail.ID) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	n, err := h.q.Hold(ctx, one(hers[1]), "why", nil)
	h.wantN(n, err, 1)
	if err := h.q.HoldAccount(ctx, addr("alice@local.test"), "why"); err != nil {
		t.Fatal(err)
	}
	_, err = h.q.Claim(ctx, hers[2], "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrHeld)
	if e, err := h.q.Get(ctx, hers[2]); err != nil || !e.Parked() {
		t.Fatalf("%+v, %v", e, err)
	}
	return h, r, hers
}

func (h *house) listed(f spool.Filter) (ids []mail.ID) {
	h.Helper()
	err := h.q.List(ctx, f, func(e spool.Entry) (bool, error) {
		ids = append(ids, e.ID)
		return true, nil
	})
	if err != nil {
		h.Error(err)
	}
	return ids
}

// What one account has is found without a look at what others have, wherever it stands, and in
// the order in which it came.
func TestAnAccountIsFoundByTheIndexes(t *testing.T) {
	h, r, hers := crowd(t)
	alice := spool.Filter{Account: addr("alice@local.test")}
	r.entries = 0
	if got := h.listed(alice); !slices.Equal(got, hers) {
		t.Errorf("listed %v, want %v", got, hers)
	}
	n, err := h.q.Hold(ctx, alice, "why", nil)
	h.wantN(n, err, 2)
	n, err = h.q.Release(ctx, alice, nil)
	h.wantN(n, err, 3)
	if got := h.listed(spool.Filter{Account: addr("nobody@local.test")}); got != nil {
		t.Errorf("nobody has %v", got)
	}
	if r.entries > 0 {
		t.Errorf("%d entries were looked at", r.entries)
	}
	if n := len(h.listed(spool.Filter{Recipient: addr("bob@local.test")})); n != 103 || r.entries < 103 {
		t.Errorf("%d have bob as recipient, and %d entries were looked at", n, r.entries)
	}
}

// What is held is found in the same way, by itself or with its account, set aside already or not;
// and so is what is not, where that is little.
func TestWhatIsHeldIsFoundByTheIndexes(t *testing.T) {
	h, r, hers := crowd(t)
	yes, no := true, false
	scheduled := 0
	r.after = func(prefix string) error {
		if prefix == "sd" {
			scheduled++
		}
		return nil
	}
	r.entries = 0
	if got := h.listed(spool.Filter{Held: &yes}); !slices.Equal(got, hers) || scheduled != 1 {
		t.Errorf("listed %v, want %v; the schedule was read %d times", got, hers, scheduled)
	}
	if got := h.listed(spool.Filter{Held: &no, Account: addr("alice@local.test")}); got != nil {
		t.Errorf("of alice's %v are not held", got)
	}
	if err := h.q.ReleaseAccount(ctx, addr("alice@local.test")); err != nil {
		t.Fatal(err)
	}
	scheduled = 0
	if got := h.listed(spool.Filter{Held: &yes}); len(got) != 1 || got[0] != hers[1] || scheduled != 0 {
		t.Errorf("listed %v, want %v; the schedule was read %d times", got, hers[1], scheduled)
	}
	if r.entries > 0 {
		t.Errorf("%d entries were looked at", r.entries)
	}
	free := h.listed(spool.Filter{Held: &no})
	if len(free) != 102 {
		t.Fatalf("%d are not held", len(free))
	}
	if n, err := h.q.Hold(ctx, spool.Filter{IDs: free[7:]}, "why", nil); n != 95 || err != nil {
		t.Fatal(n, err)
	}
	r.entries = 0
	if got := h.listed(spool.Filter{Held: &no}); !slices.Equal(got, free[:7]) || r.entries > 0 {
		t.Errorf("%d are not held, and %d entries were looked at", len(got), r.entries)
	}
}

// A place that does not say whose it is may be anybody's.
func TestAPlaceThatDoesNotReadIsLookedAt(t *testing.T) {
	h, _, hers := crowd(t)
	for k := range h.keysOf("d") {
		h.write(k, []byte{9})
	}
	if got := h.listed(spool.Filter{Account: addr("alice@local.test")}); !slices.Equal(got, hers) {
		t.Errorf("listed %v, want %v", got, hers)
	}
}

// What moves from an index that was not read yet to one that was is not overlooked.
func TestWhatGoesBackMeanwhileIsFound(t *testing.T) {
	for name, move := range map[string]func(h *house, id mail.ID) error{
		"released": func(h *house, id mail.ID) error {
			n, err := h.q.Release(ctx, one(id), nil)
			if n != 1 {
				err = errors.Join(err, fmt.Errorf("%d were released", n))
			}
			return err
		},
		"with its account": func(h *house, _ mail.ID) error {
			return h.q.ReleaseAccount(ctx, addr("alice@local.test"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, hers := crowd(t)
			id := hers[1]
			if name != "released" {
				id = hers[2]
			}
			r.after = func(prefix string) error {
				if prefix != "sd" {
					return nil
				}
				r.after = nil
				return move(h, id)
			}
			if got := h.listed(spool.Filter{Account: addr("alice@local.test")}); !slices.Equal(got, hers) {
				t.Errorf("listed %v, want %v", got, hers)
			}
			if r.after != nil {
				t.Error("nothing moved")
			}
		})
	}
}

// More than is kept in mind of what was under way is resumed all the same.
func TestMoreUnderWayThanIsNoted(t *testing.T) {
	for _, claims := range []int{1, 4, 5, 6, 100} {
		h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
		for range 5 {
			put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		}
		idle := h.idle(localMessage("alice@local.test", "bob@local.test"))
		h.o.Limits.Claims = claims
		if r := h.restart(); r.Resumed != 5 || r.Entries != 6 {
			t.Errorf("%d claims: %+v", claims, r)
		}
		if due := h.due(); len(due) != 6 || !slices.Contains(due, idle) {
			t.Errorf("%d claims: %d due", claims, len(due))
		}
	}
}
