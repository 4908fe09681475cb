package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/node/doors"
)

// Serve runs until ctx ends, then stops in this order: no new connections, sessions
// end (a message in progress may finish), deliveries under way finish or are
// cut after the grace time and stay queued, the trace takes what is left. It
// returns an error when a part of the server ended before; then all of it ends.
func (n *Node) Serve(ctx context.Context) error {
	now := n.o.Now()
	n.started.Store(&now)
	defer n.started.Store(nil)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	if err := n.data.Trace.Write(background, fact.Started{At: n.o.Now(), Rule: RuleServer, Version: n.version(), Listeners: n.doors.Listening()}.Fact()); err != nil {
		stop()
		return fmt.Errorf("the start could not be recorded: %w", err)
	}
	n.watchers.Learn(ctx, n.book.Snapshot())
	// These outlive doors and deliveries: what those leave behind is taken in.
	var behind sync.WaitGroup
	for _, work := range []func(context.Context){
		n.runTrace, n.metering.WatchDisks, n.watchMemory, n.book.Follow, n.roll().Run, n.identity.Watch, n.tendMailboxes, n.scrub, n.data.Mail.Watch, n.data.Clock.Tend, n.data.Ledger.Tend, n.data.Inflow.Tend, n.inspection.Run, n.ways().Run,
		n.watchers.Watch.Run, n.watchers.Networks.Run, n.data.DeviceCA.Tend, n.letters.Run, n.operator.WatchGuesses, n.reporting.Run,
	} {
		behind.Go(func() { work(background) })
	}
	err := n.runParts(ctx)
	if lifeErr := n.data.Trace.Write(background, fact.Stopped{At: n.o.Now(), Rule: RuleServer, Version: n.version(), Listeners: n.doors.Listening()}.Fact()); lifeErr != nil {
		err = errors.Join(err, fmt.Errorf("the stop could not be recorded: %w", lifeErr))
	}
	stop()
	behind.Wait()
	return err
}

// part is something that a server is not whole without.
type part struct {
	name string
	run  func(context.Context) error
}

func (n *Node) parts() []part {
	all := []part{{"accounts", n.data.Accounts.Run}, {"roster", n.data.Roster.Run}, {"operator's socket", n.doors.ServeOperator}, {"signing keys", n.data.Ring.Run}}
	if !n.o.Paused {
		all = append(all, part{"dispatch", n.outflow.Serve})
	}
	if n.config().Helpers.Socket != "" {
		all = append(all, part{"helpers' socket", n.doors.ServeHelpers})
	}
	if n.config().CheckPassword.Socket != "" {
		all = append(all, part{"partner's socket", n.doors.ServePartner})
	}
	for _, w := range []struct {
		name, service string
		serve         func(context.Context, []net.Listener) error
	}{
		{"metrics", doors.ServiceMetrics, n.metering.Serve},
		{"web server", doors.ServiceWeb, n.identity.ServeWeb},
		{"certificates", doors.ServiceACME, n.identity.Obtain},
	} {
		if at := n.doors.Of(w.service); len(at) > 0 {
			all = append(all, part{w.name, func(ctx context.Context) error { return w.serve(ctx, at) }})
		}
	}
	return append(all, part{"listeners", n.doors.Serve})
}

// runParts runs every part until ctx ends. A part that ends by itself ends the
// server, loudly: half a server would refuse mail, keep it, or be beyond control.
func (n *Node) runParts(ctx context.Context) error {
	serving, stop := context.WithCancel(ctx)
	defer stop()
	parts := n.parts()
	errs := make([]error, len(parts))
	var running sync.WaitGroup
	for i, p := range parts {
		running.Go(func() {
			err := ignoreCancelled(p.run(serving))
			if err == nil && serving.Err() == nil {
				err = errors.New("ended by itself")
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", p.name, err)
				n.log.Error("a part of the server ended", "part", p.name, "err", err)
				stop()
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

func (n *Node) runTrace(ctx context.Context) {
	if err := ignoreCancelled(n.data.Trace.Run(ctx)); err != nil {
		n.log.Error("the trace stopped", "err", err)
	}
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (n *Node) tendMailboxes(ctx context.Context) { n.data.Mailboxes.Tend(ctx, n.data.Clock.Age) }

func (n *Node) scrub(ctx context.Context) { n.data.Scrub(ctx, n.log) }

func (n *Node) version() string { return "sallyport " + n.o.Version }

// Alive reports whether the parts that everything waits for still answer: the store,
// and whoever changes the directory.
func (n *Node) Alive(ctx context.Context, within time.Duration) bool {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_ = n.book.Fault() // it takes the lock
		_, _ = n.data.Store.Get(ctx, []byte("alive"))
	}()
	select {
	case <-answered:
		return true
	case <-ctx.Done():
		return true // it stops
	case <-time.After(within):
		return false
	}
}
