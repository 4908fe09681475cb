package server

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Door serves the connections of one listener, with a configuration that may be
// replaced while it does: each connection keeps the one that it began with.
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
	s.counted = d.current.Load().counted
	d.current.Store(s)
	return nil
}

// Config returns the configuration of the next connection.
func (d *Door) Config() Config { return d.current.Load().cfg }

// Serve accepts connections from ln and serves each on one goroutine, until ctx is
// done. Then it closes ln, answers 421 to every session that waits for a command,
// lets a message in progress end within Limits.ShutdownGrace, and returns nil when
// all connections are closed. When others close ln, its sessions go on to their own
// ends, and Serve then returns an error that is net.ErrClosed.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			wait = 0
			d.current.Load().admit(ctx, nc, &conns)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, say: it passes, and must not become a busy loop.
			wait = min(max(2*wait, 5*time.Millisecond), maxAcceptPause)
			s := d.current.Load()
			s.counted.unaccepted.add(&s.cfg, "accept failed", "err", err)
			pause(ctx, wait)
		}
	}
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
