package screen

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// line6 is the nth address of a home line: another /64 of one /56 each time.
func line6(line uint16, n int) netip.Addr {
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint16(b[4:], line)
	b[7] = byte(n)
	b[15] = byte(n >> 8)
	return netip.AddrFrom16(b)
}

var usual = CrowdLimits{Total: 3072, Network: 128}

// One home line has a bounded part of the places, whatever it opens.
func TestOneLineDoesNotFillTheRoom(t *testing.T) {
	for name, l := range map[string]struct {
		from func(i int) netip.Addr
		most int
	}{
		"a /64":      {func(i int) netip.Addr { return line6(0, i<<8) }, 128},
		"a /56":      {func(i int) netip.Addr { return line6(0, i) }, 128 * WideShare},
		"a /48":      {func(i int) netip.Addr { b := line6(0, i).As16(); b[6] = byte(i); return netip.AddrFrom16(b) }, 128 * WidestShare},
		"an IPv4/24": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) }, 128},
		"an IPv4/20": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i % 16), byte(i)}) }, 128 * WideShare},
		"an IPv4/16": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, byte(i), byte(i)}) }, 128 * WidestShare},
	} {
		c, in := NewCrowd(), 0
		for i := range 5000 {
			if c.Enter(l.from(i), StageFresh, usual, begin).OK {
				in++
			}
		}
		if in != l.most || c.Open() != in {
			t.Errorf("%s got %d places, want %d", name, in, l.most)
		}
	}
}

// Many lines that fill the room with silence keep nobody out who comes alone, and those
// who send mail or have signed in stay.
func TestSilenceMakesRoom(t *testing.T) {
	c := NewCrowd()
	honest := c.Enter(netip.MustParseAddr("198.51.100.1"), StageFresh, usual, begin)
	c.Reach(honest.Seat, StageBusy, begin)
	// Five lines with all that they may have, and many small ones.
	for i := range 5 * 600 {
		b := line6(uint16(1+i%5), i/5).As16()
		b[6] = byte(i / 5)
		c.Enter(netip.AddrFrom16(b), StageFresh, usual, begin)
	}
	for i := 0; c.Open() < usual.Total && i < usual.Total; i++ {
		c.Enter(line6(uint16(100+i), 0), StageFresh, usual, begin)
	}
	if c.Open() != usual.Total {
		t.Fatalf("%d open", c.Open())
	}
	for i := range 300 {
		e := c.Enter(netip.AddrFrom4([4]byte{203, byte(i), 113, 1}), StageFresh, usual, begin)
		if !e.OK || e.Victim == 0 || e.Victim == honest.Seat {
			t.Fatalf("newcomer %d: %+v", i, e)
		}
		c.Leave(e.Victim)
	}
	// One of a line that is crowded itself pushes out nobody of a quieter one, however long
	// that has waited.
	for range 1000 {
		e := c.Enter(line6(1, 0), StageFresh, usual, begin.Add(time.Hour))
		if e.Victim == honest.Seat {
			t.Fatal("a message in the making had to go")
		}
		c.Leave(e.Victim)
	}
	quiet := 0
	for _, s := range c.seats {
		if s.crowd != nil && s.crowd.size == 1 {
			quiet++
		}
	}
	if quiet < 300 {
		t.Errorf("%d of the quiet ones are left", quiet)
	}
}

// The reserve is for those who sign in: silence on the submission doors takes none of
// it, and makes room for who comes.
func TestReserveIsForOurs(t *testing.T) {
	l, c := CrowdLimits{Total: 16, Reserved: 4, Network: 100}, NewCrowd()
	for i := range 12 {
		if !c.Enter(line6(1, i), StageFresh, l, begin).OK {
			t.Fatal(i)
		}
	}
	alice := c.Enter(netip.MustParseAddr("192.0.2.1"), StageFresh, l, begin)
	if !alice.OK || alice.Victim == 0 {
		t.Fatalf("%+v", alice)
	}
	c.Leave(alice.Victim)
	c.Reach(alice.Seat, StageOurs, begin)
	for i := range 3 {
		e := c.Enter(netip.AddrFrom4([4]byte{192, byte(i), 2, 2}), StageFresh, l, begin)
		if !e.OK {
			t.Fatalf("the next one: %+v", e)
		}
		c.Leave(e.Victim)
		c.Reach(e.Seat, StageOurs, begin)
	}
	if got := len(c.seats) - c.ours; got > 12 || c.ours != 4 {
		t.Errorf("%d strangers and %d of ours", got, c.ours)
	}
}

// The counts are those of a model, the bounds hold, and nobody goes who may stay.
func TestCrowdKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := CrowdLimits{Total: rapid.IntRange(1, 12).Draw(rt, "total"), Network: rapid.IntRange(1, 4).Draw(rt, "network")}
		l.Reserved = rapid.IntRange(0, l.Total-1).Draw(rt, "reserved")
		c, now, stages := NewCrowd(), begin, map[uint64]Stage{}
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 12).Draw(rt, "wait")) * time.Second)
			ids := make([]uint64, 0, len(stages))
			for id := uint64(1); id <= c.last; id++ {
				if _, ok := stages[id]; ok {
					ids = append(ids, id)
				}
			}
			if len(ids) > 0 && rapid.IntRange(0, 2).Draw(rt, "what") == 0 {
				id := rapid.SampledFrom(ids).Draw(rt, "id")
				if s := Stage(rapid.IntRange(0, 4).Draw(rt, "stage")); s > StageOurs {
					c.Leave(id)
					delete(stages, id)
				} else if c.Reach(id, s, now); stages[id] != StageOurs {
					stages[id] = s
				}
				continue
			}
			var from netip.Addr
			if n := rapid.IntRange(-1, 40).Draw(rt, "from"); n >= 0 {
				from = line6(uint16(n%5), n)
			}
			e := c.Enter(from, StageFresh, l, now)
			if !e.OK {
				continue
			}
			if s, there := stages[e.Victim]; e.Victim != 0 && (!there || s > StageBegun) {
				rt.Fatalf("%d of stage %d had to go", e.Victim, s)
			}
			delete(stages, e.Victim)
			if rapid.Bool().Draw(rt, "gone") {
				c.Leave(e.Victim)
			}
			stages[e.Seat] = StageFresh
		}
		ours := 0
		for _, s := range stages {
			if s == StageOurs {
				ours++
			}
		}
		if len(c.seats) != len(stages) || c.ours != ours || len(c.seats) > l.Total || len(c.leaving) > max(1, l.Total/leavingShare) {
			rt.Fatalf("%d seats (%d ours), %d leaving; the model has %d (%d)", len(c.seats), c.ours, len(c.leaving), len(stages), ours)
		}
		count := map[netip.Prefix]int{}
		for _, s := range c.seats {
			for i, p := range s.networks {
				if count[p]++; count[p] > l.Network*[...]int{1, WideShare, WidestShare}[i] {
					rt.Fatalf("%v has %d places", p, count[p])
				}
			}
		}
		if len(count) != len(c.networks) {
			rt.Fatalf("%v, want %v", c.networks, count)
		}
	})
}
