package inflow

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func open(t interface {
	Helper()
	Fatal(...any)
}, st store.Store, c *clock, l Limits) *Budget {
	t.Helper()
	b, err := Open(noContext{}, st, Options{Limits: l, Now: c.now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// noContext never ends.
type noContext struct{}

func (noContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (noContext) Done() <-chan struct{}       { return nil }
func (noContext) Err() error                  { return nil }
func (noContext) Value(any) any               { return nil }

func box(i int) mail.Address {
	a, err := mail.ParseAddress(fmt.Sprintf("m%d@local.test", i), mail.ASCII)
	if err != nil {
		panic(err)
	}
	return a
}

func stranger(text string) Source { return Stranger(netip.MustParseAddr(text)) }

var begin = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// Whatever comes from wherever, by how many sessions at once, with restarts in between: no hour
// sees more in a mailbox, from a network, or of one in the other than the limits say, and what
// was given up is free again.
func TestNoHourSeesMore(t *testing.T) {
	limits := Limits{
		Connections: 1, Recipients: 1, NetworkMessages: 40, NetworkOctets: 4 << 20, ShareMessages: 20,
		ShareOctets: 2 << 20, MailboxMessages: 30, MailboxOctets: 3 << 20, Replies: 10, Lines: 100,
	}
	rapid.Check(t, func(t *rapid.T) {
		c, st := &clock{begin}, mem.New()
		b := open(t, st, c, limits)
		type taken struct {
			at             time.Time
			source         string
			mailbox, kib   int
			reply, durable bool
		}
		var all []taken
		type session struct {
			*Charge
			mailboxes []int
			source    string
			reply     bool
			kib       int
		}
		var open1 []session
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"begin", "begin", "came", "came", "end", "end", "wait", "restart"}).Draw(t, "step") {
			case "begin":
				from := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.200", "198.51.100.1", "2001:db8::1"}).Draw(t, "from")
				s := session{source: stranger(from).String(), reply: rapid.Bool().Draw(t, "reply")}
				s.Charge = b.Charge(stranger(from), int64(rapid.IntRange(0, 600<<10).Draw(t, "size")), s.reply)
				for range rapid.IntRange(1, 2).Draw(t, "copies") {
					m := rapid.IntRange(0, 2).Draw(t, "mailbox")
					if s.Add(box(m)).OK {
						s.mailboxes = append(s.mailboxes, m)
					}
				}
				open1 = append(open1, s)
			case "came":
				if len(open1) > 0 {
					i := rapid.IntRange(0, len(open1)-1).Draw(t, "which")
					n := rapid.IntRange(1, 300<<10).Draw(t, "octets")
					s := &open1[i]
					before := s.came
					if s.Came(n).OK {
						s.kib = units(before + int64(n))
					} else {
						s.Release()
						open1 = append(open1[:i], open1[i+1:]...)
					}
				}
			case "end":
				if len(open1) > 0 {
					s := open1[0]
					open1 = open1[1:]
					if rapid.Bool().Draw(t, "accepted") && len(s.mailboxes) > 0 && s.Place().OK {
						if err := s.Keep(noContext{}); err != nil {
							t.Fatal(err)
						}
						s.Done()
						for _, m := range s.mailboxes {
							all = append(all, taken{c.at, s.source, m, s.kib, s.reply, true})
						}
					} else {
						s.Release()
					}
					s.Release()
				}
			case "wait":
				c.at = c.at.Add(time.Duration(rapid.IntRange(1, 1800).Draw(t, "seconds")) * time.Second)
			case "restart":
				if len(open1) == 0 {
					b = open(t, st, c, limits)
				}
			}
		}
		// A restart may give what fills within a minute, once in each; so the hour that is
		// looked at is that much shorter, and has that much more.
		for i, last := range all {
			network, share, mailbox, replies := [2]int{}, [2]int{}, [2]int{}, 0
			for _, x := range all[:i+1] {
				if last.at.Sub(x.at) >= time.Hour-time.Minute {
					continue
				}
				if x.source == last.source {
					network[0], network[1] = network[0]+1, network[1]+x.kib
				}
				if x.mailbox == last.mailbox {
					mailbox[0], mailbox[1] = mailbox[0]+1, mailbox[1]+x.kib
					if x.reply {
						replies++
					}
				}
				if x.source == last.source && x.mailbox == last.mailbox {
					share[0], share[1] = share[0]+1, share[1]+x.kib
				}
			}
			if network[0] > 40 || network[1] > 4<<10 || share[0] > 20 || share[1] > 2<<10 || mailbox[0] > 30 || mailbox[1] > 3<<10 || replies > 10 {
				t.Fatalf("within an hour before %s: of the network %v, of both %v, in the mailbox %v, replies %d", last.at, network, share, mailbox, replies)
			}
		}
		for _, s := range open1 {
			s.Release()
		}
		for k, l := range b.lines {
			if l.held != 0 {
				t.Fatalf("%v is held by nobody", k)
			}
		}
	})
}

// What is given up is free; what is taken is not, also after a restart; and a line that cannot
// be read is used up.
func TestWhatIsKept(t *testing.T) {
	c, st, l := &clock{begin}, mem.New(), DefaultLimits()
	l.ShareMessages = 4
	b := open(t, st, c, l)
	take := func(b *Budget) Verdict {
		ch := b.Charge(stranger("192.0.2.1"), 0, false)
		v := ch.Add(box(1))
		if !v.OK {
			ch.Release()
			return v
		}
		ch.Came(1000)
		if v = ch.Place(); !v.OK {
			t.Fatal(v)
		}
		if err := ch.Keep(t.Context()); err != nil {
			t.Fatal(err)
		}
		ch.Done()
		return v
	}
	for range 10 {
		ch := b.Charge(stranger("192.0.2.1"), 1<<20, false)
		if v := ch.Add(box(1)); !v.OK {
			t.Fatal(v)
		}
		ch.Came(1 << 20)
		ch.Release()
	}
	for range 2 {
		if v := take(b); !v.OK {
			t.Fatal(v)
		}
	}
	for range 2 {
		if v := take(b); v.OK || v.Rule != RuleShareMessages || v.Wait <= 0 || v.Wait > time.Hour {
			t.Errorf("%+v", v)
		}
		b = open(t, st, c, l)
	}
	k := key{kindShare, "network 192.0.2.0/24 " + box(1).Key()}
	if _, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: k.stored(), Value: []byte("?")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	c.at = c.at.Add(time.Hour)
	b = open(t, st, c, l)
	if v := take(b); v.OK {
		t.Error("a line that cannot be read lets through")
	}
	c.at = c.at.Add(time.Hour)
	if v := take(b); !v.OK {
		t.Errorf("an hour later: %+v", v)
	}
	c.at = c.at.Add(2 * time.Hour)
	b.sweep(t.Context(), c.at, false)
	if err := st.Scan(t.Context(), store.SpaceInflow.All(), func(k, _ []byte) (bool, error) {
		t.Errorf("%q is kept for ever", k)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Where there is no room for a line, who comes shares one with all others: nobody is let
// through for it, and who has a line keeps it.
func TestNoRoomOpensNothing(t *testing.T) {
	c, l := &clock{begin}, DefaultLimits()
	l.Lines, l.Connections = 10, 6
	b := open(t, mem.New(), c, l)
	from := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, byte(i >> 8), byte(i), 1}) }
	for i := range 10 {
		if v := b.Connect(from(i)); !v.OK {
			t.Fatal(v)
		}
	}
	let := 0
	for i := range 500 {
		if v := b.Connect(from(100 + i)); v.OK {
			let++
		} else if v.About != "all others together" {
			t.Fatalf("%+v", v)
		}
	}
	if let != 3 || len(b.lines) != 11 {
		t.Errorf("%d without a line were let in, and there are %d lines", let, len(b.lines))
	}
	if v := b.Connect(from(3)); !v.OK {
		t.Errorf("who has a line is told %+v", v)
	}
	c.at = c.at.Add(time.Minute)
	if v := b.Connect(from(700)); !v.OK || len(b.lines) > 11 {
		t.Errorf("a minute later: %+v with %d lines", v, len(b.lines))
	}
}

// Zero limits let nothing through, and neither does the zero verdict say yes. This host itself
// has no network, and its mail a mailbox all the same.
func TestZero(t *testing.T) {
	b := open(t, mem.New(), &clock{begin}, Limits{})
	if b.Connect(netip.MustParseAddr("192.0.2.1")).OK || b.Recipient(netip.MustParseAddr("192.0.2.1")).OK || b.Charge(Source{}, 0, false).Add(box(1)).OK || (Verdict{}).OK {
		t.Error("zero lets through")
	}
	if r := (Verdict{}).Reply(); r.OK() || r.Class() != mail.ClassTransient {
		t.Errorf("the zero verdict is %s", r)
	}
	l := DefaultLimits()
	l.Connections, l.MailboxMessages = 2, 2
	b = open(t, mem.New(), &clock{begin}, l)
	for range 10 {
		if !b.Connect(netip.MustParseAddr("127.0.0.1")).OK || !b.Connect(netip.MustParseAddr("::ffff:127.0.0.1")).OK {
			t.Error("this host is bounded as a network")
		}
	}
	local := Stranger(netip.MustParseAddr("::1"))
	one := b.Charge(local, 0, false)
	if !one.Add(box(1)).OK || !one.Place().OK || b.Charge(local, 0, false).Add(box(1)).OK {
		t.Error("a mailbox is not bounded for this host")
	}
}

// The replies: programs come again after 452, and what never fits is 552.
func TestReplies(t *testing.T) {
	b := open(t, mem.New(), &clock{begin}, DefaultLimits())
	for _, c := range []struct {
		source Source
		size   int64
		want   string
	}{
		{stranger("192.0.2.1"), 300 << 20, "552 5.2.3 the message is larger than this sender's share of the mailbox may have at once, of 512 MiB within an hour (share-octets)"},
		{Account(box(2)), 300 << 20, "552 5.2.3 the message is larger than this sender's share"},
		{Source{}, 3 << 30, "552 5.2.3 the message is larger than this mailbox may have at once, of 2 GiB within an hour (mailbox-octets)"},
		{stranger("192.0.2.1"), 30 << 30, "552 5.3.4 the message is larger than network 192.0.2.0/24 may have at once, of 20 GiB within an hour (network-octets)"},
	} {
		if r := b.Charge(c.source, c.size, false).Add(box(1)).Reply().String(); !strings.HasPrefix(r, c.want) {
			t.Errorf("%s", r)
		}
	}
	exempt := b.Charge(stranger("192.0.2.1"), 300<<20, false)
	if exempt.Exempt(true); !exempt.Add(box(1)).OK {
		t.Error("who is exempt has the bounds of his network")
	}
}

// What counts is what came with messages that were taken, to the unit: not what was taken in
// advance, what was refused, or what was given up.
func TestCountsToTheUnit(t *testing.T) {
	c, l := &clock{begin}, DefaultLimits()
	l.MailboxMessages = 10
	b := open(t, mem.New(), c, l)
	used := func(of kind, name string, r Rule, at func(*line) screen.Bucket) int {
		ln := b.lines[key{of, name}]
		if ln == nil {
			return 0
		}
		full := at(ln).FullAt()
		if full.IsZero() {
			return 0
		}
		return int(full.Sub(c.at) / b.o.Limits.bound(r).rate().Every)
	}
	want := func(what string, messages, octets int) {
		t.Helper()
		network := "192.0.2.0/24"
		share := "network " + network + " " + box(1).Key()
		for i, n := range [...]int{
			used(kindNetwork, network, RuleNetworkMessages, func(l *line) screen.Bucket { return l.messages }),
			used(kindShare, share, RuleShareMessages, func(l *line) screen.Bucket { return l.messages }),
			used(kindMailbox, box(1).Key(), RuleMailboxMessages, func(l *line) screen.Bucket { return l.messages }),
		} {
			if n != messages {
				t.Errorf("%s: messages of line %d: %d, want %d", what, i, n, messages)
			}
		}
		for i, n := range [...]int{
			used(kindNetwork, network, RuleNetworkOctets, func(l *line) screen.Bucket { return l.octets }),
			used(kindShare, share, RuleShareOctets, func(l *line) screen.Bucket { return l.octets }),
			used(kindMailbox, box(1).Key(), RuleMailboxOctets, func(l *line) screen.Bucket { return l.octets }),
		} {
			if n != octets {
				t.Errorf("%s: units of line %d: %d, want %d", what, i, n, octets)
			}
		}
	}
	send := func(octets int, taken bool) *Charge {
		ch := b.Charge(stranger("192.0.2.1"), 1<<20, false)
		if v := ch.Add(box(1)); !v.OK {
			t.Fatal(v)
		}
		for left := octets; left > 0; left -= 1000 {
			if v := ch.Came(min(left, 1000)); !v.OK {
				t.Fatal(v)
			}
		}
		if v := ch.Place(); !v.OK || !ch.Place().OK {
			t.Fatal(v)
		}
		if taken {
			ch.Done()
		}
		return ch
	}
	send(1000, true)
	want("one message", 1, 1)
	given := send(600<<10, false)
	want("one under way", 2, 1+767)
	given.Release()
	want("given up", 1, 1)
	kept := send(600<<10, false)
	kept.Mutations()
	want("about to be written", 2, 1+600)
	kept.Done()
	kept.Release()
	want("taken", 2, 1+600)
	for range 3 {
		send(0, true)
	}
	refused := b.Charge(stranger("192.0.2.1"), 0, false)
	if v := refused.Add(box(2), box(1)); v.OK || v.Rule != RuleMailboxMessages {
		t.Errorf("%+v", v)
	}
	want("refused", 5, 1+600)
	if n := used(kindMailbox, box(2).Key(), RuleMailboxMessages, func(l *line) screen.Bucket { return l.messages }); n != 0 {
		t.Errorf("the other mailbox of a refused recipient has %d", n)
	}
}

// A line that a message is on its way for is not dropped, however long that takes.
func TestALineInUseStays(t *testing.T) {
	c := &clock{begin}
	b := open(t, mem.New(), c, DefaultLimits())
	ch := b.Charge(stranger("192.0.2.1"), 0, false)
	ch.Add(box(1))
	c.at = c.at.Add(2 * time.Hour)
	b.sweep(t.Context(), c.at, true)
	if v := ch.Came(100 << 20); !v.OK {
		t.Fatal(v)
	}
	ch.Done()
	if v := b.Charge(stranger("192.0.2.1"), 200<<20, false).Add(box(1)); v.OK {
		t.Error("what came in two hours was forgotten")
	}
}
