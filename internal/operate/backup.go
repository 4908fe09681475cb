package operate

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/backup"
)

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

// Names of the stream's own members. The last one tells that the stream is whole.
const (
	backupHead = "head"
	backupEnd  = "end"
)

// Backup writes a tar archive to w: its head, the copy, and an end. What an error
// leaves behind has no end, or one that names the error.
func (op *Operator) Backup(ctx context.Context, by Caller, r BackupRequest, w io.Writer) error {
	if op.o.Backup == nil {
		return invalid(errText("this server cannot be backed up"))
	}
	f := fact.BackedUp{At: op.o.Now(), Rule: RuleOperator, What: "of everything", Evidence: doneBy(by)}
	if !r.Mailboxes {
		f.What = "of everything but the mailboxes"
	}
	if err := op.o.Write(ctx, f.Fact()); err != nil {
		return err
	}
	copied, err := op.o.Backup.Begin(ctx, op.o.Now(), r.Mailboxes)
	if errors.Is(err, backup.ErrUnderWay) {
		return &Error{Code: CodeUnavailable, Message: err.Error()}
	}
	if err != nil {
		return err
	}
	head := BackupHead{
		Hostname: copied.Info().Hostname, Program: copied.Info().Program, DataFormat: copied.Info().DataFormat, Began: copied.Info().Began,
		Messages: op.o.Queue.Stats().Entries, Octets: copied.Octets(),
	}
	return sendBackup(ctx, head, copied, w)
}

// sendBackup writes a copy as a stream with a head and an end. The copy has ended when the
// stream's end is read, so that another may follow at once.
func sendBackup(ctx context.Context, head BackupHead, copied *backup.Copy, w io.Writer) error {
	out := tar.NewWriter(w)
	small := func(name string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(b))}); err != nil {
			return err
		}
		_, err = out.Write(b)
		return err
	}
	if err := small(backupHead, head); err != nil {
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
	err = errors.Join(err, copied.End())
	var end last
	if end.End = err == nil; err != nil {
		end.Error = asError(err)
	}
	// In the middle of a member no end can be written; the stream then just stops.
	return errors.Join(err, small(backupEnd, end), out.Close())
}

// BackupStream is a backup on its way from a server.
type BackupStream struct {
	Head BackupHead
	tar  *tar.Reader
	body io.Closer
}

// Backup calls Operator.Backup.
func (c *Client) Backup(ctx context.Context, r BackupRequest) (*BackupStream, error) {
	resp, err := c.post(ctx, "backup", r)
	if err != nil {
		return nil, err
	}
	b := &BackupStream{tar: tar.NewReader(resp.Body), body: resp.Body}
	h, err := b.tar.Next()
	if err == nil && h.Name != backupHead {
		err = fmt.Errorf("it begins with %q", h.Name)
	}
	if err == nil {
		err = json.NewDecoder(b.tar).Decode(&b.Head)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the server's answer is no backup: %w", err), resp.Body.Close())
	}
	return b, nil
}

// Each calls fn with each member. Only when it returns nil was the stream whole.
func (b *BackupStream) Each(fn func(h *tar.Header, content io.Reader) error) error {
	for {
		h, err := b.tar.Next()
		if err != nil {
			return fmt.Errorf("the backup ended early; the server's log says why: %w", err)
		}
		if h.Name != backupEnd {
			if err := fn(h, b.tar); err != nil {
				return err
			}
			continue
		}
		var end last
		switch err := json.NewDecoder(b.tar).Decode(&end); {
		case err != nil:
			return err
		case end.Error != nil:
			return end.Error
		case !end.End:
			return errors.New("the backup's end is none")
		}
		return nil
	}
}

// Close ends the stream.
func (b *BackupStream) Close() error { return b.body.Close() }

// Restored is what Restored records.
type Restored struct {
	Began    time.Time // of the backup
	Manifest string    // its SHA-256
	Hold     bool      // nothing leaves before it is released
}

// Restored records in the trace that this data came out of a backup, and holds what
// is in the queue if that is wanted. It returns how many messages are held by it.
func (op *Operator) Restored(ctx context.Context, by Caller, r Restored) (int, error) {
	f := fact.Restored{
		At: op.o.Now(), Rule: RuleOperator, From: "from a backup of " + r.Began.UTC().Format(time.RFC3339),
		Evidence: doneBy(by, fact.Pair{Name: "manifest", Value: r.Manifest}),
	}
	if err := op.o.Write(ctx, f.Fact()); err != nil || !r.Hold {
		return 0, err
	}
	held, err := op.QueueHold(ctx, by, QueueChange{Select: Select{All: true}, Reason: "restored from a backup of " + r.Began.UTC().Format(time.RFC3339) + "; it may have been delivered since"})
	return held.Count, err
}

// streaming serves an action that writes its answer by itself.
func streaming[Q any](mux *http.ServeMux, name string, act func(context.Context, Caller, Q, io.Writer) error) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		q, err := request[Q](r)
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/x-tar")
		out := &patient{w: w, control: http.NewResponseController(w)}
		out.unhurried()
		if err := act(r.Context(), callerOf(r.Context()), q, out); err != nil && !out.begun {
			fail(w, err)
		}
	})
}

// patient gives each write its own time, so that a reader may be slow, but not stop.
type patient struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (p *patient) unhurried() { unhurried(p.control) }

// Write writes to the response.
func (p *patient) Write(b []byte) (int, error) {
	p.begun = true
	_ = p.control.SetWriteDeadline(time.Now().Add(lineTime))
	return p.w.Write(b)
}

// unhurried lifts the time that a request has to arrive, once it is there: the server
// takes its end for the client's going away, and ends the action. In-process writers
// know no deadline.
func unhurried(c *http.ResponseController) { _ = c.SetReadDeadline(time.Time{}) }
