package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Client is a Resolver that asks configured servers, remembers what they said and
// asks the same question only once at a time. It is safe for concurrent use.
type Client struct {
	o    Options
	room *room

	mu      sync.Mutex
	cache   *cache
	failing *failing
	flights map[question]*flight
	rests   []time.Time // for each server: until when it is asked last

	named    bool      // somebody named a server to ask
	answered time.Time // when a server gave an answer the last time
	trial    *trial    // under way
	mute     bool      // the last trial had no answer, and nothing was answered since
	tardy    time.Time // when a trial took longer than Limits.Sound; zero: the last one did not

	way    *trial    // of whether our servers have a way out; the last one
	sought time.Time // when it began
	open   time.Time // when one was found the last time
}

var _ Resolver = (*Client)(nil)

// given is an answer and who gave it.
type given struct {
	answer
	secure bool
	server netip.AddrPort
}

// flight is a question on its way, for whoever waits for it.
type flight struct {
	done  chan struct{}
	given given // once done is closed
}

// NewClient returns a client; it sends nothing yet. It fails when the options are
// incomplete or trust a server that must not be trusted.
func NewClient(o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Servers = slices.Clone(o.Servers)
	return &Client{
		o: o, room: newRoom(o.Limits), failing: newFailing(o.Limits), flights: map[question]*flight{},
		cache: newCache(o.Limits.CacheEntries, o.Limits.CacheOctets), rests: make([]time.Time, len(o.Servers)),
		named: slices.ContainsFunc(o.Servers, func(s Server) bool { return !s.Assumed }),
	}, nil
}

