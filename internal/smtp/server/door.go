package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"sallyport/internal/door"
)

// Door serves the connections of listeners, with a configuration that may be replaced
// while it does: each connection keeps the one that it began with.
type Door struct {
	backend Backend
	current atomic.Pointer[server]
}

// NewDoor returns a Door, or says why the configuration is unfit.
func NewDoor(cfg Config, b Backend) (*Door, error) {
	s, err := newServer(cfg, b)
	if err != nil {
		return nil, err
	}
	d := &Door{backend: b}
	d.current.Store(s)
	return d, nil
}

// Use makes cfg the configuration of the connections to come. An unfit one changes
// nothing.
func (d *Door) Use(cfg Config) error {
	s, err := newServer(cfg, d.backend)
	if err != nil {
		return err
	}
	d.take(s)
	return nil
}

// take makes s what serves the connections to come.
func (d *Door) take(s *server) {
	s.entrance.Counted = d.current.Load().entrance.Counted
	d.current.Store(s)
}

// Config returns the configuration of the next connection.
func (d *Door) Config() Config { return d.current.Load().cfg }

// Serve accepts connections from ln and serves each on one goroutine, until ctx is
// done. Then it closes ln, answers 421 to every session that waits for a command,
// lets a message in progress end within Limits.ShutdownGrace, and returns nil when
// all connections are closed. When others close ln, its sessions go on to their own
// ends, and Serve then returns an error that is net.ErrClosed.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	return door.Accept(ctx, ln, func() (*door.Entrance, func(context.Context, net.Conn, *sync.WaitGroup)) {
		s := d.current.Load()
		return s.entrance, s.admit
	})
}

// Serve serves ln with one configuration, as Door.Serve does. It fails at once when
// that is unfit.
func Serve(ctx context.Context, ln net.Listener, cfg Config, b Backend) error {
	d, err := NewDoor(cfg, b)
	if err != nil {
		return err
	}
	return d.Serve(ctx, ln)
}

// Doors are the engines of one server: one for each kind of door, which serves all
// listeners of its kind. Its methods may be called concurrently, but one Change at a time
// is built and adopted.
type Doors struct {
	backend Backend
	kinds   [KindSendmail + 1]atomic.Pointer[Door]
}

// NewDoors returns Doors of which none has a configuration yet.
func NewDoors(b Backend) *Doors { return &Doors{backend: b} }

// KindError is that a kind of door cannot be as it is configured.
type KindError = door.KindError[Kind]

// Change is what Doors become.
type Change struct {
	doors *Doors
	next  map[Kind]*server
}

// Build prepares what the next connection of each of the kinds meets: c as Config.Of
// shares it out, with a TLS configuration of its own, whose session tickets resume at no
// other kind of door. On an error, which joins a *KindError for each kind that it is unfit for,
// there is no Change.
func (d *Doors) Build(c Config, kinds ...Kind) (*Change, error) {
	change := &Change{doors: d, next: map[Kind]*server{}}
	var errs []error
	for _, k := range kinds {
		mine := c.Of(k)
		secured := d.secured(k).Of(mine.TLS, k == KindSubmission || k == KindSubmissions)
		mine.TLS = secured.Own()
		s, err := newServer(mine, d.backend)
		if err != nil {
			errs = append(errs, &KindError{Kind: k, Err: err})
			continue
		}
		s.secured = secured
		change.next[k] = s
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return change, nil
}

// secured returns the TLS of a kind as it is; zero: it has none.
func (d *Doors) secured(k Kind) door.TLS {
	if of := d.Of(k); of != nil {
		return of.current.Load().secured
	}
	return door.TLS{}
}

// Adopt puts the change in force for the connections to come.
func (c *Change) Adopt() {
	for k, s := range c.next {
		if former := c.doors.kinds[k].Load(); former != nil {
			former.take(s)
			continue
		}
		made := &Door{backend: c.doors.backend}
		made.current.Store(s)
		c.doors.kinds[k].Store(made)
	}
}

// Of returns the engine of a kind; nil: it was never configured.
func (d *Doors) Of(k Kind) *Door {
	if int(k) >= len(d.kinds) {
		return nil
	}
	return d.kinds[k].Load()
}
