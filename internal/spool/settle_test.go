package spool_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// to is an outcome for one mailbox of a recipient.
func to(recipient, mailbox string, code int) mail.Outcome {
	o := outcome(recipient, code)
	o.Mailbox = addr(mailbox)
	return o
}

// Each outcome finds its own delivery, whatever the order: by recipient, by mailbox where
// it names one, and no delivery twice.
func TestAnOutcomeFindsItsDelivery(t *testing.T) {
	boxes := []string{"b@local.test", "c@local.test", "d@local.test"}
	for name, row := range map[string]struct {
		outcomes []mail.Outcome
		want     [4]int // the reply of each delivery; 0: none. The fourth is to x
	}{
		"in order":          {[]mail.Outcome{outcome("sales@local.test", 250), outcome("sales@local.test", 451)}, [4]int{250, 451, 0, 0}},
		"named, backwards":  {[]mail.Outcome{to("sales@local.test", "d@local.test", 250), to("sales@local.test", "c@local.test", 451), to("sales@local.test", "b@local.test", 550)}, [4]int{550, 451, 250, 0}},
		"last first":        {[]mail.Outcome{outcome("x@local.test", 250), outcome("sales@local.test", 451)}, [4]int{451, 0, 0, 250}},
		"named, then not":   {[]mail.Outcome{to("sales@local.test", "b@local.test", 250), outcome("sales@local.test", 451)}, [4]int{250, 451, 0, 0}},
		"all of them":       {[]mail.Outcome{outcome("sales@local.test", 250), outcome("x@local.test", 451), outcome("sales@local.test", 452), outcome("sales@local.test", 550)}, [4]int{250, 452, 550, 451}},
		"one too many":      {[]mail.Outcome{outcome("x@local.test", 250), outcome("x@local.test", 250)}, [4]int{}},
		"a mailbox twice":   {[]mail.Outcome{to("sales@local.test", "b@local.test", 250), to("sales@local.test", "b@local.test", 250)}, [4]int{}},
		"another's mailbox": {[]mail.Outcome{to("x@local.test", "b@local.test", 250)}, [4]int{}},
		"a stranger":        {[]mail.Outcome{outcome("y@local.test", 250)}, [4]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m := localMessage("alice@local.test", "sales@local.test", "x@local.test")
			sales, x := m.Deliveries[0], m.Deliveries[1]
			m.Deliveries = nil
			for _, box := range boxes {
				sales.Mailbox = addr(box)
				m.Deliveries = append(m.Deliveries, sales)
			}
			m.Deliveries = append(m.Deliveries, x)
			c := put(t, h.q, m, "x")
			_, err := h.q.Settle(ctx, c.Token, row.outcomes, h.clock.now(), spool.Final{})
			if invalid := row.want == [4]int{}; invalid != errors.Is(err, spool.ErrInvalid) || !invalid && err != nil {
				t.Fatalf("settled: %v", err)
			}
			e, err := h.q.Get(ctx, m.ID)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range e.Recipients {
				if r.Last.Code != row.want[i] || (r.Last.Code != 0) != r.LastAt.Equal(h.clock.now()) {
					t.Errorf("delivery %d: %d at %v, want %d", i, r.Last.Code, r.LastAt, row.want[i])
				}
			}
		})
	}
}

