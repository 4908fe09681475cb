package spool_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/storetest"
)

// Every limit admits what is exactly as large as it says, and nothing beyond.
func TestLimitsAtTheirEdge(t *testing.T) {
	offerTo := func(h *house, m spool.Message, size int) error {
		_, err := offer(h.q, m, strings.Repeat("x", size))
		return err
	}
	alice := func(to ...string) spool.Message {
		m := localMessage("alice@local.test", append([]string{"bob@local.test"}, to...)...)
		m.Prefix = nil
		return m
	}
	for name, row := range map[string]struct {
		limits spool.Limits
		within func(h *house) error // what is exactly at the limit
		beyond func(h *house) error // and by one too much
		want   error
	}{
		"octets of a message": {spool.Limits{MessageOctets: 100},
			func(h *house) error { return offerTo(h, alice(), 100) },
			func(h *house) error { return offerTo(h, alice(), 101) }, spool.ErrTooLarge},
		"octets of a prefix": {spool.Limits{PrefixOctets: 10},
			func(h *house) error { m := alice(); m.Prefix = make([]byte, 10); return offerTo(h, m, 1) },
			func(h *house) error { m := alice(); m.Prefix = make([]byte, 11); return offerTo(h, m, 1) }, spool.ErrTooLarge},
		"deliveries": {spool.Limits{Recipients: 2},
			func(h *house) error { return offerTo(h, alice("c@local.test"), 1) },
			func(h *house) error {
				m := alice("c@local.test", "d@local.test")
				m.Envelope.To = m.Envelope.To[:1]
				return offerTo(h, m, 1)
			}, spool.ErrTooLarge},
		"recipients of the envelope": {spool.Limits{Recipients: 2},
			func(h *house) error { return offerTo(h, alice("c@local.test"), 1) },
			func(h *house) error {
				m := alice("c@local.test", "d@local.test")
				m.Deliveries = m.Deliveries[:1]
				return offerTo(h, m, 1)
			}, spool.ErrTooLarge},
		"messages": {spool.Limits{Entries: 1},
			func(h *house) error { return offerTo(h, alice(), 1) },
			func(h *house) error { return offerTo(h, localMessage("carol@local.test", "bob@local.test"), 1) }, spool.ErrFull},
		"messages of an account": {spool.Limits{EntriesPerAccount: 1},
			func(h *house) error { return offerTo(h, alice(), 1) },
			func(h *house) error { return offerTo(h, alice(), 1) }, spool.ErrFull},
		"octets in the queue": {spool.Limits{Octets: 30},
			func(h *house) error { m := alice(); m.Prefix = make([]byte, 10); return offerTo(h, m, 20) },
			func(h *house) error { return offerTo(h, alice(), 1) }, spool.ErrFull},
		"claims": {spool.Limits{Claims: 1},
			func(h *house) error { return offerTo(h, alice(), 1) },
			func(h *house) error { return offerTo(h, alice(), 1) }, spool.ErrFull},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(o *spool.Options) { o.Limits = row.limits })
			if err := row.within(h); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			before := h.q.Stats()
			h.wantError(row.beyond(h), row.want)
			if after := h.q.Stats(); after != before {
				t.Errorf("what was refused is counted: %+v, before %+v", after, before)
			}
		})
	}
}

// Strangers share one bound, that of the queue: there is none for "no account".
func TestStrangersAreNotOneAccount(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.EntriesPerAccount = 1 })
	for range 3 {
		m := localMessage("x@far.test", "bob@local.test")
		m.Account = mail.Address{}
		put(t, h.q, m, "x")
	}
	h.wantStats(3, 0)
}

