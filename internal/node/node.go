package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/ca"
	"sallyport/internal/certificate"
	"sallyport/internal/config"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/dispatch"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/incident/notice"
	"sallyport/internal/intake"
	"sallyport/internal/keyring"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/kit/listen"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/metrics"
	"sallyport/internal/reports/dmarc"
	"sallyport/internal/reports/tls"
	"sallyport/internal/returnpath"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
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
	Sockets []listen.Socket
	// Early are listeners that this process bound while it might (BindEarly); what is not
	// among them is bound when it is wanted.
	Early []listen.Socket
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
	o           Options
	log         *slog.Logger
	current     atomic.Pointer[generation] // what depends on the configuration
	reloading   sync.Mutex                 // one reload at a time
	store       store.Store
	disk        store.Store     // the store itself, where the other only watches it
	disks       diskspace.Disks // that mail takes: the data folder's, and the mailboxes' where it is another
	trace       *trace.Log
	reader      *query.Reader // of the facts that trace keeps
	identity    *accounts.Identity
	deviceCA    *ca.CA // signs certificates of devices
	roster      *roster.Roster
	ledger      *ledger.Ledger // of recipients
	spool       *spool.Spool
	book        *book.Book
	returnPaths *returnpath.Paths
	ring        *keyring.Ring  // the keys that sign
	dmarc       *dmarc.Reports // what came in the name of others
	tlsResults  tls.Reports    // how the TLS of mail to others fared
	mailbox     *maildir.Target
	dispatch    *dispatch.Dispatch
	intake      *intake.Intake
	operator    *operate.Operator
	notices     *notice.Notices // tells of incidents
	watch       *watch.Watch    // watches accounts for misuse
	incidents   incident.Keeper // contains accounts
	// admission counts the connections of all doors together.
	admission *server.Admission
	// memory bounds what they hold of mail that is not judged yet.
	memory *allowance.Budget

	doors     *server.Doors
	listeners *listen.Set               // all that is bound
	started   atomic.Pointer[time.Time] // of Serve; nil while it does not run
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
	n = &Node{o: o, admission: server.NewAdmission(), memory: allowance.New(cfg.Limits.UnjudgedMemory)}
	n.log = n.o.Logger
	n.current.Store(&generation{cfg: cfg}) // so that every step can read it
	n.certificate = n.newCertificate()
	n.listeners = listen.New(listen.Options{Sockets: n.o.Sockets, Early: n.o.Early, Bind: n.bind})
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	if err := safefile.MakeDir(cfg.Data); err != nil {
		return n, fmt.Errorf("data folder: %w", err)
	}
	if err := checkFormat(cfg); err != nil {
		return n, err
	}
	var same func(a, b string) bool // of a disk in memory nothing is known
	if n.o.FS == vfs.Default {
		same = diskspace.Same
	}
	n.disks = diskspace.Of(pebble.Disk(n.o.FS), same, cfg.Limits.Free(), cfg.Data, cfg.Maildir.Root)
	// The store comes first: it keeps every other process out of the folder, and
	// knows whether anything depends on keys that are missing.
	if n.disk, err = pebble.Open(storeOptions(cfg, n.o, n.disks[0])); err != nil {
		return n, err
	}
	n.store = n.disk
	if err := n.openMetrics(); err != nil {
		return n, err
	}
	secrets, err := loadKeys(cfg, n.store.FactHead() == 0, n.o.Rand)
	if err != nil {
		return n, err
	}
	if err := n.open(ctx, secrets); err != nil {
		return n, err
	}
	first, err := n.build(ctx, cfg, nil)
	if err != nil {
		return n, err
	}
	n.adopt(first)
	return n, nil
}

func (n *Node) openTrace(ctx context.Context, k keys) (err error) {
	n.trace, err = trace.Open(ctx, n.store, trace.Options{
		Origin: k.trace.Origin(), Key: k.trace, CheckpointDir: n.config().CheckpointDir(), Limits: settings.Trace(n.config()),
		Now: n.o.Now, Rand: n.o.Rand, Logger: n.log, Observe: n.observer(),
	})
	if err != nil {
		return err
	}
	n.reader, err = query.New(query.Options{Store: n.store, Log: n.trace, Limits: query.DefaultLimits(), Logger: n.log})
	return err
}

