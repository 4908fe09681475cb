package accounts

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
)

// population counts what the passwords of accounts cost. They differ after the costs were changed,
// until each owner has signed in: then a name that nobody has must not be told by its cost either,
// so that it has one that an account may have, as often as accounts have it.
type population struct {
	mu sync.Mutex
	of map[cost]int
}

// count notes that an account has another record; nil: it is none.
func (p *population) count(old, next *record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[cost]int{}
	}
	if c, counts := old.counts(); counts {
		if p.of[c]--; p.of[c] <= 0 {
			delete(p.of, c)
		}
	}
	if c, counts := next.counts(); counts {
		p.of[c]++
	}
}

// counts is what the account's password costs; false: it is asked for as if it were nobody's.
func (r *record) counts() (cost, bool) {
	if r == nil || r.Standing == StandingUnknown || !r.kept() {
		return cost{}, false
	}
	return r.secret.cost(), true
}

// costOf is what a name costs that nobody has, the same each time while accounts stay as they are.
// As they move from an old cost to the present one, so do names, and none moves back.
func (p *population) costOf(key []byte, name string, present cost) cost {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := 0
	for _, n := range p.of {
		all += n
	}
	if all == 0 {
		return present
	}
	m := hmac.New(sha256.New, key)
	m.Write([]byte("cost\x00" + name)) // a hash never fails to take octets
	at := int(binary.BigEndian.Uint32(m.Sum(nil)) % (1 << 24))
	upTo := 0
	for _, c := range slices.SortedFunc(maps.Keys(p.of), func(a, b cost) int {
		return cmp.Or(compareBool(a == present, b == present), cmp.Compare(a.Memory, b.Memory),
			cmp.Compare(a.Passes, b.Passes), cmp.Compare(a.Lanes, b.Lanes), cmp.Compare(a.Rounds, b.Rounds))
	}) {
		if upTo += p.of[c]; int64(at)*int64(all) < int64(upTo)<<24 {
			return c
		}
	}
	return present
}

// compareBool puts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
