package door

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/screen"
)

const (
	// maxAcceptPause bounds the wait after an error of the listener.
	maxAcceptPause = time.Second
	// leastAcceptPause is the first such wait; it doubles.
	leastAcceptPause = 5 * time.Millisecond
	// refusalLogInterval is how often refused connections are logged, together.
	refusalLogInterval = 10 * time.Second
)

// Entrance is what a connection meets at one door. It is not changed while it is used; all
// fields but Balancers are required.
type Entrance struct {
	Name      string // of the door, in the log
	Admission *Admission
	Limits    *Limits
	// Balancers lists the networks of the balancers. A connection from one of them
	// must begin with a header of the PROXY protocol, and is closed without a word
	// if it does not.
	Balancers []netip.Prefix
	Stage     screen.Stage // of whoever comes
	Now       func() time.Time
	Logger    *slog.Logger
	Counted   *Tallies
	Engine    Engine
}

// Engine speaks with clients.
type Engine interface {
	// Serve serves a connection to its end, and closes it. The place is nil where it is not
	// counted.
	Serve(context.Context, net.Conn, *Origin, *Place)
	// TurnAway says that there are too many connections, and closes this one of a client's.
	TurnAway(nc net.Conn, from netip.Addr)
	// Headless tells of a connection of a balancer's that was closed without a word, since it had no proper
	// header of the PROXY protocol. why is one of few texts, and holds nothing that came.
	Headless(balancer netip.Addr, why string)
}

// Tallies are what a door counts, whatever its configuration.
type Tallies struct {
	Refused   Tally // connections too many
	displaced Tally // connections that others needed the place of
	headless  Tally // connections from balancers without a proper header
	// unaccepted: connections that could not be taken, for want of descriptors, say
	unaccepted Tally
}

// Tally logs what strangers can cause at will: at most once in refusalLogInterval,
// with the count of what happened since.
type Tally struct {
	mu     sync.Mutex
	count  int
	logged time.Time
}

// Add counts one more, and logs what that is if it is time to.
func (t *Tally) Add(e *Entrance, what string, more ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if now := e.Now(); now.Sub(t.logged) >= refusalLogInterval {
		e.Logger.Warn(what, append([]any{"kind", e.Name, "count", t.count}, more...)...)
		t.count, t.logged = 0, now
	}
}

// Admit starts a connection, or turns it away when there are too many.
func (e *Entrance) Admit(ctx context.Context, nc net.Conn, conns *sync.WaitGroup) {
	remote := AddrPort(nc.RemoteAddr())
	from, balanced := Counted(remote.Addr()), e.balanced(remote.Addr())
	if balanced {
		// It is the clients that are counted, once they are known.
		from = netip.Addr{}
	}
	p, madeRoom := e.Admission.Enter(from, e.Stage, e.Limits, e.Now, func() { _ = nc.Close() })
	if p == nil {
		e.Engine.TurnAway(nc, remote.Addr())
		return
	}
	if madeRoom {
		e.Counted.displaced.Add(e, "silent connections ended, to make room")
	}
	if balanced {
		conns.Go(func() {
			defer p.Leave()
			e.serveBehind(ctx, nc, remote, p)
		})
		return
	}
	origin := &Origin{Remote: remote} // the frames below an idle connection are kept small
	conns.Go(func() {
		defer p.Leave()
		e.Engine.Serve(ctx, nc, origin, p)
	})
}

// One serves one connection that nobody counts.
func (e *Entrance) One(ctx context.Context, nc net.Conn) {
	remote := AddrPort(nc.RemoteAddr())
	if e.balanced(remote.Addr()) {
		e.serveBehind(ctx, nc, remote, nil)
		return
	}
	e.Engine.Serve(ctx, nc, &Origin{Remote: remote}, nil)
}

// serveBehind serves a connection that a balancer passed on. Without a proper header
// nothing is known of the client, so there is nobody to answer.
func (e *Entrance) serveBehind(ctx context.Context, nc net.Conn, balancer netip.AddrPort, p *Place) {
	from, err := e.readOrigin(ctx, nc, balancer)
	if err != nil {
		e.Counted.headless.Add(e, "connections closed: no proper PROXY header", "balancer", balancer.String(), "err", err.Error())
		_ = nc.Close()
		why := headerCause(err)
		if ctx.Err() != nil {
			why = CauseShutdown
		}
		e.Engine.Headless(balancer.Addr(), why)
		return
	}
	counted := from.Remote.Addr()
	if from.Balancer == (netip.AddrPort{}) {
		counted = Counted(counted)
	}
	if !p.Join(counted, e.Limits) {
		e.Engine.TurnAway(nc, from.Remote.Addr())
		return
	}
	e.Engine.Serve(ctx, nc, from, p)
}

// Accept accepts connections from ln and gives each to the entrance that is in force, until
// ctx is done. Then it closes ln, and returns nil when all connections are closed. When others
// close ln, its connections go on to their own ends, and Accept then returns an error that is
// net.ErrClosed. now returns the entrance, and what admits a connection to it.
func Accept(ctx context.Context, ln net.Listener, now func() (*Entrance, func(context.Context, net.Conn, *sync.WaitGroup))) error {
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	wait := time.Duration(0)
	for {
		nc, err := ln.Accept()
		entrance, admit := now()
		switch {
		case err == nil:
			wait = 0
			admit(ctx, nc, &conns)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, say: it passes, and must not become a busy loop.
			wait = min(max(2*wait, leastAcceptPause), maxAcceptPause)
			entrance.Counted.unaccepted.Add(entrance, "accept failed", "err", err)
			Pause(ctx, wait)
		}
	}
}

// Pause waits, but not beyond the end of ctx.
func Pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
