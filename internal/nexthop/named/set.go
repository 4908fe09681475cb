package named

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// Entry is a next hop that the configuration names.
type Entry[K comparable] struct {
	Key   K      // who has the key is led here
	Name  string // by which a Fault speaks of it
	Place Place
}

// SetOptions says which next hops there are.
type SetOptions[K comparable] struct {
	Means
	// Entries are made at once, so that a fault shows. Of those with the same key the
	// first one counts.
	Entries []Entry[K]
	// Other is the place of a key that no entry has, for next hops that are named at run
	// time: they are made when they are used. nil: there are none.
	Other func(K) Place
	// Missing defers what leads to a next hop that is not there.
	Missing mail.Reply
}

// Fault says what is wrong with an entry.
type Fault struct {
	Name string
	Err  error
}

// Error returns the name and the fault.
func (f *Fault) Error() string { return fmt.Sprintf("%s: %v", f.Name, f.Err) }

// Unwrap returns what is wrong.
func (f *Fault) Unwrap() error { return f.Err }

// Set holds one target for each next hop that the administrator named, so that nothing
// is dialled that was not named. It is safe for concurrent use.
type Set[K comparable] struct {
	o SetOptions[K]

	mu      sync.Mutex
	targets map[K]*Target
	retired bool
}

// Build makes the targets. It takes over from last, which may be nil, those that would
// be made in the same way, with their connections and what was learnt. The error is one
// *Fault for each entry that has one, joined.
func Build[K comparable](o SetOptions[K], last *Set[K]) (*Set[K], error) {
	s := &Set[K]{o: o, targets: map[K]*Target{}}
	var former map[K]*Target
	if last != nil {
		former = last.all()
	}
	var errs []error
	for _, e := range o.Entries {
		if _, ok := s.targets[e.Key]; ok {
			continue
		}
		t, err := s.make(e.Place, former[e.Key])
		if err != nil {
			errs = append(errs, &Fault{e.Name, err})
			continue
		}
		s.targets[e.Key] = t
	}
	if o.Other == nil {
		return s, errors.Join(errs...)
	}
	for k, t := range former {
		if _, ok := s.targets[k]; ok {
			continue
		}
		if same, err := s.make(o.Other(k), t); err == nil && same == t {
			s.targets[k] = t
		}
	}
	return s, errors.Join(errs...)
}

// make returns the target of a place: the former one, which may be nil, where nothing
// of it would change.
func (s *Set[K]) make(p Place, former *Target) (*Target, error) {
	a, err := readAuthorities(p.CA)
	if err != nil {
		return nil, err
	}
	if former != nil && former.place == p && former.means.Hello == s.o.Hello && former.authorities.equal(a) {
		return former, nil
	}
	return newTarget(p, s.o.Means, a)
}

// Wake has what goes to each next hop try to connect, also where that failed just now.
func (s *Set[K]) Wake() {
	for _, t := range s.all() {
		t.Wake()
	}
}

func (s *Set[K]) all() map[K]*Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[K]*Target, len(s.targets))
	for k, t := range s.targets {
		out[k] = t
	}
	return out
}

var (
	errUnknown = errors.New("no such next hop is configured")
	errRetired = errors.New("the server stops")
)

// Find returns the target of a key, and makes it where it may.
func (s *Set[K]) Find(k K) (*Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.targets[k]; ok {
		return t, nil
	}
	switch {
	case s.o.Other == nil:
		return nil, errUnknown
	case s.retired:
		return nil, errRetired
	}
	t, err := s.make(s.o.Other(k), nil)
	if err == nil {
		s.targets[k] = t
	}
	return t, err
}

// Target returns the way to a next hop; where there is none, one that defers everything.
func (s *Set[K]) Target(k K) nexthop.Target {
	t, err := s.Find(k)
	if err == nil {
		return t
	}
	if !errors.Is(err, errUnknown) { // only servers behind us are made when they are used
		s.o.Logger.Error("a server behind us cannot be used", "behind", fmt.Sprint(k), "err", err)
	}
	return missing{s.o.Missing}
}

// missing defers: a next hop that vanished may come back, and what is wrong with one can
// be mended.
type missing struct{ reply mail.Reply }

// Deliver implements nexthop.Target.
func (m missing) Deliver(_ context.Context, j nexthop.Job) []mail.Outcome {
	return j.All(m.reply, "sallyport")
}

// Retire ends the targets that heir, which may be nil, does not have. Deliveries under
// way go on, and their connections end with them.
func (s *Set[K]) Retire(heir *Set[K]) {
	if s == nil || s == heir {
		return
	}
	kept := map[*Target]bool{}
	if heir != nil {
		for _, t := range heir.all() {
			kept[t] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
	for _, t := range s.targets {
		if !kept[t] {
			_ = t.Close() // it waits for nobody
		}
	}
}
