package door

import (
	"net/netip"
	"runtime"
	"sync"
	"time"

	"sallyport/internal/kit/workers"
	"sallyport/internal/screen"
)

// Admission counts the connections and TLS handshakes in progress, against the
// limits of whoever asks, and ends silent connections where others need their places:
// screen.Crowd decides. One may be shared by all doors of a server. It is safe for
// use by many goroutines.
type Admission struct {
	mu         sync.Mutex
	crowd      *screen.Crowd
	ends       map[uint64]func() // how each connection is told to go, by its seat
	scarce     Scarcity
	entered    uint64 // ever
	turnedAway uint64 // ever; with those that had to go

	*turns
}

// handshakeLinger is how long who computed a handshake waits for another.
const handshakeLinger = time.Second

// turns are the handshakes in progress, and who has a lane apart for them.
type turns struct {
	hands      sync.Mutex
	handshakes [lanes]handshakes
	vouched    vouched // from where somebody of ours signed in of late
	processors func() int
	crew       *workers.Crew // who computes handshakes
}

// NewAdmission returns an Admission that counts nothing yet, on as many processors as Go has places.
func NewAdmission() *Admission { return NewAdmissionOn(func() int { return runtime.GOMAXPROCS(0) }) }

// NewAdmissionOn returns an Admission that counts nothing yet; processors returns how many there are
// for handshakes.
func NewAdmissionOn(processors func() int) *Admission {
	return &Admission{
		crowd: screen.NewCrowd(), ends: map[uint64]func(){},
		turns: &turns{vouched: newVouched(), processors: processors, crew: workers.New(handshakeLinger)},
	}
}

// Beside returns an Admission that counts connections of its own, so that those of one take no
// places from those of the other, while handshakes go in turn over both: they share the
// processor, and whoever signed in at one is known at the other.
func (a *Admission) Beside() *Admission {
	b := NewAdmission()
	b.turns = a.turns
	return b
}

// Scarcity says which connections may not grow in number, for want of memory. The zero Scarcity:
// none.
type Scarcity uint8

const (
	ScarceNot       Scarcity = iota
	ScarceStrangers          // those at the doors for the world
	ScarceAll
)

// bars reports whether a new connection needs another one to be closed in exchange.
func (s Scarcity) bars(stage screen.Stage, l *Limits) bool {
	return s == ScarceAll || s == ScarceStrangers && stage != screen.StageOurs && l.Reserved == 0
}

// Scarce sets the scarcity from now on: a new connection that it bars is turned away, unless a silent
// one is closed in exchange.
func (a *Admission) Scarce(s Scarcity) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.scarce = s
}

// Place is where a connection is counted. A nil Place is none, of a connection that is
// not counted.
type Place struct {
	admission *Admission
	seat      uint64
	now       func() time.Time
}

// Enter counts a connection in, if there is room for it or another one is closed in exchange; nil
// if not. end is called, by any goroutine, when this one has to be closed itself.
func (a *Admission) Enter(from netip.Addr, stage screen.Stage, l *Limits, now func() time.Time, end func()) (p *Place, madeRoom bool) {
	e, goes := a.decide(from, stage, l, now(), end)
	if goes != nil {
		goes()
	}
	if !e.OK {
		return nil, false
	}
	return &Place{admission: a, seat: e.Seat, now: now}, e.Victim != 0
}

// decide returns also how to end the connection that must go, which is to be called
// without the lock.
func (a *Admission) decide(from netip.Addr, stage screen.Stage, l *Limits, now time.Time, end func()) (e screen.Entry, goes func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	limits := l.crowd()
	if a.scarce.bars(stage, l) {
		limits.Total = min(limits.Total, a.crowd.Seated())
	}
	e = a.crowd.Enter(from, stage, limits, now)
	if !e.OK || e.Victim != 0 {
		a.turnedAway++
	}
	if e.OK {
		a.entered++
		goes = a.ends[e.Victim]
		delete(a.ends, e.Victim)
		a.ends[e.Seat] = end
	}
	return e, goes
}

// Counts returns how many connections were ever let in, and turned away.
func (a *Admission) Counts() (entered, turnedAway uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.entered, a.turnedAway
}

// Open returns how many connections are open.
func (a *Admission) Open() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.crowd.Open()
}

// Vouch notes that somebody of ours signed in from an address, which has a lane of its own for
// a while, as long as still says that the sign-in gives a right.
func (a *Admission) Vouch(from netip.Addr, now time.Time, still func() bool) {
	a.vouched.earns(from, now, still)
}

// Misbehaved takes that from an address whose connection ended for what it did.
func (a *Admission) Misbehaved(from netip.Addr) { a.vouched.loses(from) }

// Join counts a connection that is in already to its network, once that is known.
func (p *Place) Join(from netip.Addr, l *Limits) bool {
	if p == nil {
		return true
	}
	p.admission.mu.Lock()
	defer p.admission.mu.Unlock()
	return p.admission.crowd.Join(p.seat, from, l.crowd())
}

// Reach notes how far the connection has come.
func (p *Place) Reach(stage screen.Stage) {
	if p == nil {
		return
	}
	p.admission.mu.Lock()
	defer p.admission.mu.Unlock()
	p.admission.crowd.Reach(p.seat, stage, p.now())
}

// Ending says how the connection is told to go from now on; it is called at once if it
// was told already.
func (p *Place) Ending(end func()) {
	if p == nil {
		return
	}
	p.admission.mu.Lock()
	_, stays := p.admission.ends[p.seat]
	if stays {
		p.admission.ends[p.seat] = end
	}
	p.admission.mu.Unlock()
	if !stays {
		end()
	}
}

// Leave counts the connection out.
func (p *Place) Leave() {
	p.admission.mu.Lock()
	defer p.admission.mu.Unlock()
	delete(p.admission.ends, p.seat)
	p.admission.crowd.Leave(p.seat)
}

// Counted returns the address that a connection is counted for. It is zero, and only
// the total counts, for no address and for this host: a proxy on it speaks for
// everybody. What a balancer says is counted as it is: it may be told anything.
func Counted(a netip.Addr) netip.Addr {
	if a.IsLoopback() {
		return netip.Addr{}
	}
	return a
}
