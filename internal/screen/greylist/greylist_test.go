package greylist

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

var begin = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func limits() Limits {
	l := DefaultLimits()
	l.Wait = 5 * time.Minute
	return l
}

func TestDecide(t *testing.T) {
	l := limits()
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	for _, c := range []struct {
		seen Sighting
		now  time.Duration
		want Verdict
		next Sighting
	}{
		{Sighting{}, 0, Verdict{Wait: l.Wait}, Sighting{First: begin}},
		{Sighting{First: begin}, time.Minute, Verdict{Wait: 4 * time.Minute}, Sighting{First: begin}},
		{Sighting{First: begin}, 5*time.Minute - 1, Verdict{Wait: 1}, Sighting{First: begin}},
		{Sighting{First: begin}, 5 * time.Minute, Verdict{OK: true}, Sighting{First: begin, Passed: at(5 * time.Minute)}},
		{Sighting{First: begin}, 24 * time.Hour, Verdict{OK: true}, Sighting{First: begin, Passed: at(24 * time.Hour)}},
		{Sighting{First: begin}, 24*time.Hour + 1, Verdict{Wait: l.Wait}, Sighting{First: at(24*time.Hour + 1)}},
		{Sighting{First: begin}, -time.Hour, Verdict{Wait: l.Wait}, Sighting{First: at(-time.Hour)}},
		{Sighting{First: begin, Passed: begin}, time.Hour, Verdict{OK: true}, Sighting{First: begin, Passed: at(time.Hour)}},
		{Sighting{First: begin, Passed: begin}, l.Keep + 1, Verdict{Wait: l.Wait}, Sighting{First: at(l.Keep + 1)}},
		{Sighting{First: begin, Passed: begin}, -time.Second, Verdict{Wait: l.Wait}, Sighting{First: at(-time.Second)}},
	} {
		if v, next := Decide(c.seen, at(c.now), l); v != c.want || next != c.next {
			t.Errorf("%+v after %s: %+v, %+v", c.seen, c.now, v, next)
		}
	}
	if v, _ := Decide(Sighting{}, begin, DefaultLimits()); !v.OK || (Verdict{}).OK {
		t.Error("who is put off where it is off, or let through by nothing?")
	}
}

func path(i int) mail.ReversePath {
	p, err := mail.ParseReversePath(fmt.Sprintf("<s%d@far.test>", i), mail.ASCII)
	if err != nil {
		panic(err)
	}
	return p
}

func box(i int) mail.Address {
	a, err := mail.ParseAddress(fmt.Sprintf("m%d@local.test", i), mail.ASCII)
	if err != nil {
		panic(err)
	}
	return a
}

// Against plain maps, over restarts: the same are let through, and never more is remembered
// than there is room for.
func TestModel(t *testing.T) {
	l := limits()
	rapid.Check(t, func(t *rapid.T) {
		now, st := begin, mem.New()
		open := func() *Greylist {
			g, err := Open(context.Background(), st, Options{Limits: l, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		g := open()
		senders, networks := map[string]time.Time{}, map[string]time.Time{} // first seen, last passed
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"ask", "ask", "ask", "wait", "restart"}).Draw(t, "step") {
			case "ask":
				ip := netip.AddrFrom4([4]byte{192, 0, byte(rapid.IntRange(0, 2).Draw(t, "network")), byte(rapid.IntRange(1, 2).Draw(t, "host"))})
				s, m := rapid.IntRange(0, 1).Draw(t, "sender"), rapid.IntRange(0, 1).Draw(t, "mailbox")
				network := screen.Network(ip).String()
				key := fmt.Sprint(network, s, m)
				want := false
				first, seen := senders[key]
				switch passed, known := networks[network]; {
				case known && now.Sub(passed) <= l.Keep-fresh: // what is stored may be a day old
					want = true
					networks[network] = now
				case known:
					return // between the two either is right
				case !seen || now.Sub(first) > l.Window:
					senders[key] = now
				case now.Sub(first) >= l.Wait:
					want = true
					networks[network] = now
					delete(senders, key)
				}
				if v := g.Judge(context.Background(), ip, path(s), box(m)); v.OK != want || !want && (v.Wait <= 0 || v.Wait > l.Wait) {
					t.Fatalf("%s at %s: %+v, want %v", key, now, v, want)
				}
			case "wait":
				now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 5 * time.Minute, time.Hour, 23 * time.Hour, 20 * 24 * time.Hour}).Draw(t, "time"))
			case "restart":
				g = open()
			}
		}
	})
}

