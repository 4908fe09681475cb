package inflow

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// step is how much is taken at once while a message comes.
const step = 256 << 10

// demand is what is asked of one bucket.
type demand struct {
	key  key
	line *line
	at   *screen.Bucket
	rule Rule
	n    int
}

// ask takes all that is demanded, or nothing; the lock is held.
func (b *Budget) ask(all []demand, now time.Time) Verdict {
	before := make([]screen.Bucket, len(all))
	for i, d := range all {
		before[i] = *d.at
		of := b.o.Limits.bound(d.rule)
		next, ok := d.at.TakeAll(of.rate(), d.n, now)
		if ok {
			*d.at = next
			continue
		}
		v := Verdict{Rule: d.rule, About: d.about(), Bound: of.words(d.rule.what()), Wait: d.at.WaitFor(of.rate(), d.n, now)}
		*d.at = next
		for j := i - 1; j >= 0; j-- {
			*all[j].at = before[j]
		}
		h := b.hits[d.rule]
		h.Hits, h.Last = h.Hits+1, b.o.Now()
		b.hits[d.rule] = h
		d.line.refused, d.line.rule = h.Last, d.rule
		return v
	}
	return Verdict{OK: true}
}

// about names whose bound it is for who is refused: whose mailbox it is they know.
func (d demand) about() string {
	switch d.key.of {
	case kindMailbox:
		return "this mailbox"
	case kindShare:
		return "this sender's share of the mailbox"
	}
	return d.key.String()
}

// Connect counts a connection of a network.
func (b *Budget) Connect(from netip.Addr) Verdict { return b.client(from, RuleConnections) }

// Recipient counts a recipient that a network names.
func (b *Budget) Recipient(from netip.Addr) Verdict { return b.client(from, RuleRecipients) }

