package door

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"
)

// lane parts the handshakes of those from whose address somebody of ours signed in of late
// from those of strangers. Neither waits for the other, or makes room for it, so that whoever
// guesses passwords over many connections does not keep those waiting who have mail to send.
type lane int

const (
	laneStranger lane = iota
	laneVouched
	lanes
)

// handshakes are those of one lane.
type handshakes struct {
	places  list.List // of *Handshake; the oldest first
	working int       // that have a turn
	waiting list.List // of chan struct{}, closed when the turn is given
}

// Handshake is one in progress. It belongs to one goroutine.
type Handshake struct {
	a       *Admission
	in      *handshakes
	limits  *Limits
	place   *list.Element
	timeout time.Duration // that it may take
	abandon func()
	gone    chan struct{} // closed when its place was lost
	turn    *sync.Once    // that gives its turn back; nil: it has none
}

// Handshake takes a place for a TLS handshake in the lane of the client's address and says how
// long it may last; End gives the place back. When all places of its lane are taken, the handshake that began first loses
// its own and abandon is called for it: an honest one is over in a few round trips, so what
// has waited longest is the likeliest to wait for nothing, and those who stall can't keep
// others out. abandon may be called until End returns, by any goroutine.
func (a *Admission) Handshake(l *Limits, from netip.Addr, now time.Time, abandon func()) *Handshake {
	of := laneStranger
	if a.vouched.trusts(from, now) {
		of = laneVouched
	}
	return a.beginHandshake(l, of, abandon)
}

func (a *Admission) beginHandshake(l *Limits, of lane, abandon func()) *Handshake {
	h := &Handshake{a: a, in: &a.handshakes[of], limits: l, abandon: abandon, gone: make(chan struct{})}
	if oldest := h.takePlace(); oldest != nil {
		close(oldest.gone)
		oldest.abandon()
	}
	return h
}

// takePlace returns the handshake that had to make room; nil: none had to.
func (h *Handshake) takePlace() (oldest *Handshake) {
	h.a.hands.Lock()
	defer h.a.hands.Unlock()
	if first := h.in.places.Front(); first != nil && h.in.places.Len() >= h.limits.Handshakes {
		oldest, _ = h.in.places.Remove(first).(*Handshake)
	}
	h.timeout = h.limits.handshake(h.in.places.Len())
	h.place = h.in.places.PushBack(h)
	return oldest
}

// Timeout is how long the handshake may take.
func (h *Handshake) Timeout() time.Duration { return h.timeout }

// Over puts TLS, on another goroutine than the caller's, on a connection whose deadlines are set, and on which nothing is buffered.
// offer is the fingerprint of what the client offered, where cfg is that of a door that asks
// for certificates.
func (h *Handshake) Over(raw net.Conn, cfg *tls.Config) (secured *tls.Conn, offer string, err error) {
	hello := &helloConn{Conn: raw, await: h.await}
	secured = tls.Server(hello, cfg)
	// The stack that a handshake needs is not for the connection to keep while it is idle.
	ended := make(chan error, 1)
	h.a.crew.Go(func() { ended <- secured.Handshake() })
	if err := <-ended; err != nil {
		return nil, "", h.displaced(err)
	}
	hello.await = nil // the connection outlives what it waited for
	return secured, hello.offer, nil
}

// End gives the place back, if it was not lost, and the turn.
func (h *Handshake) End() {
	h.a.hands.Lock()
	h.in.places.Remove(h.place)
	h.a.hands.Unlock()
	h.giveTurn()
}

// await waits until it is the turn of the handshake to be computed, once all is there that its
// client has to say first. Not more than a few of a lane are at it at once: a hundred would
// share the processor with everybody else in equal parts. Who makes us wait for the rest keeps
// his turn for no longer than HandshakeTurn, and who lost his place waits no longer.
func (h *Handshake) await() {
	turn, place := h.askTurn()
	if turn != nil {
		t := time.NewTimer(h.timeout)
		defer t.Stop()
		select {
		case <-turn:
		case <-h.gone:
			h.leave(turn, place)
			return
		case <-t.C:
			h.leave(turn, place)
			return
		}
	}
	h.a.hands.Lock()
	h.turn = &sync.Once{}
	h.a.hands.Unlock()
	time.AfterFunc(h.limits.HandshakeTurn, h.giveTurn)
}

// askTurn takes a turn that is free (a nil turn), or a place in the line.
func (h *Handshake) askTurn() (turn chan struct{}, place *list.Element) {
	h.a.hands.Lock()
	defer h.a.hands.Unlock()
	if h.in.working < h.limits.HandshakesAtOnce*h.a.processors() {
		h.in.working++
		return nil, nil
	}
	turn = make(chan struct{})
	return turn, h.in.waiting.PushBack(turn)
}

// leave gives up a place in the line, and the turn too if it was given in the same moment.
func (h *Handshake) leave(turn chan struct{}, place *list.Element) {
	h.a.hands.Lock()
	defer h.a.hands.Unlock()
	select {
	case <-turn:
		h.in.next()
	default:
		h.in.waiting.Remove(place)
	}
}

// giveTurn gives back the turn that the handshake has, once.
func (h *Handshake) giveTurn() {
	h.a.hands.Lock()
	turn := h.turn
	h.a.hands.Unlock()
	if turn == nil {
		return
	}
	turn.Do(func() {
		h.a.hands.Lock()
		defer h.a.hands.Unlock()
		h.in.next()
	})
}

// next passes a turn on to who waits longest, or back.
func (in *handshakes) next() {
	first := in.waiting.Front()
	if first == nil {
		in.working--
		return
	}
	if turn, ok := in.waiting.Remove(first).(chan struct{}); ok {
		close(turn)
	}
}