// What is not said of the limits is their default; each negative one is refused, at the
// beginning and later, and then everything stays.
func TestLimitsAreFilledAndChecked(t *testing.T) {
	h := newHouse(t)
	if p, l := h.q.Bounds(); l != spool.DefaultLimits() || !reflect.DeepEqual(p, sched.Default()) {
		t.Errorf("in force: %+v, %+v", p, l)
	}
	n := reflect.TypeFor[spool.Limits]().NumField()
	for i := range n {
		name := reflect.TypeFor[spool.Limits]().Field(i).Name
		var l spool.Limits
		reflect.ValueOf(&l).Elem().Field(i).SetInt(-1)
		h.wantError(h.q.Adjust(sched.Default(), l), spool.ErrInvalid)
		o := h.o
		o.Limits = l
		_, _, err := spool.Open(ctx, h.st, o)
		if !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("%s of -1: %v", name, err)
		}
		want := spool.DefaultLimits()
		reflect.ValueOf(&l).Elem().Field(i).SetInt(7)
		reflect.ValueOf(&want).Elem().Field(i).SetInt(7)
		if err := h.q.Adjust(sched.Default(), l); err != nil {
			t.Errorf("%s of 7: %v", name, err)
		}
		if _, got := h.q.Bounds(); got != want {
			t.Errorf("%s of 7: in force %+v", name, got)
		}
	}
	for _, l := range []spool.Limits{{InlineOctets: 1<<20 + 1}, {PrefixOctets: 1<<20 + 1}} {
		h.wantError(h.q.Adjust(sched.Default(), l), spool.ErrInvalid)
	}
	if err := h.q.Adjust(sched.Default(), spool.Limits{InlineOctets: 1 << 20, PrefixOctets: 1 << 20}); err != nil {
		t.Error(err)
	}
	_, before := h.q.Bounds()
	if err := h.q.Adjust(sched.Policy{}, spool.Limits{}); err == nil {
		t.Error("a schedule without waits is taken")
	}
	if _, after := h.q.Bounds(); after != before {
		t.Errorf("a refused change changes the limits: %+v", after)
	}
}

// A claim ends at the moment that it names, for all who ask, and not before.
func TestAClaimEndsOnTime(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	c := h.claim(id)
	e := c.Entry
	to := func() spool.Spawned {
		return spool.Spawned{Message: localMessage("alice@local.test", "bob@local.test"), Body: bodyOf(t, h.q, nil)}
	}
	h.clock.advance(10 * time.Minute) // due again, were it not claimed
	if err := h.q.Extend(c.Token, time.Minute, h.clock.now()); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute - 1)
	h.wantDue()
	if at, ok, err := h.q.NextDue(ctx); !ok || err != nil || !at.Equal(h.clock.now().Add(1)) {
		t.Errorf("next due %v, %v, %v; the claim ends at %v", at, ok, err, h.clock.now().Add(1))
	}
	_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrClaimed)
	h.wantError(h.q.Redirect(ctx, e, to(), h.clock.now(), nil), spool.ErrClaimed)
	h.clock.advance(1)
	h.wantDue(id)
	if at, ok, err := h.q.NextDue(ctx); !ok || err != nil || at.After(h.clock.now()) {
		t.Errorf("next due %v, %v, %v, with a claim that ended", at, ok, err)
	}
	// Whoever was late may still settle, as long as nobody else has claimed.
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	h.wantEmpty()
}

// The claim of a fresh message lives as long as the limits say.
func TestAFreshClaimEndsOnTime(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.ClaimTime = 3 * time.Hour; o.Limits.Claims = 1 })
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	if want := h.clock.now().Add(3 * time.Hour); !c.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", c.Expires, want)
	}
	h.clock.advance(3*time.Hour - 1)
	h.wantDue()
	_, err := offer(h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	h.wantError(err, spool.ErrFull)
	h.clock.advance(1)
	h.wantDue(c.Entry.ID)
	// The claim that ended makes room for another.
	put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	if n := h.q.Stats().Claims; n != 1 {
		t.Errorf("%d claims, want 1", n)
	}
}

