package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// pool lends connections of one kind: so many at once, so many questions waiting.
type pool struct {
	d     *Directory
	bound bool // who searches is bound on them
	slots chan struct{}
	wait  chan struct{}

	mu     sync.Mutex
	idle   []*conn // the latest used last
	closed bool
}

func newPool(d *Directory, bound bool) *pool {
	return &pool{d: d, bound: bound, slots: make(chan struct{}, d.limits.Connections), wait: make(chan struct{}, d.limits.Waiting)}
}

// with lends a connection to use, within the time of one question.
func (p *pool) with(ctx context.Context, use func(ctx context.Context, c *conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, p.d.limits.Timeout)
	defer cancel()
	if err := p.enter(ctx); err != nil {
		return err
	}
	defer func() { <-p.slots }()
	c, err := p.take(ctx)
	if err != nil {
		return err
	}
	reused := c.used
	err = use(ctx, c)
	end, _ := ctx.Deadline()
	if reused && p.bound && codeOf(err) < 0 && err != nil && ctx.Err() == nil && p.d.now().Before(end) {
		// The server had closed it meanwhile. A search may be asked twice; a password is not,
		// since the directory may count it.
		c.end()
		if c, err = p.fresh(ctx); err != nil {
			return err
		}
		err = use(ctx, c)
	}
	if unwell(err) && !errors.Is(ctx.Err(), context.Canceled) { // else whoever asked has gone
		p.d.leave(c.server)
	}
	p.give(c, err)
	return err
}

// enter takes a slot, or waits for one.
func (p *pool) enter(ctx context.Context) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case p.wait <- struct{}{}:
		defer func() { <-p.wait }()
	default:
		return fmt.Errorf("%w: %d do already", ErrBusy, cap(p.wait))
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, context.Cause(ctx))
	}
}

// take returns a connection that nobody uses, or a fresh one.
func (p *pool) take(ctx context.Context) (*conn, error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, ErrClosed
		}
		last := len(p.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			return p.fresh(ctx)
		}
		c := p.idle[last]
		p.idle = p.idle[:last]
		p.mu.Unlock()
		if !c.IsClosing() && p.d.now().Sub(c.since) < p.d.limits.Idle {
			return c, nil
		}
		c.end()
	}
}

// fresh connects to the server that answered last, and to the others if it does not.
func (p *pool) fresh(ctx context.Context) (*conn, error) {
	servers := p.d.o.Servers
	first := p.d.at.Load()
	var failure error
	for n := range servers {
		at := (int(first) + n) % len(servers)
		c, err := p.d.dial(ctx, servers[at])
		if err == nil && p.bound && !p.d.o.User.IsZero() {
			if err = p.d.ask(ctx, c, StepBind, func() error { return c.Bind(p.d.o.User.String(), p.d.o.Password) }); err != nil {
				c.end()
			}
		}
		if err == nil {
			p.d.at.Store(int64(at))
			return c, nil
		}
		failure = err
		if ctx.Err() != nil {
			break
		}
	}
	// The next question begins with another server: this one may take all the time there is.
	p.d.at.CompareAndSwap(first, (first+1)%int64(len(servers)))
	return nil, failure
}

// give takes a connection back, or ends it.
func (p *pool) give(c *conn, err error) {
	if err != nil && codeOf(err) != invalidCredentials {
		c.end()
		return
	}
	c.since = p.d.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= cap(p.slots) {
		c.end()
		return
	}
	p.idle = append(p.idle, c)
}

// drop ends what nobody uses of the connections to a server.
func (p *pool) drop(s Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = slices.DeleteFunc(p.idle, func(c *conn) bool {
		if c.server == s {
			c.end()
		}
		return c.server == s
	})
}

// close ends what nobody uses; what is in use ends when it is given back.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.end()
	}
	p.idle = nil
}
