package backup

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"sallyport/internal/operate/format"
	"sallyport/internal/store"
)

// copyDir is where a backup keeps the copy that it sends, below the data folder:
// on the same disk, so that files are shared instead of copied.
const copyDir = "backup.tmp"

// ErrUnderWay is returned by Begin while another copy has not ended.
var ErrUnderWay = errors.New("a backup is under way already; try again when it has ended")

var errStore = errors.New("this store cannot be copied")

// Places are the folders that make up what a server keeps.
type Places struct {
	Data        string // everything but, perhaps, the mailboxes
	Store       string // below Data
	Checkpoints string // of the trace, below Data
	Mailboxes   string
}

// SourceOptions are what a Source is given; all are required.
type SourceOptions struct {
	Places   Places
	Store    store.Store // open in Places.Store
	Hostname string
	Program  string // its version
	Logger   *slog.Logger
}

// Source is a server's data in use, of which copies are made.
type Source struct {
	o       SourceOptions
	copying atomic.Bool // one is under way
}

// NewSource returns the source of what o names.
func NewSource(o SourceOptions) *Source { return &Source{o: o} }

// Clean removes what a copy left behind whose process was killed, and which keeps the disk from
// being free of what is removed meanwhile. Nobody else has the data open.
func (s *Source) Clean() error { return os.RemoveAll(filepath.Join(s.o.Places.Data, copyDir)) }

// Copy is what Begin set aside to be sent.
type Copy struct {
	source *Source
	tmp    string
	plan   plan
	octets int64
	info   Info
}

// Octets is how much is to be sent. Files come and go meanwhile: it is an estimate.
func (c *Copy) Octets() int64 { return c.octets }

// Info is what the copy is of.
func (c *Copy) Info() Info { return c.info }

// Begin sets aside what must be of one moment; End must be called on the copy. The order
// of both is the promise:
//
//  1. The exported checkpoints of the trace are copied first: one that covers more than
//     the copied store would look like a store that was rolled back.
//  2. The store is copied as it stands at one moment, with its blobs. Whatever was
//     acknowledged before is in it, or in a mailbox.
//  3. The mailboxes come last, in Send: what is delivered meanwhile is in both, and a
//     restored server delivers it into the very same file again; the other way round it
//     would be in neither.
//
// What was acknowledged before now is in the copy.
func (s *Source) Begin(ctx context.Context, now time.Time, mailboxes bool) (c *Copy, err error) {
	if !s.copying.CompareAndSwap(false, true) {
		return nil, ErrUnderWay
	}
	c = &Copy{
		source: s, tmp: filepath.Join(s.o.Places.Data, copyDir),
		plan: planOf(s.o.Places, filepath.Join(s.o.Places.Data, copyDir), mailboxes),
		info: Info{Format: Format, Program: s.o.Program, Hostname: s.o.Hostname, Began: now},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.End())
			c = nil
		}
	}()
	at, ok := s.o.Store.(store.Checkpointer)
	if !ok {
		return c, errStore
	}
	if err := os.RemoveAll(c.tmp); err != nil { // of one that was killed
		return c, err
	}
	if err := copyFiles(s.o.Places.Checkpoints, filepath.Join(c.tmp, "trace")); err != nil {
		return c, err
	}
	if err := at.Checkpoint(ctx, filepath.Join(c.tmp, "store")); err != nil {
		return c, err
	}
	if c.octets, err = c.plan.octets(ctx); err != nil {
		return c, err
	}
	record, err := format.Read(s.o.Places.Data)
	if err != nil {
		return c, err
	}
	c.info.DataFormat = uint32(record.Version)
	s.o.Logger.Info("backup began", "octets", c.octets, "mailboxes", mailboxes)
	return c, nil
}

// End removes what was set aside. It is called once.
func (c *Copy) End() error {
	defer c.source.copying.Store(false)
	return os.RemoveAll(c.tmp)
}

// Send gives each member of the archive to add, a folder before what is in it.
func (c *Copy) Send(ctx context.Context, add func(h *tar.Header, content io.Reader) error) error {
	err := c.plan.send(ctx, add)
	if err == nil {
		err = c.plan.left.send(add, c.info.Began)
	}
	if err != nil {
		c.source.o.Logger.Error("backup failed", "err", err)
		return err
	}
	if n := c.plan.left.count(); n > 0 {
		c.source.o.Logger.Warn("backup sent, but not all of the mailboxes could be read", "count", n, "path", c.plan.left.first())
		return nil
	}
	c.source.o.Logger.Info("backup sent")
	return nil
}

// addMember sends one member of an archive.
type addMember func(h *tar.Header, content io.Reader) error

// copyFiles copies the regular files of a folder, which may be missing.
func copyFiles(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") { // a dot: being written
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // too old, and removed meanwhile
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
