package screen

import (
	"container/heap"
	"net/netip"
	"time"
)

// evictable is how many stages there are in which a connection may have to go.
const evictable = int(StageBegun) + 1

// network is what one network, or those who are of none, has of connections.
type network struct {
	size   int // how crowded it is
	queues [evictable]queue
}

// queue are the connections of a network that are in one stage, the one that has waited
// longest first.
type queue struct {
	first, last *seat
	place       int // in its line, if it is not empty
}

// insert puts a connection behind those that have waited as long. Times come nearly in
// order, so that it hardly ever looks at a second one.
func (q *queue) insert(s *seat) {
	at := q.last
	for at != nil && at.since.After(s.since) {
		at = at.before
	}
	s.before = at
	if at == nil {
		s.behind, q.first = q.first, s
	} else {
		s.behind, at.behind = at.behind, s
	}
	if s.behind == nil {
		q.last = s
	} else {
		s.behind.before = s
	}
}

// remove takes a connection out.
func (q *queue) remove(s *seat) {
	if s.before == nil {
		q.first = s.behind
	} else {
		s.before.behind = s.behind
	}
	if s.behind == nil {
		q.last = s.before
	} else {
		s.behind.before = s.before
	}
	s.before, s.behind = nil, nil
}

// lines are the queues of one stage that are not empty, by how crowded their networks are.
// There are few sizes: different ones need as many connections as their sum.
type lines map[int]*line

// line is a heap of queues: the one whose first connection has waited longest is on top.
type line []*queue

func (l line) Len() int           { return len(l) }
func (l line) Less(i, j int) bool { return l[i].first.since.Before(l[j].first.since) }
func (l line) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push is for container/heap alone.
func (l *line) Push(x any) {
	q := x.(*queue)
	q.place = len(*l)
	*l = append(*l, q)
}

// Pop is for container/heap alone.
func (l *line) Pop() any {
	last := len(*l) - 1
	q := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return q
}

func (l lines) add(size int, q *queue) {
	if l[size] == nil {
		l[size] = &line{}
	}
	heap.Push(l[size], q)
}

func (l lines) drop(size int, q *queue) {
	heap.Remove(l[size], q.place)
	if len(*l[size]) == 0 {
		delete(l, size)
	}
}

// longest returns who has waited longest in networks of a size.
func (l lines) longest(size int) *seat {
	if l[size] == nil {
		return nil
	}
	return (*l[size])[0].first
}

// most returns the size of the most crowded networks; 0: there are none.
func (l lines) most() int {
	most := 0
	for size := range l {
		most = max(most, size)
	}
	return most
}

// wait has a connection stand where it goes when its turn comes. What is in a stage in which
// nobody has to go stands nowhere.
func (c *Crowd) wait(s *seat) {
	if int(s.stage) >= evictable {
		return
	}
	q, l := &s.crowd.queues[s.stage], c.lines[s.stage]
	if q.first != nil {
		l.drop(s.crowd.size, q)
	}
	q.insert(s)
	l.add(s.crowd.size, q)
}

// unwait takes a connection from where wait put it.
func (c *Crowd) unwait(s *seat) {
	if int(s.stage) >= evictable {
		return
	}
	q, l := &s.crowd.queues[s.stage], c.lines[s.stage]
	l.drop(s.crowd.size, q)
	if q.remove(s); q.first != nil {
		l.add(s.crowd.size, q)
	}
}

// resize counts connections of a network, and puts its queues where they belong then.
func (c *Crowd) resize(n *network, by int) {
	for stage := range n.queues {
		if q := &n.queues[stage]; q.first != nil {
			c.lines[stage].drop(n.size, q)
			c.lines[stage].add(n.size+by, q)
		}
	}
	n.size += by
}

// victim returns the connection that makes room for one that comes, or 0. Those who have
// sent no MAIL go before those who have; of the same stage, one of the most crowded
// network, and of these the one that has waited longest. Nobody goes for one of a more
// crowded network, and for one of a network as crowded only after SeatGrace: who opens
// many connections pushes out their own.
func (c *Crowd) victim(networks []netip.Prefix, now time.Time) uint64 {
	mine := 2
	if len(networks) > 0 {
		mine = c.in(networks[len(networks)-1]) + 1
	}
	for _, l := range c.lines {
		if most := l.most(); most > mine {
			return l.longest(most).id
		}
		for _, size := range [...]int{mine, mine - 1} {
			if s := l.longest(size); s != nil && now.Sub(s.since) >= SeatGrace {
				return s.id
			}
		}
	}
	return 0
}
