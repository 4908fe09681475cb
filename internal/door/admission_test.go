package door

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/screen"
)

func TestAdmissionByNetwork(t *testing.T) {
	l := DefaultLimits()
	l.Connections, l.ConnectionsPerNetwork = 6, 2
	a := NewAdmission()
	var all []*Place
	for _, tt := range []struct {
		addr string
		ok   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.200", true}, {"192.0.2.3", false}, {"192.0.3.3", true},
		{"2001:db8::1", true}, {"2001:db8::ffff:1", true}, {"2001:db8::2", false}, {"127.0.0.1", true}, {"127.0.0.1", false},
	} {
		p, _ := a.Enter(Counted(netip.MustParseAddr(tt.addr)), screen.StageBusy, &l, time.Now, func() {})
		if (p != nil) != tt.ok {
			t.Errorf("%s: %v", tt.addr, p)
		}
		if p != nil {
			all = append(all, p)
		}
	}
	for _, p := range all {
		p.Leave()
	}
	if a.Open() != 0 || len(a.ends) != 0 {
		t.Errorf("%d open, %d ends", a.Open(), len(a.ends))
	}
}

// Whoever signed in is remembered for a while, as long as the sign-in gives a right and no
// connection from there ends for what it did.
func TestWhoIsVouchedFor(t *testing.T) {
	v, a, now, still := newVouched(), netip.MustParseAddr("192.0.2.1"), time.Unix(1e9, 0), true
	if v.trusts(a, now) {
		t.Error("an address is trusted for nothing")
	}
	v.earns(a, now, func() bool { return still })
	for after, want := range map[time.Duration]bool{0: true, VouchTime - 1: true, VouchTime: false, -1: false} {
		if got := v.trusts(a, now.Add(after)); got != want {
			t.Errorf("%s after a sign-in: %v", after, got)
		}
	}
	if still = false; v.trusts(a, now) {
		t.Error("the account was contained, and its address is trusted")
	}
	still = true
	if v.trusts(a.Next(), now) {
		t.Error("a neighbour is trusted")
	}
	if v.loses(a); v.trusts(a, now) {
		t.Error("who guesses keeps it")
	}
	v.earns(netip.Addr{}, now, func() bool { return true })
	if v.trusts(netip.Addr{}, now) {
		t.Error("clients without an address share a record")
	}
	for range 2 * Vouched {
		a = a.Next()
		v.earns(a, now, func() bool { return true })
	}
	if n := v.addresses.Len(); n != Vouched {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestHandshakePlaces(t *testing.T) {
	l := DefaultLimits()
	l.Handshakes = 4
	for others, want := range []time.Duration{l.HandshakeTimeout, l.HandshakeTimeout, l.HandshakeRush, l.HandshakeRush} {
		if got := l.handshake(others); got != want {
			t.Errorf("beside %d: %v; want %v", others, got, want)
		}
	}
	a, abandoned := NewAdmission(), []int{}
	begin := func(n int, of lane) *Handshake {
		return a.beginHandshake(&l, of, func() { abandoned = append(abandoned, n) })
	}
	ours := begin(0, laneVouched) // it makes room for no stranger
	first := begin(1, laneStranger)
	second := begin(2, laneStranger)
	begin(3, laneStranger)
	begin(4, laneStranger)
	second.End()
	begin(5, laneStranger) // takes the place of 2
	if h := begin(6, laneStranger); h.timeout != l.HandshakeRush {
		t.Errorf("under pressure: %v", h.timeout)
	}
	first.End() // 1 had lost its place already, and must not give back another's
	begin(7, laneStranger)
	if h := begin(8, laneVouched); h.timeout != l.HandshakeTimeout {
		t.Errorf("beside one of ours: %v", h.timeout)
	}
	if want := []int{1, 3}; !slices.Equal(abandoned, want) {
		t.Errorf("abandoned %v; want %v", abandoned, want)
	}
	if n := a.handshakes[laneStranger].places.Len(); n != 4 {
		t.Errorf("%d handshakes of 4", n)
	}
	if ours.End(); a.handshakes[laneVouched].places.Len() != 1 {
		t.Errorf("%d handshakes of ours", a.handshakes[laneVouched].places.Len())
	}
}

// The turns of a lane go round in the order in which they were asked for; nobody of the other
// lane waits for them, and who lost his place, or his patience, gets none.
func TestTurnsOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := DefaultLimits()
		l.Handshakes, l.HandshakesAtOnce, l.HandshakeTurn, l.HandshakeTimeout, l.HandshakeRush = 100, 1, time.Hour, time.Minute, time.Minute
		slots := 3
		a := NewAdmissionOn(func() int { return slots })
		var order []int
		begin := func(n int, of lane) *Handshake {
			h := a.beginHandshake(&l, of, func() {})
			go func() {
				h.await()
				if h.turn != nil {
					order = append(order, n)
				}
			}()
			synctest.Wait()
			return h
		}
		var first *Handshake
		for n := range slots {
			if h := begin(n, laneStranger); n == 0 {
				first = h
			}
		}
		waits := []*Handshake{begin(100, laneStranger), begin(101, laneStranger), begin(102, laneStranger)}
		begin(200, laneVouched)
		want := append(upTo(slots), 200)
		if !slices.Equal(order, want) {
			t.Fatalf("%v had their turn, want %v", order, want)
		}
		waits[0].End() // its connection ended: it still stands in the line, and passes its turn on
		first.End()
		first.End()
		synctest.Wait()
		waits[0].End()
		waits[1].End()
		synctest.Wait()
		if want = append(want, 100, 101); !slices.Equal(order, want) && !slices.Equal(order, append(want, 102)) {
			t.Fatalf("%v had their turn, want %v and then 102", order, want)
		}
		// The next one waits longer than a handshake may take.
		begin(103, laneStranger)
		time.Sleep(2 * time.Minute)
		if slices.Contains(order, 103) {
			t.Errorf("103 had a turn that there was not: %v", order)
		}
		// Turns end by themselves, however long the handshakes stall.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		for _, lane := range a.handshakes {
			if lane.working != 0 || lane.waiting.Len() != 0 {
				t.Errorf("%d turns are out, %d wait", lane.working, lane.waiting.Len())
			}
		}
	})
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// Beside one admission another counts its own connections, and knows who signed in at the first.
func TestAdmissionsBesideEachOther(t *testing.T) {
	l := DefaultLimits()
	l.Connections = 1
	a := NewAdmission()
	b := a.Beside()
	who, now := netip.MustParseAddr("192.0.2.1"), time.Now()
	for _, each := range []*Admission{a, b} {
		if p, _ := each.Enter(who, screen.StageOurs, &l, time.Now, func() {}); p == nil {
			t.Error("one takes the other's places")
		}
	}
	if p, _ := b.Enter(who, screen.StageBusy, &l, time.Now, func() {}); p != nil {
		t.Error("one counts nothing")
	}
	a.Vouch(who, now, func() bool { return true })
	if h := b.Handshake(&l, who, now, func() {}); h.in != &a.handshakes[laneVouched] {
		t.Error("who signed in at one is a stranger at the other")
	}
}

