package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/certificate"
	"sallyport/internal/config"
	"sallyport/internal/directory/book"
	"sallyport/internal/dispatch"
	"sallyport/internal/expiry"
	"sallyport/internal/fact"
	"sallyport/internal/filter/flood"
	"sallyport/internal/filter/sender"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/intake"
	"sallyport/internal/letter/notify"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/reports/dmarc"
	"sallyport/internal/reports/tls"
	"sallyport/internal/signin"
	"sallyport/internal/trust/guard"
)

// Options are what a Node is given besides its configuration. Every field may be
// left out: the zero value means the real clock, disk, network and chance.
type Options struct {
	World
	// Events is called with every fact as it happens, for a console; it must be
	// quick, or facts are skipped for it.
	Events func(fact.Fact)
	FS     vfs.FS // of the store and the mailboxes
	// Sockets are listeners that were bound by others and are used instead of binding
	// any; they must be exactly those that the configuration names.
	Sockets []doors.Socket
	// Early are listeners that this process bound while it might (doors.Early); what is not
	// among them is bound when it is wanted.
	Early []doors.Socket
	// Certificate is the pair of tls.cert and tls.key as this process read it while it might
	// (ReadCertificate); nil: the files are read when they are wanted.
	Certificate *certificate.Held
	// Paused accepts and queues mail but delivers none.
	Paused bool
	// Version is what the trace says started.
	Version string
}

// World is what a server works with beside its configuration and its disk.
type World = settings.World

// Node is one server on one data folder.
type Node struct {
	o          Options
	log        *slog.Logger
	current    atomic.Pointer[generation] // what depends on the configuration
	reloading  sync.Mutex                 // one reload at a time
	data       *datafolder.Folder         // everything in the data folder
	book       *book.Book
	dmarc      *dmarc.Reports // what came in the name of others
	tlsResults tls.Reports    // how the TLS of mail to others fared
	dispatch   *dispatch.Dispatch
	desk       *signin.Desk // where people sign in
	intake     *intake.Intake
	operator   *operate.Operator
	post       *notify.Post     // writes the server's own letters
	notices    *notice.Notices  // tells of incidents
	webhook    *webhook.Hook    // tells another program of them
	warnings   *expiry.Warnings // tells of certificates that end
	flood      *flood.Gauge     // counts bounces of mailboxes
	digest     *flood.Digest    // tells of those that were held
	watch      *watch.Watch     // watches accounts for misuse
	incidents  incident.Keeper  // contains accounts
	networks   *guard.Guard     // guards networks that sign in as accounts
	doors      *doors.Doors     // everything at which it listens

	started atomic.Pointer[time.Time] // of Serve; nil while it does not run
	// listening: Listen has bound everything, so that a reload may bind more.
	listening atomic.Bool

	metrics     *metrics.Set // nil: served nowhere
	certificate *certificate.Keeper
}

// Open opens the data folder and everything in it; nothing is bound and nothing is
// delivered yet. It fails when another process has the folder open, and returns
// what recovery found by recording it as a fact. Close releases the folder.
func Open(ctx context.Context, cfg config.Config, o Options) (n *Node, err error) {
	o.World = o.Complete()
	if o.FS == nil {
		o.FS = vfs.Default
	}
	n = &Node{o: o, log: o.Logger}
	n.flood = flood.NewGauge(flood.DefaultLimits(), n.o.Now)
	n.current.Store(&generation{cfg: cfg}) // so that every step can read it
	n.certificate = n.newCertificate()
	n.doors = doors.New(doors.Options{World: o.World, Version: o.Version, Sockets: o.Sockets, Early: o.Early, Config: n.config})
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	watched, err := n.openMetrics()
	if err != nil {
		return n, err
	}
	n.data, err = datafolder.Open(ctx, cfg, datafolder.Options{
		World: o.World, FS: o.FS, Version: o.Version, Watched: watched, Observe: n.observer(),
		Overlap: func() time.Duration { return n.config().DKIM.Overlap }, Find: sender.Finding(n.keysOfOthers), Elsewhere: n.roll(), Provider: n.provider,
	})
	if err != nil {
		return n, err
	}
	if err := n.open(ctx); err != nil {
		return n, err
	}
	first, err := n.build(ctx, cfg, nil)
	if err != nil {
		return n, err
	}
	n.adopt(first)
	return n, nil
}

