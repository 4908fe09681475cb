// Package verify knows whether a server behind us takes mail for an address, by
// asking it, and remembers what it said.
//
// It promises that an Answer is Yes or No only when that server said so of that
// address, not longer ago than the limits allow; everything else is Unknown, and its
// caller asks the sender to try again. A question is asked once at a time, however
// many wait for its answer, and questions to one server are bounded in number, rate
// and time. Memory is bounded, and a flood of addresses that do not exist displaces
// none that do.
//
// A server that takes any address at all tells nothing by a yes. It is found out by
// asking about an address that nobody has, and shows in Catchall.
package verify

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

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
	Waiting     int           // callers that wait for one server at once
	ProbeEvery  time.Duration // how often a domain is asked about an address that nobody has
}

// DefaultLimits returns the limits of a server that was told nothing.
func DefaultLimits() Limits {
	return Limits{
		Timeout: 20 * time.Second, PositiveTTL: time.Hour, Grace: 24 * time.Hour, NegativeTTL: 5 * time.Minute,
		Entries: 50_000, Rate: 100, Waiting: 200, ProbeEvery: 12 * time.Hour,
	}
}

func (l Limits) valid() bool {
	return min(l.Timeout, l.PositiveTTL, l.NegativeTTL, l.ProbeEvery) > 0 && l.Grace >= 0 &&
		min(l.Entries, l.Rate, l.Waiting) > 0
}

// Options is what a Verifier works with; all fields are required.
type Options struct {
	Limits Limits
	Now    func() time.Time
	Rand   io.Reader // makes the addresses that nobody has
	Logger *slog.Logger
	// Learnt is told what was found out about a domain, and by whom: that its server
	// takes any address, or, after that, that it does not any more.
	Learnt func(d mail.Domain, remote string, catchall bool)
}

// key names an address at a server. The local-part is taken as it is: whether
// capitals make a difference is the server's to say.
type key struct{ server, address string }

// known is what a server said, and when.
type known struct {
	answer Answer
	at     time.Time
}

// Verifier asks and remembers. It is safe for concurrent use.
type Verifier struct {
	o        Options
	positive *otter.Cache[key, known]
	negative *otter.Cache[key, known]

	mu      sync.Mutex
	flights map[key]*flight
	servers map[string]*state
}

// flight is a question under way.
type flight struct {
	done   chan struct{} // closed when answer is there
	answer Answer
}

// state is what goes on at one server.
type state struct {
	waiting int
	rate    screen.Bucket
	domains map[mail.Domain]*probed
}

// New returns a Verifier that remembers nothing yet.
func New(o Options) (*Verifier, error) {
	if !o.Limits.valid() || o.Now == nil || o.Rand == nil || o.Logger == nil || o.Learnt == nil {
		return nil, errors.New("verify: limits, clock, chance, logger and listener must be given")
	}
	v := &Verifier{o: o, flights: map[key]*flight{}, servers: map[string]*state{}}
	var errs [2]error
	v.positive, errs[0] = otter.New(&otter.Options[key, known]{MaximumSize: o.Limits.Entries})
	v.negative, errs[1] = otter.New(&otter.Options[key, known]{MaximumSize: o.Limits.Entries})
	return v, errors.Join(errs[:]...)
}

// Close ends what the caches run. Nothing may be asked afterwards.
func (v *Verifier) Close() {
	v.positive.StopAllGoroutines()
	v.negative.StopAllGoroutines()
}

// Ask returns what the server of that name says of an address. It waits no longer
// than ctx and the limits allow.
func (v *Verifier) Ask(ctx context.Context, name string, s Server, a mail.Address) Answer {
	k := key{name, a.String()}
	if found, ok := v.remembered(k); ok {
		return found
	}
	answer := v.asked(ctx, k, s, a)
	if answer.Known != Unknown {
		return answer
	}
	// The server took the address not long ago, and says nothing else now.
	if yes, ok := v.positive.GetIfPresent(k); ok && v.age(yes) < v.o.Limits.PositiveTTL+v.o.Limits.Grace {
		stale := yes.answer
		stale.Age, stale.Why = v.age(yes), answer.Why
		return stale
	}
	return answer
}

// remembered returns an answer that needs no question.
func (v *Verifier) remembered(k key) (Answer, bool) {
	for _, place := range []struct {
		cache *otter.Cache[key, known]
		ttl   time.Duration
	}{{v.positive, v.o.Limits.PositiveTTL}, {v.negative, v.o.Limits.NegativeTTL}} {
		if found, ok := place.cache.GetIfPresent(k); ok && v.age(found) < place.ttl {
			a := found.answer
			a.Age = v.age(found)
			return a, true
		}
	}
	return Answer{}, false
}

// age is how long ago something was said; a clock set back makes nothing younger
// than new.
func (v *Verifier) age(n known) time.Duration { return max(v.o.Now().Sub(n.at), 0) }

// asked asks, or waits for the answer to the same question.
func (v *Verifier) asked(ctx context.Context, k key, s Server, a mail.Address) Answer {
	f, refusal := v.join(k, s, a)
	if f == nil {
		return Answer{Why: refusal}
	}
	defer v.left(k.server)
	select {
	case <-f.done:
		return f.answer
	case <-ctx.Done():
		return Answer{Why: "nobody waited for the answer"}
	}
}

// join returns the flight of a question, begun now or before; or why there is none.
func (v *Verifier) join(k key, s Server, a mail.Address) (*flight, string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.servers[k.server]
	if at == nil {
		at = &state{domains: map[mail.Domain]*probed{}}
		v.servers[k.server] = at
	}
	if at.waiting >= v.o.Limits.Waiting {
		return nil, "too many wait for the server behind"
	}
	f := v.flights[k]
	if f == nil {
		if !v.spend(at) {
			return nil, "too many questions to the server behind"
		}
		f = &flight{done: make(chan struct{})}
		v.flights[k] = f
		go v.fly(k, f, s, a)
	}
	at.waiting++
	return f, ""
}

// spend takes one question from a server's rate.
func (v *Verifier) spend(at *state) bool {
	next, ok := at.rate.Take(screen.AtMost(v.o.Limits.Rate, time.Second), v.o.Now())
	if ok {
		at.rate = next
	}
	return ok
}

func (v *Verifier) left(server string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.servers[server].waiting--
}

// fly asks one question, whoever still waits for it, and remembers what was said.
func (v *Verifier) fly(k key, f *flight, s Server, a mail.Address) {
	ctx, cancel := context.WithTimeout(context.Background(), v.o.Limits.Timeout)
	defer cancel()
	r, remote, err := s.Ask(ctx, a)
	f.answer = judge(r, remote, err)
	v.remember(k, f.answer)
	v.mu.Lock()
	delete(v.flights, k)
	v.mu.Unlock()
	close(f.done)
	if f.answer.Known == Yes {
		v.probe(k.server, s, a.Domain())
	}
}

// remember keeps a yes or a no in the place of the other.
func (v *Verifier) remember(k key, a Answer) {
	n := known{answer: a, at: v.o.Now()}
	switch a.Known {
	case Yes:
		v.negative.Invalidate(k)
		v.positive.Set(k, n)
	case No:
		v.positive.Invalidate(k)
		v.negative.Set(k, n)
	}
}

// Size returns how many recipients are remembered as taken and as refused, about.
func (v *Verifier) Size() (taken, refused int) {
	return v.positive.EstimatedSize(), v.negative.EstimatedSize()
}
