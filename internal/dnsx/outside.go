package dnsx

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Servers that have no way out any more answer for the root all the same, from a copy or from what
// they remember, and for whatever else they remember; what they cannot answer looks like the fault
// of each zone. So they are asked for what nobody can remember: names that are made up, beneath
// domains that are everybody's, that several keep who have nothing to do with each other, and whose
// signatures (NSEC3 with opt-out) let no server conclude what is not there. One answer, whatever it
// is, shows a way out.

// outside returns names that nobody has asked for before.
func outside() (all []Name) {
	for _, above := range []string{"com", "org", "de", "fr"} {
		all = append(all, Name{strings.ToLower(rand.Text()) + "." + above})
	}
	return all
}

// seek begins to look for a way out, or joins who does; nil where none need be looked for: one was
// there just now, or nobody named a server. root is the trial that asks for the root meanwhile, if
// there is one: whoever does not answer that is asked for nothing else.
func (c *Client) seek(ctx context.Context, root *trial) *trial {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	if !c.named || !c.open.IsZero() && now.Sub(c.open) <= c.o.Limits.Open {
		return nil
	}
	// What was found a moment ago holds for all questions that fail meanwhile.
	if c.way == nil || c.way.over() && now.Sub(c.sought) > c.o.Limits.Shut {
		c.way, c.sought = &trial{done: make(chan struct{})}, now
		go c.lookOutside(context.WithoutCancel(ctx), c.way, root)
	}
	return c.way
}

// lookOutside asks all servers for all names at once.
func (c *Client) lookOutside(ctx context.Context, t, root *trial) {
	defer close(t.done)
	if root != nil {
		if <-root.done; !root.answered {
			c.mu.Lock()
			defer c.mu.Unlock()
			t.answered, c.way = true, nil // nothing follows from it
			return
		}
	}
	c.mu.Lock()
	t.began = time.Now()
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, n := range outside() {
		for _, s := range c.o.Servers {
			all.Go(func() { c.probe(ctx, t, s, question{n, dns.TypeA}) })
		}
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.answered {
		c.open = c.o.Now()
	} else {
		c.mute = true
	}
}
