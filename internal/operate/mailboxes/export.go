package mailboxes

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/operate/call"
)

// MailboxExport asks for the messages of a mailbox.
type MailboxExport struct {
	Account string   `json:"account"`
	Folders []string `json:"folders,omitempty"` // patterns; none: all
	Exclude []string `json:"exclude,omitempty"`
}

// ExportedHead is what an export begins with.
type ExportedHead struct {
	Messages int `json:"messages"` // to come
}

// ExportedFolder begins a folder of an export.
type ExportedFolder struct {
	Name        string      `json:"name"`
	Use         mailbox.Use `json:"use,omitempty"`
	Subscribed  bool        `json:"subscribed,omitempty"`
	UIDValidity uint32      `json:"uid_validity"`
	Messages    int         `json:"messages"`
}

// ExportedMessage is a message of the folder that began last.
type ExportedMessage struct {
	UID      uint32         `json:"uid"`
	System   mailbox.System `json:"system,omitempty"`
	Keywords []string       `json:"keywords,omitempty"`
	Date     time.Time      `json:"date"`
	// Damage says why nothing of it follows, and Remark what is wrong with what does.
	Damage string `json:"damage,omitempty"`
	Remark string `json:"remark,omitempty"`
	Octets []byte `json:"-"` // as IMAP tells them
}

// Names of the members of the archive.
const (
	exportFolder  = "folder"
	exportMessage = "message"
	exportOctets  = "octets"
	exportVoid    = "void" // the octets before it are not those of the message
)

// MailboxExport writes an archive: a head, and for each folder its name and its messages,
// each with its octets; and an end. What cannot be read is named, and the rest follows.
func (op *Actions) MailboxExport(ctx context.Context, by call.Caller, r MailboxExport, out *call.Archive) error {
	a, err := op.known(r.Account)
	if err != nil {
		return err
	}
	u, err := op.o.Mail.Existing(ctx, a)
	if err != nil {
		return mailboxRefused(err, a)
	}
	defer u.Close()
	steps, head, err := exported(ctx, u, r)
	if err != nil {
		return err
	}
	what := "all folders"
	if len(r.Folders) > 0 {
		what = strings.Join(r.Folders, ", ")
	}
	if err := op.o.Write(ctx, call.AccountChanged(op.o.Now(), by, a, "mail exported", call.Note("folders", mail.PlainLine(what, mail.TextShown)))); err != nil {
		return err
	}
	if err = out.Head(head); err == nil {
		err = exporter{u, out}.folders(ctx, steps)
	}
	return out.End(err)
}

// exported chooses folders, and counts what is in them.
func exported(ctx context.Context, u *mailbox.User, r MailboxExport) (chosen []mailbox.Folder, head ExportedHead, err error) {
	all, err := u.Folders(ctx)
	if err != nil {
		return nil, head, err
	}
	byName, there := map[string]mailbox.Folder{}, []moving.Folder{}
	for _, f := range all {
		if !f.Missing {
			byName[f.Name] = f
			there = append(there, moving.Folder{Name: f.Name, Levels: strings.Split(f.Name, mailbox.Separator)})
		}
	}
	steps, err := moving.Plan(there, moving.Choice{Folders: r.Folders, Exclude: r.Exclude, Keep: true})
	if err != nil {
		return nil, head, call.Invalid(err)
	}
	for _, s := range steps {
		if s.Left != "" {
			continue
		}
		f := byName[s.From.Name]
		status, err := u.Status(ctx, f.Name, false)
		if err != nil {
			return nil, head, fmt.Errorf("%s: %w", f.Name, err)
		}
		head.Messages += status.Messages
		chosen = append(chosen, f)
	}
	if len(chosen) == 0 {
		return nil, head, call.NotFound("there is no such folder; see: sallyport mailbox show " + mail.ShellWord(r.Account))
	}
	return chosen, head, nil
}

type exporter struct {
	u   *mailbox.User
	out *call.Archive
}