func (b *Budget) client(from netip.Addr, r Rule) Verdict {
	s := Stranger(from)
	if s == (Source{}) {
		return Verdict{OK: true}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Passed()
	l, k := b.line(key{kindClient, s.name}, now)
	at := &l.messages
	if r == RuleRecipients {
		at = &l.further
	}
	return b.ask([]demand{{k, l, at, r, 1}}, now)
}

// Charge is what one message takes. It begins with Budget.Charge and ends with Done or Release;
// it belongs to one goroutine.
type Charge struct {
	budget *Budget
	source Source
	exempt bool  // of the bounds of its network
	reply  bool  // it has no sender
	size   int64 // that was declared; 0: none was
	copies []part
	wanted map[*screen.Bucket]int // places that it takes when it is complete
	placed bool                   // it has taken them
	came   int64                  // octets
	taken  int                    // units, of each copy
	ended  bool
	held   map[string]Held // by mailbox, of those that keep a copy
	room   int64           // octets that they have taken room for
}

// part is one copy of the message: what it counts for.
type part struct {
	network, share, mailbox *line
	keys                    [3]key
}

// Charge begins one: size is what the client declared, reply says that the message has no
// sender. Nothing is taken yet.
func (b *Budget) Charge(s Source, size int64, reply bool) *Charge {
	return &Charge{budget: b, source: s, reply: reply, size: size}
}

// Exempt says whether the bounds of the network are lifted for copies that are added from now
// on; those of mailboxes stay.
func (c *Charge) Exempt(lifted bool) { c.exempt = lifted }

// Add adds one more copy for each mailbox, or none. What was declared must have room by then, and
// each copy a place beside the others; octets are taken as they come, and places by Place, so that
// a message which never ends keeps nobody out.
func (c *Charge) Add(mailboxes ...mail.Address) Verdict {
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Passed()
	size := units(c.size)
	parts := make([]part, len(mailboxes))
	var octets []demand
	for i, m := range mailboxes {
		parts[i] = c.part(m, now)
		octets = append(octets, c.octets(parts[i], max(size, c.taken, 1))...)
	}
	places := c.places(parts)
	together := append(c.beside(places), places...)
	if v := b.ask(together, now); !v.OK {
		return v
	}
	b.give(together, now)
	v := b.ask(octets, now)
	if !v.OK {
		return v
	}
	b.give(octets, now)
	for _, p := range parts {
		for _, l := range p.lines() {
			l.held++
		}
	}
	c.copies = append(c.copies, parts...)
	if c.wanted == nil {
		c.wanted = map[*screen.Bucket]int{}
	}
	for _, d := range places {
		c.wanted[d.at] += d.n
	}
	return v
}

func (c *Charge) part(m mail.Address, now time.Time) (p part) {
	p.mailbox, p.keys[2] = c.budget.line(key{kindMailbox, m.Key()}, now)
	if c.source == (Source{}) || c.source.network && c.exempt {
		return p
	}
	p.share, p.keys[1] = c.budget.line(key{kindShare, c.source.String() + " " + m.Key()}, now)
	if c.source.network {
		p.network, p.keys[0] = c.budget.line(key{kindNetwork, c.source.name}, now)
	}
	return p
}

func (p part) lines() (all []*line) {
	for _, l := range []*line{p.network, p.share, p.mailbox} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// places is what copies take beside their octets.
func (c *Charge) places(copies []part) (all []demand) {
	for _, p := range copies {
		all = append(all, c.messages(p)...)
	}
	return all
}

// beside are the places that were asked for before, of the buckets that more is asked of.
func (c *Charge) beside(more []demand) (all []demand) {
	seen := map[*screen.Bucket]bool{}
	for _, d := range more {
		if n := c.wanted[d.at]; n > 0 && !seen[d.at] {
			seen[d.at] = true
			all = append(all, demand{d.key, d.line, d.at, d.rule, n})
		}
	}
	return all
}

// Place takes the places of a message that is complete, for all its copies or for none: who comes
// to the end first has them. Whoever makes a message durable has asked before; once more it does
// nothing.
func (c *Charge) Place() Verdict {
	if c.placed || c.ended {
		return Verdict{OK: c.placed}
	}
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.ask(c.places(c.copies), b.o.Passed())
	c.placed = v.OK
	return v
}

// messages is what a copy takes beside its octets.
func (c *Charge) messages(p part) (all []demand) {
	if p.network != nil {
		all = append(all, demand{p.keys[0], p.network, &p.network.messages, RuleNetworkMessages, 1}, demand{
			p.keys[1], p.share, &p.share.messages, RuleShareMessages, 1,
		})
	}
	all = append(all, demand{p.keys[2], p.mailbox, &p.mailbox.messages, RuleMailboxMessages, 1})
	if c.reply {
		all = append(all, demand{p.keys[2], p.mailbox, &p.mailbox.further, RuleReplies, 1})
	}
	return all
}

// octets is what so many units of a copy take.
func (c *Charge) octets(p part, n int) (all []demand) {
	if p.network != nil {
		all = append(all, demand{p.keys[0], p.network, &p.network.octets, RuleNetworkOctets, n})
	}
	if p.share != nil {
		all = append(all, demand{p.keys[1], p.share, &p.share.octets, RuleShareOctets, n})
	}
	return append(all, demand{p.keys[2], p.mailbox, &p.mailbox.octets, RuleMailboxOctets, n})
}

// allOctets is what so many units of every copy take.
func (c *Charge) allOctets(n int) (all []demand) {
	for _, p := range c.copies {
		all = append(all, c.octets(p, n)...)
	}
	return all
}

// give gives back; the lock is held.
func (b *Budget) give(all []demand, now time.Time) {
	for _, d := range all {
		*d.at = d.at.GiveBackAll(b.o.Limits.bound(d.rule).rate(), d.n, now)
	}
}

// Came takes so many more octets of the message.
func (c *Charge) Came(octets int) Verdict {
	c.came += int64(octets)
	if v := c.more(); !v.OK {
		return v
	}
	need := units(c.came) - c.taken
	if need <= 0 || len(c.copies) == 0 {
		return Verdict{OK: true}
	}
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Passed()
	// More than it needs is taken where there is more, so that a long message asks seldom; but never
	// more than has come, so that who sends little keeps nobody out.
	if more := max(need, min(step/unit, units(c.came))); more > need && b.fits(c.allOctets(more), now) {
		need = more
	}
	v := b.ask(c.allOctets(need), now)
	if v.OK {
		c.taken += need
	}
	return v
}

// fits reports whether there is room for all that is demanded, each by itself; the lock is held.
func (b *Budget) fits(all []demand, now time.Time) bool {
	for _, d := range all {
		if d.at.WaitFor(b.o.Limits.bound(d.rule).rate(), d.n*len(all), now) > 0 {
			return false
		}
	}
	return true
}

// Mutations are what must be written in the act that makes the message durable, of which no
// more octets come. Done or Release must follow.
func (c *Charge) Mutations() (all []store.Mutation) {
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Passed()
	c.settle(now)
	seen := map[*line]bool{}
	for _, p := range c.copies {
		for i, l := range []*line{p.network, p.share, p.mailbox} {
			if l == nil || seen[l] || l.isFull(now.Add(keepFrom)) {
				continue
			}
			seen[l], l.written = true, true
			all = append(all, store.Mutation{Key: p.keys[i].stored(), Value: l.encode()})
		}
	}
	return all
}

// settle gives back what was taken beyond what came; the lock is held.
func (c *Charge) settle(now time.Time) {
	if over := c.taken - units(c.came); over > 0 {
		c.budget.give(c.allOctets(over), now)
		c.taken -= over
	}
}

// Keep writes by itself what the message took, for one that enters no queue.
func (c *Charge) Keep(ctx context.Context) error {
	all := c.Mutations()
	if len(all) == 0 {
		return nil
	}
	if _, err := c.budget.st.Apply(ctx, store.Tx{Mutations: all}, store.Durable); err != nil {
		return fmt.Errorf("inflow: keeping what was let through: %w", err)
	}
	return nil
}

// Done ends a charge whose message was taken: what it took counts.
func (c *Charge) Done() {
	if !c.ended {
		for _, h := range c.held {
			h.Sent()
		}
		c.held = nil
	}
	c.end(true)
}

// Release ends a charge whose message was not taken: what it took is free. After Done it does
// nothing.
func (c *Charge) Release() { c.end(false) }

func (c *Charge) end(counts bool) {
	if c.ended {
		return
	}
	c.ended = true
	for _, h := range c.held {
		h.Give()
	}
	b := c.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Passed()
	if counts {
		c.settle(now)
	} else {
		b.give(c.allOctets(c.taken), now)
	}
	if c.placed && !counts {
		b.give(c.places(c.copies), now)
	}
	for _, p := range c.copies {
		for _, l := range p.lines() {
			l.held--
		}
	}
}
