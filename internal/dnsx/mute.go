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
	began    time.Time // by the time of this process; zero: nothing is asked yet
	done     chan struct{}
	answered bool // once done is closed
	quick    bool // a server answered within Limits.Sound; the client's lock keeps it
}

func newTrial() *trial { return &trial{began: time.Now(), done: make(chan struct{})} }

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
		c.trial = newTrial()
		go c.try(context.WithoutCancel(ctx), c.trial)
	}
	return c.trial
}

// measure begins a trial when an answer takes long, for which nobody waits: it parts a slow zone
// from servers that are slow themselves or silent, with which the time of a message may end before
// anything is known.
func (c *Client) measure(ctx context.Context) {
	c.mu.Lock()
	if c.named && c.trial == nil {
		c.trial = newTrial()
		go c.try(context.WithoutCancel(ctx), c.trial)
	}
	t := c.trial
	c.mu.Unlock()
	c.seek(ctx, t)
}

// lately reports whether an answer came within Limits.Sound. The caller has the lock.
func (c *Client) lately() bool {
	return !c.answered.IsZero() && c.o.Now().Sub(c.answered) <= c.o.Limits.Sound
}

// try asks all servers at once, one time each.
func (c *Client) try(ctx context.Context, t *trial) {
	var all sync.WaitGroup
	for _, s := range c.o.Servers {
		all.Go(func() { c.probe(ctx, t, s, question{Name{root}, dns.TypeSOA}) })
	}
	all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trial, c.mute, c.tardy = nil, !t.answered, time.Time{}
	if t.answered && !t.quick {
		c.tardy = c.o.Now()
	}
	if t.answered {
		c.answered = c.o.Now()
	}
	close(t.done)
}

// probe asks one server for a trial.
func (c *Client) probe(ctx context.Context, t *trial, s Server, q question) {
	err := c.o.Limits.exchange(ctx, s, q).err
	// Where we cannot ask for want of our own, the servers may be well.
	if err != nil && !Permanent(err) && !errors.Is(err, ErrExhausted) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	t.answered, t.quick = true, t.quick || time.Since(t.began) <= c.o.Limits.Sound
}

// lags reports whether a trial is under way for longer than a server that is well takes. The caller
// has the lock.
func (c *Client) lags(t *trial) bool {
	return t != nil && !t.began.IsZero() && !t.over() && !t.quick && time.Since(t.began) > c.o.Limits.Sound
}

// over reports whether a trial has ended.
func (t *trial) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// blamed says of a failure whether it is the servers', by trials that may have begun
// when the first of them failed: whether they answer at all, and whether they have a way out.
func (c *Client) blamed(ctx context.Context, begun, way *trial, err error) error {
	if begun == nil {
		begun = c.doubt(ctx)
	}
	if begun != nil {
		<-begun.done
		c.mu.Lock()
		answers := begun.answered || c.lately()
		c.mu.Unlock()
		if !answers {
			return fmt.Errorf("%w: %w", ErrMute, err)
		}
	}
	if way == nil {
		way = c.seek(ctx, nil)
	}
	if way != nil {
		if <-way.done; !way.answered {
			return fmt.Errorf("%w that they do not have at hand: %w", ErrMute, err)
		}
	}
	return err
}
