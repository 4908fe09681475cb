package dnsx

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The cache never exceeds its bounds, and never returns what has ended or was not
// put there last.
func TestCacheKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type fact struct {
			host  string
			until time.Time
		}
		entries, octets := rapid.IntRange(1, 8).Draw(rt, "entries"), rapid.IntRange(200, 3000).Draw(rt, "octets")
		c := newCache(entries, octets)
		told := map[question]fact{}
		now := time.Unix(1_800_000_000, 0)
		pick := func() question {
			return question{Name{fmt.Sprintf("q%d.test", rapid.IntRange(0, 12).Draw(rt, "q"))}, 15}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(*rapid.T) {
				q, ttl := pick(), time.Duration(rapid.IntRange(1, 9).Draw(rt, "ttl"))*time.Second
				host := fmt.Sprintf("mx%d.test", rapid.Int().Draw(rt, "host"))
				c.put(q, given{answer: answer{mx: []MX{{Text: host}}, ttl: ttl}}, now)
				told[q] = fact{host, now.Add(ttl)}
				if _, ok := c.get(q, now); !ok {
					rt.Fatal("what was just put is not there")
				}
			},
			"get": func(*rapid.T) {
				q := pick()
				if g, ok := c.get(q, now); ok && (g.mx[0].Text != told[q].host || g.ttl != told[q].until.Sub(now) || g.ttl <= 0) {
					rt.Fatalf("%v for %v", g, told[q])
				}
			},
			"wait": func(*rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 4000).Draw(rt, "ms")) * time.Millisecond)
			},
			"": func(*rapid.T) {
				sum := 0
				for _, r := range c.known.All() {
					sum += r.given.size()
				}
				if n := c.known.Len(); n > entries || sum > octets && n > 1 {
					rt.Fatalf("%d entries of %d, %d octets of %d", n, entries, sum, octets)
				}
			},
		})
	})
}

// The one that was not used for longest goes.
func TestCacheForgetsTheLeastRecentlyUsed(t *testing.T) {
	c := newCache(2, 1<<20)
	now := time.Unix(1_800_000_000, 0)
	q := func(s string) question { return question{Name{s}, 1} }
	for _, s := range []string{"a", "b"} {
		c.put(q(s), given{answer: answer{ttl: time.Hour}}, now)
	}
	c.get(q("a"), now)
	c.put(q("c"), given{answer: answer{ttl: time.Hour}}, now)
	for s, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := c.get(q(s), now); ok != want {
			t.Errorf("%s: %v", s, ok)
		}
	}
}