// MX asks for the mail exchangers of a domain. RFC 5321 §5.1: the domain may be an alias.
func (c *Client) MX(ctx context.Context, n Name) (Answer[MX], error) {
	g, err := c.lookup(ctx, question{n, dns.TypeMX})
	if err != nil {
		return Answer[MX]{}, err
	}
	return Answer[MX]{Data: slices.Clone(g.mx), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// Addresses asks for the addresses of host, both kinds at once.
func (c *Client) Addresses(ctx context.Context, host Name) (Answer[netip.Addr], error) {
	var v4 given
	var err4 error
	var wg sync.WaitGroup
	wg.Go(func() { v4, err4 = c.lookup(ctx, question{host, dns.TypeA}) })
	v6, err6 := c.lookup(ctx, question{host, dns.TypeAAAA})
	wg.Wait()
	return bothFamilies(v4, err4, v6, err6)
}

// OneFamily asks for the addresses of one family.
func (c *Client) OneFamily(ctx context.Context, host Name, f Family) (Answer[netip.Addr], error) {
	q := question{name: host}
	switch f {
	case IPv4:
		q.rtype = dns.TypeA
	case IPv6:
		q.rtype = dns.TypeAAAA
	}
	g, err := c.lookup(ctx, q)
	if err != nil {
		return Answer[netip.Addr]{}, err
	}
	return Answer[netip.Addr]{Data: slices.Clone(g.addrs), Name: g.name, Secure: g.secure, TTL: g.ttl}, nil
}

// bothFamilies joins two answers. There is no address only if both say so: a
// failure of one leaves the question open.
func bothFamilies(v4 given, err4 error, v6 given, err6 error) (Answer[netip.Addr], error) {
	switch {
	case err4 == nil && err6 == nil:
		return Answer[netip.Addr]{Data: slices.Concat(v6.addrs, v4.addrs), Name: v6.name, Secure: v4.secure && v6.secure, TTL: min(v4.ttl, v6.ttl)}, nil
	case err4 == nil:
		return Answer[netip.Addr]{Data: slices.Clone(v4.addrs), Name: v4.name, Secure: v4.secure, TTL: v4.ttl}, nil
	case err6 == nil:
		return Answer[netip.Addr]{Data: slices.Clone(v6.addrs), Name: v6.name, Secure: v6.secure, TTL: v6.ttl}, nil
	case !Permanent(err4):
		return Answer[netip.Addr]{}, err4
	case !Permanent(err6):
		return Answer[netip.Addr]{}, err6
	case errors.Is(err4, ErrNoName) && errors.Is(err6, ErrNoName):
		return Answer[netip.Addr]{}, err4
	case errors.Is(err4, ErrNoName):
		return Answer[netip.Addr]{}, err6 // the name exists for one of them
	}
	return Answer[netip.Addr]{}, err4
}

// lookup answers from memory, or waits for the one flight with this question.
func (c *Client) lookup(ctx context.Context, q question) (given, error) {
	if q.name.IsZero() || q.rtype == dns.TypeNone {
		return given{}, &LookupError{Question: q.String(), Err: ErrBadName}
	}
	f, known, err := c.board(ctx, q)
	if err != nil {
		known.err = err
	}
	if f != nil {
		select {
		case <-f.done:
			known = f.given
		case <-ctx.Done():
			known.err = c.late(ctx)
		}
	}
	if s := shareOf(ctx); s != nil && want(known.err) {
		s.exhausted.Store(true)
		if errors.Is(known.err, ErrMute) {
			s.mute.Store(true)
		}
	}
	if known.err != nil {
		return given{}, &LookupError{Question: q.String(), Server: known.server, Secure: known.secure, Err: known.err}
	}
	return known, nil
}

// late is why a caller did not wait any longer. Where a good part of its time was lost
// to our own want of room, that is the reason.
func (c *Client) late(ctx context.Context) error {
	if s := shareOf(ctx); s != nil && time.Duration(s.waited.Load()) >= c.o.Limits.Wait/4 {
		return ErrExhausted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// Whoever takes longer than Sound for the root is slow, if not silent.
	if c.mute || c.lags(c.trial) || c.lags(c.way) || !c.tardy.IsZero() && c.o.Now().Sub(c.tardy) <= c.o.Limits.Rest {
		return fmt.Errorf("%w in time: %w", ErrMute, context.Cause(ctx))
	}
	return context.Cause(ctx)
}

// board returns what is known, or the flight to wait for: one that is under way,
// or a new one once there is room.
func (c *Client) board(ctx context.Context, q question) (*flight, given, error) {
	if f, g, ok := c.known(q); ok {
		return f, g, nil
	}
	if ctx.Err() != nil {
		return nil, given{}, c.late(ctx)
	}
	share := shareOf(ctx)
	if share != nil && share.Mute() {
		return nil, given{}, ErrMute // the message is deferred; nothing else needs to wait for it
	}
	if err := c.room.enter(ctx, share); err != nil {
		return nil, given{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, g, ok := c.recall(q); ok {
		c.room.leave(share)
		return f, g, nil
	}
	f := &flight{done: make(chan struct{})}
	c.flights[q] = f
	// It outlives a caller who gives up, since others may wait for it; Limits.Total
	// ends it.
	go c.fly(context.WithoutCancel(ctx), q, f)
	return f, given{}, nil
}

func (c *Client) known(q question) (*flight, given, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, g, ok := c.recall(q); ok {
		return f, g, true
	}
	// RFC 9520 §3.2: who did not answer is left alone for a while.
	if z, dead := c.failing.dead(q.name, c.o.Now()); dead {
		return nil, given{answer: answer{err: fmt.Errorf("%w: %s did not answer lately, and is not asked now", ErrServer, z.name)}}, true
	}
	return nil, given{}, false
}

func (c *Client) recall(q question) (*flight, given, bool) {
	if f, ok := c.flights[q]; ok {
		return f, given{}, true
	}
	g, ok := c.cache.get(q, c.o.Now())
	return nil, g, ok
}

// fly asks, remembers and tells whoever waits.
func (c *Client) fly(ctx context.Context, q question, f *flight) {
	defer c.room.leave(shareOf(ctx))
	g := c.ask(ctx, q)
	c.mu.Lock()
	suspects := c.remember(q, &g)
	f.given = g
	delete(c.flights, q)
	c.mu.Unlock()
	close(f.done)
	for _, z := range suspects {
		if !c.examine(ctx, z) {
			return // what answers is below all the others
		}
	}
}

// remember keeps an answer, and notes who did not give one; suspects are the zones that
// should be asked for themselves.
func (c *Client) remember(q question, g *given) (suspects []question) {
	now := c.o.Now()
	switch {
	case errors.Is(g.err, ErrExhausted):
		return nil // it is nobody's fault but ours
	case g.err == nil || Permanent(g.err):
		g.ttl = c.o.Limits.keep(g.answer)
		c.failing.forget(q)
		c.failing.heal(q.name)
	case errors.Is(g.err, ErrMute) || errors.Is(g.err, errUnreachable):
		// No zone is to blame.
		g.ttl = c.o.Limits.FailureTTL
	default:
		g.ttl = c.failing.rest(q, now)
		suspects = c.failing.blame(q.name, now)
	}
	c.cache.put(q, *g, now)
	return suspects
}

// examine asks whether a zone answers for itself, and lets it rest if not. Names below
// it that fail tell little: they may be others' zones.
func (c *Client) examine(ctx context.Context, z question) (dead bool) {
	g := c.ask(ctx, question{z.name, dns.TypeSOA})
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	switch {
	case want(g.err), errors.Is(g.err, errUnreachable):
		return false
	case g.err == nil || Permanent(g.err):
		c.failing.heal(z.name)
		return false
	}
	c.failing.bury(z, now)
	return true
}

// keep returns for how long an answer is remembered.
func (l Limits) keep(a answer) time.Duration {
	switch {
	case a.err == nil:
		return min(max(a.ttl, l.MinTTL), l.MaxTTL)
	case Permanent(a.err):
		return min(max(a.ttl, l.MinTTL), l.MaxNegative)
	}
	return 0
}

// ask asks one server after the other, and all of them again, until one gives an
// answer or the time is over.
func (c *Client) ask(ctx context.Context, q question) given {
	ctx, cancel := context.WithTimeout(ctx, c.o.Limits.Total)
	defer cancel()
	last := given{answer: answer{err: fmt.Errorf("%w: no server was asked", ErrTimeout)}}
	var doubt, way *trial
	for range c.o.Limits.Rounds {
		for _, i := range c.turn() {
			if ctx.Err() != nil {
				break
			}
			s := c.o.Servers[i]
			late := time.AfterFunc(c.o.Limits.Sound, func() { c.measure(ctx) })
			a := c.o.Limits.exchange(ctx, s, q)
			late.Stop()
			if errors.Is(a.err, ErrExhausted) {
				return given{answer: a}
			}
			if a.err == nil || Permanent(a.err) {
				c.listened()
				return given{answer: a, secure: a.ad && s.Validating, server: s.Addr}
			}
			last = given{answer: a, server: s.Addr}
			c.blame(i, a.err)
			if doubt == nil {
				doubt = c.doubt(ctx)
			}
			if way == nil {
				way = c.seek(ctx, doubt)
			}
		}
	}
	last.err = c.blamed(ctx, doubt, way, last.err)
	return last
}

// listened notes that a server gave an answer.
func (c *Client) listened() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered, c.mute = c.o.Now(), false
}

// turn returns the servers in the order to ask them: as configured, those that did
// not answer lately last.
func (c *Client) turn() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.o.Now()
	var first, rest []int
	for i, until := range c.rests {
		if now.Before(until) {
			rest = append(rest, i)
		} else {
			first = append(first, i)
		}
	}
	return append(first, rest...)
}

// blame lets a server rest that cannot be reached. SERVFAIL and its like are
// about the name as often as about the server.
func (c *Client) blame(i int, err error) {
	if !errors.Is(err, ErrTimeout) && !errors.Is(err, errUnreachable) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rests[i] = c.o.Now().Add(c.o.Limits.Rest)
}
