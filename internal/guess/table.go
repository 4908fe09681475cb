package guess

import (
	"container/heap"
	"time"

	"sallyport/internal/screen"
)

// table holds one bucket for each key, all of one rate, and never more than its
// bound. When it is full it forgets the bucket that is nearest to being full
// again: to make it forget an emptied one, an attacker must first empty as many
// others as the table holds. It is not safe for concurrent use.
type table[K comparable] struct {
	rate    screen.Rate
	max     int
	since   time.Time // when it began
	start   int       // what a bucket that nobody knows had then, at most
	entries map[K]*entry[K]
	queue   queue[K]
}

type entry[K comparable] struct {
	key    K
	bucket screen.Bucket
	index  int
}

// newTable makes an empty table of at most max buckets. Each is full; without a valid rate
// or a positive bound it gives nothing to anybody.
func newTable[K comparable](r screen.Rate, max int) *table[K] {
	return &table[K]{rate: r, max: max, entries: make(map[K]*entry[K])}
}

// newTableSince makes one of which each bucket had no more than start at a moment, and fills
// from then on.
func newTableSince[K comparable](r screen.Rate, max int, since time.Time, start int) *table[K] {
	t := newTable[K](r, max)
	t.since, t.start = since, start
	return t
}

// fresh is the bucket of a key that nobody knows.
func (t *table[K]) fresh() screen.Bucket {
	if t.since.IsZero() {
		return screen.Bucket{}
	}
	return t.rate.Begun(t.since, t.start)
}

// Len returns the number of buckets that are remembered.
func (t *table[K]) Len() int { return len(t.entries) }

// Wait returns how long k must wait until Take succeeds: 0 for not at all. It ends no
// later, also when a clock was set back before.
func (t *table[K]) Wait(k K, now time.Time) time.Duration {
	if t.max <= 0 {
		return screen.Forever
	}
	e, ok := t.entries[k]
	if !ok {
		return t.fresh().Wait(t.rate, now)
	}
	if settled := e.bucket.Settled(t.rate, now); settled != e.bucket {
		e.bucket = settled
		heap.Fix(&t.queue, e.index)
	}
	return e.bucket.Wait(t.rate, now)
}

// Take takes one from the bucket of k, or reports that there is none.
func (t *table[K]) Take(k K, now time.Time) bool {
	if t.Wait(k, now) > 0 {
		return false
	}
	e, ok := t.entries[k]
	if !ok {
		t.makeRoom(now)
		e = &entry[K]{key: k, bucket: t.fresh()}
		t.entries[k] = e
		heap.Push(&t.queue, e)
	}
	e.bucket, _ = e.bucket.Take(t.rate, now)
	heap.Fix(&t.queue, e.index)
	return true
}

// GiveBack undoes one Take of k, if it is still remembered.
func (t *table[K]) GiveBack(k K, now time.Time) {
	e, ok := t.entries[k]
	if !ok {
		return
	}
	e.bucket = e.bucket.GiveBack(t.rate, now)
	heap.Fix(&t.queue, e.index)
}

// sweep is how many full buckets one call drops at most.
const sweep = 4

// makeRoom drops the buckets that are full again, a few at a time so that no
// single call is slow, and the fullest one if the table has no room.
func (t *table[K]) makeRoom(now time.Time) {
	for range sweep {
		if len(t.queue) == 0 || !t.queue[0].bucket.IsFull(now) {
			break
		}
		t.forgetFirst()
	}
	if len(t.queue) >= t.max {
		t.forgetFirst()
	}
}

func (t *table[K]) forgetFirst() {
	e := heap.Pop(&t.queue).(*entry[K])
	delete(t.entries, e.key)
}

// queue is a heap: the bucket that is full first stands first.
type queue[K comparable] []*entry[K]

func (q queue[K]) Len() int           { return len(q) }
func (q queue[K]) Less(i, j int) bool { return q[i].bucket.Before(q[j].bucket) }

func (q queue[K]) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push is for container/heap alone.
func (q *queue[K]) Push(x any) {
	e := x.(*entry[K])
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop is for container/heap alone.
func (q *queue[K]) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return e
}
