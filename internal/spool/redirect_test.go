package spool_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// instead is a message to carol that takes another's place.
func (h *house) instead(size int) spool.Spawned {
	h.Helper()
	return spool.Spawned{Message: localMessage("carol@local.test", "carol@local.test"), Body: bodyOf(h, h.q, []byte(strings.Repeat("r", size)))}
}

func (h *house) redirect(id mail.ID, to spool.Spawned) error {
	h.Helper()
	e, err := h.q.Get(ctx, id)
	if err != nil {
		h.Fatal(err)
	}
	return h.q.Redirect(ctx, e, to, h.clock.now(), [][]byte{[]byte("redirected")})
}

// A message takes the place of another in one act: the one is gone with its body, the
// other due at once, wherever the first stood.
func TestRedirect(t *testing.T) {
	for _, size := range []int{10, 300 << 10} {
		for _, held := range []bool{false, true} {
			h := newHouse(t)
			m := localMessage("alice@local.test", "bob@local.test")
			c := put(t, h.q, m, strings.Repeat("x", size))
			if err := h.q.Postpone(ctx, c.Token, h.clock.now().Add(time.Hour), nil); err != nil {
				t.Fatal(err)
			}
			if held {
				n, err := h.q.Hold(ctx, one(m.ID), "why", nil)
				h.wantN(n, err, 1)
			}
			<-drained(h.q.Watch())
			to := h.instead(size)
			if err := h.redirect(m.ID, to); err != nil {
				t.Fatal(err)
			}
			select {
			case <-h.q.Watch():
			default:
				t.Error("nobody is told that something is due")
			}
			h.wantHead(1)
			h.wantStats(1, 0)
			h.wantDue(to.Message.ID)
			if err := to.Body.Abort(); err != nil {
				t.Error(err)
			}
			wantBody(t, h.q, to.Message.ID, strings.Repeat("r", size))
			_, err := h.q.Get(ctx, m.ID)
			h.wantError(err, spool.ErrNotFound)
			got := h.claim(to.Message.ID)
			if got.Entry.Attempts != 1 || !got.Entry.Received.Equal(h.clock.now()) {
				t.Errorf("the first attempt: %+v", got.Entry)
			}
			h.settle(got.Token, spool.Final{}, outcome("carol@local.test", 250))
			h.wantEmpty()
		}
	}
}

// What speaks against a redirection leaves the message where it was, and the body to who
// called.
func TestARedirectionIsWholeOrNothing(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(h *house, id mail.ID, to *spool.Spawned)
		want  error
	}{
		"changed meanwhile": {func(h *house, id mail.ID, _ *spool.Spawned) {
			h.st.(*slowStore).before = func() {
				h.st.(*slowStore).before = nil
				n, err := h.q.Retry(ctx, one(id), nil)
				h.wantN(n, err, 1)
			}
			h.clock.advance(time.Second)
		}, spool.ErrStale},
		"under way":    {func(h *house, id mail.ID, _ *spool.Spawned) { h.claim(id) }, spool.ErrClaimed},
		"account held": {func(h *house, _ mail.ID, _ *spool.Spawned) { _ = h.q.HoldAccount(ctx, addr("carol@local.test"), "why") }, spool.ErrHeld},
		"no room": {func(h *house, _ mail.ID, _ *spool.Spawned) {
			put(h, h.q, localMessage("carol@local.test", "bob@local.test"), "x")
		}, spool.ErrFull},
		"no grant":  {func(_ *house, _ mail.ID, to *spool.Spawned) { to.Message.Deliveries[0].Kind = spool.KindOutbound }, spool.ErrNoGrant},
		"no body":   {func(_ *house, _ mail.ID, to *spool.Spawned) { to.Body = nil }, spool.ErrInvalid},
		"id in use": {func(_ *house, id mail.ID, to *spool.Spawned) { to.Message.ID = id }, spool.ErrStale},
		"id being tried": {func(h *house, _ mail.ID, to *spool.Spawned) {
			to.Message.ID = put(h, h.q, localMessage("bob@local.test", "bob@local.test"), "x").Entry.ID
		}, spool.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(o *spool.Options) { o.Limits.EntriesPerAccount = 1 })
			h.st = &slowStore{Store: h.st}
			h.restart()
			id := h.idle(localMessage("alice@local.test", "bob@local.test"))
			to := h.instead(300 << 10)
			body := to.Body
			row.spoil(h, id, &to)
			before := h.q.Stats()
			h.wantError(h.redirect(id, to), row.want)
			if after := h.q.Stats(); after != before {
				t.Errorf("counted %+v, before %+v", after, before)
			}
			h.wantHead(0)
			if err := body.Abort(); err != nil {
				t.Error(err)
			}
			if names, err := h.st.Blobs().List(); err != nil || len(names) != 0 {
				t.Errorf("%d files are left behind, %v", len(names), err)
			}
			wantBody(t, h.q, id, "x")
		})
	}
	h := newHouse(t)
	e := spool.Entry{ID: newID()}
	h.wantError(h.q.Redirect(ctx, e, h.instead(1), h.clock.now(), nil), spool.ErrNotFound)
}

