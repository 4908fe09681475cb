package screen

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// crowdOf fills three places with one of each network, at a second's distance.
func crowdOf(t *testing.T, l CrowdLimits, from ...string) (*Crowd, []uint64) {
	t.Helper()
	c := NewCrowd()
	var seats []uint64
	for i, a := range from {
		e := c.Enter(parse(a), StageFresh, l, begin.Add(time.Duration(i)*time.Second))
		if !e.OK || e.Victim != 0 {
			t.Fatalf("%s: %+v", a, e)
		}
		seats = append(seats, e.Seat)
	}
	return c, seats
}

// parse is no address for "".
func parse(a string) netip.Addr {
	if a == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(a)
}

// Whoever goes for whom: first who has sent no MAIL, then who is of the most crowded network,
// then who has waited longest; nobody for one of a more crowded network, and for one as
// crowded only after SeatGrace.
func TestWhoGoes(t *testing.T) {
	l := CrowdLimits{Total: 3, Network: 10}
	soon, later := begin.Add(5*time.Second), begin.Add(time.Hour)
	for _, c := range []struct {
		what  string
		in    []string
		reach map[int]Stage
		from  string
		at    time.Time
		goes  int // -1: nobody
	}{
		{"the longest of three alike", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, nil, "10.0.0.1", later, 0},
		{"nobody of three alike that are new", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, nil, "10.0.0.1", soon, -1},
		{"one that has just been there for the grace", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, nil, "10.0.0.1", begin.Add(SeatGrace), 0},
		{"nobody a moment before", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, nil, "10.0.0.1", begin.Add(SeatGrace - 1), -1},
		{"the older of the crowded", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, nil, "10.0.0.1", later, 1},
		{"the crowded at once", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, nil, "10.0.0.1", soon, 1},
		{"the silent before the crowded", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, map[int]Stage{1: StageBegun, 2: StageBegun}, "10.0.0.1", later, 0},
		{"who has begun, if all have", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, map[int]Stage{0: StageBegun, 1: StageBegun, 2: StageBegun}, "10.0.0.1", later, 1},
		{"nobody who is busy or ours", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, map[int]Stage{0: StageBusy, 1: StageBusy, 2: StageOurs}, "10.0.0.1", later, -1},
		{"one of his own for who is crowded", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, nil, "192.0.2.3", later, 1},
		{"none of a quieter network", []string{"198.51.100.1", "203.0.113.1", "192.0.2.2"}, map[int]Stage{2: StageBusy}, "192.0.2.3", later, 0},
		{"none of a network quieter by two", []string{"198.51.100.1", "192.0.2.1", "192.0.2.2"}, map[int]Stage{1: StageBusy, 2: StageBusy}, "192.0.2.3", later, -1},
		{"one for who has no network", []string{"192.0.2.1", "198.51.100.1", "203.0.113.1"}, nil, "", later, 0},
		{"one without a network, which counts as one", []string{"", "192.0.2.1", "192.0.2.2"}, map[int]Stage{1: StageBusy, 2: StageBusy}, "10.0.0.1", later, 0},
		{"the crowded before one without a network", []string{"", "192.0.2.1", "192.0.2.2"}, nil, "10.0.0.1", later, 1},
	} {
		crowd, seats := crowdOf(t, l, c.in...)
		for i, s := range c.reach {
			crowd.Reach(seats[i], s, begin.Add(time.Duration(i)*time.Second))
		}
		e := crowd.Enter(parse(c.from), StageFresh, l, c.at)
		switch {
		case c.goes < 0 && (e.OK || e.Victim != 0):
			t.Errorf("%s: %+v", c.what, e)
		case c.goes >= 0 && (!e.OK || e.Victim != seats[c.goes]):
			t.Errorf("%s: %+v, of %v", c.what, e, seats)
		}
	}
}

// Those who had to make room stay open for a while, and are bounded in number: then who
// comes waits outside until one has gone.
func TestWhoLeavesIsCounted(t *testing.T) {
	l, c := CrowdLimits{Total: 16, Network: 100}, NewCrowd()
	for i := range 16 {
		c.Enter(line6(uint16(i), 0), StageFresh, l, begin)
	}
	var gone []uint64
	for i := range 2 { // an eighth of the places
		e := c.Enter(line6(uint16(100+i), 0), StageFresh, l, begin.Add(time.Hour))
		if !e.OK || e.Victim == 0 {
			t.Fatalf("%+v", e)
		}
		gone = append(gone, e.Victim)
	}
	if c.Open() != 18 {
		t.Errorf("%d open", c.Open())
	}
	if e := c.Enter(line6(200, 0), StageFresh, l, begin.Add(time.Hour)); e.OK || c.Open() != 18 {
		t.Errorf("a third makes room before one has gone: %+v", e)
	}
	c.Leave(gone[0])
	if e := c.Enter(line6(200, 0), StageFresh, l, begin.Add(time.Hour)); !e.OK || c.Open() != 18 {
		t.Errorf("when one has gone: %+v, %d open", e, c.Open())
	}
}

