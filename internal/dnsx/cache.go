package dnsx

import (
	"time"

	"sallyport/internal/kit/lru"
)

// cache remembers answers until they end, and the most recently used ones when it
// is full.
type cache struct {
	known *lru.Cache[question, remembered]
}

type remembered struct {
	given given
	until time.Time
}

func newCache(entries, octets int) *cache {
	return &cache{lru.New[question](lru.Bounds{Entries: entries, Octets: octets}, func(r remembered) int { return r.given.size() })}
}

// get returns what is remembered, with the time left to it.
func (c *cache) get(q question, now time.Time) (given, bool) {
	r, ok := c.known.Get(q)
	if !ok {
		return given{}, false
	}
	if !now.Before(r.until) {
		c.known.Drop(q)
		return given{}, false
	}
	g := r.given
	g.ttl = r.until.Sub(now)
	return g, true
}

// put remembers g for as long as g.ttl says.
func (c *cache) put(q question, g given, now time.Time) {
	c.known.Put(q, remembered{given: g, until: now.Add(g.ttl)})
}