func (n *Node) openIdentity(ctx context.Context, _ keys) (err error) {
	n.identity, err = accounts.Open(ctx, n.store, accounts.Options{
		Limits: settings.Accounts(n.config()), Mechanisms: n.config().Auth.Mechanisms, Now: n.o.Now, Logger: n.log, Rand: n.o.Rand,
	})
	return err
}

func (n *Node) openSpool(ctx context.Context, k keys) error {
	s, report, err := spool.Open(ctx, n.store, spool.Options{
		Key: k.grant, Policy: settings.Retry(n.config()), Limits: settings.Spool(n.config()), Now: n.o.Now, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.spool = s
	return n.recordRecovery(ctx, report)
}

// recordRecovery tells what the queue looked like when it was opened, if there was
// anything to tell.
func (n *Node) recordRecovery(ctx context.Context, r spool.Report) error {
	if r.Entries+r.Damaged+r.Orphans+r.Repaired == 0 {
		return nil
	}
	f := fact.Recovered{At: n.o.Now(), Rule: "recovery", Entries: r.Entries}
	for _, p := range []struct {
		name  string
		value int
	}{{"resumed", r.Resumed}, {"held", r.Held}, {"damaged", r.Damaged}, {"orphans", r.Orphans}, {"repaired", r.Repaired}} {
		f.Found = append(f.Found, fact.Pair{Name: p.name, Value: fmt.Sprint(p.value)})
	}
	if r.Damaged > 0 {
		n.log.Error("damaged messages are in quarantine", "count", r.Damaged)
	}
	n.log.Info("queue recovered", "entries", r.Entries, "resumed", r.Resumed, "held", r.Held, "damaged", r.Damaged,
		"orphans", r.Orphans, "repaired", r.Repaired, "took", r.Took)
	return n.trace.Write(ctx, f.Fact())
}

func (n *Node) openDelivery(ctx context.Context, _ keys) (err error) {
	n.mailbox, err = maildir.New(maildir.Options{
		FS: pebble.Disk(n.o.FS), Root: n.config().Maildir.Root, Hostname: n.config().Hostname, Limits: maildir.DefaultLimits(), Rand: n.o.Rand, Logger: n.log, Space: n.disks[len(n.disks)-1],
	})
	if err != nil {
		return err
	}
	n.dispatch = dispatch.New(dispatch.Options{
		Charge: n.forwardCharge, Allowance: n.forwardAllowance, Waits: n.waits, Refused: n.refusedElsewhere,
		ReturnPaths: n.returnPaths,
		Hostname:    n.config().Hostname, Queue: n.spool, Directory: n.book.Snapshot, Active: n.identity.Active,
		Local: n.mailbox, Route: n.ways().Route, Behind: n.ways().Server,
		Exchangers: n.ways().Exchanger, Low: n.disks[0].Low, Policy: settings.Retry(n.config()), Limits: settings.Dispatch(n.config()),
		Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
	return nil
}

func (n *Node) openIntake(_ context.Context, _ keys) error {
	n.intake = intake.New(intake.Options{
		Hostname: n.config().Hostname, Directory: n.book.Snapshot, Accounts: n.identity, Queue: n.spool, Journal: n.trace, Watch: n.watch, Ledger: n.ledger, Allowance: n.allowance, Recipients: n.ways().Behind(), Offers: n.ways().Behind(), International: n.ways().Behind(), ReturnPaths: n.returnPaths.Read,
		LocalUser: n.localUser, Notice: n.config().Notice, Handoff: n.dispatch.Offer, Limits: settings.Intake(n.config()), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
		Inspectors: n.inspectors(), Reserved: func() []string { return n.now().checks.Reserved() }, Memory: n.memory,
	})
	n.doors = server.NewDoors(n.intake)
	return nil
}

// Close releases the data folder. Serve must have returned.
func (n *Node) Close() error {
	var errs []error
	n.listening.Store(false)
	errs = append(errs, n.listeners.Close())
	n.now().retire(nil)
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	n.store = nil
	return errors.Join(errs...)
}
