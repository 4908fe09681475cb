package spool_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

var ctx = context.Background()

// house is a queue on a store in memory, with a clock to move.
type house struct {
	*testing.T
	st    store.Store
	q     *spool.Spool
	clock *clock
	o     spool.Options
}

func newHouse(t *testing.T, change ...func(*spool.Options)) *house {
	t.Helper()
	h := &house{T: t, st: mem.New(), clock: newClock()}
	h.o = options(t, h.clock.now)
	for _, c := range change {
		c(&h.o)
	}
	h.q, _ = openSpool(t, h.st, h.o)
	return h
}

// restart opens the queue anew, as after a crash of the process.
func (h *house) restart() spool.Report {
	h.Helper()
	q, r := openSpool(h, h.st, h.o)
	h.q = q
	return r
}

func (h *house) due() []mail.ID {
	h.Helper()
	ds, err := h.q.Due(ctx, h.clock.now(), 100)
	if err != nil {
		h.Fatal(err)
	}
	var ids []mail.ID
	for _, d := range ds {
		ids = append(ids, d.ID)
	}
	return ids
}

func (h *house) wantDue(want ...mail.ID) {
	h.Helper()
	got := h.due()
	if len(got) != len(want) {
		h.Fatalf("due: %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			h.Fatalf("due: %v, want %v", got, want)
		}
	}
}

func (h *house) claim(id mail.ID) spool.Claim {
	h.Helper()
	c, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
	if err != nil {
		h.Fatalf("claim: %v", err)
	}
	return c
}

func (h *house) settle(t spool.Token, f spool.Final, os ...mail.Outcome) spool.Settled {
	h.Helper()
	s, err := h.q.Settle(ctx, t, os, h.clock.now(), f)
	if err != nil {
		h.Fatalf("settle: %v", err)
	}
	return s
}

func (h *house) wantStats(entries, held int) {
	h.Helper()
	if st := h.q.Stats(); st.Entries != entries || st.Held != held || entries == 0 && st.Octets != 0 {
		h.Errorf("stats %+v, want %d entries, %d held", st, entries, held)
	}
}

func (h *house) wantError(got, want error) {
	h.Helper()
	if !errors.Is(got, want) {
		h.Errorf("error %v, want %v", got, want)
	}
}

func (h *house) wantHead(want uint64) {
	h.Helper()
	if got := h.st.FactHead(); got != want {
		h.Errorf("%d facts, want %d", got, want)
	}
}

// keys counts what is left in the store but the number of openings.
func (h *house) wantEmpty() {
	h.Helper()
	err := h.st.Scan(ctx, store.Range{}, func(k, _ []byte) (bool, error) {
		if string(k) != "sn" {
			h.Errorf("left in the store: %q", k)
		}
		return true, nil
	})
	names, lerr := h.st.Blobs().List()
	if err != nil || lerr != nil || len(names) != 0 {
		h.Errorf("left in the store: blobs %q; %v %v", names, err, lerr)
	}
	h.wantStats(0, 0)
	for _, box := range []string{"alice@local.test", "bob@local.test", "carol@local.test"} {
		h.wantWaiting("empty", box, 0, 0)
	}
}

func TestAMessageIsDelivered(t *testing.T) {
	for _, size := range []int{0, 1, 10 << 10, 128 << 10, 128<<10 + 1, 1 << 20} {
		h := newHouse(t)
		content := strings.Repeat("x", size)
		m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
		c, err := h.q.Put(ctx, m, bodyOf(t, h.q, []byte(content)), [][]byte{[]byte("accepted")})
		if err != nil {
			t.Fatal(err)
		}
		inline := size <= 128<<10
		if (c.Body != nil) != inline || inline && string(c.Body) != content {
			t.Errorf("size %d: the claim holds %d octets", size, len(c.Body))
		}
		if c.Entry.Attempts != 1 || c.Entry.Size != int64(size) || len(c.Entry.Pending()) != 2 {
			t.Errorf("size %d: entry %+v", size, c.Entry)
		}
		wantBody(t, h.q, m.ID, content)
		h.wantDue()
		h.wantStats(1, 0)
		s := h.settle(c.Token, spool.Final{Facts: [][]byte{[]byte("delivered")}}, outcome("bob@local.test", 250), outcome("carol@local.test", 250))
		if !s.Done || s.Delivered != 2 || s.Failed+s.Deferred != 0 {
			t.Errorf("size %d: settled %+v", size, s)
		}
		h.wantHead(2)
		h.wantEmpty()
	}
}

