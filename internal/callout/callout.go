// Package callout verifies recipients by asking the server behind this one that has their
// mailboxes, and caches its answers (Postfix calls this address verification).
//
// It promises that an Answer is Yes or No only when that server said so of that
// address, not longer ago than the limits allow; everything else is Unknown, and its
// caller asks the sender to try again. A question is asked once at a time, however
// many wait for its answer, and questions to one server are bounded in number, rate
// and time. Memory is bounded, and a flood of addresses that do not exist displaces
// none that do. Whoever guesses takes no question from others: where questions are scarce, each
// network of clients has a share of the rate, and those whose guesses are mostly wrong have
// one share together.
//
// A yes ends when the server refuses that recipient for good at a delivery, and when the
// operator has it forgotten.
//
// A server that takes any address at all tells nothing by a yes. It is found out by
// asking about an address that nobody has, and the Journal is told.
package callout

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/lru"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Server is a server behind us that can be asked.
type Server interface {
	// Ask returns the server's reply to RCPT for the address, and who gave it; or
	// why there is none.
	Ask(ctx context.Context, a mail.Address) (r mail.Reply, remote string, err error)
}

// Limits bounds questions and what is remembered of them.
type Limits struct {
	Timeout     time.Duration // of one question, with the wait for a connection
	PositiveTTL time.Duration // for which a yes is not asked again
	Grace       time.Duration // for which it counts beyond that while there is no answer
	NegativeTTL time.Duration // for which a no is not asked again
	Entries     int           // remembered of each kind
	Rate        int           // questions to one server in a second
	Share       int           // while half of Rate or Waiting is used, one network of clients has one in so many of it, and so have all guessers together
	Guesses     int           // wrong ones in GuessTime that make a network a guesser
	GuessTime   time.Duration // see Guesses
	Networks    int           // of clients that are told apart at one server; the others count as one
	Waiting     int           // callers that wait for one server at once
	ProbeEvery  time.Duration // how often a domain is asked about an address that nobody has
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Timeout: 20 * time.Second, PositiveTTL: time.Hour, Grace: 24 * time.Hour, NegativeTTL: 5 * time.Minute,
		Entries: 50_000, Rate: 100, Share: 4, Guesses: 20, GuessTime: 10 * time.Minute, Networks: 10_000,
		Waiting: 200, ProbeEvery: 12 * time.Hour,
	}
}

func (l Limits) valid() bool {
	return min(l.Timeout, l.PositiveTTL, l.NegativeTTL, l.ProbeEvery, l.GuessTime) > 0 && l.Grace >= 0 &&
		min(l.Entries, l.Rate, l.Waiting, l.Share, l.Guesses, l.Networks) > 0
}

// Options is what an Asker works with; all fields are required.
type Options struct {
	Limits Limits
	Now    func() time.Time
	Rand   io.Reader // makes the addresses that nobody has
	Logger *slog.Logger
	// Journal is told what was found out about a domain, and by whom: that its server
	// takes any address, or, after that, that it does not any more.
	Journal Journal
}

// Journal is what an Asker needs of the trace.
type Journal interface {
	Write(ctx context.Context, facts ...fact.Fact) error
}

// key names an address at a server. The local-part is taken as it is: whether
// capitals make a difference is the server's to say.
type key struct{ server, address string }

// known is what a server said, and when.
type known struct {
	answer Answer
	at     time.Time
}

// Asker asks and remembers. It is safe for concurrent use.
type Asker struct {
	o        Options
	positive *lru.Cache[key, known]
	negative *lru.Cache[key, known]

	mu      sync.Mutex
	flights map[key]*flight
	servers map[string]*state
}

// flight is a question under way.
type flight struct {
	done   chan struct{} // closed when answer is there
	answer Answer
	asker  netip.Prefix // of the client that it was begun for
}

// state is what goes on at one server.
type state struct {
	waiting  int
	rate     screen.Bucket
	guessers screen.Bucket // what all networks that guess may ask together
	networks map[netip.Prefix]*network
	swept    time.Time // when idle networks were looked for
	domains  map[mail.Domain]*probed
}

// Build returns an Asker that remembers nothing yet, or last, which may be nil, if its
// limits are the same.
func Build(o Options, last *Asker) (*Asker, error) {
	switch {
	case !o.Limits.valid() || o.Now == nil || o.Rand == nil || o.Logger == nil || o.Journal == nil:
		return nil, errors.New("callout: limits, clock, random, logger and journal must be given")
	case last != nil && last.o.Limits == o.Limits:
		return last, nil
	}
	remembered := func() *lru.Cache[key, known] { return lru.New[key, known](lru.Bounds{Entries: o.Limits.Entries}, nil) }
	return &Asker{o: o, flights: map[key]*flight{}, servers: map[string]*state{}, positive: remembered(), negative: remembered()}, nil
}