// What is left of a message after an attempt, as the settlement asks.
func TestWhatASettlementLeaves(t *testing.T) {
	next := newClock().now().Add(17 * time.Minute)
	half := []mail.Outcome{outcome("bob@local.test", 250), outcome("carol@local.test", 550)}
	for name, row := range map[string]struct {
		forward  spool.Forward
		outcomes []mail.Outcome
		final    spool.Final
		settled  spool.Settled
		states   [2]spool.State
		kept     spool.Forward
		held     string
	}{
		"nothing was said": {settled: spool.Settled{Deferred: 2}, states: [2]spool.State{spool.StatePending, spool.StatePending}},
		"one is left": {outcomes: half[:1], final: spool.Final{Next: next},
			settled: spool.Settled{Delivered: 1, Deferred: 1, NextTry: next}, states: [2]spool.State{spool.StateDelivered, spool.StatePending}},
		"one cannot be told": {outcomes: half, final: spool.Final{Untold: true, Hold: "look"},
			settled: spool.Settled{Delivered: 1, Failed: 1}, states: [2]spool.State{spool.StateDelivered, spool.StateUntold}, held: "look"},
		"the copy is kept now": {forward: spool.ForwardSent, final: spool.Final{Kept: true},
			settled: spool.Settled{Deferred: 2}, states: [2]spool.State{spool.StatePending, spool.StatePending}, kept: spool.ForwardKept},
		"a copy was sent": {forward: spool.ForwardSent,
			settled: spool.Settled{Deferred: 2}, states: [2]spool.State{spool.StatePending, spool.StatePending}, kept: spool.ForwardSent},
		"nobody sent it on": {final: spool.Final{Kept: true},
			settled: spool.Settled{Deferred: 2}, states: [2]spool.State{spool.StatePending, spool.StatePending}},
		"held": {outcomes: half[1:], final: spool.Final{Hold: "look"},
			settled: spool.Settled{Failed: 1, Deferred: 1}, states: [2]spool.State{spool.StatePending, spool.StateFailed}, held: "look"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
			m.Forward = row.forward
			c := put(t, h.q, m, "x")
			s := h.settle(c.Token, row.final, row.outcomes...)
			row.settled.ID = m.ID
			if row.final.Next.IsZero() {
				row.settled.NextTry = c.Entry.NextTry
			}
			if s != row.settled {
				t.Errorf("settled %+v, want %+v", s, row.settled)
			}
			h.restart()
			e, err := h.q.Get(ctx, m.ID)
			if err != nil || e.Recipients[0].State != row.states[0] || e.Recipients[1].State != row.states[1] || e.Forward != row.kept || e.Held != row.held || !e.NextTry.Equal(row.settled.NextTry) {
				t.Errorf("left %+v, %v", e, err)
			}
			if e.HeldAt.Equal(h.clock.now()) != (row.held != "") {
				t.Errorf("held at %v", e.HeldAt)
			}
			h.wantStats(1, map[bool]int{true: 1}[row.held != ""])
		})
	}
}

// With nothing left to do there is nothing to hold.
func TestWhatIsDoneIsNotHeld(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	if s := h.settle(c.Token, spool.Final{Hold: "look"}, outcome("bob@local.test", 250)); !s.Done {
		t.Errorf("settled %+v", s)
	}
	h.wantEmpty()
}

// Of whom nobody may be told, the message waits for a person: by itself nothing is tried
// again, a release tries it again, and who was delivered is not.
func TestAPersonDecidesOfTheUntold(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
	c := put(t, h.q, m, "x")
	s := h.settle(c.Token, spool.Final{Untold: true, Hold: "untold"}, outcome("bob@local.test", 250), outcome("carol@local.test", 550))
	if s.Done || s.Failed != 1 {
		t.Errorf("settled %+v", s)
	}
	e, err := h.q.Get(ctx, m.ID)
	if err != nil || len(e.Pending()) != 0 || len(e.Untold()) != 1 || e.Untold()[0].Recipient.Address != addr("carol@local.test") {
		t.Errorf("untold %v, %v", e.Untold(), err)
	}
	h.clock.advance(100 * time.Hour)
	h.wantDue()
	n, err := h.q.Release(ctx, one(m.ID), nil)
	h.wantN(n, err, 1)
	h.wantDue(m.ID)
	c = h.claim(m.ID)
	if p := c.Entry.Pending(); len(p) != 1 || p[0].Recipient.Address != addr("carol@local.test") || len(c.Entry.Untold()) != 0 || c.Entry.Held != "" || !c.Entry.HeldAt.IsZero() {
		t.Errorf("pending %+v of %+v", p, c.Entry)
	}
	h.settle(c.Token, spool.Final{}, outcome("carol@local.test", 250))
	h.wantEmpty()
}

// restless is a store in which somebody else is quicker so many times.
type restless struct {
	store.Store
	conflicts int
}

func (s *restless) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if s.conflicts > 0 && len(tx.Preconditions) > 0 {
		s.conflicts--
		return 0, store.ErrConflict
	}
	return s.Store.Apply(ctx, tx, d)
}