// Where there is no room, who is new is put off for ever so long, and who is known stays known;
// there is room again when others are old.
func TestNoRoomOpensNothing(t *testing.T) {
	now, st, l := begin, mem.New(), limits()
	l.Entries = 10
	g, err := Open(t.Context(), st, Options{Limits: l, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(network byte, s int) bool {
		return g.Judge(t.Context(), netip.AddrFrom4([4]byte{192, 0, network, 1}), path(s), box(0)).OK
	}
	ask(1, 0)
	now = now.Add(l.Wait)
	if !ask(1, 0) {
		t.Fatal("the second try is not taken")
	}
	for s := range 100 {
		if ask(byte(2+s), s) {
			t.Fatal("who is new is let through")
		}
	}
	entries := 0
	count := func(_, _ []byte) (bool, error) { entries++; return true, nil }
	if err := st.Scan(t.Context(), store.SpaceGreylist.All(), count); err != nil || entries != 11 {
		t.Errorf("%d are remembered, %v", entries, err)
	}
	now = now.Add(10 * time.Minute)
	if ask(3, 7) || !ask(1, 99) {
		t.Error("want of room lets in who is new, or forgets who is known")
	}
	now = now.Add(10 * time.Minute)
	if ask(3, 7) {
		t.Error("who could not be remembered is let through")
	}
	now = now.Add(time.Hour)
	ask(3, 7)
	now = now.Add(l.Wait)
	if !ask(3, 7) {
		t.Error("there is no room for others when the first are old")
	}
}

// A network that names more senders than there is room for, and never comes again, keeps nobody
// else from being let through; and it is let through itself when it comes again as it was.
func TestOneNetworkTakesNoRoomFromOthers(t *testing.T) {
	now, st, l := begin, mem.New(), limits()
	l.Entries = 160
	g, err := Open(t.Context(), st, Options{Limits: l, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(network byte, s int) bool {
		return g.Judge(t.Context(), netip.AddrFrom4([4]byte{192, 0, network, byte(s)}), path(s), box(0)).OK
	}
	for s := range 1000 {
		if ask(2, s) {
			t.Fatal("who is new is let through")
		}
	}
	ask(3, 7)
	now = now.Add(l.Wait)
	if !ask(3, 7) {
		t.Error("who comes again from elsewhere is put off")
	}
	if ask(2, 999) || !ask(2, 3) || !ask(2, 999) {
		t.Error("the network itself is let through for what it did not repeat, or not for what it did")
	}
	now = now.Add(2 * l.Window)
	g.mu.Lock()
	g.sweep(t.Context(), now, false)
	if len(g.waiting) > 0 || len(g.owners) > 0 {
		t.Errorf("%d networks and %d senders are remembered when none is", len(g.waiting), len(g.owners))
	}
	g.mu.Unlock()
}

// broken is a store that cannot be read.
type broken struct{ store.Store }

func (broken) Get(context.Context, []byte) ([]byte, error) { return nil, errors.New("broken") }

func TestAStoreThatFailsPutsOff(t *testing.T) {
	g, err := Open(t.Context(), broken{mem.New()}, Options{Limits: limits(), Now: func() time.Time { return begin }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if v := g.Judge(t.Context(), netip.MustParseAddr("192.0.2.1"), path(0), box(0)); v.OK || v.Reply().Code != 450 {
		t.Errorf("%+v", v)
	}
}