// Where everything that is overdue is claimed, the claim that ends first says when to
// look again, and none later than a claim can live.
func TestTheFirstClaimToEndIsWaitedFor(t *testing.T) {
	h := newHouse(t)
	a, b := h.idle(localMessage("alice@local.test", "bob@local.test")), h.idle(localMessage("alice@local.test", "bob@local.test"))
	long, short := h.claim(a), h.claim(b)
	now := h.clock.advance(24 * time.Hour)
	for _, c := range []struct{ long, short, want time.Duration }{
		{100 * time.Hour, 50 * time.Hour, time.Hour},
		{100 * time.Hour, time.Minute, time.Minute},
		{time.Second, time.Minute, time.Second},
	} {
		if err := errors.Join(h.q.Extend(long.Token, c.long, now), h.q.Extend(short.Token, c.short, now)); err != nil {
			t.Fatal(err)
		}
		if at, ok, err := h.q.NextDue(ctx); !ok || err != nil || !at.Equal(now.Add(c.want)) {
			t.Errorf("next due %v, %v, %v; want %v", at, ok, err, now.Add(c.want))
		}
	}
}

// Due gives as many as it was asked for, the earliest first, and NextDue the time of the
// first that nobody has.
func TestDueIsBoundedAndInOrder(t *testing.T) {
	h := newHouse(t)
	var ids []mail.ID
	var at []time.Time
	for i := range 4 {
		c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		at = append(at, h.clock.now().Add(time.Duration(4-i)*time.Minute))
		if err := h.q.Postpone(ctx, c.Token, at[i], nil); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, c.Entry.ID)
	}
	for limit := 1; limit <= 5; limit++ {
		ds, err := h.q.Due(ctx, h.clock.now().Add(time.Hour), limit)
		if err != nil || len(ds) != min(limit, 4) || ds[0] != (spool.DueEntry{ID: ids[3], NextTry: at[3]}) {
			t.Errorf("%d asked for: %v, %v", limit, ds, err)
		}
	}
	ds, err := h.q.Due(ctx, at[2], 10)
	if err != nil || len(ds) != 2 || ds[1].ID != ids[2] {
		t.Errorf("due at the time itself: %v, %v", ds, err)
	}
	if ds, err := h.q.Due(ctx, at[2].Add(-1), 10); err != nil || len(ds) != 1 {
		t.Errorf("due before its time: %v, %v", ds, err)
	}
	h.clock.advance(time.Minute)
	h.claim(ids[3])
	if next, ok, err := h.q.NextDue(ctx); !ok || err != nil || !next.Equal(at[2]) {
		t.Errorf("next due %v, %v, %v; want %v", next, ok, err, at[2])
	}
}

// A body tells how much it takes, in the queue and of memory; what was written is
// written whole or not at all.
func TestABodyIsCounted(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits = spool.Limits{InlineOctets: 1000, MessageOctets: 200_000} })
	b, err := h.q.NewBody(ctx)
	if err != nil {
		t.Fatal(err)
	}
	write := func(n, size int) {
		t.Helper()
		if got, err := b.Write(make([]byte, n)); got != n || err != nil || b.Size() != int64(size) {
			t.Errorf("wrote %d, %v; size %d, want %d", got, err, b.Size(), size)
		}
	}
	write(1000, 1000)
	if n := b.Memory(); n < 1000 || n > 2000 {
		t.Errorf("1000 octets take %d of memory", n)
	}
	for i := range 99 {
		write(1000, 2000+1000*i)
		if n := b.Memory(); n > 64<<10 {
			t.Errorf("a body in a file takes %d octets of memory", n)
		}
	}
	write(100_000, 200_000)
	if n, err := b.Write([]byte{1}); n != 0 || !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("one octet too many: %d, %v", n, err)
	}
	if n, err := b.Write(nil); n != 0 || !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("the error does not stick: %d, %v", n, err)
	}
	h.wantError(b.End(), spool.ErrTooLarge)
	if _, err := b.Reader(); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("a spoiled body is read: %v", err)
	}
	if _, err := h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), b, nil); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("a spoiled body is queued: %v", err)
	}
	h.wantEmpty()
}

