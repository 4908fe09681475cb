package stage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	netmail "net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sallyport/internal/drill/sink"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// Mark is the field by which a message of the rehearsal is known: its identifier, who wrote
// it, and from which account ("-": from none).
const Mark = "X-Drill"

const (
	settleStep  = 25 * time.Millisecond // between two looks
	settleCalm  = 12                    // steps without a change
	settleAgain = 40                    // steps after which what waits is tried again
)

// Settle has everything tried that waits, and returns when nothing changes any more, or when
// it has waited for long enough.
func (s *Stage) Settle(ctx context.Context, most time.Duration) error {
	var last operate.QueueStats
	calm := 0
	for step := 0; calm < settleCalm && time.Duration(step)*settleStep < most; step++ {
		if step%settleAgain == 0 {
			if _, err := s.Operator.QueueRetry(ctx, operate.QueueChange{Select: operate.Select{All: true}}); err != nil {
				return err
			}
		}
		st, err := s.Operator.Status(ctx)
		if err != nil {
			return err
		}
		calm++
		if st.Queue.Messages != last.Messages || st.Queue.Held != last.Held || st.Queue.Octets != last.Octets {
			calm, last = 0, st.Queue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settleStep):
		}
	}
	return nil
}

// Look reads what the store and the trace have, into seen.
func (s *Stage) Look(ctx context.Context, seen *verdict.Seen) error {
	var errs []error
	for _, read := range []func(context.Context, *verdict.Seen) error{s.boxes, s.queue, s.facts, s.contained, s.verified} {
		errs = append(errs, read(ctx, seen))
	}
	return errors.Join(errs...)
}

// Octets is how much the data folder takes.
func (s *Stage) Octets() (n int64) {
	_ = filepath.WalkDir(s.Config.Data, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // what goes away meanwhile takes nothing
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// boxes reads every mailbox.
func (s *Stage) boxes(_ context.Context, seen *verdict.Seen) error {
	root := s.Config.Maildir.Root
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		parts := strings.Split(rel, string(filepath.Separator))
		folder := parts[max(0, len(parts)-2)]
		if len(parts) < 4 || folder != "new" && folder != "cur" {
			return nil
		}
		head, size, err := headOf(path)
		if err != nil {
			return err
		}
		l := Letter(head)
		l.Queue = queueOf(parts[len(parts)-1])
		l.To, l.Size, l.Boxed, l.Junk = []string{parts[1] + "@" + parts[0]}, size, true, slices.Contains(parts, ".Junk")
		seen.Boxes = append(seen.Boxes, l)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was delivered yet
	}
	return err
}

// queueOf is the identifier in the name of a file of a mailbox: TIME.QUEUE_….HOST.
func queueOf(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	return rest[:min(mail.IDLength, len(rest))]
}

// headOf reads the beginning of a file, and how large it is.
func headOf(path string) (head []byte, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	head, err = io.ReadAll(io.LimitReader(f, sink.HeadOctets))
	return head, info.Size(), err
}

func (s *Stage) queue(ctx context.Context, seen *verdict.Seen) error {
	return s.Operator.QueueList(ctx, operate.Select{All: true}, func(m operate.Message) error {
		w := verdict.Waiting{ID: verdict.IDOf(m.MessageID), Queue: m.ID, Size: m.Size, Held: m.State != operate.StateWaiting}
		for _, r := range m.Recipients {
			w.To = append(w.To, r.Address)
		}
		seen.Queue = append(seen.Queue, w)
		return nil
	})
}

func (s *Stage) facts(ctx context.Context, seen *verdict.Seen) error {
	q := operate.TraceQuery{From: time.Unix(1, 0), OldestFirst: true}
	for {
		a, err := s.Operator.Trace(ctx, q)
		if err != nil {
			return err
		}
		seen.Facts = append(seen.Facts, a.Facts()...)
		if a.Newer == 0 {
			return nil
		}
		q.After = a.Newer
	}
}

func (s *Stage) contained(ctx context.Context, seen *verdict.Seen) error {
	return s.Operator.IncidentList(ctx, operate.IncidentSelect{}, func(i incident.Incident) error {
		if !i.Account.IsZero() {
			seen.Contained = append(seen.Contained, verdict.Contained{Account: i.Account.String(), At: i.At})
		}
		return nil
	})
}

func (s *Stage) verified(ctx context.Context, seen *verdict.Seen) error {
	r, err := s.Operator.TraceVerify(ctx)
	if err == nil {
		seen.Verified = &verdict.Verified{Records: r.Size, Faults: r.Faults}
	}
	return err
}

// Ask asks the trace about one message, as an operator does, and says what it lacks.
func (s *Stage) Ask(ctx context.Context, l verdict.Letter) (verdict.Asked, error) {
	a, err := s.Operator.Trace(ctx, operate.TraceQuery{Text: l.Queue})
	return verdict.Asked{Queue: l.Queue, Lacking: verdict.Whole(verdict.Stories(a.Facts())[l.Queue], l)}, err
}

// Letter reads what the head of a message says of it.
func Letter(head []byte) (l verdict.Letter) {
	written := ""
	defer func() {
		if l.Queue == "" { // what the server writes itself has no other trace of its way
			l.Queue = written
		}
	}()
	for _, f := range fields(head) {
		switch strings.ToLower(f.name) {
		case "x-drill":
			if w := strings.Fields(f.value); len(w) == 3 && l.ID == "" {
				l.ID, l.Actor, l.Account = w[0], verdict.Actor(w[1]), strings.TrimPrefix(w[2], "-")
			}
		case "return-path": // as a mailbox has it
			l.From = strings.Trim(f.value, "<>")
		case "message-id":
			if id, _, _ := strings.Cut(strings.Trim(f.value, "<>"), "@"); len(id) == mail.IDLength {
				written = id
			}
		case "received":
			if _, id, ok := strings.Cut(f.value, " id "); ok && l.Queue == "" {
				l.Queue = strings.TrimRight(strings.Fields(id + " ?")[0], ";")
			}
		case "from", "sender", "resent-from", "resent-sender":
			list, err := (&netmail.AddressParser{WordDecoder: &mime.WordDecoder{}}).ParseList(f.value)
			l.Unread = l.Unread || err != nil
			for _, a := range list {
				l.Authors = append(l.Authors, a.Address)
			}
		}
	}
	return l
}

type field struct{ name, value string }

// fields are those of a header section, unfolded.
func fields(head []byte) (all []field) {
	for line := range bytes.Lines(head) {
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case text == "":
			return all
		case (text[0] == ' ' || text[0] == '\t') && len(all) > 0:
			all[len(all)-1].value += " " + textproto.TrimString(text)
		default:
			name, value, _ := strings.Cut(text, ":")
			all = append(all, field{textproto.TrimString(name), textproto.TrimString(value)})
		}
	}
	return all
}