// Of the places, the reserve is for those who are ours, from the first or by signing in;
// they alone fill the last of them, and nobody comes where there is none at all.
func TestTheReserveAtItsBounds(t *testing.T) {
	l := CrowdLimits{Total: 4, Reserved: 2, Network: 100}
	c := NewCrowd()
	for i := range 2 {
		if e := c.Enter(netip.Addr{}, StageOurs, l, begin); !e.OK || e.Victim != 0 {
			t.Fatalf("ours %d: %+v", i, e)
		}
	}
	for i := range 2 {
		if e := c.Enter(line6(uint16(i), 0), StageFresh, l, begin); !e.OK || e.Victim != 0 {
			t.Fatalf("stranger %d: %+v", i, e)
		}
	}
	if e := c.Enter(line6(9, 0), StageFresh, l, begin); e.OK {
		t.Errorf("a stranger came where all is taken: %+v", e)
	}
	if e := c.Enter(netip.Addr{}, StageOurs, l, begin.Add(time.Hour)); !e.OK || e.Victim == 0 {
		t.Errorf("silence does not make room for one of ours: %+v", e)
	}
	c = NewCrowd()
	for range 4 {
		if e := c.Enter(netip.Addr{}, StageOurs, l, begin); !e.OK {
			t.Errorf("ours: %+v", e)
		}
	}
	if e := c.Enter(netip.Addr{}, StageOurs, l, begin.Add(time.Hour)); e.OK {
		t.Errorf("a fifth of four: %+v", e)
	}
	if e := NewCrowd().Enter(netip.Addr{}, StageOurs, CrowdLimits{Network: 1}, begin); e.OK {
		t.Errorf("without places: %+v", e)
	}
	if e := NewCrowd().Enter(netip.Addr{}, StageFresh, CrowdLimits{Total: 1, Network: 1}, begin); !e.OK {
		t.Errorf("the only place: %+v", e)
	}
}

// A connection whose client is known later, from a balancer, counts for him from then on,
// once; one that left is nobody's.
func TestJoin(t *testing.T) {
	l, c := CrowdLimits{Total: 100, Network: 2}, NewCrowd()
	enter := func() uint64 {
		e := c.Enter(netip.Addr{}, StageFresh, l, begin)
		if !e.OK {
			t.Fatal(e)
		}
		return e.Seat
	}
	from := netip.MustParseAddr("192.0.2.1")
	first, second, third := enter(), enter(), enter()
	if !c.Join(first, from, l) || c.Join(first, from, l) {
		t.Error("it counts other than once")
	}
	if !c.Join(second, netip.MustParseAddr("::ffff:192.0.2.9"), l) {
		t.Error("a second one of the network may not come")
	}
	if c.Join(third, from, l) {
		t.Error("a third one may")
	}
	c.Leave(first)
	if c.Join(first, from, l) {
		t.Error("one that left counts")
	}
	if !c.Join(third, from, l) || c.Open() != 2 {
		t.Errorf("the place of one that left is not free; %d open", c.Open())
	}
}

// looked finds who goes by looking at everybody.
func looked(c *Crowd, networks []netip.Prefix, now time.Time) (best *seat) {
	mine := 2
	if len(networks) > 0 {
		mine = c.in(networks[len(networks)-1]) + 1
	}
	for _, s := range c.seats {
		n := 1
		if len(s.networks) > 0 {
			n = c.in(s.networks[len(s.networks)-1])
		}
		if s.stage > StageBegun || n <= mine && (n < mine-1 || now.Sub(s.since) < SeatGrace) {
			continue
		}
		if best == nil || goesBefore(c, s, best) {
			best = s
		}
	}
	return best
}

func goesBefore(c *Crowd, s, o *seat) bool {
	of := func(s *seat) int {
		if len(s.networks) == 0 {
			return 1
		}
		return c.in(s.networks[len(s.networks)-1])
	}
	switch {
	case s.stage != o.stage:
		return s.stage < o.stage
	case of(s) != of(o):
		return of(s) > of(o)
	}
	return s.since.Before(o.since)
}

// Who goes is who would be found by looking at everybody, whatever came before: connections
// that come, get further, are counted later and leave, on a clock that is set back now and then.
func TestWhoGoesIsFoundWithoutLooking(t *testing.T) {
	chance := rand.New(rand.NewPCG(6, 17))
	found := map[Stage]int{}
	for round := range 200 {
		c, now := NewCrowd(), begin
		l := CrowdLimits{Total: 2 + chance.IntN(30), Reserved: chance.IntN(3), Network: 2 + chance.IntN(8)}
		var ids []uint64
		for range 300 {
			now = now.Add(time.Duration(chance.IntN(4000)-400) * time.Millisecond)
			from := netip.AddrFrom4([4]byte{10, byte(chance.IntN(1 + round%6)), byte(chance.IntN(3)), 1})
			if chance.IntN(8) == 0 {
				from = netip.Addr{}
			}
			pick := func() uint64 {
				if len(ids) == 0 {
					return 0
				}
				return ids[chance.IntN(len(ids))]
			}
			switch chance.IntN(8) {
			case 0:
				c.Reach(pick(), Stage(chance.IntN(4)), now)
			case 1:
				c.Join(pick(), from, l)
			case 2:
				c.Leave(pick())
			default:
				networks := networksOf(from)
				want, got := looked(c, networks, now), c.victim(networks, now)
				if (want == nil) != (got == 0) || want != nil && goesBefore(c, want, c.seats[got]) {
					t.Fatalf("round %d: %d goes, and by looking at everybody %+v", round, got, want)
				}
				if want != nil {
					found[want.stage]++
				}
				if e := c.Enter(from, Stage(chance.IntN(4)), l, now); e.OK {
					ids = append(ids, e.Seat)
				}
			}
		}
		for _, id := range ids {
			c.Leave(id)
		}
		if len(c.networks) > 0 || len(c.lines[0]) > 0 || len(c.lines[1]) > 0 || c.nowhere.queues[0].last != nil || c.nowhere.queues[1].last != nil {
			t.Fatalf("round %d: something is left of nobody: %+v", round, c)
		}
	}
	if found[StageFresh] < 1000 || found[StageBegun] < 1000 {
		t.Errorf("too few had to go: %v", found)
	}
}
