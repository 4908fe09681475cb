package spool_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// sentOn is a forward in alice's name, for which there is a Grant.
func sentOn(t *testing.T) spool.Message {
	m := outboundMessage(t, "alice@local.test", []string{"a@far.test", "b@far.test"}, "a@far.test", "b@far.test")
	m.Forward = spool.ForwardSent
	return m
}

// One settlement puts several messages into the queue, each with its own Grant, and
// does it once, however often it is asked.
func TestASettlementSpawnsSeveral(t *testing.T) {
	h := newHouse(t)
	stranger := localMessage("x@far.test", "alice@local.test", "bob@local.test")
	stranger.Account = mail.Address{}
	c := put(t, h.q, stranger, "x")
	note := localMessage("alice@local.test", "alice@local.test")
	note.Envelope.From, note.Account = mail.NullPath(), mail.Address{}
	forward, large := sentOn(t), sentOn(t)
	content := strings.Repeat("y", 300<<10)
	f := spool.Final{Facts: [][]byte{[]byte("sent on")}, Next: h.clock.now().Add(time.Second), Spawn: []spool.Spawned{
		{Message: note, Body: bodyOf(t, h.q, []byte("note"))},
		{Message: forward, Body: bodyOf(t, h.q, []byte("x"))},
		{Message: large, Body: bodyOf(t, h.q, []byte(content))},
	}}
	for range 2 {
		if s := h.settle(c.Token, f, outcome("alice@local.test", 250)); s.Done || !s.NextTry.Equal(f.Next) {
			t.Errorf("settled %+v; what is left is due at %v", s, f.Next)
		}
		h.wantStats(4, 0)
		h.wantHead(1)
	}
	h.restart()
	h.wantStats(4, 0)
	ids := []mail.ID{note.ID, forward.ID, large.ID}
	slices.SortFunc(ids, func(a, b mail.ID) int { return bytes.Compare(a.Bytes(), b.Bytes()) })
	h.wantDue(ids...)
	wantBody(t, h.q, large.ID, content)
	for _, m := range []spool.Message{forward, large} {
		e := h.claim(m.ID).Entry
		if e.Forward != spool.ForwardSent || e.Account != addr("alice@local.test") || len(e.Pending()) != 2 {
			t.Errorf("spawned %+v", e)
		}
	}
	h.clock.advance(time.Second)
	h.claim(c.Entry.ID)
}