func TestADeferredRecipientIsTriedAgain(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test", "carol@local.test", "dave@local.test")
	c := put(t, h.q, m, "hello")
	s := h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451), outcome("carol@local.test", 250))
	if s.Done || s.Delivered != 1 || s.Deferred != 2 || !s.NextTry.Equal(c.Entry.NextTry) {
		t.Errorf("settled %+v", s)
	}
	h.wantDue()
	if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || !at.Equal(s.NextTry) {
		t.Errorf("next due %v %v %v, want %v", at, ok, err, s.NextTry)
	}
	h.clock.advance(6 * time.Minute)
	h.wantDue(m.ID)
	c = h.claim(m.ID)
	if c.Entry.Attempts != 2 || string(c.Body) != "hello" || len(c.Entry.Pending()) != 2 {
		t.Errorf("claim %+v", c)
	}
	if p := c.Entry.Pending()[0]; p.Last.Code != 451 || p.Remote != "remote.test" || p.LastAt.IsZero() {
		t.Errorf("the last reply is lost: %+v", p)
	}
	h.wantDue() // claimed
	if s := h.settle(c.Token, spool.Final{}, outcome("dave@local.test", 250), outcome("bob@local.test", 250)); !s.Done {
		t.Errorf("settled %+v", s)
	}
	h.wantEmpty()
}

// One recipient of the envelope, several mailboxes: each has its own outcome.
func TestOneAliasManyMailboxes(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "sales@local.test")
	for _, box := range []string{"bob@local.test", "carol@local.test"} {
		d := m.Deliveries[0]
		d.Mailbox, d.Detail = addr(box), "x"
		m.Deliveries = append(m.Deliveries, d)
	}
	m.Deliveries = m.Deliveries[1:]
	c := put(t, h.q, m, "hello")
	h.settle(c.Token, spool.Final{}, outcome("sales@local.test", 250), outcome("sales@local.test", 451))
	e, err := h.q.Get(ctx, m.ID)
	if err != nil || len(e.Pending()) != 1 || e.Pending()[0].Mailbox != addr("carol@local.test") {
		t.Errorf("entry %+v, %v", e, err)
	}
	c, err = h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.advance(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("sales@local.test", 250), outcome("sales@local.test", 250)}, h.clock.now(), spool.Final{})
	h.wantError(err, spool.ErrInvalid)
	h.settle(c.Token, spool.Final{}, outcome("sales@local.test", 250))
	h.wantEmpty()
}