// Who loses a race tries again, a bounded number of times, and then says so; what is
// asked once more is done once.
func TestARaceIsRunAgain(t *testing.T) {
	for name, row := range map[string]struct {
		do   func(h *house, c spool.Claim) error
		want error
	}{
		"settle": {func(h *house, c spool.Claim) error {
			_, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 250)}, h.clock.now(), spool.Final{Facts: [][]byte{[]byte("f")}})
			return err
		}, spool.ErrUnavailable},
		"postpone": {func(h *house, c spool.Claim) error {
			return h.q.Postpone(ctx, c.Token, h.clock.now(), [][]byte{[]byte("f")})
		}, spool.ErrUnavailable},
		"hold claimed": {func(h *house, c spool.Claim) error {
			return h.q.HoldClaimed(ctx, c.Token, "why", [][]byte{[]byte("f")})
		}, spool.ErrUnavailable},
		"claim": {func(h *house, c spool.Claim) error {
			_, err := h.q.Claim(ctx, c.Entry.ID, "test", time.Minute, c.Expires)
			if err == nil {
				_, err = h.st.Apply(ctx, store.Tx{Facts: [][]byte{[]byte("f")}}, store.Lazy)
			}
			return err
		}, spool.ErrClaimed},
	} {
		for _, conflicts := range []int{1, 15, 16} {
			t.Run(fmt.Sprintf("%s/%d", name, conflicts), func(t *testing.T) {
				st := &restless{Store: mem.New()}
				h := &house{T: t, st: st, clock: newClock()}
				h.o = options(t, h.clock.now)
				h.q, _ = openSpool(t, st, h.o)
				c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
				st.conflicts = conflicts
				err := row.do(h, c)
				if conflicts == 16 {
					h.wantError(err, row.want)
					h.wantHead(0)
					err = row.do(h, c)
				}
				if err != nil {
					t.Error(err)
				}
				h.wantHead(1)
			})
		}
	}
}

// Who ends a claim wakes whoever waits for the schedule, and whoever waits for it is not
// woken by what changed nothing.
func TestWhoIsWoken(t *testing.T) {
	for name, row := range map[string]struct {
		do    func(h *house, c spool.Claim) error
		woken bool
	}{
		"postpone":     {func(h *house, c spool.Claim) error { return h.q.Postpone(ctx, c.Token, h.clock.now(), nil) }, true},
		"hold claimed": {func(h *house, c spool.Claim) error { return h.q.HoldClaimed(ctx, c.Token, "why", nil) }, true},
		"retry":        {func(h *house, c spool.Claim) error { _, err := h.q.Retry(ctx, one(c.Entry.ID), nil); return err }, true},
		"nothing to release": {func(h *house, c spool.Claim) error {
			n, err := h.q.Release(ctx, one(c.Entry.ID), [][]byte{[]byte("f")})
			h.wantN(n, err, 0)
			return err
		}, false},
		"deferred": {func(h *house, c spool.Claim) error {
			h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
			return nil
		}, true},
		"delivered": {func(h *house, c spool.Claim) error {
			h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
			return nil
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
			<-drained(h.q.Watch())
			if err := row.do(h, c); err != nil {
				t.Fatal(err)
			}
			select {
			case <-h.q.Watch():
				if !row.woken {
					t.Error("woken for nothing")
				}
			default:
				if row.woken {
					t.Error("not woken")
				}
			}
			h.wantHead(0)
		})
	}
}

// What one settlement spawns fits into one act with it: up to 4 MiB of records and small
// bodies, and not an octet more.
func TestSpawnedOctetsAreBounded(t *testing.T) {
	spawned := func(h *house, total int) error {
		h.Helper()
		c := put(h, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		var f spool.Final
		for range 8 {
			n := total/8 - 1000
			f.Spawn = append(f.Spawn, spool.Spawned{Message: localMessage("carol@local.test", "carol@local.test"), Body: bodyOf(h, h.q, []byte(strings.Repeat("x", n)))})
		}
		_, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 550)}, h.clock.now(), f)
		return err
	}
	h := newHouse(t, func(o *spool.Options) { o.Limits.InlineOctets = 1 << 20 })
	if err := spawned(h, 4<<20); err != nil {
		t.Error(err)
	}
	h.wantError(spawned(h, 4<<20+8*1000), spool.ErrTooLarge)
	h = newHouse(t)
	if err := spawned(h, 5<<20); err != nil { // 655,360 octets each
		t.Errorf("in files: %v", err)
	}
}

