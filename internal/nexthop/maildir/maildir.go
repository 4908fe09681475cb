package maildir

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sallyport/internal/kit/fsys"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// remote is who speaks in the outcomes of this package.
const remote = "maildir"

// Limits bounds what the target holds at one time.
type Limits struct {
	// Files is how many message files are open for writing at one time, over all
	// mailboxes. A delivery beyond it waits.
	Files int
	// PerMessage is how many copies of one message are written at one time.
	PerMessage int
	// Named is how many recipients the Delivered-To fields of one copy name.
	Named int
	// Known is how many mailboxes are remembered to exist, so that they are not
	// looked for again.
	Known int
	// StaleTmp is how long a file may lie in tmp/ before Clean takes it for the
	// rest of a delivery that died. The Maildir convention says 36 hours.
	StaleTmp time.Duration
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{Files: 64, PerMessage: 8, Named: 50, Known: 10_000, StaleTmp: 36 * time.Hour}
}

// Options is what a Target needs.
type Options struct {
	FS       fsys.FS     // that of the data folder
	Root     string      // the folder that holds DOMAIN/LOCAL-PART; made when it is missing
	Hostname mail.Domain // part of every file name
	Limits   Limits
	Rand     io.Reader    // crypto/rand.Reader in a server; tells the runs of a server apart in tmp/
	Logger   *slog.Logger // disk faults, with their paths, which no outcome shows
	// Holder returns whose mailbox it is that was called so when a message came; nil: it is
	// called so still.
	Holder func(mailbox mail.Address, at time.Time) mail.Address
	// Space says how much of the disk a copy may take; nil: what there is.
	Space Space
	// Junk returns how the folder of a mailbox is called, within its folder, that its owner has for junk; "" or nil:
	// junkFolder. It begins with a dot.
	Junk func(box string) string
	// Arrived is told each copy of a message that came, once it is there; nil: nobody.
	Arrived func(Arrival)
	// Moving is told the folder of a mailbox that is about to be moved, or that another is to
	// take the place of; nil: nobody.
	Moving func(folder string)
}

// Arrival is a copy of a message that is in its mailbox.
type Arrival struct {
	Folder  string // on the disk
	Mailbox mail.Address
	ID      mail.ID
	Octets  int64 // of its file; -1: an attempt before this one left it there
}

// Space is the room that is left for mail. Take takes octets until give is called, or
// says that there are not so many.
type Space interface {
	Take(octets int64) (give func(), ok bool)
}

// Target delivers to the mailboxes below one root. It is safe for concurrent use.
type Target struct {
	fs       fsys.FS
	root     string
	hostname string
	limits   Limits
	log      *slog.Logger
	run      string // differs between two runs of the server
	serial   atomic.Uint64
	files    chan struct{} // holds one token per open file
	buffers  sync.Pool
	sync     *fsys.Group
	space    Space
	holder   func(mail.Address, time.Time) mail.Address
	arrived  func(Arrival)
	moving   func(folder string)
	junk     func(box string) string
	naming   sync.RWMutex // held while a mailbox gets another name, and shared by deliveries

	mu    sync.Mutex
	known map[string]struct{} // mailboxes whose directories are made and durable
}

var _ nexthop.Target = (*Target)(nil)

// New makes the root durable and returns the target. It fails when the root
// cannot be made, or when an option is missing.
func New(o Options) (*Target, error) {
	switch {
	case o.FS == nil || o.Root == "" || o.Hostname.IsZero() || o.Rand == nil || o.Logger == nil:
		return nil, errors.New("maildir: file system, root, host name, random source and logger must be given")
	case o.Limits.Files < 1 || o.Limits.PerMessage < 1 || o.Limits.Named < 1 || o.Limits.Known < 1 || o.Limits.StaleTmp <= 0:
		return nil, errors.New("maildir: every limit must be positive")
	}
	var run [6]byte
	if _, err := io.ReadFull(o.Rand, run[:]); err != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	t := &Target{
		fs: o.FS, root: o.Root, hostname: shorten(o.Hostname.ASCII()), limits: o.Limits, log: o.Logger,
		run:     hex.EncodeToString(run[:]),
		files:   make(chan struct{}, o.Limits.Files),
		buffers: sync.Pool{New: func() any { return new([bufferOctets]byte) }},
		sync:    fsys.NewGroup(o.FS.SyncDir),
		space:   o.Space,
		holder:  o.Holder,
		arrived: o.Arrived,
		moving:  o.Moving,
		junk:    o.Junk,
		known:   map[string]struct{}{},
	}
	if t.holder == nil {
		t.holder = func(a mail.Address, _ time.Time) mail.Address { return a }
	}
	if t.arrived == nil {
		t.arrived = func(Arrival) {}
	}
	if t.moving == nil {
		t.moving = func(string) {}
	}
	if err := t.makeRoot(); err != nil {
		return nil, fmt.Errorf("maildir: %w", err)
	}
	return t, nil
}

// Deliver writes one file per mailbox, however many of the recipients lead to it. It
// returns one outcome for each recipient, in their order; a fault of the disk is
// always transient, because the mailbox is ours and the message must not be lost.
func (t *Target) Deliver(ctx context.Context, j nexthop.Job) []mail.Outcome {
	if j.ID.IsZero() || j.Open == nil {
		return j.All(mail.R(451, "4.3.0", "the message has no queue id or no body"), remote)
	}
	out := j.All(mail.R(451, "4.3.5", "the recipient has no mailbox here"), remote)
	t.naming.RLock()
	defer t.naming.RUnlock()
	slots := make(chan struct{}, t.limits.PerMessage)
	var wg sync.WaitGroup
	for _, c := range t.copies(j) {
		slots <- struct{}{}
		wg.Go(func() {
			r := t.one(ctx, j, c)
			for _, i := range c.at {
				out[i].Reply = r
			}
			<-slots
		})
	}
	wg.Wait()
	return out
}

// one delivers one copy.
func (t *Target) one(ctx context.Context, j nexthop.Job, c *letter) mail.Reply {
	select {
	case t.files <- struct{}{}:
		defer func() { <-t.files }()
	case <-ctx.Done():
		return mail.R(451, "4.3.2", "the delivery was interrupted")
	}
	err := t.store(ctx, j, c)
	if err == nil {
		t.arrived(Arrival{c.box, c.of, j.ID, c.octets})
		return mail.R(250, "2.0.0", "stored as "+c.name)
	}
	// That the disk is low is told once, by who watches it, and not of each copy.
	if !errors.Is(err, nexthop.ErrWithdrawn) && !errors.Is(err, errLow) {
		t.log.Error("maildir delivery failed", "queue", j.ID.String(), "mailbox", c.box, "err", err)
	}
	return fault(err)
}

// fault turns an error into a reply that tells a sender nothing about our disk
// but whether it is full. RFC 3463 §3.4.
func fault(err error) mail.Reply {
	switch {
	case errors.Is(err, errLow):
		return mail.R(452, "4.3.1", "the disk of the mailboxes is nearly full")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return mail.R(452, "4.3.1", "the mailbox store is full")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return mail.R(451, "4.3.2", "the delivery was interrupted")
	}
	return mail.R(451, "4.3.0", "the mailbox store failed")
}
