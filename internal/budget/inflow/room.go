package inflow

import (
	"context"
	"slices"

	"sallyport/internal/mail"
)

// Room is what mailboxes may hold, whenever it came.
type Room interface {
	// Take takes a place for one message of at least so many octets, for which there must be room
	// by then; the octets themselves are taken as they come.
	Take(ctx context.Context, mailbox mail.Address, octets int64) (Held, Verdict)
}

// Held is room for a message in one mailbox. It ends with Sent or Give.
type Held interface {
	// More is told how many octets the message has by now.
	More(octets int64) Verdict
	// Sent is told that it was accepted: it waits where a Room asks for itself what waits.
	Sent()
	// Give gives it back.
	Give()
}

// roomStep is how much room is taken at once while a message comes; never more than has come.
const roomStep = 64 << 10

// quotaRules are those by which a Room decides.
func quotaRules() []Rule { return []Rule{RuleQuota, RuleDomainQuota, RuleUncounted} }

func (r Rule) isQuota() bool { return slices.Contains(quotaRules(), r) }

// bounding words what a quota rule counts, for who looks how often it refused.
func (r Rule) bounding() string {
	switch r {
	case RuleQuota:
		return "what a mailbox may hold"
	case RuleDomainQuota:
		return "what the mailboxes of a domain may hold together"
	}
	return "it was not known in time how full a mailbox is"
}

// AddWithin is Add, for copies of which some stay in their mailbox: these must find room there
// too, one copy in each mailbox however often it is named. What is accepted so is never asked
// about again.
func (c *Charge) AddWithin(ctx context.Context, within []mail.Address, mailboxes ...mail.Address) Verdict {
	room := c.budget.o.Room
	var fresh []mail.Address
	if room != nil {
		for _, m := range within {
			if _, held := c.held[m.Key()]; !held && !slices.ContainsFunc(fresh, func(a mail.Address) bool { return a.Key() == m.Key() }) {
				fresh = append(fresh, m)
			}
		}
	}
	holds := map[string]Held{}
	drop := func() {
		for _, h := range holds {
			h.Give()
		}
	}
	for _, m := range fresh {
		h, v := room.Take(ctx, m, max(c.size, c.came))
		if !v.OK {
			drop()
			c.budget.full(m, v.Rule)
			return v
		}
		holds[m.Key()] = h
	}
	v := c.Add(mailboxes...)
	if !v.OK {
		drop()
		return v
	}
	for key, h := range holds {
		if c.held == nil {
			c.held = map[string]Held{}
		}
		c.held[key] = h
	}
	return v
}

// full notes that a mailbox refused something by a quota.
func (b *Budget) full(m mail.Address, r Rule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	h := b.hits[r]
	h.Hits, h.Last = h.Hits+1, now
	b.hits[r] = h
	l, _ := b.line(key{kindMailbox, m.Key()}, b.o.Passed())
	l.refused, l.rule = now, r
}

// more tells every mailbox how long the message is by now, a step ahead where there is room.
func (c *Charge) more() Verdict {
	if c.came <= c.room {
		return Verdict{OK: true}
	}
	for _, ahead := range []int64{min(roomStep, c.came), 0} {
		v, room := Verdict{OK: true}, c.came+ahead
		if c.came <= c.size {
			room = min(room, c.size) // what was declared is all that there must be room for
		}
		for _, h := range c.held {
			if v = h.More(room); !v.OK {
				break
			}
		}
		if v.OK || ahead == 0 {
			c.room = room
			return v
		}
	}
	return Verdict{}
}