// A message that goes while its attempt is settled is gone: nothing of the settlement
// happens, and its claim ends.
func TestASettlementOfWhatIsGone(t *testing.T) {
	for name, settle := range map[string]func(h *house, c spool.Claim) error{
		"settle": func(h *house, c spool.Claim) error {
			s, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 250)}, h.clock.now(), spool.Final{Facts: [][]byte{[]byte("f")}})
			if s != (spool.Settled{}) {
				h.Errorf("settled %+v", s)
			}
			return err
		},
		"postpone": func(h *house, c spool.Claim) error {
			return h.q.Postpone(ctx, c.Token, h.clock.now(), [][]byte{[]byte("f")})
		},
	} {
		for _, damage := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				slow := &slowStore{Store: mem.New()}
				h := &house{T: t, st: slow, clock: newClock()}
				h.o = options(t, h.clock.now)
				h.o.Logger = quiet()
				h.q, _ = openSpool(t, slow, h.o)
				c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
				slow.before = func() {
					slow.before = nil
					if damage {
						h.write("se"+string(c.Entry.ID.Bytes()), []byte("nonsense"))
						return
					}
					n, err := h.q.Remove(ctx, one(c.Entry.ID), nil)
					h.wantN(n, err, 1)
				}
				h.wantError(settle(h, c), spool.ErrStale)
				h.wantHead(0)
				if got := h.q.Stats(); got != (spool.Stats{}) {
					t.Errorf("left %+v", got)
				}
			})
		}
	}
}

// Of what an ended attempt came to, a second settlement that waited for the first learns.
func TestWhoWaitsForASettlementLearnsOfIt(t *testing.T) {
	slow := &slowStore{Store: mem.New()}
	h := &house{T: t, st: slow, clock: newClock()}
	h.o = options(t, h.clock.now)
	h.q, _ = openSpool(t, slow, h.o)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	out := []mail.Outcome{outcome("bob@local.test", 250)}
	type answer struct {
		s   spool.Settled
		err error
	}
	second := make(chan answer, 1)
	began := make(chan struct{})
	slow.before = func() {
		slow.before = nil
		go func() {
			close(began)
			s, err := h.q.Settle(ctx, c.Token, out, h.clock.now(), spool.Final{})
			second <- answer{s, err}
		}()
		<-began
		time.Sleep(time.Millisecond) // it comes to the lock, mostly; the answer is the same if it comes later
	}
	first := h.settle(c.Token, spool.Final{}, out...)
	if got := <-second; got.err != nil || got.s != first || !first.Done {
		t.Errorf("answered %+v, %v; the first %+v", got.s, got.err, first)
	}
	h.wantEmpty()
}

// What is in doubt in the schedule is found after the next commit, and the doubt then ends.
func TestADoubtInTheScheduleEnds(t *testing.T) {
	h, st := newDoubt(t)
	early := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	h.settle(early.Token, spool.Final{}, outcome("bob@local.test", 451))
	st.err = store.ErrInDoubt
	_, err := h.q.Retry(ctx, spool.Filter{}, nil)
	h.wantError(err, spool.ErrUnavailable)
	st.recover()
	h.clock.advance(time.Minute)
	h.wantDue(early.Entry.ID) // the search looked at all of it since the store answers again
	c := h.claim(early.Entry.ID)
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	for range 3 {
		late := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		h.settle(late.Token, spool.Final{Next: h.clock.now()}, outcome("bob@local.test", 451))
		h.wantDue(late.Entry.ID)
		n, err := h.q.Remove(ctx, one(late.Entry.ID), nil)
		h.wantN(n, err, 1)
		h.clock.advance(time.Minute)
		h.wantDue()
	}
}
