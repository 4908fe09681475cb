// Package stream sends a backup of everything to whoever asked for it, and records backups and
// restores in the trace.
package stream

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/backup"
	"sallyport/internal/operate/call"
)

// Options are what Actions act on. All are needed but Backup.
type Options struct {
	// Backup copies the data folder; nil: it cannot be copied.
	Backup *backup.Source
	// Queued is how many messages are in the queue.
	Queued func() int
	// HoldAll holds all of them, and says how many.
	HoldAll func(ctx context.Context, by call.Caller, reason string) (int, error)
	Now     func() time.Time
	Write   call.Record
}

// Source copies the data folder.
type Source = backup.Source

// Actions are what an operator can do with backups.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) { call.Archiving(routes, "backup", op.Backup) }

// BackupRequest asks for a copy of everything that the server keeps.
type BackupRequest struct {
	Mailboxes bool `json:"mailboxes"` // with the mailboxes
}

// BackupHead is what a backup begins with.
type BackupHead struct {
	Hostname   string    `json:"hostname"`
	Program    string    `json:"program"`
	DataFormat uint32    `json:"data_format"`
	Began      time.Time `json:"began"`    // what was acknowledged before is in it
	Messages   int       `json:"messages"` // in the queue
	Octets     int64     `json:"octets"`   // to come, by estimate
}

// Backup writes an archive: its head, the copy, and an end.
func (op *Actions) Backup(ctx context.Context, by call.Caller, r BackupRequest, out *call.Archive) error {
	if op.o.Backup == nil {
		return call.Refused("this server cannot be backed up")
	}
	f := fact.BackedUp{At: op.o.Now(), Rule: fact.RuleOperator, What: "of everything", Evidence: call.DoneBy(by)}
	if !r.Mailboxes {
		f.What = "of everything but the mailboxes"
	}
	if err := op.o.Write(ctx, f.Fact()); err != nil {
		return err
	}
	copied, err := op.o.Backup.Begin(ctx, op.o.Now(), r.Mailboxes)
	if errors.Is(err, backup.ErrUnderWay) {
		return call.Unavailable(err.Error())
	}
	if err != nil {
		return err
	}
	head := BackupHead{
		Hostname: copied.Info().Hostname, Program: copied.Info().Program, DataFormat: copied.Info().DataFormat, Began: copied.Info().Began,
		Messages: op.o.Queued(), Octets: copied.Octets(),
	}
	return send(ctx, head, copied, out)
}

// send writes a copy as an archive with a head and an end. The copy has ended when the
// archive's end is read, so that another may follow at once.
func send(ctx context.Context, head BackupHead, copied *backup.Copy, out *call.Archive) error {
	if err := out.Head(head); err != nil {
		return errors.Join(err, copied.End())
	}
	err := copied.Send(ctx, func(h *tar.Header, content io.Reader) error {
		h.Format = tar.FormatPAX
		if err := out.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
			return err
		}
		n, err := io.Copy(out, io.LimitReader(content, h.Size))
		if err == nil && n < h.Size {
			err = fmt.Errorf("%s has %d octets and had %d when it was opened: it changed while it was read; try again", h.Name, n, h.Size)
		}
		return err
	})
	return out.End(errors.Join(err, copied.End()))
}

// BackupStream is a backup on its way from a server.
type BackupStream struct {
	Head BackupHead
	*call.Arriving
}

// Backup calls Actions.Backup.
func (c Client) Backup(ctx context.Context, r BackupRequest) (b *BackupStream, err error) {
	b = &BackupStream{}
	if b.Arriving, err = call.Arrive(ctx, c.Client, "backup", r, "backup", &b.Head); err != nil {
		return nil, err
	}
	return b, nil
}

// Restored is what Restored records.
type Restored struct {
	Began    time.Time // of the backup
	Manifest string    // its SHA-256
	Hold     bool      // nothing leaves before it is released
}

// Restored records in the trace that this data came out of a backup, and holds what
// is in the queue if that is wanted. It returns how many messages are held by it.
func (op *Actions) Restored(ctx context.Context, by call.Caller, r Restored) (int, error) {
	f := fact.Restored{
		At: op.o.Now(), Rule: fact.RuleOperator, From: "from a backup of " + r.Began.UTC().Format(time.RFC3339),
		Evidence: call.DoneBy(by, fact.Pair{Name: "manifest", Value: r.Manifest}),
	}
	if err := op.o.Write(ctx, f.Fact()); err != nil || !r.Hold {
		return 0, err
	}
	return op.o.HoldAll(ctx, by, "restored from a backup of "+r.Began.UTC().Format(time.RFC3339)+"; it may have been delivered since")
}
