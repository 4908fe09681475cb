package allowance

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// Whatever holds do, the sum is what they have, it is within the bound, strangers leave a quarter
// of the part that may be used and those of one network have an eighth at most, and when all have
// ended nothing is used.
func TestTheSumIsWithinTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 1000
		b, part := New(most), int64(1)
		type model struct {
			h      *Hold
			known  bool
			of     int // network; 0: none
			octets int64
			users  int
		}
		var all []*model
		sum := func() (n int64) {
			for _, m := range all {
				n += m.octets
			}
			return n
		}
		network := func(of int) (n int64) {
			for _, m := range all {
				if m.of == of && !m.known {
					n += m.octets
				}
			}
			return n
		}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(all) == 0 || rapid.IntRange(0, 5).Draw(t, "new") == 0 {
				known, of := rapid.Bool().Draw(t, "known"), rapid.IntRange(0, 2).Draw(t, "network")
				m := &model{known: known, of: of, users: 1}
				if m.h = b.Hold(known); of > 0 {
					m.known, m.h = false, b.Stranger(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(of), 0}), 24))
				}
				all = append(all, m)
			}
			m := rapid.SampledFrom(all).Draw(t, "hold")
			n := rapid.Int64Range(0, 700).Draw(t, "octets")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 5:
				part = rapid.SampledFrom([]int64{0, 1, 1, 4}).Draw(t, "part")
				b.Narrow(part)
			case 0:
				room := int64(most)
				if part > 1 {
					room /= part
				}
				share := room / 8
				if !m.known {
					room -= room / 4
				}
				want := m.users > 0 && sum()+n <= room && part > 0
				if !m.known && m.of > 0 && network(m.of)+n > share {
					want = false
				}
				if m.h.Take(n) != want {
					t.Fatalf("%d octets, %d used, known %v: not %v", n, sum(), m.known, want)
				}
				if want {
					m.octets += n
				}
			case 1:
				m.h.Give(n)
				m.octets -= min(n, m.octets)
			case 2:
				if m.users > 0 {
					m.h.Share()
					m.users++
				}
			case 3:
				m.h.End()
				if m.users--; m.users == 0 {
					m.octets = 0
				}
			case 4:
				m.h.Known()
				m.known = true
			}
			if u := b.Use(); u.Used != sum() || u.Used > most || m.h.Held() != m.octets {
				t.Fatalf("%+v, want %d used", u, sum())
			}
		}
		for _, m := range all {
			for ; m.users > 0; m.users-- {
				m.h.End()
			}
		}
		if u := b.Use(); u.Used != 0 || len(b.networks) != 0 {
			t.Fatalf("%d octets are used by nobody, %d networks are remembered", u.Used, len(b.networks))
		}
	})
}

// Of nothing nobody gets even nothing, so that what needs no octets yet is put off as well; what
// was given out stays, and afterwards all is as before.
func TestNarrow(t *testing.T) {
	b := New(1000)
	early := b.Hold(true)
	if !early.Take(600) {
		t.Fatal("no room")
	}
	b.Narrow(0)
	if early.Take(0) || b.Hold(true).Take(0) || early.Held() != 600 {
		t.Errorf("of nothing somebody gets something, or what was given out is gone: %d", early.Held())
	}
	b.Narrow(4)
	if early.Take(1) || b.Use().Most != 1000 {
		t.Errorf("of a quarter there is room beside %+v", b.Use())
	}
	early.Give(400)
	if !early.Take(50) || early.Take(1) {
		t.Error("a quarter is something else")
	}
	if b.Narrow(1); !early.Take(750) {
		t.Error("it is not as before")
	}
}
