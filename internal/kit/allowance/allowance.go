// Package allowance bounds the memory that all connections together hold of what is not
// judged yet: header sections and bodies on their way, recipients, buffers.
//
// It promises that what was given out never exceeds the bound, that strangers leave a
// part of it to people who signed in, and that what a Hold took is given back when it
// ends, once.
package allowance

import "sync"

// kept is the part of the budget that strangers leave to people who signed in: a
// quarter.
const kept = 4

// Budget is octets that many share. Make it with New; it is safe for concurrent use.
type Budget struct {
	mu      sync.Mutex
	most    int64
	used    int64
	peak    int64
	refused uint64
}

// New returns a budget of so many octets.
func New(octets int64) *Budget { return &Budget{most: octets} }

// Adjust replaces the bound; what was given out stays with who has it.
func (b *Budget) Adjust(octets int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.most = octets
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

// Hold is what one message or connection has of a budget. It is safe for concurrent
// use.
type Hold struct {
	b     *Budget
	known bool

	octets int64 // these two are guarded by the budget's lock
	users  int
}

// Take takes octets more, or says that there are not so many, and takes nothing. A
// hold that has ended gets none.
func (h *Hold) Take(octets int64) bool {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	room := h.b.most - h.b.used
	if !h.known {
		room -= h.b.most / kept
	}
	if octets < 0 || h.users <= 0 || octets > room {
		h.b.refused++
		return false
	}
	h.octets += octets
	h.b.used += octets
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
	octets = min(max(octets, 0), h.octets)
	h.octets -= octets
	h.b.used -= octets
}

// Known makes it the hold of somebody who signed in.
func (h *Hold) Known() {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
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
