package screen

import (
	"net/netip"
	"time"
)

// Stage is how far a connection has come: the further, the longer it stays when there is
// no room. The zero Stage goes first.
type Stage uint8

const (
	StageFresh Stage = iota // it has sent no MAIL
	StageBegun              // it has, but no message was taken
	StageBusy               // a message is on its way, or one was taken
	StageOurs               // it has signed in, or is of this host
)

const (
	// WideShare is how many times the connections of one network the next wider one may
	// have (IPv6 /56, IPv4 /20), and WidestShare the widest (IPv6 /48, IPv4 /16). A home
	// line has a /56 or a /48 of its own (RFC 6177 §2), a rented host a /64 and often
	// neighbours of the same owner; a large sender has several /64 or /24 in one, and
	// a few hundred connections at once are enough for it.
	WideShare = 2
	// WidestShare is explained at WideShare.
	WidestShare = 4
	// SeatGrace is how long a connection is safe from others of networks as crowded as
	// its own: an honest one has signed in or sent MAIL after a few round trips.
	SeatGrace = 10 * time.Second
	// leavingShare is the part of all places, one in so many, that those who had to make
	// room may hold until they have gone: what is open stays bounded.
	leavingShare = 8
)

// CrowdLimits bounds the connections from the view of who comes. Zero limits refuse.
type CrowdLimits struct {
	Total    int // places that may be taken when one like this comes
	Reserved int // of them, for connections that are StageOurs
	Network  int // for one IPv4 /24 or IPv6 /64
}

// Entry is the answer to a connection that comes. The zero Entry refuses.
type Entry struct {
	OK     bool
	Seat   uint64 // of who came
	Victim uint64 // the connection that must go instead; 0: none
}

// Crowd counts connections and decides who may come, and who goes for whom. Its memory is
// bounded by the limits. The zero value is not ready: see NewCrowd.
type Crowd struct {
	seats    map[uint64]*seat
	networks map[netip.Prefix]*int
	ours     int
	leaving  map[uint64]struct{} // had to make room, and have not gone yet
	last     uint64
}

type seat struct {
	networks []netip.Prefix // from narrow to wide; nil: not counted
	crowd    *int           // how many the widest of them has; nil: not counted
	stage    Stage
	since    time.Time // of the stage
}

// NewCrowd returns a Crowd of nobody.
func NewCrowd() *Crowd {
	return &Crowd{seats: map[uint64]*seat{}, networks: map[netip.Prefix]*int{}, leaving: map[uint64]struct{}{}}
}

// Open returns how many connections there are, with those that are on their way out.
func (c *Crowd) Open() int { return len(c.seats) + len(c.leaving) }

// Seated returns how many of them may stay.
func (c *Crowd) Seated() int { return len(c.seats) }

// networksOf returns what an address counts for; nothing for no address.
func networksOf(a netip.Addr) []netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := [...]int{64, 56, 48}
	switch {
	case !a.IsValid():
		return nil
	case a.Is4():
		bits = [...]int{24, 20, 16}
	}
	out := make([]netip.Prefix, 0, len(bits))
	for _, b := range bits {
		if p, err := a.Prefix(b); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// roomFor reports whether none of the networks has all that it may.
func (c *Crowd) roomFor(networks []netip.Prefix, l CrowdLimits) bool {
	for i, share := range [...]int{1, WideShare, WidestShare} {
		if i < len(networks) && c.in(networks[i]) >= l.Network*share {
			return false
		}
	}
	return true
}

// Enter decides about a connection from an address; the zero Addr is counted for no
// network.
func (c *Crowd) Enter(from netip.Addr, stage Stage, l CrowdLimits, now time.Time) Entry {
	networks := networksOf(from)
	if l.Total <= 0 || !c.roomFor(networks, l) {
		return Entry{}
	}
	var victim uint64
	full := len(c.seats) >= l.Total
	if stage != StageOurs && len(c.seats)-c.ours >= l.Total-l.Reserved {
		full = true
	}
	if full {
		if victim = c.victim(networks, now); victim == 0 || len(c.leaving) >= max(1, l.Total/leavingShare) {
			return Entry{}
		}
		c.remove(victim)
		c.leaving[victim] = struct{}{}
	}
	c.last++
	c.seats[c.last] = &seat{stage: stage, since: now}
	if stage == StageOurs {
		c.ours++
	}
	c.count(c.seats[c.last], networks)
	return Entry{OK: true, Seat: c.last, Victim: victim}
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
	var best uint64
	var chosen *seat
	most := 0
	for id, s := range c.seats {
		if s.stage > StageBegun {
			continue
		}
		n := 1
		if s.crowd != nil {
			n = *s.crowd
		}
		if n <= mine && (n < mine-1 || now.Sub(s.since) < SeatGrace) {
			continue
		}
		if chosen == nil || s.before(chosen, n, most) {
			best, chosen, most = id, s, n
		}
	}
	return best
}

// before reports whether s goes before o, in networks of so many connections.
func (s *seat) before(o *seat, n, others int) bool {
	switch {
	case s.stage != o.stage:
		return s.stage < o.stage
	case n != others:
		return n > others
	}
	return s.since.Before(o.since)
}

// in returns how many connections a network has.
func (c *Crowd) in(network netip.Prefix) int {
	if n := c.networks[network]; n != nil {
		return *n
	}
	return 0
}

// Join counts a connection to the networks of its client, once that is known; false if
// they have all that they may.
func (c *Crowd) Join(id uint64, from netip.Addr, l CrowdLimits) bool {
	s, networks := c.seats[id], networksOf(from)
	if s == nil || len(s.networks) > 0 || !c.roomFor(networks, l) {
		return false
	}
	c.count(s, networks)
	return true
}

// Reach notes how far a connection has come. What is ours stays ours.
func (c *Crowd) Reach(id uint64, stage Stage, now time.Time) {
	s := c.seats[id]
	if s == nil || s.stage == StageOurs || s.stage == stage {
		return
	}
	s.stage, s.since = stage, now
	if stage == StageOurs {
		c.ours++
	}
}

// Leave counts a connection out, whether it had to go or went.
func (c *Crowd) Leave(id uint64) {
	delete(c.leaving, id)
	c.remove(id)
}

func (c *Crowd) count(s *seat, networks []netip.Prefix) {
	s.networks = networks
	for _, p := range networks {
		if c.networks[p] == nil {
			c.networks[p] = new(int)
		}
		s.crowd = c.networks[p]
		*s.crowd++
	}
}

func (c *Crowd) remove(id uint64) {
	s := c.seats[id]
	if s == nil {
		return
	}
	delete(c.seats, id)
	if s.stage == StageOurs {
		c.ours--
	}
	for _, p := range s.networks {
		if *c.networks[p]--; *c.networks[p] <= 0 {
			delete(c.networks, p)
		}
	}
}