// Ask returns what the server of that name says of an address, which a client wants to
// write to. It waits no longer than ctx and the limits allow.
func (v *Asker) Ask(ctx context.Context, name string, s Server, client netip.Addr, a mail.Address) Answer {
	k := key{name, a.String()}
	if found, ok := v.remembered(k); ok {
		return found
	}
	answer := v.asked(ctx, k, s, client, a)
	if answer.Known != Unknown {
		return answer
	}
	// The server took the address not long ago, and says nothing else now.
	if yes, ok := v.positive.Get(k); ok && v.age(yes) < v.o.Limits.PositiveTTL+v.o.Limits.Grace {
		stale := yes.answer
		stale.Age, stale.Why = v.age(yes), answer.Why
		return stale
	}
	return answer
}

// Asks reports whether the server of that name is being asked about an address right now.
func (v *Asker) Asks(name string, a mail.Address) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.flights[key{name, a.String()}] != nil
}

// place is where answers of one kind are remembered, and for how long.
type place struct {
	cache      *lru.Cache[key, known]
	ttl, grace time.Duration
}

func (v *Asker) places() [2]place {
	return [2]place{{v.positive, v.o.Limits.PositiveTTL, v.o.Limits.Grace}, {v.negative, v.o.Limits.NegativeTTL, 0}}
}

// remembered returns an answer that needs no question.
func (v *Asker) remembered(k key) (Answer, bool) {
	for _, place := range v.places() {
		if found, ok := place.cache.Get(k); ok && v.age(found) < place.ttl {
			a := found.answer
			a.Age = v.age(found)
			return a, true
		}
	}
	return Answer{}, false
}

// age is how long ago something was said; a clock set back makes nothing younger
// than new.
func (v *Asker) age(n known) time.Duration { return max(v.o.Now().Sub(n.at), 0) }

// asked asks, or waits for the answer to the same question.
func (v *Asker) asked(ctx context.Context, k key, s Server, client netip.Addr, a mail.Address) Answer {
	from := screen.Network(client)
	f, leave, refusal := v.join(k, s, from, a)
	if f == nil {
		return Answer{Why: refusal}
	}
	defer leave()
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return Answer{Why: "no answer came in the time that there was", Remote: k.server}
	}
}

// join returns the flight of a question, begun now or before, which its caller leaves
// when it does not wait any more; or why there is none.
func (v *Asker) join(k key, s Server, from netip.Prefix, a mail.Address) (f *flight, leave func(), refusal string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.servers[k.server]
	if at == nil {
		at = &state{networks: map[netip.Prefix]*network{}, domains: map[mail.Domain]*probed{}}
		v.servers[k.server] = at
	}
	n := v.network(at, from)
	switch most := v.o.Limits.Waiting; {
	case at.waiting >= most:
		return nil, nil, "too many wait for the server behind"
	case at.waiting >= most/2 && n.waiting >= v.part(most):
		return nil, nil, "too many from the client's network wait for the server behind"
	}
	f = v.flights[k]
	if f == nil {
		if refusal := v.allow(at, n); refusal != "" {
			return nil, nil, refusal
		}
		f = &flight{done: make(chan struct{}), asker: from}
		v.flights[k] = f
		go v.fly(k, f, s, a)
	}
	at.waiting++
	n.waiting++
	return f, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		at.waiting--
		n.waiting--
	}, ""
}

// spend takes one question from a server's rate.
func (v *Asker) spend(at *state) bool {
	next, ok := at.rate.Take(screen.AtMost(v.o.Limits.Rate, time.Second), v.o.Now())
	at.rate = next
	return ok
}

// fly asks one question, whoever still waits for it, and remembers what was said.
func (v *Asker) fly(k key, f *flight, s Server, a mail.Address) {
	ctx, cancel := context.WithTimeout(context.Background(), v.o.Limits.Timeout)
	defer cancel()
	r, remote, err := s.Ask(ctx, a)
	f.answer = judge(r, remote, err)
	v.remember(k, f.answer)
	v.mu.Lock()
	delete(v.flights, k)
	v.guessed(v.servers[k.server], f.asker, f.answer.Known)
	v.mu.Unlock()
	close(f.done)
	if f.answer.Known == Yes {
		v.probe(k.server, s, a.Domain())
	}
}

// remember keeps a yes or a no in the place of the other.
func (v *Asker) remember(k key, a Answer) {
	n := known{answer: a, at: v.o.Now()}
	switch a.Known {
	case Yes:
		v.negative.Drop(k)
		v.positive.Put(k, n)
	case No:
		v.positive.Drop(k)
		v.negative.Put(k, n)
	}
}
