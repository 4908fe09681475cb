// Package allowance bounds the memory that all connections together hold for mail that is not
// judged yet: header sections and bodies in transit, recipients, buffers.
//
// It promises that what was given out never exceeds the bound, that strangers leave a
// part of it to people who signed in, that those of one network leave most of theirs to others, and
// that what a Hold took is given back when it ends, once.
package allowance

import (
	"net/netip"
	"sync"
)

const (
	// kept is the part of the budget that strangers leave to people who signed in: a
	// quarter.
	kept = 4
	// networkPart is the part of the budget that strangers of one network may have: an eighth.
	networkPart = 8
)

// Budget is octets that many share. Make it with New; it is safe for concurrent use.
type Budget struct {
	mu      sync.Mutex
	most    int64
	part    int64 // of most that may be used, one in so many; 0: nothing
	used    int64
	peak    int64
	refused uint64
	// networks is what the holds of strangers have, by their networks.
	networks map[netip.Prefix]int64
}

// New returns a budget of so many octets.
func New(octets int64) *Budget {
	return &Budget{most: octets, part: 1, networks: map[netip.Prefix]int64{}}
}

// Adjust replaces the bound; what was given out stays with who has it.
func (b *Budget) Adjust(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = octets
}

// Narrow has one in part of the bound be used from now on, until it is told otherwise: 1 is all of it, and
// 0 none. What was given out stays with who has it.
func (b *Budget) Narrow(part int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.part = max(part, 0)
}

// room is how much more a hold may have.
func (b *Budget) room(h *Hold) int64 {
	if b.part == 0 {
		return -1
	}
	most := b.most / b.part
	if h.known {
		return most - b.used
	}
	room := most - most/kept - b.used
	if h.network.IsValid() {
		room = min(room, most/networkPart-b.networks[h.network])
	}
	return room
}

// Use is how a budget is used.
type Use struct {
	Most, Used, Peak int64
	Refused          uint64 // how often somebody was told that there is no more
}

// Use returns how it is used now.
func (b *Budget) Use() Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Use{b.most, b.used, b.peak, b.refused}
}

// Hold returns an empty hold for one message or connection. Whoever is known may use
// all of the budget, a stranger all but what is kept.
func (b *Budget) Hold(known bool) *Hold { return &Hold{b: b, known: known, users: 1} }

// Stranger returns an empty hold for one message or connection of a stranger of a network, all of which
// together may use a part of the budget. Those of the zero network may use what any stranger may.
func (b *Budget) Stranger(network netip.Prefix) *Hold {
	return &Hold{b: b, network: network, users: 1}
}

// Hold is what one message or connection has of a budget. It is safe for concurrent
// use.
type Hold struct {
	b       *Budget
	network netip.Prefix // whose part it takes, while it is not known; zero: nobody's

	known  bool // these are guarded by the budget's lock
	octets int64
	users  int
}

// Take takes octets more, or says that there are not so many, and takes nothing. A
// hold that has ended gets none.
func (h *Hold) Take(octets int64) bool {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if octets < 0 || h.users <= 0 || octets > h.b.room(h) {
		h.b.refused++
		return false
	}
	h.change(octets)
	h.b.peak = max(h.b.peak, h.b.used)
	return true
}

// Give gives octets back, at most what the hold has.
func (h *Hold) Give(octets int64) {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.give(octets)
}

func (h *Hold) give(octets int64) {
	h.change(-min(max(octets, 0), h.octets))
}

// change counts octets more, or less.
func (h *Hold) change(octets int64) {
	h.octets += octets
	h.b.used += octets
	h.b.charge(h, octets)
}

// charge counts octets to the network of a stranger.
func (b *Budget) charge(h *Hold, octets int64) {
	if h.known || !h.network.IsValid() {
		return
	}
	if b.networks[h.network] += octets; b.networks[h.network] == 0 {
		delete(b.networks, h.network)
	}
}

// Known makes it the hold of somebody who signed in.
func (h *Hold) Known() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.b.charge(h, -h.octets)
	h.known = true
}

// Share adds a user, who calls End, too: what is held is given back when the last one
// has.
func (h *Hold) Share() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	h.users++
}

// End ends the hold for one of its users.
func (h *Hold) End() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if h.users--; h.users == 0 {
		h.give(h.octets)
	}
}

// Held returns how many octets the hold has.
func (h *Hold) Held() int64 {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	return h.octets
}
