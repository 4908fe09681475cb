package directory

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Check finds what only the whole of the directory shows: aliases that lead back
// to themselves, over too many others or to too many mailboxes (Classify refuses
// their mail, one by one), and catch-alls that lead to an account with a forward.
// Its error is a Faults. On a snapshot without accounts it finds nothing.
func (s *Snapshot) Check() error {
	if s.accounts == nil {
		return nil
	}
	c := checker{snapshot: s, done: map[string]reach{}, culprits: map[string]bool{}}
	var f faults
	for _, a := range s.everyAlias() {
		c.open, c.cut = nil, map[string]reach{}
		if !a.CatchAll.IsZero() {
			f.found = append(f.found, c.catchAll(a)...)
			continue
		}
		if r := c.walk(a.Address); r.fault.Text != "" && !c.culprits[r.culprit] {
			c.culprits[r.culprit] = true
			f.found = append(f.found, r.fault)
		}
	}
	return f.err()
}

// everyAlias returns all aliases, the catch-alls last, each kind in order.
func (s *Snapshot) everyAlias() []Alias {
	var all []Alias
	for _, a := range s.base.aliases.all {
		all = append(all, a)
	}
	for _, a := range s.base.catchAlls {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b Alias) int {
		if a.CatchAll.IsZero() != b.CatchAll.IsZero() {
			return strings.Compare(a.CatchAll.ASCII(), b.CatchAll.ASCII())
		}
		return strings.Compare(a.Name(), b.Name())
	})
	return all
}

// reach is how far an address leads: over how many aliases at most, to how many
// mailboxes, or what is wrong with that.
type reach struct {
	depth, boxes int
	cut          bool // less was counted than it leads to, as a circle ended there
	fault        Fault
	culprit      string // the alias at which it goes wrong
}

// checker follows aliases, each once.
type checker struct {
	snapshot *Snapshot
	done     map[string]reach
	cut      map[string]reach // since the start: what is no measure for another one
	open     []hop            // the aliases between the start and here
	circles  bool             // a circle ended at a copy: what is counted of it depends on where one begins
	culprits map[string]bool
}

// catchAll follows a catch-all.
func (c *checker) catchAll(a Alias) []Fault {
	r := c.follow(hop{rule: RuleCatchAll, key: catchAllKey(a.CatchAll), alias: a, targets: a.Targets})
	switch {
	case r.fault.Text != "" && !c.culprits[r.culprit]:
		c.culprits[r.culprit] = true
		return []Fault{r.fault}
	case r.fault.Text != "":
		return nil
	}
	if forward := c.forwardBehind(a.Targets, map[string]bool{}); !forward.IsZero() {
		return []Fault{{
			About: []Subject{a.Subject(), Forward{Account: forward}.Subject()},
			Text: fmt.Sprintf("the catch-all %s leads to %s, whose mail is forwarded: every name that a stranger invents would leave this server; "+
				"give the addresses that shall be forwarded an alias each", a.Name(), forward),
		}}
	}
	return nil
}

// forwardBehind finds the first account with a forward that addresses lead to. An address
// with a forward counts, account or not: it may be one tomorrow.
func (c *checker) forwardBehind(addresses []mail.Address, seen map[string]bool) mail.Address {
	for _, a := range addresses {
		if seen[a.Key()] {
			continue
		}
		seen[a.Key()] = true
		h := c.snapshot.look(a)
		if _, forwards := c.snapshot.base.forwards.get(a.Key()); forwards {
			return a
		}
		if base, _, ok := c.snapshot.split(a); ok && h.rule == RuleNoSuchUser {
			if _, forwards := c.snapshot.base.forwards.get(base.Key()); forwards {
				return base
			}
		}
		if found := c.forwardBehind(h.targets, seen); !found.IsZero() {
			return found
		}
	}
	return mail.Address{}
}

// walk follows one address.
func (c *checker) walk(a mail.Address) reach {
	h := c.snapshot.look(a)
	switch {
	case len(h.targets) == 0:
		return reach{boxes: 1}
	case h.rule == RuleDetail:
		r := c.walk(h.targets[0])
		r.boxes = max(r.boxes, 1) // the name with its detail may become an account of its own
		return r
	}
	return c.follow(h)
}

// follow follows what leads on.
func (c *checker) follow(h hop) reach {
	if r, ok := c.done[h.key]; ok {
		return r
	}
	if r, ok := c.cut[h.key]; ok {
		return r
	}
	if at := slices.IndexFunc(c.open, func(o hop) bool { return o.key == h.key }); at >= 0 {
		if slices.ContainsFunc(c.open[at:], func(o hop) bool { return o.alias.Keeps() }) {
			c.circles = true
			return reach{cut: true} // a mailbox on the circle has a copy; it is counted where it is open
		}
		return circle(append(slices.Clone(c.open[at:]), h))
	}
	most := c.snapshot.base
	if len(c.open) > most.maxDepth {
		return tooMuch(h, "the alias %s leads over more than %d others", most.maxDepth)
	}
	c.open = append(c.open, h)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	r := reach{depth: 1}
	for _, t := range h.targets {
		if t.Key() == h.key && h.alias.Keeps() {
			r.boxes++
			continue
		}
		next := c.walk(t)
		if next.fault.Text != "" {
			return next // not remembered: seen from elsewhere it may be no fault
		}
		r.depth, r.boxes, r.cut = max(r.depth, next.depth+1), r.boxes+next.boxes, r.cut || next.cut
	}
	switch {
	case r.depth > most.maxDepth:
		return tooMuch(h, "the alias %s leads over more than %d others", most.maxDepth)
	case r.boxes > most.maxExpansion:
		return tooMuch(h, "the alias %s leads to more than %d mailboxes", most.maxExpansion)
	}
	// At the start of the walk all that was cut off is counted.
	if r.cut && len(c.open) > 1 {
		c.cut[h.key] = r
		return r
	}
	r.cut = false
	c.done[h.key] = r
	return r
}

func tooMuch(h hop, format string, bound int) reach {
	s := h.subject()
	return reach{culprit: h.key, fault: Fault{About: []Subject{s}, Text: fmt.Sprintf(format, s.Name, bound)}}
}

// circle is the fault of aliases that lead back to the first of them.
func circle(hops []hop) reach {
	var f Fault
	var names, keys []string
	for i, h := range hops {
		names, keys = append(names, h.subject().Name), append(keys, h.key)
		if i < len(hops)-1 {
			f.About = append(f.About, h.subject())
		}
	}
	f.Text = "these aliases lead back to themselves: " + strings.Join(names, " → ")
	return reach{culprit: slices.Min(keys), fault: f}
}

// subject names what is followed: an alias, or the domain whose postmaster it is.
func (h hop) subject() Subject {
	if h.rule == RuleRole {
		return Subject{KindDomain, strings.TrimPrefix(h.key[strings.LastIndexByte(h.key, '@'):], "@")}
	}
	return h.alias.Subject()
}