func (e exporter) folders(ctx context.Context, chosen []mailbox.Folder) error {
	for _, f := range chosen {
		if err := e.folder(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return nil
}

func (e exporter) folder(ctx context.Context, f mailbox.Folder) error {
	box, err := e.u.Select(ctx, f.Name, true)
	if err != nil {
		return err
	}
	defer box.Close()
	s := box.State()
	err = e.out.Small(exportFolder, ExportedFolder{Name: f.Name, Use: f.Use, Subscribed: f.Subscribed, UIDValidity: s.UIDValidity, Messages: len(s.Messages)})
	for _, m := range s.Messages {
		if err == nil {
			err = e.message(ctx, box, m)
		}
	}
	return err
}

// message sends one message, or says why not.
func (e exporter) message(ctx context.Context, box *mailbox.Mailbox, m mailbox.Message) error {
	x := ExportedMessage{UID: uint32(m.UID), System: m.Flags.System, Keywords: m.Flags.Keywords()}
	var was int64
	var err error
	if x.Date, err = box.Date(ctx, m.UID); err == nil {
		was, err = box.Size(ctx, m.UID)
	}
	var c *mailbox.Content
	if err == nil {
		c, err = box.Content(ctx, m.UID)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, mailbox.ErrGone):
		return nil // somebody removed it
	case err != nil:
		x.Damage = err.Error()
		return e.out.Small(exportMessage, x)
	}
	defer c.Close()
	switch {
	case c.Size() != was:
		x.Remark = fmt.Sprintf("has %d octets with CRLF, and had %d", c.Size(), was)
	case c.Altered():
		x.Remark = "is not what it was: its octets have changed"
	}
	if err := e.out.Small(exportMessage, x); err != nil {
		return err
	}
	if err := e.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: exportOctets, Size: c.Size()}); err != nil {
		return err
	}
	n, err := io.Copy(e.out, io.NewSectionReader(c, 0, c.Size()))
	if n == c.Size() {
		return err
	}
	// It could be read a moment ago. What was promised is filled, and called void.
	if _, gone := io.CopyN(e.out, zeros{}, c.Size()-n); gone != nil {
		return gone // it is the reader that went away
	}
	x.Damage = fmt.Sprintf("it could not be read to its end: %v", err)
	return e.out.Small(exportVoid, x)
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// ExportStream is an export on its way from a server.
type ExportStream struct {
	Head    ExportedHead
	arrives *call.Arriving
}

// MailboxExport calls Actions.MailboxExport.
func (c Client) MailboxExport(ctx context.Context, r MailboxExport) (s *ExportStream, err error) {
	s = &ExportStream{}
	if s.arrives, err = call.Arrive(ctx, c.Client, "mailbox.export", r, "export", &s.Head); err != nil {
		return nil, err
	}
	return s, nil
}

// Each calls folder at the beginning of each folder, and message for each message. Only when it
// returns nil was the export whole.
func (s *ExportStream) Each(folder func(ExportedFolder) error, message func(ExportedMessage) error) error {
	var held *ExportedMessage // whose octets may still be called void
	give := func() error {
		if held == nil {
			return nil
		}
		m := *held
		held = nil
		return message(m)
	}
	for {
		h, content, err := s.arrives.Next()
		switch {
		case err != nil:
			return err
		case h == nil:
			if err := give(); err != nil {
				return err
			}
			return s.arrives.End()
		}
		read := func(v any) error { return json.NewDecoder(content).Decode(v) }
		switch h.Name {
		case exportVoid:
			held = &ExportedMessage{}
			err = read(held)
		case exportMessage:
			if err = give(); err == nil {
				held = &ExportedMessage{}
				err = read(held)
			}
		case exportOctets:
			if held == nil || h.Size > mailbox.MaxArrival*2 {
				return errors.New("the export holds what belongs to no message")
			}
			held.Octets = make([]byte, h.Size)
			_, err = io.ReadFull(content, held.Octets)
		case exportFolder:
			var f ExportedFolder
			if err = give(); err == nil {
				err = read(&f)
			}
			if err == nil {
				err = folder(f)
			}
		default:
			return fmt.Errorf("the export holds %q, which is nothing", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

// Close ends the stream.
func (s *ExportStream) Close() error { return s.arrives.Close() }