func (n *Node) openDelivery(context.Context) error {
	n.dispatch = dispatch.New(dispatch.Options{
		Charge: n.forwardCharge, Allowance: n.forwardAllowance, Waits: n.waits, Answered: n.answered,
		ReturnPaths: n.data.ReturnPaths,
		Hostname:    n.config().Hostname, Queue: n.data.Spool, Directory: n.book.Snapshot, Active: n.data.Accounts.Active, Holder: n.data.Accounts.Holder,
		Local: n.data.Mailboxes, Route: n.ways().Route, Behind: n.ways().Server,
		Exchangers: n.ways().Exchanger, Low: n.data.Disks[0].Low, Policy: settings.Retry(n.config()), Limits: settings.Dispatch(n.config()),
		Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
	return nil
}

func (n *Node) openIntake(_ context.Context) error {
	n.desk = signin.New(signin.Options{Accounts: n.data.Accounts, Journal: n.data.Trace, Watch: n.watch, Limits: settings.SignIn(n.config()), Now: n.o.Now, Logger: n.log})
	n.intake = intake.New(intake.Options{
		Hostname: n.config().Hostname, Directory: n.book.Snapshot, Accounts: n.data.Accounts, Desk: n.desk, Queue: n.data.Spool, Journal: n.data.Trace, Watch: n.watch, Ledger: n.data.Ledger, Inflow: n.data.Inflow, Greylist: n.data.Greylist, Acquainted: n.watch.Acquainted, Allowance: n.allowance, Recipients: n.ways().Behind(), Offers: n.ways().Behind(), International: n.ways().Behind(), ReturnPaths: n.data.ReturnPaths.Read,
		Binding: n.binding, Findings: n.data.Findings, Networks: n.networks,
		LocalUser: n.doors.LocalUser, Notice: n.config().Notice, Handoff: n.dispatch.Offer, Limits: settings.Intake(n.config()), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
		Screen: screening{n}, Inspectors: n.inspectors(), Reserved: func() []string { return n.now().checks.Reserved() }, Memory: n.doors.Memory(),
	})
	n.doors.Open(doors.Behind{
		Data: n.data, Desk: n.desk, Intake: n.intake, Directory: n.book.Snapshot, Operator: n.Operator, Clear: n.networks.Clear,
	})
	return nil
}

// Listen binds every door, the operator's socket and the web servers. On an error nothing
// stays bound; a directory that does not stand is one.
func (n *Node) Listen(ctx context.Context) error {
	if err := n.book.Fault(); err != nil {
		return err
	}
	closed, err := n.book.Prove(ctx)
	if err != nil {
		return err
	}
	n.log.Info("the directory is closed", "addresses", closed.Addresses, "classes", closed.Classes)
	if err := n.doors.Listen(ctx); err != nil {
		return err
	}
	n.listening.Store(true)
	return nil
}

// Addrs are the addresses really bound.
type Addrs = doors.Addrs

// Addrs returns what is bound now.
func (n *Node) Addrs() Addrs { return n.doors.Addrs() }

// buildDoors prepares the doors, and in a running server binds addresses that are new.
func (n *Node) buildDoors(ctx context.Context, next, last *generation) error {
	change, err := n.doors.Build(ctx, next.cfg, next.tls, last != nil)
	if err != nil {
		return err
	}
	next.take(change)
	return nil
}

// Close releases the data folder. Serve must have returned.
func (n *Node) Close() error {
	var errs []error
	n.listening.Store(false)
	errs = append(errs, n.doors.Close())
	n.now().retire(nil)
	errs = append(errs, n.data.Close())
	return errors.Join(errs...)
}
