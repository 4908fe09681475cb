package node

import (
	"context"
	"crypto/tls"

	"sallyport/internal/intake"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/identity"
	"sallyport/internal/node/inspection"
	"sallyport/internal/node/letters"
	"sallyport/internal/node/outflow"
	"sallyport/internal/node/reporting"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/node/watching"
	"sallyport/internal/signin"
)

func (n *Node) openIdentity(context.Context) error {
	n.identity = identity.New(identity.Options{
		World: n.o.World, Config: n.config, Held: n.o.Certificate, Store: n.data.Store, Directory: n.book.Snapshot, InForce: n.presented, Present: n.present, Record: n.record,
		Change: func(fn func()) {
			n.reloading.Lock()
			defer n.reloading.Unlock()
			fn()
		},
	})
	return nil
}

// buildIdentity finds the certificate of every door.
func (n *Node) buildIdentity(ctx context.Context, next, last *generation) (err error) {
	var in *tls.Config
	if last != nil {
		in = last.tls
	}
	next.tls, err = n.identity.Build(ctx, next.cfg, in)
	return err
}

// presented is what the doors present; nil: there is no certificate.
func (n *Node) presented() *tls.Config { return n.now().tls }

// present shows a certificate to new connections from now on; n.reloading is held.
func (n *Node) present(c *tls.Config) {
	next := *n.now()
	next.tls, next.then, next.undo = c, nil, nil
	change, err := n.doors.Present(next.cfg, c)
	if err != nil {
		n.log.Error("the doors keep their former certificate", "err", err)
		return
	}
	n.current.Store(&next)
	change.Adopt()
}

func (n *Node) openWatchers(ctx context.Context) (err error) {
	n.watchers, err = watching.Open(ctx, watching.Options{
		World: n.o.World, Config: n.config, Data: n.data, EndSessions: n.endFallen, Raised: func() { n.letters.Wake() },
	})
	return err
}

func (n *Node) buildWatchers(_ context.Context, next, _ *generation) error {
	change, err := n.watchers.Build(next.cfg)
	return next.take(change, err)
}

func (n *Node) openReporting(context.Context) error {
	n.reporting = reporting.Open(reporting.Options{World: n.o.World, Data: n.data, Directory: n.book.Snapshot, Servers: n.ways().Behind(), Sign: n.inspection.SignOurs})
	return nil
}

func (n *Node) buildReporting(_ context.Context, next, _ *generation) error {
	change, err := n.reporting.Build(n.reportMeans(next))
	return next.take(change, err)
}

// reportMeans are what the reports of a generation are sent with.
func (n *Node) reportMeans(g *generation) reporting.Means {
	return reporting.Means{Config: g.cfg, Resolver: g.inspected.Keys.Resolver, Ways: g.ways, Handoff: n.outflow.Offer}
}

func (n *Node) openOutflow(context.Context) error {
	n.outflow = outflow.Open(outflow.Options{
		World: n.o.World, Config: n.config, InForce: n.ways(), Data: n.data, Directory: n.book.Snapshot, Watch: n.watchers.Watch, Fared: n.reporting.Fared,
	})
	return nil
}

// buildOutflow makes every way by which mail leaves.
func (n *Node) buildOutflow(ctx context.Context, next, last *generation) (err error) {
	var former *outflow.Ways
	if last != nil {
		former = last.ways
	}
	next.ways, err = n.outflow.Build(ctx, next.cfg, former)
	return err
}

// ways are those in force.
func (n *Node) ways() outflow.Current { return func() *outflow.Ways { return n.now().ways } }

func (n *Node) openInspection(context.Context) error {
	n.inspection.Open(inspection.Behind{Data: n.data, Directory: n.book.Snapshot, Came: n.reporting.Came})
	return nil
}

func (n *Node) buildInspection(_ context.Context, next, last *generation) (err error) {
	var former *inspection.State
	if last != nil {
		former = last.inspected
	}
	next.inspected, err = n.inspection.Build(next.cfg, former)
	return err
}

func (n *Node) openDoors(context.Context) error {
	cfg := n.config()
	n.desk = signin.New(signin.Options{Accounts: n.data.Accounts, Journal: n.data.Trace, Watch: n.watchers.Watch, Limits: bounds.SignIn(cfg), Now: n.o.Now, Logger: n.log})
	n.intake = intake.New(intake.Options{
		Hostname: cfg.Hostname, Directory: n.book.Snapshot, Accounts: n.data.Accounts, Desk: n.desk, Queue: n.data.Spool, Journal: n.data.Trace, Watch: n.watchers.Watch, Ledger: n.data.Ledger, Inflow: n.data.Inflow,
		Greylist: n.data.Greylist, Acquainted: n.watchers.Watch.Acquainted, Allowance: settings.Allowing(n.config), Recipients: n.ways().Behind(), Asks: n.ways().Behind().Asks, Offers: n.ways().Behind(), International: n.ways().Behind(), ReturnPaths: n.data.ReturnPaths.Read,
		Binding: n.binding, Findings: n.data.Findings, Networks: n.watchers.Networks,
		LocalUser: n.doors.LocalUser, Notice: cfg.Notice, Handoff: n.outflow.Offer, Limits: bounds.Intake(cfg), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
		Screen: n.inspection, Inspectors: n.inspection.Inspectors(), Reserved: n.inspection.Reserved, Memory: n.doors.Memory(),
	})
	n.doors.Open(doors.Behind{Data: n.data, Desk: n.desk, Intake: n.intake, Directory: n.book.Snapshot, Operator: n.Operator, Clear: n.watchers.Networks.Clear})
	return nil
}

// buildDoors prepares the doors, and in a running server binds addresses that are new.
func (n *Node) buildDoors(ctx context.Context, next, last *generation) error {
	change, err := n.doors.Build(ctx, next.cfg, next.tls, last != nil)
	return next.take(change, err)
}

func (n *Node) openLetters(context.Context) error {
	n.letters = letters.Open(letters.Options{
		World: n.o.World, Config: n.config, Data: n.data, Directory: n.book.Snapshot, Handoff: n.outflow.Offer, Sign: n.inspection.SignOurs, Flood: n.inspection.Flood,
	})
	return nil
}

func (n *Node) buildLetters(_ context.Context, next, _ *generation) error {
	change, err := n.letters.Build(next.cfg)
	return next.take(change, err)
}
