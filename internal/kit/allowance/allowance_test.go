package allowance

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever holds do, the sum is what they have, it is within the bound, strangers leave
// a quarter, and when all have ended nothing is used.
func TestTheSumIsWithinTheBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 1000
		b := New(most)
		type model struct {
			h      *Hold
			known  bool
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
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			if len(all) == 0 || rapid.IntRange(0, 5).Draw(t, "new") == 0 {
				known := rapid.Bool().Draw(t, "known")
				all = append(all, &model{h: b.Hold(known), known: known, users: 1})
			}
			m := rapid.SampledFrom(all).Draw(t, "hold")
			n := rapid.Int64Range(0, 700).Draw(t, "octets")
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				room := int64(most)
				if !m.known {
					room = most * 3 / 4
				}
				want := m.users > 0 && sum()+n <= room
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
		if u := b.Use(); u.Used != 0 {
			t.Fatalf("%d octets are used by nobody", u.Used)
		}
	})
}