func TestNothingLeavesWithoutAGrant(t *testing.T) {
	h := newHouse(t)
	alice, out := "alice@local.test", []string{"a@far.test", "b@far.test"}
	other := outboundMessage(t, alice, out, out...)
	for name, m := range map[string]spool.Message{
		"no grant":        outboundMessage(t, alice, nil, out...),
		"one not granted": outboundMessage(t, alice, out[:1], out...),
		"another's grant": func() spool.Message { m := outboundMessage(t, alice, out, out...); m.Grant = other.Grant; return m }(),
		"another's sender": func() spool.Message {
			m := outboundMessage(t, alice, out, out...)
			m.Envelope.From = mail.PathOf(addr("bob@local.test"))
			return m
		}(),
		"null sender": func() spool.Message {
			m := outboundMessage(t, alice, out, out...)
			m.Envelope.From = mail.NullPath()
			return m
		}(),
		"another account": func() spool.Message {
			m := outboundMessage(t, alice, out, out...)
			m.Account = addr("bob@local.test")
			return m
		}(),
		"no account": func() spool.Message {
			m := outboundMessage(t, alice, out, out...)
			m.Account = mail.Address{}
			return m
		}(),
		"a letter's case":   outboundMessageTo(t, alice, out, "A@far.test"),
		"another recipient": outboundMessageTo(t, alice, out, "c@far.test"),
	} {
		_, err := h.q.Put(ctx, m, bodyOf(t, h.q, []byte("x")), [][]byte{[]byte("f")})
		if !errors.Is(err, spool.ErrNoGrant) {
			t.Errorf("%s: %v, want no grant", name, err)
		}
	}
	unknown := localMessage(alice, "bob@local.test")
	unknown.Deliveries[0].Kind = spool.KindUnknown
	_, err := h.q.Put(ctx, unknown, bodyOf(t, h.q, nil), nil)
	h.wantError(err, spool.ErrInvalid)
	h.wantHead(0)
	h.wantEmpty()
	if _, err := h.q.Put(ctx, other, bodyOf(t, h.q, []byte("x")), nil); err != nil {
		t.Errorf("with its grant: %v", err)
	}
	h.wantStats(1, 0)
}

func outboundMessageTo(t *testing.T, from string, granted []string, to string) spool.Message {
	m := outboundMessage(t, from, granted, granted...)
	m.Deliveries[0].Recipient.Address = addr(to)
	return m
}

// A stored Grant is verified again at each claim: here the server's key changed.
func TestAStoredGrantMustVerify(t *testing.T) {
	h := newHouse(t)
	m := outboundMessage(t, "alice@local.test", []string{"a@far.test"}, "a@far.test")
	l := localMessage("alice@local.test", "bob@local.test")
	put(t, h.q, m, "x")
	put(t, h.q, l, "x")
	k, err := gate.NewKey(bytes.Repeat([]byte("z"), gate.KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	h.o.Key = k
	h.restart()
	_, err = h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrNoGrant)
	e, err := h.q.Get(ctx, m.ID)
	if err != nil || e.Held != "grant does not verify" {
		t.Errorf("entry %+v, %v", e, err)
	}
	h.wantStats(2, 1)
	h.claim(l.ID)
}

func TestASettlementIsRepeatable(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
	c := put(t, h.q, m, "x")
	out := []mail.Outcome{outcome("bob@local.test", 250), outcome("carol@local.test", 451)}
	first, err := h.q.Settle(ctx, c.Token, out, h.clock.now(), spool.Final{Facts: [][]byte{[]byte("f")}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := h.q.Settle(ctx, c.Token, out, h.clock.now(), spool.Final{Facts: [][]byte{[]byte("f")}})
		if err != nil || again != first {
			t.Errorf("again: %+v, %v; want %+v", again, err, first)
		}
	}
	h.wantHead(1)
	h.wantError(h.q.Postpone(ctx, c.Token, h.clock.now(), nil), spool.ErrStale)
}

func TestAStaleTokenChangesNothing(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	old := put(t, h.q, m, "x")
	_, err := h.q.Claim(ctx, m.ID, "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrClaimed)
	now := h.clock.advance(2 * time.Hour)
	fresh := h.claim(m.ID)
	if fresh.Token.Fence <= old.Token.Fence {
		t.Errorf("fences %d, then %d", old.Token.Fence, fresh.Token.Fence)
	}
	ok := []mail.Outcome{outcome("bob@local.test", 250)}
	for _, stale := range []spool.Token{old.Token, {}, {ID: m.ID}, {ID: newID(), Fence: 1}, {ID: m.ID, Fence: fresh.Token.Fence + 1}} {
		_, err := h.q.Settle(ctx, stale, ok, now, spool.Final{Facts: [][]byte{[]byte("f")}})
		h.wantError(err, spool.ErrStale)
		h.wantError(h.q.Postpone(ctx, stale, now, nil), spool.ErrStale)
		h.wantError(h.q.HoldClaimed(ctx, stale, "x", nil), spool.ErrStale)
		h.wantError(h.q.Extend(stale, time.Hour, now), spool.ErrStale)
	}
	h.wantHead(0)
	h.wantStats(1, 0)
	h.settle(fresh.Token, spool.Final{}, ok...)
	h.wantEmpty()
}

// A token of before a restart is stale, even if nobody has claimed since.
func TestATokenDiesWithItsProcess(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	c := put(t, h.q, m, "x")
	if r := h.restart(); r.Resumed != 1 || r.Entries != 1 {
		t.Errorf("report %+v", r)
	}
	_, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 250)}, h.clock.now(), spool.Final{})
	h.wantError(err, spool.ErrStale)
	h.wantDue(m.ID)
	again := h.claim(m.ID)
	if again.Token.Fence <= c.Token.Fence || again.Entry.Attempts != 2 {
		t.Errorf("claim %+v after %+v", again, c.Token)
	}
}

