package dnsx

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// ErrMute is a question that stayed open because the servers that we ask answer nothing
// at all, whatever they are asked. It says nothing about the name: the want is ours.
var ErrMute = errors.New("our name servers answer nothing")

// want reports whether a failure is for a want of ours, so that nothing follows from it.
func want(err error) bool { return errors.Is(err, ErrExhausted) || errors.Is(err, ErrMute) }

// trial is a question for the root, which whoever resolves at all can answer. It parts a
// name that does not answer from servers that do not.
type trial struct {
	done     chan struct{}
	answered bool // once done is closed
}

// doubt begins a trial, or joins the one under way; nil where none is needed: something
// was answered just now, or nobody named a server for this host, which then has no DNS
// that could be missing.
func (c *Client) doubt(ctx context.Context) *trial {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.named || c.lately() {
		return nil
	}
	if c.trial == nil {
		c.trial = &trial{done: make(chan struct{})}
		go c.try(context.WithoutCancel(ctx), c.trial)
	}
	return c.trial
}

// measure begins a trial after an answer that took long, for which nobody waits: it parts a slow zone from servers that are
// slow themselves, with which the time of a message may end before anything is known.
func (c *Client) measure(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.named && c.trial == nil {
		c.trial = &trial{done: make(chan struct{})}
		go c.try(context.WithoutCancel(ctx), c.trial)
	}
}

// lately reports whether an answer came within Limits.Sound. The caller has the lock.
func (c *Client) lately() bool {
	return !c.answered.IsZero() && c.o.Now().Sub(c.answered) <= c.o.Limits.Sound
}

// try asks all servers at once, one time each.
func (c *Client) try(ctx context.Context, t *trial) {
	answers := make([]error, len(c.o.Servers))
	took := make([]time.Duration, len(c.o.Servers))
	began := time.Now()
	var all sync.WaitGroup
	for i, s := range c.o.Servers {
		all.Go(func() {
			answers[i] = c.o.Limits.exchange(ctx, s, question{Name{root}, dns.TypeSOA}).err
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	quick := false
	for i, err := range answers {
		// Where we cannot ask for want of our own, the servers may be well.
		if err == nil || Permanent(err) || errors.Is(err, ErrExhausted) {
			t.answered = true
			quick = quick || took[i] <= c.o.Limits.Sound
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trial, c.mute, c.tardy = nil, !t.answered, time.Time{}
	if t.answered && !quick {
		c.tardy = c.o.Now()
	}
	if t.answered {
		c.answered = c.o.Now()
	}
	close(t.done)
}

// blamed says of a failure whether it is the servers', by a trial that may have begun
// when the first of them failed.
func (c *Client) blamed(ctx context.Context, begun *trial, err error) error {
	if begun == nil {
		begun = c.doubt(ctx)
	}
	if begun == nil {
		return err
	}
	<-begun.done
	c.mu.Lock()
	defer c.mu.Unlock()
	if begun.answered || c.lately() {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMute, err)
}
