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
// bounded by the limits, and a decision costs next to the same however many there are: who
// comes while there is no room must not be dear. The zero value is not ready: see NewCrowd.
type Crowd struct {
	seats    map[uint64]*seat
	networks map[netip.Prefix]*network
	nowhere  network // of those who are not counted
	lines    [evictable]lines
	ours     int
	leaving  map[uint64]struct{} // had to make room, and have not gone yet
	last     uint64
}

type seat struct {
	id       uint64
	networks []netip.Prefix // from narrow to wide; nil: not counted
	crowd    *network       // the widest of them
	stage    Stage
	since    time.Time // of the stage

	before, behind *seat // in the queue of its crowd and stage
}

// NewCrowd returns a Crowd of nobody.
func NewCrowd() *Crowd {
	return &Crowd{
		seats: map[uint64]*seat{}, networks: map[netip.Prefix]*network{}, nowhere: network{size: 1},
		lines: [evictable]lines{{}, {}}, leaving: map[uint64]struct{}{},
	}
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
		if len(c.leaving) >= max(1, l.Total/leavingShare) {
			return Entry{}
		}
		if victim = c.victim(networks, now); victim == 0 {
			return Entry{}
		}
		c.remove(victim)
		c.leaving[victim] = struct{}{}
	}
	c.last++
	s := &seat{id: c.last, crowd: &c.nowhere, stage: stage, since: now}
	c.seats[c.last] = s
	if stage == StageOurs {
		c.ours++
	}
	c.count(s, networks)
	c.wait(s)
	return Entry{OK: true, Seat: c.last, Victim: victim}
}

// in returns how many connections a network has.
func (c *Crowd) in(network netip.Prefix) int {
	if n := c.networks[network]; n != nil {
		return n.size
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
	c.unwait(s)
	c.count(s, networks)
	c.wait(s)
	return true
}

// Reach notes how far a connection has come. What is ours stays ours.
func (c *Crowd) Reach(id uint64, stage Stage, now time.Time) {
	s := c.seats[id]
	if s == nil || s.stage == StageOurs || s.stage == stage {
		return
	}
	c.unwait(s)
	s.stage, s.since = stage, now
	c.wait(s)
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
		n := c.networks[p]
		if n == nil {
			n = &network{}
			c.networks[p] = n
		}
		c.resize(n, 1)
		s.crowd = n
	}
}

func (c *Crowd) remove(id uint64) {
	s := c.seats[id]
	if s == nil {
		return
	}
	c.unwait(s)
	delete(c.seats, id)
	if s.stage == StageOurs {
		c.ours--
	}
	for _, p := range s.networks {
		n := c.networks[p]
		if c.resize(n, -1); n.size <= 0 {
			delete(c.networks, p)
		}
	}
}