// Where one of the messages may not enter, nothing of the settlement happens, and
// the claim lives on.
func TestASettlementIsWholeOrNothing(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(h *house)
		spoil   func(f *spool.Final)
		want    error
	}{
		"no grant":         {spoil: func(f *spool.Final) { f.Spawn[1].Message.Grant = f.Spawn[0].Message.Grant }, want: spool.ErrNoGrant},
		"no account":       {spoil: func(f *spool.Final) { f.Spawn[1].Message.Account = mail.Address{} }, want: spool.ErrInvalid},
		"no such forward":  {spoil: func(f *spool.Final) { f.Spawn[1].Message.Forward = 3 }, want: spool.ErrInvalid},
		"no body":          {spoil: func(f *spool.Final) { f.Spawn[1].Body = nil }, want: spool.ErrInvalid},
		"too many":         {spoil: func(f *spool.Final) { f.Spawn = append(f.Spawn, f.Spawn...) }, want: spool.ErrTooLarge},
		"account full":     {prepare: func(h *house) { put(h, h.q, localMessage("alice@local.test", "bob@local.test"), "x") }, want: spool.ErrFull},
		"account held":     {prepare: func(h *house) { _ = h.q.HoldAccount(ctx, addr("alice@local.test"), "why") }, want: spool.ErrHeld},
		"too many octets":  {spoil: func(f *spool.Final) { f.Spawn[1].Message.Prefix = bytes.Repeat([]byte("x"), 3<<20) }, want: spool.ErrTooLarge},
		"disk unavailable": {prepare: func(h *house) { h.st.(*doubtStore).err = store.ErrUnavailable }, want: spool.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newDoubt(t)
			h.o.Limits.EntriesPerAccount, h.o.Limits.Spawned = 2, 2
			h.restart()
			stranger := localMessage("x@far.test", "alice@local.test")
			stranger.Account = mail.Address{}
			c := put(t, h.q, stranger, "x")
			large := strings.Repeat("y", 300<<10)
			f := spool.Final{Warned: true, Facts: [][]byte{[]byte("sent on")}, Spawn: []spool.Spawned{
				{Message: sentOn(t), Body: bodyOf(t, h.q, []byte("x"))},
				{Message: sentOn(t), Body: bodyOf(t, h.q, []byte(large))},
			}}
			whole := f
			whole.Spawn = append([]spool.Spawned(nil), f.Spawn...)
			if row.prepare != nil {
				row.prepare(h)
			}
			if row.spoil != nil {
				row.spoil(&f)
			}
			before := h.q.Stats()
			_, err := h.q.Settle(ctx, c.Token, []mail.Outcome{outcome("alice@local.test", 250)}, h.clock.now(), f)
			h.wantError(err, row.want)
			if after := h.q.Stats(); after != before {
				t.Errorf("counted %+v, before %+v", after, before)
			}
			if e, err := h.q.Get(ctx, c.Entry.ID); err != nil || len(e.Pending()) != 1 || e.Warned {
				t.Errorf("the entry changed: %+v, %v", e, err)
			}
			for _, s := range whole.Spawn {
				if err := s.Body.Abort(); err != nil {
					t.Error(err)
				}
			}
			if names, err := h.st.Blobs().List(); err != nil || len(names) != 0 {
				t.Errorf("%d files are left behind, %v", len(names), err)
			}
			h.st.(*doubtStore).recover()
			if err := h.q.ReleaseAccount(ctx, addr("alice@local.test")); err != nil {
				t.Error(err)
			}
			whole.Spawn = nil
			if s := h.settle(c.Token, whole, outcome("alice@local.test", 250)); !s.Done {
				t.Errorf("settled %+v", s)
			}
		})
	}
}

// A warning is remembered across restarts.
func TestAWarningIsRemembered(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	h.settle(c.Token, spool.Final{Warned: true}, outcome("bob@local.test", 451))
	h.restart()
	h.clock.advance(time.Hour)
	again := h.claim(c.Entry.ID)
	if !again.Entry.Warned {
		t.Error("the warning is forgotten")
	}
	h.settle(again.Token, spool.Final{}, outcome("bob@local.test", 451))
	if e, err := h.q.Get(ctx, c.Entry.ID); err != nil || !e.Warned {
		t.Errorf("a settlement without a warning forgets it: %+v, %v", e, err)
	}
}

// Room answers what a settlement would.
func TestRoom(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.EntriesPerAccount, o.Limits.Entries, o.Limits.Octets = 1, 2, 1000 })
	alice, bob := addr("alice@local.test"), addr("bob@local.test")
	room := func(a mail.Address, octets int64, want error) {
		t.Helper()
		if err := h.q.Room(a, octets); want == nil && err != nil {
			t.Error(err)
		} else if want != nil {
			h.wantError(err, want)
		}
	}
	room(alice, 1000, nil)
	room(alice, 1001, spool.ErrFull)
	put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	room(alice, 1, spool.ErrFull)
	room(bob, 1, nil)
	if err := h.q.HoldAccount(ctx, bob, "why"); err != nil {
		t.Fatal(err)
	}
	room(bob, 1, spool.ErrHeld)
	stranger := localMessage("x@far.test", "bob@local.test")
	stranger.Account = mail.Address{}
	put(t, h.q, stranger, "x")
	room(addr("carol@local.test"), 1, spool.ErrFull)
}