// Whoever read the entry before it was changed redirects something else.
func TestAnOldEntryIsNotRedirected(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	e, err := h.q.Get(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	n, err := h.q.Hold(ctx, one(id), "why", nil)
	h.wantN(n, err, 1)
	h.wantError(h.q.Redirect(ctx, e, h.instead(1), h.clock.now(), nil), spool.ErrStale)
	h.wantStats(1, 1)
}

// A redirection in doubt counts as done, since the store does it as soon as it can.
func TestARedirectionInDoubt(t *testing.T) {
	for _, happen := range []bool{true, false} {
		h, st := newDoubt(t)
		m := localMessage("alice@local.test", "bob@local.test")
		c := put(t, h.q, m, strings.Repeat("x", 300<<10))
		if err := h.q.Postpone(ctx, c.Token, h.clock.now(), nil); err != nil {
			t.Fatal(err)
		}
		st.err, st.happen = store.ErrInDoubt, happen
		to := h.instead(300 << 10)
		h.wantError(h.redirect(m.ID, to), store.ErrInDoubt)
		if err := to.Body.Abort(); err != nil {
			t.Error(err)
		}
		st.recover()
		h.wantStats(1, 0)
		h.wantDue(to.Message.ID)
		wantBody(t, h.q, to.Message.ID, strings.Repeat("r", 300<<10))
		// The file of the first goes only when it is gone for good: here with the next opening.
		if r := h.restart(); r.Orphans != 1 || r.Entries != 1 {
			t.Errorf("report %+v", r)
		}
	}
}

// vacate commits what vacating an account takes together with err of another room.
func (h *house) vacate(account string, other error, during func()) error {
	h.Helper()
	tx, done, err := store.Tx{}.With(ctx, h.q.Vacating(addr(account)), func(context.Context) (store.Share, error) { return store.Share{}, other })
	if err != nil {
		return err
	}
	if during != nil {
		during()
	}
	_, err = h.st.Apply(ctx, tx, store.Durable)
	return errors.Join(err, done(err))
}

// An account without anything in the queue can be vacated: nothing comes in until that is
// decided, and then what comes in is somebody's again, also if it was decided against.
func TestVacating(t *testing.T) {
	h := newHouse(t)
	alice := addr("alice@local.test")
	h.wantError(h.vacate("", nil, nil), spool.ErrInvalid)
	m := localMessage("alice@local.test", "bob@local.test")
	c := put(t, h.q, m, "x")
	h.wantError(h.vacate("Alice@local.test", nil, nil), spool.ErrQueued)
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	during := false
	if err := h.vacate("Alice@local.test", nil, func() {
		during = true
		_, err := offer(h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		h.wantError(err, spool.ErrHeld)
	}); err != nil || !during {
		t.Errorf("vacated %v, %v", during, err)
	}
	h.wantError(h.vacate("alice@local.test", errTrouble, nil), errTrouble)
	if reason, held := h.q.AccountHeld(alice); held {
		t.Errorf("held after it: %s", reason)
	}
	if err := h.q.HoldAccount(ctx, alice, "why"); err != nil {
		t.Fatal(err)
	}
	h.wantError(h.vacate("alice@local.test", nil, nil), spool.ErrHeld)
	if reason, held := h.q.AccountHeld(alice); !held || reason != "why" {
		t.Errorf("the hold is lost: %v, %q", held, reason)
	}
	h.wantError(h.q.ReleaseAccount(ctx, mail.Address{}), spool.ErrInvalid)
}

// A hold that certainly was not written leaves what was before; one in doubt stands.
func TestAHoldThatFails(t *testing.T) {
	for name, row := range map[string]struct {
		before, want string
		err          error
	}{
		"was free":           {"", "", store.ErrUnavailable},
		"was held":           {"first", "first", store.ErrUnavailable},
		"was free, in doubt": {"", "second", store.ErrInDoubt},
		"was held, in doubt": {"first", "second", store.ErrInDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			h, st := newDoubt(t)
			alice := addr("alice@local.test")
			if row.before != "" {
				if err := h.q.HoldAccount(ctx, alice, row.before); err != nil {
					t.Fatal(err)
				}
			}
			st.err = row.err
			h.wantError(h.q.HoldAccount(ctx, alice, "second"), row.err)
			if reason, held := h.q.AccountHeld(alice); held != (row.want != "") || reason != row.want {
				t.Errorf("held %v: %q, want %q", held, reason, row.want)
			}
			if row.want != "" {
				h.wantError(h.q.ReleaseAccount(ctx, alice), row.err)
				if reason, held := h.q.AccountHeld(alice); !held || reason != row.want {
					t.Errorf("a release that fails ends the hold: %v, %q", held, reason)
				}
			}
			st.recover()
			h.restart()
			if reason, held := h.q.AccountHeld(alice); row.err == store.ErrUnavailable && (held != (row.want != "") || reason != row.want) {
				t.Errorf("after a restart held %v: %q, want %q", held, reason, row.want)
			}
		})
	}
}
