package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// model is the queue as a few maps: what the real one must look like from
// outside after every action.
type model struct {
	t     *testing.T
	st    store.Store
	q     *spool.Spool
	o     spool.Options
	clock *clock

	entries  map[mail.ID]*modelEntry
	accounts map[string]bool
	stale    []spool.Token
	facts    uint64
	ids      uint64
}

type modelEntry struct {
	account string
	content string
	pending map[string]int // recipients still to be served, with the tries so far
	tries   int
	next    time.Time
	held    bool
	parked  bool
	warned  bool
	forward spool.Forward
	claim   *spool.Claim
	there   map[string]bool // mailboxes in which it is already, as the process knows
}

func (e *modelEntry) busy(now time.Time) bool {
	return e.claim != nil && e.claim.Expires.After(now)
}

func TestTheQueueFollowsItsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{t: t, st: mem.New(), clock: newClock(), entries: map[mail.ID]*modelEntry{}, accounts: map[string]bool{}}
		m.o = options(t, m.clock.now)
		m.o.Logger = quiet()
		m.o.Limits = spool.Limits{InlineOctets: 100, Batch: 2, VerifyEntries: 3}
		m.open(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"put":             m.put,
			"claim":           m.doClaim,
			"settle":          m.settle,
			"settle stale":    m.settleStale,
			"arrive":          m.arrive,
			"postpone":        m.postpone,
			"hold":            m.hold,
			"release":         m.release,
			"remove":          m.remove,
			"retry":           m.retry,
			"hold claimed":    m.holdClaimed,
			"hold account":    m.holdAccount,
			"release account": m.releaseAccount,
			"time passes":     m.pass,
			"restart":         m.restart,
			"":                m.check,
		})
	})
}

func (m *model) open(t *rapid.T) spool.Report {
	q, r, err := spool.Open(ctx, m.st, m.o)
	if err != nil {
		t.Fatal(err)
	}
	m.q = q
	return r
}

// some draws an entry for which ok holds, or skips the action.
func (m *model) some(t *rapid.T, ok func(*modelEntry) bool) (mail.ID, *modelEntry) {
	var ids []mail.ID
	for id, e := range m.entries {
		if ok(e) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		t.Skip("none")
	}
	slices.SortFunc(ids, func(a, b mail.ID) int { return slices.Compare(a.Bytes(), b.Bytes()) })
	id := rapid.SampledFrom(ids).Draw(t, "entry")
	return id, m.entries[id]
}

