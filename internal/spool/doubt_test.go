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
	"sallyport/internal/store/mem"
)

// doubtStore answers commits as a disk in trouble does: with an error, and
// whether the commit happens at once, later or never, nobody knows.
type doubtStore struct {
	store.Store
	err    error // nil: no trouble
	happen bool  // in spite of the error
	late   []func()
}

// Apply implements store.Store.
func (s *doubtStore) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	switch {
	case s.err == nil:
		return s.Store.Apply(ctx, tx, d)
	case s.happen:
		_, err := s.Store.Apply(ctx, tx, d)
		return 0, errors.Join(s.err, err)
	case errors.Is(s.err, store.ErrInDoubt):
		s.late = append(s.late, func() { _, _ = s.Store.Apply(ctx, tx, d) })
	}
	return 0, s.err
}

// recover ends the trouble; what was in doubt happens.
func (s *doubtStore) recover() {
	s.err = nil
	for _, f := range s.late {
		f()
	}
	s.late = nil
}

func newDoubt(t *testing.T) (*house, *doubtStore) {
	t.Helper()
	st := &doubtStore{Store: mem.New()}
	h := &house{T: t, st: st, clock: newClock()}
	h.o = options(t, h.clock.now)
	h.o.Logger = quiet()
	h.q, _ = openSpool(t, st, h.o)
	return h, st
}

// A client that was told to come again must not find that its message left in
// spite of it, whether the commit happened at once, later or never.
func TestARefusedMessageIsNotKept(t *testing.T) {
	for _, size := range []int{10, 200 << 10} {
		for _, happen := range []bool{true, false} {
			h, st := newDoubt(t)
			content := strings.Repeat("x", size)
			st.err, st.happen = store.ErrInDoubt, happen
			m := localMessage("alice@local.test", "bob@local.test")
			_, err := h.q.Put(ctx, m, bodyOf(t, h.q, []byte(content)), nil)
			h.wantError(err, spool.ErrUnavailable)
			select {
			case <-h.q.Watch():
			default:
				t.Error("who sleeps until something is due is not woken")
			}
			st.err, st.happen = store.ErrUnavailable, false
			h.clock.advance(time.Hour)
			h.wantDue()
			if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || at.After(h.clock.now().Add(time.Minute)) {
				t.Errorf("nobody is asked to look soon: %v %v %v", at, ok, err)
			}
			_, err = h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.now())
			h.wantError(err, spool.ErrNotFound)
			st.recover()
			h.wantDue()
			h.wantEmpty()
			put(t, h.q, m, content)
			h.wantStats(1, 0)
		}
	}
}

// A settlement in doubt can be repeated until it is answered, and counts once.
func TestASettlementInDoubtCountsOnce(t *testing.T) {
	for _, happen := range []bool{true, false} {
		for _, code := range []int{250, 451, 550} {
			h, st := newDoubt(t)
			c := put(t, h.q, localMessage("alice@local.test", "bob@local.test", "carol@local.test"), "x")
			out := []mail.Outcome{outcome("bob@local.test", code), outcome("carol@local.test", code)}
			note := localMessage("alice@local.test", "alice@local.test")
			f := spool.Final{Facts: [][]byte{[]byte("settled")}}
			if code == 550 {
				f.Spawn = []spool.Spawned{{Message: note, Body: bodyOf(t, h.q, []byte("bounce"))}}
			}
			st.err, st.happen = store.ErrInDoubt, happen
			_, err := h.q.Settle(ctx, c.Token, out, h.clock.now(), f)
			h.wantError(err, spool.ErrUnavailable)
			st.err, st.happen = store.ErrUnavailable, false
			_, err = h.q.Settle(ctx, c.Token, out, h.clock.now(), f)
			h.wantError(err, spool.ErrUnavailable)
			st.recover()
			s, err := h.q.Settle(ctx, c.Token, out, h.clock.now(), f)
			if err != nil || s.Done != (code != 451) || s.Delivered+s.Failed+s.Deferred != 2 {
				t.Errorf("code %d: settled %+v, %v", code, s, err)
			}
			h.wantHead(1)
			want := map[int]int{250: 0, 451: 1, 550: 1}[code]
			h.wantStats(want, 0)
			before := h.q.Stats()
			h.restart()
			if after := h.q.Stats(); after.Entries != before.Entries || after.Octets != before.Octets {
				t.Errorf("code %d: counted %+v, found %+v", code, before, after)
			}
		}
	}
}

// Giving a claim back in doubt can be repeated, and the entry is found when it is
// due, even if somebody looked before the commit happened.
func TestAPostponementInDoubt(t *testing.T) {
	for _, happen := range []bool{true, false} {
		h, st := newDoubt(t)
		c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		until := h.clock.now().Add(time.Second)
		st.err, st.happen = store.ErrInDoubt, happen
		h.wantError(h.q.Postpone(ctx, c.Token, until, [][]byte{[]byte("f")}), spool.ErrUnavailable)
		st.err, st.happen = store.ErrUnavailable, false
		h.clock.advance(time.Minute)
		h.wantDue() // and the floor rises
		st.recover()
		if err := h.q.Postpone(ctx, c.Token, until, [][]byte{[]byte("f")}); err != nil {
			t.Fatal(err)
		}
		h.wantHead(1)
		h.wantDue(c.Entry.ID)
		if again := h.claim(c.Entry.ID); again.Entry.Attempts != 1 {
			t.Errorf("attempt %d, want the first", again.Entry.Attempts)
		}
	}
}

// What was retried in doubt is found after the next commit.
func TestARetryInDoubtIsFound(t *testing.T) {
	h, st := newDoubt(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
	st.err = store.ErrInDoubt
	_, err := h.q.Retry(ctx, spool.Filter{}, nil)
	h.wantError(err, spool.ErrUnavailable)
	h.clock.advance(time.Second)
	h.wantDue()
	st.recover()
	put(t, h.q, localMessage("alice@local.test", "carol@local.test"), "x")
	h.wantDue(c.Entry.ID)
}

// An operation on many entries goes on one by one when some of them change under
// its hands.
func TestAMassOperationBearsChanges(t *testing.T) {
	slow := &slowStore{Store: mem.New()}
	h := &house{T: t, st: slow, clock: newClock()}
	h.o = options(t, h.clock.now)
	h.q, _ = openSpool(t, slow, h.o)
	var cs []spool.Claim
	for range 4 {
		cs = append(cs, put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x"))
	}
	slow.before = func() {
		slow.before = nil
		h.settle(cs[0].Token, spool.Final{}, outcome("bob@local.test", 250))
		h.settle(cs[1].Token, spool.Final{}, outcome("bob@local.test", 451))
	}
	n, err := h.q.Hold(ctx, spool.Filter{}, "all of them", [][]byte{[]byte("f")})
	h.wantN(n, err, 3)
	h.wantHead(1)
	h.wantStats(3, 3)
}

// Settle remembers its answers for a while, and not for ever.
func TestMemoryIsBounded(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Remembered = 2 })
	var tokens []spool.Token
	ok := outcome("bob@local.test", 250)
	for range 5 {
		c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		h.settle(c.Token, spool.Final{}, ok)
		tokens = append(tokens, c.Token)
	}
	for i, token := range tokens {
		_, err := h.q.Settle(ctx, token, []mail.Outcome{ok}, h.clock.now(), spool.Final{})
		if i < 3 {
			h.wantError(err, spool.ErrStale)
		} else if err != nil {
			t.Errorf("answer %d is forgotten: %v", i, err)
		}
	}
}