// A body whose disk fails says so at once, and from then on.
func TestABodyWhoseDiskFails(t *testing.T) {
	for at := 1; at <= 2; at++ { // making the file, and writing into it
		h := newHouse(t)
		st := storetest.Stumble(h.st, at, errTrouble)
		h.st = st
		h.restart()
		b, err := h.q.NewBody(ctx)
		if err != nil {
			t.Fatal(err)
		}
		st.Arm(true)
		for range 2 {
			if n, err := b.Write(make([]byte, big)); n != 0 || !errors.Is(err, errTrouble) || b.Size() != 0 {
				t.Errorf("wrote %d, %v; size %d", n, err, b.Size())
			}
		}
		h.wantError(b.End(), errTrouble)
	}
	gone, stop := context.WithCancel(ctx)
	stop()
	if b, err := newHouse(t).q.NewBody(gone); b != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("a body for who is gone: %v", err)
	}
}

// What makes no sense never enters, each for its own reason.
func TestWhatMakesNoSense(t *testing.T) {
	for name, spoil := range map[string]func(m *spool.Message){
		"no id":                        func(m *spool.Message) { m.ID = mail.ID{} },
		"no reverse-path":              func(m *spool.Message) { m.Envelope.From = mail.ReversePath{} },
		"no delivery":                  func(m *spool.Message) { m.Deliveries = nil },
		"a delivery to nobody":         func(m *spool.Message) { m.Deliveries[0].Recipient = mail.Recipient{} },
		"a mailbox of nobody":          func(m *spool.Message) { m.Deliveries[0].Mailbox = mail.Address{} },
		"an unknown kind":              func(m *spool.Message) { m.Deliveries[0].Kind = spool.KindOutbound + 1 },
		"a forward beyond":             func(m *spool.Message) { m.Forward = spool.ForwardKept + 1 },
		"a stranger's forward":         func(m *spool.Message) { m.Forward, m.Account = spool.ForwardSent, mail.Address{} },
		"a stranger's forward, kept":   func(m *spool.Message) { m.Forward, m.Account = spool.ForwardKept, mail.Address{} },
		"the second of two to nowhere": func(m *spool.Message) { m.Deliveries = append(m.Deliveries, spool.Delivery{Kind: spool.KindLocal}) },
	} {
		h := newHouse(t)
		m := localMessage("alice@local.test", "bob@local.test")
		spoil(&m)
		_, err := offer(h.q, m, strings.Repeat("x", big))
		if !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		h.wantEmpty()
	}
}

// An id that is being tried, or that may have been written in spite of an error, is taken.
func TestAnIDInUse(t *testing.T) {
	h, st := newDoubt(t)
	m := localMessage("alice@local.test", "bob@local.test")
	put(t, h.q, m, "x")
	_, err := offer(h.q, m, "y")
	h.wantError(err, spool.ErrInvalid)
	doubtful := localMessage("alice@local.test", "bob@local.test")
	st.err = store.ErrInDoubt
	_, err = offer(h.q, doubtful, "x")
	h.wantError(err, store.ErrInDoubt)
	st.err = nil
	_, err = offer(h.q, doubtful, "y")
	h.wantError(err, spool.ErrInvalid)
	_, err = h.q.Claim(ctx, doubtful.ID, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrNotFound)
	h.wantStats(2, 0) // what is in doubt counts
	st.recover()
	h.due()
	h.wantStats(1, 0)
}

// While a message is in doubt the queue is looked at within a second, or earlier where
// something is due earlier.
func TestADoubtIsLookedAtSoon(t *testing.T) {
	for name, row := range map[string]struct{ next, want time.Duration }{
		"nothing else": {0, time.Second}, "something earlier": {300 * time.Millisecond, 300 * time.Millisecond}, "something later": {time.Hour, time.Second},
	} {
		h, st := newDoubt(t)
		if row.next > 0 {
			c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
			if err := h.q.Postpone(ctx, c.Token, h.clock.now().Add(row.next), nil); err != nil {
				t.Fatal(err)
			}
		}
		st.err = store.ErrInDoubt
		_, err := offer(h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		h.wantError(err, store.ErrInDoubt)
		if at, ok, err := h.q.NextDue(ctx); !ok || err != nil || !at.Equal(h.clock.now().Add(row.want)) {
			t.Errorf("%s: next due %v, %v, %v", name, at, ok, err)
		}
	}
}
