// Package lru is a cache of the values that were used last, with bounds that hold at every moment.
// How long a value counts is for its owner to say.
package lru

import (
	"container/list"
	"iter"
	"sync"
)

// Bounds are what a Cache holds at most. One value is held whatever its size.
type Bounds struct {
	Entries int
	Octets  int // of all values together; 0: whatever they take
}

// Cache remembers values by key. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	bounds Bounds
	size   func(V) int

	mu     sync.Mutex
	octets int
	order  *list.List // of *entry[K, V]; the one used last in front
	known  map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
	size  int
}

// New returns an empty Cache. size tells the octets of a value; nil where they are not
// bounded.
func New[K comparable, V any](b Bounds, size func(V) int) *Cache[K, V] {
	if size == nil {
		size = func(V) int { return 0 }
	}
	return &Cache[K, V]{bounds: b, size: size, order: list.New(), known: map[K]*list.Element{}}
}

// Get returns the value of a key, which counts as used now.
func (c *Cache[K, V]) Get(k K) (v V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[k]
	if !ok {
		return v, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// Put remembers a value in place of the key's former one, and forgets those used longest
// ago that have no room any more.
func (c *Cache[K, V]) Put(k K, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.known[k]; ok {
		c.drop(e)
	}
	n := &entry[K, V]{key: k, value: v, size: c.size(v)}
	c.known[k] = c.order.PushFront(n)
	c.octets += n.size
	for c.order.Len() > max(c.bounds.Entries, 1) || c.bounds.Octets > 0 && c.octets > c.bounds.Octets && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

// Drop forgets a key, and reports whether it was remembered.
func (c *Cache[K, V]) Drop(k K) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[k]
	if ok {
		c.drop(e)
	}
	return ok
}

// Len returns how many values are remembered.
func (c *Cache[K, V]) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len()
}

// All goes through what is remembered at the call, the one used last first. It holds no
// lock meanwhile, and makes nothing used.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*entry[K, V], 0, c.order.Len())
	for e := c.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*entry[K, V]))
	}
	return func(yield func(K, V) bool) {
		for _, e := range all {
			if !yield(e.key, e.value) {
				return
			}
		}
	}
}

// drop forgets an entry; the lock is held.
func (c *Cache[K, V]) drop(e *list.Element) {
	n := e.Value.(*entry[K, V])
	c.order.Remove(e)
	delete(c.known, n.key)
	c.octets -= n.size
}
