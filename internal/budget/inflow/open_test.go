package inflow

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// Whoever begins messages and ends none keeps nobody out of a mailbox, from however many networks
// he comes; who ends first has the places, and who asks for several at once is told of those that
// there are not.
func TestWhoEndsNothingKeepsNobodyOut(t *testing.T) {
	l := DefaultLimits()
	l.MailboxMessages, l.ShareMessages = 8, 6
	l.MailboxOctets, l.ShareOctets = 8<<20, 2<<20
	b := open(t, mem.New(), &clock{begin}, l)
	begun := func(from string, size int64) *Charge {
		c := b.Charge(stranger(from), size, false)
		if v := c.Add(box(1)); !v.OK {
			t.Fatalf("%s: %+v", from, v)
		}
		return c
	}
	var idle []*Charge
	for i := range 2000 {
		c := begun(fmt.Sprintf("198.51.%d.7", i%50), 512<<10)
		if i < 1000 {
			c.Came(1)
		}
		idle = append(idle, c)
	}
	var others []*Charge
	for i := range 6 {
		c := begun(fmt.Sprintf("203.0.%d.9", i/2), 0)
		if v := c.Came(300 << 10); !v.OK {
			t.Fatal(v)
		}
		others = append(others, c)
	}
	for i, c := range others[:4] {
		if v := c.Place(); !v.OK {
			t.Fatalf("number %d: %+v", i, v)
		}
		c.Done()
	}
	if v := others[4].Place(); v.OK || v.Rule != RuleMailboxMessages || v.Reply().Code != 452 {
		t.Errorf("beyond the mailbox: %+v", v)
	}
	others[4].Release()
	for _, c := range append(idle, others[5]) {
		c.Release()
	}
	for k, l := range b.lines {
		if l.held != 0 {
			t.Fatalf("%v is held by nobody", k)
		}
	}
	several := b.Charge(stranger("192.0.2.1"), 0, false)
	for i := range 4 {
		if v := several.Add(box(2), box(2)); v.OK != (i == 0) || !v.OK && v.Reply().Code != 452 {
			t.Errorf("two copies more, beside %d: %s", 2*i, v.Reply())
		}
	}
	if v := several.Add(box(2)); !v.OK {
		t.Errorf("the third: %+v", v)
	}
	if v := several.Place(); !v.OK {
		t.Errorf("%+v", v)
	}
	several.Release()
	again := b.Charge(stranger("192.0.2.1"), 0, false)
	for i := range 3 {
		if v := again.Add(box(2)); !v.OK {
			t.Errorf("number %d of what was given up: %+v", i, v)
		}
	}
	again.Release()
}

// An account that has another address has what its mailbox took and what it brought to others, at
// once and after a restart; a rename that did not happen changes nothing, and whoever has the old
// address then has nothing of it.
func TestMoving(t *testing.T) {
	c, st, l := &clock{begin}, mem.New(), DefaultLimits()
	l.MailboxMessages, l.ShareMessages, l.ShareOctets = 4, 100, 4<<20
	b := open(t, st, c, l)
	send := func(s Source, to int, octets int) Verdict {
		ch := b.Charge(s, int64(octets), false)
		defer ch.Release()
		if v := ch.Add(box(to)); !v.OK {
			return v
		}
		if v := ch.Came(octets); !v.OK {
			return v
		}
		v := ch.Place()
		if !v.OK {
			return v
		}
		if err := ch.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		ch.Done()
		return v
	}
	full := func(what string, to int, want bool) {
		t.Helper()
		if v := b.Charge(stranger("192.0.2.1"), 0, false).Add(box(to)); v.OK == want {
			t.Errorf("%s, mailbox %d: %+v", what, to, v)
		}
	}
	spent := func(what string, account, to int, want bool) {
		t.Helper()
		if v := b.Charge(Account(box(account)), 1<<20, false).Add(box(to)); v.OK == want {
			t.Errorf("%s, account %d to mailbox %d: %+v", what, account, to, v)
		}
	}
	for range 2 {
		if v := send(stranger("192.0.2.1"), 1, 1000); !v.OK {
			t.Fatal(v)
		}
	}
	for _, to := range []int{5, 9} {
		if v := send(Account(box(1)), to, 2<<20-2000); !v.OK {
			t.Fatal(v)
		}
	}
	for range 2 {
		send(stranger("192.0.2.1"), 3, 1000) // somebody was called so before
	}
	rename := func(from, to int, outcome error) {
		t.Helper()
		share, err := b.Moving(box(from), box(to))(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if outcome == nil {
			if _, err := st.Apply(t.Context(), store.Tx{Mutations: share.Mutations}, store.Durable); err != nil {
				t.Fatal(err)
			}
		}
		if err := share.Done(outcome); err != nil {
			t.Fatal(err)
		}
	}
	rename(1, 2, store.ErrConflict)
	full("not renamed", 1, true)
	full("not renamed", 2, false)
	spent("not renamed", 1, 5, true)
	spent("not renamed", 2, 5, false)
	under := b.Charge(stranger("192.0.2.7"), 0, false)
	if under.Came(10); !under.Add(box(9)).OK {
		t.Fatal("no room")
	}
	rename(1, 2, nil)
	rename(9, 3, nil)
	under.Release()
	for range 2 {
		full("renamed", 1, false)
		full("renamed", 2, true)
		full("renamed", 3, true)
		spent("renamed", 1, 5, false)
		spent("renamed", 2, 5, true)
		spent("renamed", 2, 9, false)
		b = open(t, st, c, l)
	}
	if v := b.Charge(Account(box(2)), 1<<20, false).Add(box(3)); v.OK || v.Rule != RuleMailboxMessages && v.Rule != RuleShareOctets {
		t.Errorf("both were renamed: %+v", v)
	}
	rename(2, 4, store.ErrInDoubt)
	full("in doubt", 2, true)
	full("in doubt", 4, true)
	c.at = c.at.Add(2 * time.Hour)
	b.sweep(t.Context(), c.at, true)
	if len(b.lines) != 0 || b.many[kindMailbox] != 0 || b.many[kindShare] != 0 || b.many[kindNetwork] != 0 {
		t.Errorf("%d lines stay, and %v are counted", len(b.lines), b.many)
	}
	if !b.Connect(netip.MustParseAddr("192.0.2.1")).OK {
		t.Error("nobody may connect")
	}
}
