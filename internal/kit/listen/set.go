package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
)

// Place is where a service listens.
type Place struct {
	Service string         // "mx"
	At      netip.AddrPort // zero: Path is a UNIX socket
	Path    string
	Name    string // by which faults call it
	// Handed: who opens the listeners of this server for it opens this one too; Either: or
	// this process binds it, where that one does not.
	Handed, Either bool
}

// Free reports whether this process may bind a place whoever it runs as.
func (p Place) Free() bool { return p.At.Port() == 0 || p.At.Port() >= privileged }

// String returns the address or the path.
func (p Place) String() string {
	if p.At.IsValid() {
		return p.At.String()
	}
	return p.Path
}

// Fault is what is wrong with one place.
type Fault struct {
	Place Place
	Err   error
}

// Error implements error.
func (f *Fault) Error() string { return f.Err.Error() }

// Unwrap returns why.
func (f *Fault) Unwrap() error { return f.Err }

// Options say how places are bound.
type Options struct {
	Sockets []Socket // used instead of binding the places that they are
	// Early are those that this process bound while it might (see Early); each is used once.
	Early []Socket
	Bind  func(context.Context, Place) (net.Listener, error)
}

// Set is every listener of a server. Its methods may be called concurrently, but one
// Change at a time is built and adopted.
type Set struct {
	o Options

	mu    sync.Mutex
	open  []*bound
	start func(*bound) // serves a listener; nil while nobody does
	early []Socket
}

// bound is one listener.
type bound struct {
	net.Listener
	place Place
	// leaving: no place names it any more, and its end is no fault.
	leaving atomic.Bool
}

// New returns a Set that listens nowhere yet.
func New(o Options) *Set { return &Set{o: o, early: slices.Clone(o.Early)} }

// Change is what a Set becomes.
type Change struct {
	set         *Set
	next, fresh []*bound
}

// Build binds the places that are not open yet, and keeps those that are. On an error,
// which joins a *Fault for each place that cannot be bound, none of them stays bound.
func (s *Set) Build(ctx context.Context, places []Place) (*Change, error) {
	c := &Change{set: s}
	open := s.all()
	var errs []error
	for _, p := range places {
		if i := slices.IndexFunc(open, func(b *bound) bool { return b.place.Service == p.Service && b.place.String() == p.String() }); i >= 0 {
			c.next, open = append(c.next, open[i]), slices.Delete(open, i, i+1)
			continue
		}
		ln, err := s.bind(ctx, p)
		if err != nil {
			errs = append(errs, &Fault{Place: p, Err: err})
			continue
		}
		one := &bound{Listener: ln, place: p}
		c.next, c.fresh = append(c.next, one), append(c.fresh, one)
	}
	if len(errs) > 0 {
		c.Abandon()
		return nil, errors.Join(errs...)
	}
	return c, nil
}

func (s *Set) bind(ctx context.Context, p Place) (net.Listener, error) {
	if ln, ok := handed(s.o.Sockets, p); ok {
		return ln, nil
	}
	if ln, ok := s.takeEarly(p); ok {
		return ln, nil
	}
	return s.o.Bind(ctx, p)
}

// takeEarly takes what was bound early for a place, once: who comes back to an address at
// a reload would find it closed.
func (s *Set) takeEarly(p Place) (net.Listener, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.early, func(one Socket) bool { return one.Service == p.Service && sameAddress(one.Listener.Addr(), p.At) })
	if i < 0 {
		return nil, false
	}
	ln := s.early[i].Listener
	s.early = slices.Delete(s.early, i, i+1)
	return ln, true
}

// Adopt opens what is new, and closes to new connections what is not named any more.
func (c *Change) Adopt() {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.open {
		if !slices.Contains(c.next, one) {
			one.leaving.Store(true)
			_ = one.Close() // its connections go on
		}
	}
	for _, one := range c.fresh {
		if s.start != nil {
			s.start(one)
		}
	}
	s.open = c.next
}

// Abandon closes what was bound.
func (c *Change) Abandon() {
	for _, one := range c.fresh {
		_ = one.Close()
	}
}

// Serve serves every listener, and those that changes add, until ctx ends. serve says
// with what a service is served; nil: by somebody else. A listener that ends by itself
// ends them all, with its service and address in the error.
func (s *Set) Serve(ctx context.Context, serve func(service string) func(context.Context, net.Listener) error) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	s.begin(func(one *bound) {
		by := serve(one.place.Service)
		if by == nil {
			return
		}
		running.Go(func() {
			err := by(serving, one.Listener)
			if one.leaving.Load() || serving.Err() != nil && err == nil {
				return
			}
			mu.Lock()
			errs = append(errs, fmt.Errorf("%s %s: %w", one.place.Service, one.Addr(), err))
			mu.Unlock()
			stop()
		})
	})
	<-serving.Done()
	s.begin(nil)
	running.Wait()
	return errors.Join(errs...)
}

// begin starts what is open, and from now on what will be; nil: nothing any more.
func (s *Set) begin(start func(*bound)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = start
	for _, one := range s.open {
		if start != nil {
			start(one)
		}
	}
}

func (s *Set) all() []*bound {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open)
}

// Of returns the listeners of a service, in the order of their places.
func (s *Set) Of(service string) (all []net.Listener) {
	for _, one := range s.all() {
		if one.place.Service == service {
			all = append(all, one.Listener)
		}
	}
	return all
}

// Addrs returns where a service really listens, in the order of its places.
func (s *Set) Addrs(service string) []string {
	addrs := []string{}
	for _, ln := range s.Of(service) {
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// Close closes every listener; one that is closed already is no error.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []net.Listener
	for _, one := range s.open {
		all = append(all, one.Listener)
	}
	s.open = nil
	return Close(all)
}