// newID counts, so that a failure can be repeated.
func (m *model) newID(t *rapid.T) mail.ID {
	m.ids++
	id, err := mail.NewID(m.clock.now(), bytes.NewReader(binary.BigEndian.AppendUint64([]byte{1}, m.ids)))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func any1(*modelEntry) bool { return true }

func (m *model) fact() [][]byte {
	m.facts++
	return [][]byte{fmt.Appendf(nil, "fact %d", m.facts)}
}

func (m *model) put(t *rapid.T) {
	account := rapid.SampledFrom([]string{"alice@local.test", "bob@local.test"}).Draw(t, "account")
	e := &modelEntry{account: account, content: rapid.StringN(0, 200, 300).Draw(t, "content"), pending: map[string]int{}, tries: 1}
	var to []string
	for i := range rapid.IntRange(1, 3).Draw(t, "recipients") {
		to = append(to, fmt.Sprintf("r%d@local.test", i))
		e.pending[to[i]] = 0
	}
	msg := localMessage(account, to...)
	msg.ID = m.newID(t)
	body, err := m.q.NewBody(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := body.Write([]byte(e.content)); err != nil {
		t.Fatal(err)
	}
	c, err := m.q.Put(ctx, msg, body, [][]byte{[]byte("put")})
	if m.accounts[account] {
		if !errors.Is(err, spool.ErrHeld) {
			t.Fatalf("put for a held account: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	m.facts++
	e.next, e.claim = c.Entry.NextTry, &c
	m.entries[msg.ID] = e
}

func (m *model) doClaim(t *rapid.T) {
	id, e := m.some(t, any1)
	now := m.clock.now()
	c, err := m.q.Claim(ctx, id, "model", 10*time.Minute, now)
	switch {
	case e.busy(now):
		if !errors.Is(err, spool.ErrClaimed) {
			t.Fatalf("a claimed entry: %v", err)
		}
		return
	case e.held || e.parked || m.accounts[e.account]:
		if !errors.Is(err, spool.ErrHeld) {
			t.Fatalf("a held entry: %v", err)
		}
		e.parked = e.parked || !e.held
		m.lose(e)
		return
	case err != nil:
		t.Fatal(err)
	}
	m.lose(e)
	e.tries++
	e.claim, e.next = &c, c.Entry.NextTry
	if c.Entry.Attempts != e.tries || len(c.Entry.Pending()) != len(e.pending) || !e.next.After(now) {
		t.Fatalf("claim %+v, model %+v", c, e)
	}
	if c.Body != nil && string(c.Body) != e.content {
		t.Fatalf("body %q, want %q", c.Body, e.content)
	}
}

// lose makes the claim of an entry, if any, a stale one.
func (m *model) lose(e *modelEntry) {
	if e.claim != nil {
		m.stale = append(m.stale, e.claim.Token)
		e.claim = nil
	}
}

func (m *model) settle(t *rapid.T) {
	id, e := m.some(t, func(e *modelEntry) bool { return e.claim != nil })
	var out []mail.Outcome
	pending := maps.Clone(e.pending)
	for _, r := range slices.Sorted(maps.Keys(e.pending)) {
		switch rapid.IntRange(0, 3).Draw(t, r) {
		case 0:
			out = append(out, outcome(r, 250))
			delete(pending, r)
		case 1:
			out = append(out, outcome(r, 550))
			delete(pending, r)
		case 2:
			out = append(out, outcome(r, 451))
			pending[r]++
		}
	}
	final := spool.Final{Facts: m.fact(), Warned: rapid.Bool().Draw(t, "warned")}
	spawned, room := m.spawn(t, &final)
	if rapid.Bool().Draw(t, "soon") {
		final.Next = m.clock.now().Add(time.Second)
	}
	s, err := m.q.Settle(ctx, e.claim.Token, out, m.clock.now(), final)
	if !room {
		if !errors.Is(err, spool.ErrHeld) {
			t.Fatalf("settled %+v, %v, although an account has no room", s, err)
		}
		m.facts--
		return
	}
	maps.Copy(m.entries, spawned)
	e.pending, e.warned = pending, e.warned || final.Warned
	if !final.Next.IsZero() {
		e.next = final.Next
	}
	if err != nil || s.Done != (len(e.pending) == 0) || !s.Done && !s.NextTry.Equal(e.next) {
		t.Fatalf("settled %+v, %v; pending %v", s, err, e.pending)
	}
	again, err := m.q.Settle(ctx, e.claim.Token, out, m.clock.now(), final)
	if err != nil || again != s {
		t.Fatalf("settled again %+v, %v; first %+v", again, err, s)
	}
	e.claim = nil
	if len(e.pending) == 0 {
		delete(m.entries, id)
	}
}

// spawn draws what a settlement spawns: notifications, and forwards in the name of
// an account. room is false if one of the accounts is held.
func (m *model) spawn(t *rapid.T, f *spool.Final) (entries map[mail.ID]*modelEntry, room bool) {
	entries, room = map[mail.ID]*modelEntry{}, true
	for range rapid.IntRange(0, 3).Draw(t, "spawned") {
		n := localMessage("alice@local.test", "carol@local.test")
		n.ID = m.newID(t)
		ne := &modelEntry{content: rapid.StringN(0, 200, 300).Draw(t, "content"), pending: map[string]int{"carol@local.test": 0}, next: m.clock.now()}
		if rapid.Bool().Draw(t, "forward") {
			ne.account, ne.forward = rapid.SampledFrom([]string{"alice@local.test", "bob@local.test"}).Draw(t, "owner"), spool.ForwardKept
			room = room && !m.accounts[ne.account]
		}
		n.Account, n.Forward, n.Envelope.From = addr(ne.account), ne.forward, mail.NullPath()
		body, err := m.q.NewBody(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := body.Write([]byte(ne.content)); err != nil {
			t.Fatal(err)
		}
		entries[n.ID] = ne
		f.Spawn = append(f.Spawn, spool.Spawned{Message: n, Body: body})
	}
	return entries, room
}

func (m *model) settleStale(t *rapid.T) {
	if len(m.stale) == 0 {
		t.Skip("none")
	}
	token := rapid.SampledFrom(m.stale).Draw(t, "token")
	_, err := m.q.Settle(ctx, token, []mail.Outcome{outcome("r0@local.test", 250)}, m.clock.now(), spool.Final{Facts: [][]byte{[]byte("never")}})
	if !errors.Is(err, spool.ErrStale) {
		t.Fatalf("a stale token: %v", err)
	}
}

// arrive puts a claimed message into a mailbox, before anything is settled.
func (m *model) arrive(t *rapid.T) {
	id, e := m.some(t, func(e *modelEntry) bool { return e.claim != nil })
	to := rapid.SampledFrom(slices.Sorted(maps.Keys(e.pending))).Draw(t, "mailbox")
	m.q.Arrived(id, addr(to))
	if e.there == nil {
		e.there = map[string]bool{}
	}
	e.there[to] = true
}

func (m *model) postpone(t *rapid.T) {
	_, e := m.some(t, func(e *modelEntry) bool { return e.claim != nil })
	until := m.clock.now().Add(time.Duration(rapid.IntRange(0, 100).Draw(t, "minutes")) * time.Minute)
	if err := m.q.Postpone(ctx, e.claim.Token, until, m.fact()); err != nil {
		t.Fatal(err)
	}
	e.tries--
	e.next = until
	m.lose(e)
}

func (m *model) holdClaimed(t *rapid.T) {
	_, e := m.some(t, func(e *modelEntry) bool { return e.claim != nil })
	if err := m.q.HoldClaimed(ctx, e.claim.Token, "why", m.fact()); err != nil {
		t.Fatal(err)
	}
	e.held, e.parked = true, false
	m.lose(e)
}

// expect checks what a mass operation on one entry changed.
func (m *model) expect(t *rapid.T, n int, err error, change bool) {
	if err != nil || (n == 1) != change {
		t.Fatalf("%d entries changed, %v; want %v", n, err, change)
	}
	if !change {
		m.facts-- // no change, no fact
	}
}

func (m *model) hold(t *rapid.T) {
	id, e := m.some(t, any1)
	n, err := m.q.Hold(ctx, spool.Filter{IDs: []mail.ID{id}}, "why", m.fact())
	m.expect(t, n, err, !e.held)
	e.held, e.parked = true, false
}

func (m *model) release(t *rapid.T) {
	id, e := m.some(t, any1)
	n, err := m.q.Release(ctx, spool.Filter{IDs: []mail.ID{id}}, m.fact())
	m.expect(t, n, err, e.held)
	if e.held {
		e.held, e.next = false, m.clock.now()
	}
}

func (m *model) retry(t *rapid.T) {
	id, e := m.some(t, any1)
	n, err := m.q.Retry(ctx, spool.Filter{IDs: []mail.ID{id}}, m.fact())
	m.expect(t, n, err, !e.held && !e.parked)
	if !e.held && !e.parked {
		e.next = m.clock.now()
	}
}

func (m *model) remove(t *rapid.T) {
	id, e := m.some(t, any1)
	n, err := m.q.Remove(ctx, spool.Filter{IDs: []mail.ID{id}}, m.fact())
	m.expect(t, n, err, true)
	m.lose(e)
	delete(m.entries, id)
}

func (m *model) holdAccount(t *rapid.T) {
	a := rapid.SampledFrom([]string{"alice@local.test", "bob@local.test"}).Draw(t, "account")
	if err := m.q.HoldAccount(ctx, addr(a), "why", m.fact()...); err != nil {
		t.Fatal(err)
	}
	m.accounts[a] = true
}

func (m *model) releaseAccount(t *rapid.T) {
	a := rapid.SampledFrom([]string{"alice@local.test", "bob@local.test"}).Draw(t, "account")
	if err := m.q.ReleaseAccount(ctx, addr(a), m.fact()...); err != nil {
		t.Fatal(err)
	}
	delete(m.accounts, a)
	for _, e := range m.entries {
		if e.account == a && e.parked {
			e.parked, e.next = false, m.clock.now()
		}
	}
}

func (m *model) pass(t *rapid.T) {
	m.clock.advance(time.Duration(rapid.IntRange(1, 200).Draw(t, "minutes")) * time.Minute)
}

// restart loses all claims; what was under way is due at once.
func (m *model) restart(t *rapid.T) {
	r := m.open(t)
	resumed := 0
	for _, e := range m.entries {
		// An attempt is under way from its claim to its settlement, also when the
		// claim has expired; a hold ends it.
		if e.claim != nil && !e.held && !e.parked {
			e.next = m.clock.now()
		}
		m.lose(e)
		e.there = nil
	}
	resumed = r.Resumed
	if r.Damaged+r.Orphans+r.Repaired != 0 || resumed > len(m.entries) {
		t.Fatalf("report %+v", r)
	}
}

func (m *model) check(t *rapid.T) {
	now := m.clock.now()
	var due []mail.ID
	held := 0
	var octets int64
	for id, e := range m.entries {
		if e.held || e.parked || m.accounts[e.account] {
			held++
		}
		if !e.held && !e.parked && !e.next.After(now) && !e.busy(now) {
			due = append(due, id)
		}
		octets += int64(len(e.content)) + int64(len("Received: from somewhere\r\n"))
		if got, err := readBody(m.q, id); err != nil || string(got) != e.content {
			t.Fatalf("body of %s: %q, %v", id, got, err)
		}
		if got, err := m.q.Get(ctx, id); err != nil || got.Warned != e.warned || got.Forward != e.forward {
			t.Fatalf("entry %+v, %v; model %+v", got, err, e)
		}
	}
	st := m.q.Stats()
	if st.Entries != len(m.entries) || st.Held != held || st.Octets != octets {
		t.Fatalf("stats %+v, want %d entries, %d held, %d octets", st, len(m.entries), held, octets)
	}
	if m.st.FactHead() != m.facts {
		t.Fatalf("%d facts, want %d", m.st.FactHead(), m.facts)
	}
	m.checkWaiting(t)
	m.checkDue(t, now, due)
}

// checkWaiting holds what is kept of what waits for mailboxes to what the entries say.
func (m *model) checkWaiting(t *rapid.T) {
	const prefix = int64(len("Received: from somewhere\r\n"))
	want, all := map[string]spool.Waiting{}, spool.Waiting{}
	for _, e := range m.entries {
		for r := range e.pending {
			if e.there[r] {
				continue
			}
			w := want[r]
			w.Messages, w.Octets = w.Messages+1, w.Octets+int64(len(e.content))+prefix
			want[r] = w
			all.Messages, all.Octets = all.Messages+1, all.Octets+int64(len(e.content))+prefix
		}
	}
	for _, r := range []string{"r0@local.test", "r1@local.test", "r2@local.test", "carol@local.test", "nobody@local.test"} {
		if its, domain := m.q.Waiting(addr(r)); its != want[r] || domain != all {
			t.Fatalf("for %s waits %+v, in its domain %+v; want %+v, %+v", r, its, domain, want[r], all)
		}
	}
}

func (m *model) checkDue(t *rapid.T, now time.Time, want []mail.ID) {
	ds, err := m.q.Due(ctx, now, 1000)
	if err != nil {
		t.Fatal(err)
	}
	got := map[mail.ID]bool{}
	for i, d := range ds {
		got[d.ID] = true
		if i > 0 && d.NextTry.Before(ds[i-1].NextTry) {
			t.Fatalf("due out of order: %v", ds)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("due %v, want %v", ds, want)
	}
	for _, id := range want {
		if !got[id] {
			t.Fatalf("%s is due and not found", id)
		}
	}
	if at, ok, err := m.q.NextDue(ctx); err != nil || len(want) > 0 && (!ok || at.After(now)) {
		t.Fatalf("next due %v %v %v with %d due", at, ok, err, len(want))
	}
}