// While memory is scarce nobody comes to the doors for the world unless a silent connection goes for
// him; people of ours come as ever until there is none at all.
func TestScarcity(t *testing.T) {
	l := DefaultLimits()
	strangers, ours := l.ForStrangers(), l.ForOurs()
	a, gone := NewAdmission(), 0
	enter := func(l *Limits, from string, stage screen.Stage) *Place {
		var p *Place
		p, _ = a.Enter(netip.MustParseAddr(from), stage, l, time.Now, func() { gone++; p.Leave() })
		return p
	}
	a.Scarce(ScarceStrangers)
	if enter(&strangers, "192.0.2.1", screen.StageFresh) != nil {
		t.Error("the first stranger comes although nobody goes")
	}
	if enter(&ours, "192.0.2.1", screen.StageFresh) == nil || enter(&strangers, "192.0.2.1", screen.StageOurs) == nil {
		t.Error("people of ours are kept out")
	}
	a.Scarce(ScarceNot)
	var crowd []*Place
	for range 4 {
		crowd = append(crowd, enter(&strangers, "198.51.100.1", screen.StageFresh))
	}
	crowd[0].Reach(screen.StageBusy)
	a.Scarce(ScarceStrangers)
	seated := a.crowd.Seated()
	for range 2 {
		if enter(&strangers, "203.0.113.1", screen.StageBusy) == nil {
			t.Fatal("a silent connection does not go for who comes")
		}
	}
	if gone != 2 || a.crowd.Seated() != seated {
		t.Errorf("%d went, %d are seated where %d were", gone, a.crowd.Seated(), seated)
	}
	for _, c := range crowd {
		c.Reach(screen.StageBusy)
	}
	if enter(&strangers, "203.0.113.2", screen.StageFresh) != nil {
		t.Error("a message in the making goes for who comes")
	}
	a.Scarce(ScarceAll)
	if enter(&ours, "192.0.2.9", screen.StageOurs) != nil {
		t.Error("somebody comes although there is no memory and nobody who is silent")
	}
}