func TestAFailureCommitsWithItsNotification(t *testing.T) {
	for _, size := range []int{100, 300 << 10} {
		h := newHouse(t)
		m := localMessage("alice@local.test", "bob@local.test", "carol@local.test")
		c := put(t, h.q, m, "x")
		n := localMessage("alice@local.test", "alice@local.test")
		n.Envelope.From, n.Account = mail.NullPath(), mail.Address{}
		content := strings.Repeat("b", size)
		final := spool.Final{Facts: [][]byte{[]byte("failed")}, Spawn: []spool.Spawned{{Message: n, Body: bodyOf(t, h.q, []byte(content))}}}
		<-drained(h.q.Watch())
		s := h.settle(c.Token, final, outcome("bob@local.test", 550), outcome("carol@local.test", 451))
		if s.Failed != 1 || s.Deferred != 1 || s.Done {
			t.Errorf("settled %+v", s)
		}
		h.wantStats(2, 0)
		h.wantHead(1)
		h.wantDue(n.ID)
		select {
		case <-h.q.Watch():
		default:
			t.Error("nobody is told of the notification")
		}
		wantBody(t, h.q, n.ID, content)
		h.settle(c.Token, final, outcome("bob@local.test", 550), outcome("carol@local.test", 451))
		h.wantStats(2, 0)
		nc := h.claim(n.ID)
		h.settle(nc.Token, spool.Final{}, outcome("alice@local.test", 250))
		h.clock.advance(time.Hour)
		c = h.claim(m.ID)
		if s := h.settle(c.Token, spool.Final{}, outcome("carol@local.test", 550)); !s.Done {
			t.Errorf("settled %+v", s)
		}
		h.wantEmpty()
	}
}

// drained empties a channel and returns one that is ready.
func drained(c <-chan struct{}) <-chan struct{} {
	select {
	case <-c:
	default:
	}
	ready := make(chan struct{})
	close(ready)
	return ready
}

// A notification is bound by the same rules: it needs a Grant to leave.
func TestANotificationNeedsAGrantToo(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	n := outboundMessage(t, "alice@local.test", nil, "a@far.test")
	_, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("bob@local.test", 550)}, h.clock.now(),
		spool.Final{Spawn: []spool.Spawned{{Message: n, Body: bodyOf(t, h.q, []byte("x"))}}})
	h.wantError(err, spool.ErrNoGrant)
	h.wantStats(1, 0)
}

