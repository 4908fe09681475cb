package dnsx

import (
	"container/list"
	"time"
)

// cache remembers answers until they end, and the most recently used ones when it
// is full. The caller keeps it to itself with a lock.
type cache struct {
	entries, octets int // the bounds

	size  int
	order *list.List // of *remembered; the one used last in front
	known map[question]*list.Element
}

type remembered struct {
	question question
	given    given
	until    time.Time
	size     int
}

func newCache(entries, octets int) *cache {
	return &cache{entries: entries, octets: octets, order: list.New(), known: map[question]*list.Element{}}
}

// get returns what is remembered, with the time left to it.
func (c *cache) get(q question, now time.Time) (given, bool) {
	e, ok := c.known[q]
	if !ok {
		return given{}, false
	}
	r := e.Value.(*remembered)
	if !now.Before(r.until) {
		c.drop(e)
		return given{}, false
	}
	c.order.MoveToFront(e)
	g := r.given
	g.ttl = r.until.Sub(now)
	return g, true
}

// put remembers g for as long as g.ttl says.
func (c *cache) put(q question, g given, now time.Time) {
	if e, ok := c.known[q]; ok {
		c.drop(e)
	}
	r := &remembered{question: q, given: g, until: now.Add(g.ttl), size: g.size()}
	c.known[q] = c.order.PushFront(r)
	c.size += r.size
	for c.order.Len() > c.entries || c.size > c.octets && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	r := e.Value.(*remembered)
	c.order.Remove(e)
	delete(c.known, r.question)
	c.size -= r.size
}
