package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/smtpd"
	"sallyport/internal/trace"
)

// door is one bound listener.
type door struct {
	kind     smtpd.Kind
	listener net.Listener
}

// Addrs are the addresses really bound, in the order of the configuration.
type Addrs struct {
	MX          []string `json:"mx"`
	Submission  []string `json:"submission"`
	Submissions []string `json:"submissions"`
	Sendmail    string   `json:"sendmail,omitempty"` // the socket of the sendmail command
}

// Listen binds every door and the operator's socket. On an error nothing stays
// bound; a directory that does not stand is one.
func (n *Node) Listen(ctx context.Context) error {
	if err := n.directoryFault(); err != nil {
		return err
	}
	for _, set := range []struct {
		kind smtpd.Kind
		key  string
		at   []netip.AddrPort
	}{
		{smtpd.KindMX, "listen.mx", n.cfg.Listen.MX},
		{smtpd.KindSubmission, "listen.submission", n.cfg.Listen.Submission},
		{smtpd.KindSubmissions, "listen.submissions", n.cfg.Listen.Submissions},
	} {
		for i, at := range set.at {
			if err := n.bind(ctx, set.kind, at); err != nil {
				n.unbind()
				return fmt.Errorf("%s: %w", n.cfg.At(fmt.Sprintf("%s[%d]", set.key, i)), err)
			}
		}
	}
	if err := n.listenSendmail(); err != nil {
		n.unbind()
		return fmt.Errorf("%s: %w", n.cfg.At("listen.sendmail"), err)
	}
	if err := n.listenAdmin(); err != nil {
		n.unbind()
		return err
	}
	if err := n.listenMetrics(ctx); err != nil {
		n.unbind()
		return err
	}
	return nil
}

func (n *Node) bind(ctx context.Context, k smtpd.Kind, at netip.AddrPort) error {
	var lc net.ListenConfig
	// Landlock does not see MPTCP sockets, so none is ever opened.
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, family(at), at.String())
	if err != nil {
		return err
	}
	n.doors = append(n.doors, door{kind: k, listener: ln})
	return nil
}

// family is the network of exactly what was written: for "tcp", Go would take 0.0.0.0
// for all of IPv6 as well, a door that nobody asked for.
func family(at netip.AddrPort) string {
	if at.Addr().Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func (n *Node) unbind() {
	for _, d := range n.doors {
		_ = d.listener.Close()
	}
	n.doors = nil
}

// Addrs returns what Listen bound.
func (n *Node) Addrs() Addrs {
	a := Addrs{MX: []string{}, Submission: []string{}, Submissions: []string{}}
	for _, d := range n.doors {
		at := d.listener.Addr().String()
		switch d.kind {
		case smtpd.KindMX:
			a.MX = append(a.MX, at)
		case smtpd.KindSubmission:
			a.Submission = append(a.Submission, at)
		case smtpd.KindSubmissions:
			a.Submissions = append(a.Submissions, at)
		case smtpd.KindSendmail:
			a.Sendmail = at
		}
	}
	return a
}

// Serve runs until ctx ends, then stops in this order: no new connections, sessions
// end (a message in progress may finish), deliveries under way finish or are
// cut after the grace time and stay queued, the trace takes what is left. It
// returns an error when a part of the server ended before; then all of it ends.
func (n *Node) Serve(ctx context.Context) error {
	now := n.o.Now()
	n.started.Store(&now)
	defer n.started.Store(nil)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	if err := n.writeLife(background, trace.KindStart); err != nil {
		stop()
		return fmt.Errorf("the start could not be recorded: %w", err)
	}
	// These outlive doors and deliveries: what those leave behind is taken in.
	var behind sync.WaitGroup
	for _, work := range []func(context.Context){n.runTrace, n.followAccounts, n.cleanMailboxes, n.refreshPolicies, n.runReports} {
		behind.Go(func() { work(background) })
	}
	err := n.runParts(ctx)
	if lifeErr := n.writeLife(background, trace.KindStop); lifeErr != nil {
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
	all := []part{{"accounts", n.identity.Run}, {"roster", n.roster.Run}, {"operator's socket", n.serveAdmin}}
	if !n.o.Paused {
		all = append(all, part{"dispatch", n.runDispatch})
	}
	all = append(all, n.metricsParts()...)
	for _, d := range n.doors {
		all = append(all, part{d.kind.String() + " " + d.listener.Addr().String(), func(ctx context.Context) error {
			return n.serveDoor(ctx, d)
		}})
	}
	return all
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

// runDispatch gives deliveries under way the grace time after ctx ended, then cuts
// their connections; what is cut stays queued.
func (n *Node) runDispatch(ctx context.Context) error {
	hard, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-finished:
			return
		case <-ctx.Done():
		}
		select {
		case <-finished:
		case <-time.After(n.cfg.Limits.ShutdownGrace):
			cut()
		}
	}()
	return n.dispatch.Run(ctx, hard)
}

func (n *Node) runTrace(ctx context.Context) {
	if err := ignoreCancelled(n.trace.Run(ctx)); err != nil {
		n.log.Error("the trace stopped", "err", err)
	}
}

func ignoreCancelled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// cleanMailboxes removes what crashed deliveries left behind, at start and daily.
func (n *Node) cleanMailboxes(ctx context.Context) {
	for {
		if removed, err := n.mailbox.Clean(ctx, n.o.Now()); err != nil && ctx.Err() == nil {
			n.log.Warn("mailboxes not cleaned", "err", err)
		} else if removed > 0 {
			n.log.Info("stale files removed from mailboxes", "count", removed)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(24 * time.Hour):
		}
	}
}

func (n *Node) writeLife(ctx context.Context, k trace.Kind) error {
	f := trace.Fact{At: n.o.Now(), Kind: k, Rule: "server", Text: "sallyport " + n.o.Version}
	for _, d := range n.doors {
		f = f.Evidenced(d.kind.String(), d.listener.Addr().String())
	}
	return n.trace.Write(ctx, f)
}

func (n *Node) doorConfig(k smtpd.Kind) smtpd.Config {
	c := smtpd.Config{
		Kind: k, Hostname: n.cfg.Hostname, TLS: n.tls, Limits: smtpdLimits(n.cfg, k), Admission: n.admission, Logger: n.log, Now: n.o.Now, Notice: n.cfg.Notice, Balancers: n.cfg.Proxy.From,
	}
	if k == smtpd.KindSendmail {
		// The kernel keeps this door from everybody outside: neither TLS nor a sign-in
		// would add to what it says.
		c.TLS, c.UserID, c.Balancers = nil, localUID, nil
		return c
	}
	if k != smtpd.KindMX {
		c.Mechanisms = n.identity.Mechanisms
	}
	return c
}