func TestPostpone(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	c := put(t, h.q, m, "x")
	until := h.clock.now().Add(20 * time.Second)
	if err := h.q.Postpone(ctx, c.Token, until, [][]byte{[]byte("later")}); err != nil {
		t.Fatal(err)
	}
	h.wantHead(1)
	h.wantDue()
	if at, ok, err := h.q.NextDue(ctx); err != nil || !ok || !at.Equal(until) {
		t.Errorf("next due %v %v %v, want %v", at, ok, err, until)
	}
	if r := h.restart(); r.Resumed != 0 {
		t.Errorf("a postponed entry counts as interrupted: %+v", r)
	}
	h.wantDue()
	h.clock.advance(20 * time.Second)
	h.wantDue(m.ID)
	if c := h.claim(m.ID); c.Entry.Attempts != 1 {
		t.Errorf("attempt %d, want the first", c.Entry.Attempts)
	}
}

func TestLimits(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) {
		o.Limits = spool.Limits{Entries: 3, EntriesPerAccount: 2, Octets: 3000, MessageOctets: 2500, PrefixOctets: 100, Recipients: 2, InlineOctets: 1000}
	})
	full := func(m spool.Message, size int, want error) {
		t.Helper()
		b, err := h.q.NewBody(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Write(make([]byte, size))
		if err == nil {
			_, err = h.q.Put(ctx, m, b, nil)
		}
		if aerr := b.Abort(); aerr != nil {
			t.Error(aerr)
		}
		h.wantError(err, want)
	}
	alice := func() spool.Message { return localMessage("alice@local.test", "bob@local.test") }
	full(alice(), 2501, spool.ErrTooLarge)
	full(localMessage("alice@local.test", "a@local.test", "b@local.test", "c@local.test"), 1, spool.ErrTooLarge)
	long := alice()
	long.Prefix = make([]byte, 101)
	full(long, 1, spool.ErrTooLarge)
	c := put(t, h.q, alice(), strings.Repeat("x", 2000))
	full(alice(), 1500, spool.ErrFull)
	put(t, h.q, alice(), "x")
	full(alice(), 1, spool.ErrFull) // two of alice's
	carol := localMessage("carol@local.test", "bob@local.test")
	put(t, h.q, carol, "x")
	full(localMessage("dave@local.test", "bob@local.test"), 1, spool.ErrFull) // three in all
	full(carol, 1, spool.ErrInvalid)                                          // the id is in use
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	put(t, h.q, alice(), "x")
	h.wantStats(3, 0)
	if r := h.restart(); r.Entries != 3 || r.Orphans != 0 {
		t.Errorf("report %+v", r)
	}
	full(alice(), 1, spool.ErrFull)
}

// An ID that stands in the queue is never taken by another message, whoever
// invents it.
func TestAnIDIsTakenOnce(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	c := put(t, h.q, m, "first")
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 451))
	_, err := h.q.Put(ctx, m, bodyOf(t, h.q, []byte("second")), nil)
	h.wantError(err, spool.ErrInvalid)
	wantBody(t, h.q, m.ID, "first")
	h.wantStats(1, 0)
}

func TestABodyThatWasGivenUp(t *testing.T) {
	h := newHouse(t)
	b := bodyOf(t, h.q, make([]byte, 1<<20))
	if b.Size() != 1<<20 {
		t.Errorf("size %d", b.Size())
	}
	if err := b.Abort(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("a body that was given up takes more")
	}
	_, err := h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), b, nil)
	if err == nil {
		t.Error("a body that was given up was queued")
	}
	if _, err := h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), nil, nil); !errors.Is(err, spool.ErrInvalid) {
		t.Errorf("no body: %v", err)
	}
	h.wantEmpty()
}

func TestRead(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	want := strings.Repeat("0123456789", 50_000)
	put(t, h.q, m, want)
	for range 2 {
		r, err := h.q.OpenBody(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != want {
			t.Errorf("%d octets, %v", len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := h.q.OpenBody(ctx, newID())
	h.wantError(err, spool.ErrNotFound)
	_, err = h.q.Get(ctx, newID())
	h.wantError(err, spool.ErrNotFound)
	_, err = h.q.Claim(ctx, newID(), "test", time.Minute, h.clock.now())
	h.wantError(err, spool.ErrNotFound)
}
