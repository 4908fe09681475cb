package node

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/directory/book"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/kit/memory"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/identity"
	"sallyport/internal/node/inspection"
	"sallyport/internal/node/letters"
	"sallyport/internal/node/metering"
	"sallyport/internal/node/outflow"
	"sallyport/internal/node/reporting"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/watching"
	"sallyport/internal/operate"
	"sallyport/internal/signin"
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
	// (identity.Read); nil: the files are read when they are wanted.
	Certificate *identity.Held
	// Paused accepts and queues mail but delivers none.
	Paused bool
	// Version is what the trace says started.
	Version string
}

// World is what a server works with beside its configuration and its disk.
type World = settings.World

// Node is one server on one data folder.
type Node struct {
	o         Options
	log       *slog.Logger
	current   atomic.Pointer[generation] // what depends on the configuration
	reloading sync.Mutex                 // one reload at a time
	started   atomic.Pointer[time.Time]  // of Serve; nil while it does not run
	// listening: Listen has bound everything, so that a reload may bind more.
	listening atomic.Bool

	memory     memory.Keeper          // what the process may take
	data       *datafolder.Folder     // everything in the data folder
	book       *book.Book             // the directory
	identity   *identity.Identity     // who it is to others
	watchers   *watching.Watchers     // who watches over accounts
	reporting  *reporting.Reporting   // what it reports to other domains
	inspection *inspection.Inspection // what is made of what comes in
	outflow    *outflow.Outflow       // how mail leaves
	desk       *signin.Desk           // where people sign in
	intake     *intake.Intake         // how mail comes in
	doors      *doors.Doors           // everything at which it listens
	letters    *letters.Letters       // what it writes itself
	operator   *operate.Operator      // what may be done with it
	metering   *metering.Metering     // its figures
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
	n.current.Store(&generation{cfg: cfg, inspected: &inspection.State{}}) // so that every step can read it
	n.doors = doors.New(doors.Options{World: o.World, Version: o.Version, Sockets: o.Sockets, Early: o.Early, Config: n.config})
	n.inspection = inspection.New(inspection.Options{World: o.World, Config: n.config, InForce: func() *inspection.State { return n.now().inspected }})
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	if n.metering, err = metering.New(cfg, o.Version); err != nil {
		return n, err
	}
	n.data, err = datafolder.Open(ctx, cfg, datafolder.Options{
		World: o.World, FS: o.FS, Version: o.Version, Paused: o.Paused, Watched: n.metering.Watched(), Observe: n.metering.Observer(o.Events),
		Overlap: func() time.Duration { return n.config().DKIM.Overlap }, Find: n.inspection.Find, Elsewhere: n.roll(), Provider: n.provider,
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

// Close releases the data folder. Serve must have returned.
func (n *Node) Close() error {
	var errs []error
	n.listening.Store(false)
	errs = append(errs, n.doors.Close())
	n.now().retire(nil)
	errs = append(errs, n.data.Close())
	return errors.Join(errs...)
}
