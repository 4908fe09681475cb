package mailboxes

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/operate/call"
)

// MailboxSource names where mail of an account comes from, in the same words each time.
type MailboxSource struct {
	Account string `json:"account"`
	Source  string `json:"source"`
	// DryRun: nothing is recorded.
	DryRun bool `json:"dry_run,omitempty"`
}

// MailboxCame is a message that came from there before.
type MailboxCame struct {
	Origin string `json:"o"`
	Digest string `json:"d"`
	Folder string `json:"f"`
}

// MailboxAdd is messages that come into a folder of an account at once: all that can be added, or
// none. Each is followed by its octets.
type MailboxAdd struct {
	Account   string          `json:"account"`
	Source    string          `json:"source,omitempty"` // "": what is in the folder now does not come again
	Folder    string          `json:"folder"`
	Use       mailbox.Use     `json:"use,omitempty"` // a folder that is for this is taken instead
	Subscribe bool            `json:"subscribe,omitempty"`
	Messages  []MailboxIncome `json:"messages"`
}

// MailboxIncome is a message that comes in.
type MailboxIncome struct {
	Origin   string         `json:"origin"`
	System   mailbox.System `json:"system,omitempty"`
	Keywords []string       `json:"keywords,omitempty"`
	Date     time.Time      `json:"date,omitzero"`
	Size     int64          `json:"size"`
	// Digest: the very same came before under another origin, and nothing is added.
	Digest string `json:"digest,omitempty"`
	Octets []byte `json:"-"`
}

// MailboxAdded says what became of them, in their order.
type MailboxAdded struct {
	Folder   string           `json:"folder"`
	Messages []MailboxArrived `json:"messages"`
}

// MailboxArrived says what became of one.
type MailboxArrived struct {
	UID     uint32 `json:"uid,omitempty"`
	There   bool   `json:"there,omitempty"` // it came before
	Refused string `json:"refused,omitempty"`
	Dropped int    `json:"dropped,omitempty"` // keywords
}

// MailboxImport records that mail of an account is moved in from somewhere, and calls fn for each
// message that came from there before.
func (op *Actions) MailboxImport(ctx context.Context, by call.Caller, r MailboxSource, fn func(MailboxCame) error) error {
	a, err := op.known(r.Account)
	if err != nil {
		return err
	}
	if r.Source == "" {
		return call.Refused("say where the mail comes from")
	}
	u, err := op.o.Mail.Existing(ctx, a)
	if errors.Is(err, mailbox.ErrNoAccount) {
		err = nil
	} else if err == nil {
		defer u.Close()
		err = eachCame(u, r.Source, fn)
	}
	if err != nil || r.DryRun {
		return err
	}
	return op.o.Write(ctx, call.AccountChanged(op.o.Now(), by, a, "mail moved in", call.Note("from", mail.PlainLine(r.Source, mail.TextShown))))
}

func eachCame(u *mailbox.User, source string, fn func(MailboxCame) error) error {
	all, err := u.CameFrom(source)
	for _, c := range all {
		if err := fn(MailboxCame{Origin: c.Origin.String(), Digest: hex.EncodeToString(c.Digest[:]), Folder: c.Folder}); err != nil {
			return err
		}
	}
	return err
}

// MailboxUIDs are the messages of a folder.
type MailboxUIDs struct {
	Folder      string   `json:"folder"`
	UIDValidity uint32   `json:"uid_validity"`
	UIDs        []uint32 `json:"uids"`
}

// MailboxUIDs calls fn for each folder of a mailbox, if there is one.
func (op *Actions) MailboxUIDs(ctx context.Context, _ call.Caller, r MailboxRef, fn func(MailboxUIDs) error) error {
	a, err := op.known(r.Account)
	if err != nil {
		return err
	}
	err = op.folders(ctx, a, r.Folder, func(u *mailbox.User, f mailbox.Folder) error {
		box, err := u.Select(ctx, f.Name, true)
		if err != nil {
			return err
		}
		defer box.Close()
		s := box.State()
		m := MailboxUIDs{Folder: f.Name, UIDValidity: s.UIDValidity}
		for _, one := range s.Messages {
			m.UIDs = append(m.UIDs, uint32(one.UID))
		}
		return fn(m)
	})
	if errors.Is(err, mailbox.ErrNoAccount) {
		return nil
	}
	return err
}

// known is an account that there is.
func (op *Actions) known(account string) (mail.Address, error) {
	a, err := call.ParseAccount(account)
	if err != nil {
		return a, err
	}
	owner, err := op.o.Owner(a)
	return owner.Address, err
}

// MailboxAdd adds messages, whose octets follow each other in body. That it added some is a fact.
func (op *Actions) MailboxAdd(ctx context.Context, by call.Caller, r MailboxAdd, body io.Reader) (out MailboxAdded, err error) {
	a, err := op.known(r.Account)
	if err != nil {
		return out, err
	}
	if r.Use != mailbox.UseNone && !r.Use.Valid() {
		return out, call.Refused("a folder is for nothing of that kind")
	}
	u, err := op.o.Mail.User(ctx, a)
	if err != nil {
		return out, err
	}
	defer u.Close()
	if out.Folder, err = intoFolder(ctx, u, r); err != nil {
		return out, moveRefused(err)
	}
	box, err := u.Select(ctx, out.Folder, true)
	if err != nil {
		return out, moveRefused(err)
	}
	defer box.Close()
	// The operator brings what its owner had elsewhere or before: it is not left behind for its size.
	box.Unbounded()
	n := 0
	all, err := box.MoveIn(ctx, r.Source, func() (mailbox.Arrival, error) {
		if n == len(r.Messages) {
			return mailbox.Arrival{}, io.EOF
		}
		n++
		return r.Messages[n-1].arrival(body)
	})
	if err != nil {
		return out, moveRefused(err)
	}
	added := 0
	for _, m := range all {
		out.Messages = append(out.Messages, MailboxArrived{UID: uint32(m.UID), There: m.There, Refused: m.Refused, Dropped: m.Dropped})
		if !m.There && m.Refused == "" {
			added++
		}
	}
	if added == 0 {
		return out, nil
	}
	return out, op.o.Write(context.WithoutCancel(ctx), call.AccountChanged(op.o.Now(), by, a, "messages added to its mailbox",
		call.Note("messages", strconv.Itoa(added)), call.Note("folder", mail.PlainLine(out.Folder, mail.TextShown)), call.Note("from", mail.PlainLine(r.Source, mail.TextShown))))
}

func (m MailboxIncome) arrival(body io.Reader) (a mailbox.Arrival, err error) {
	if a.Origin, err = mailbox.ParseOrigin(m.Origin); err != nil {
		return a, call.Invalid(err)
	}
	if m.Size < 0 {
		return a, call.Refused("a message has fewer than no octets")
	}
	a.Flags, a.Date, a.Size = mailbox.NewFlags(m.System, m.Keywords...), m.Date, m.Size
	if m.Digest != "" {
		b, err := hex.DecodeString(m.Digest)
		if err != nil || len(b) != len(a.Digest) {
			return a, call.Refused("a digest does not read")
		}
		a.Known, a.Digest = true, mailbox.Digest(b)
		return a, nil
	}
	a.Content = io.LimitReader(body, m.Size)
	return a, nil
}

// intoFolder returns the folder that is meant, and makes it where it is missing.
func intoFolder(ctx context.Context, u *mailbox.User, r MailboxAdd) (string, error) {
	folders, err := u.Folders(ctx)
	if err != nil {
		return "", err
	}
	for _, f := range folders {
		if f.Missing {
			continue
		}
		if r.Use != mailbox.UseNone && f.Use == r.Use {
			return f.Name, nil
		}
	}
	for _, f := range folders {
		if f.Name == r.Folder && !f.Missing {
			return f.Name, subscribed(ctx, u, r, f.Subscribed)
		}
	}
	if err := u.Create(ctx, r.Folder, r.Use); err != nil && !errors.Is(err, mailbox.ErrExists) {
		return "", err
	}
	return r.Folder, subscribed(ctx, u, r, false)
}

func subscribed(ctx context.Context, u *mailbox.User, r MailboxAdd, is bool) error {
	if !r.Subscribe || is {
		return nil
	}
	return u.Subscribe(ctx, r.Folder, true)
}

// moveRefused says what is in the way of mail that moves in.
func moveRefused(err error) error {
	var name *mailbox.NameError
	switch {
	case errors.Is(err, mailbox.ErrNoRoom):
		return call.Unavailable(fmt.Sprintf("%s; what came so far stays, and the same command goes on from there", call.Words(err)))
	case errors.As(err, &name), errors.Is(err, mailbox.ErrTooMany), errors.Is(err, mailbox.ErrInbox):
		return call.Refused(call.Words(err))
	}
	return err
}

// maxAdd bounds the head of a request that adds messages, one line of JSON.
const maxAdd = 4 << 20

// MaxAdd is how many messages one request adds.
const MaxAdd = 1000

// readAtOnce is how many octets of a request that adds messages are read at once.
const readAtOnce = 64 << 10

// adding is MailboxAdd as it is asked for: a line of JSON, and the octets.
func (op *Actions) adding(ctx context.Context, by call.Caller, request io.Reader) (MailboxAdded, error) {
	body := bufio.NewReaderSize(request, readAtOnce)
	head, err := readHead(body)
	if err != nil {
		return MailboxAdded{}, call.Unread(err)
	}
	return op.MailboxAdd(ctx, by, head, body)
}

func readHead(body *bufio.Reader) (head MailboxAdd, err error) {
	var line []byte
	for {
		part, err := body.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxAdd:
			return head, fmt.Errorf("its head has more than %d octets", maxAdd)
		case err == bufio.ErrBufferFull:
			continue
		case err != nil:
			return head, err
		}
		break
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&head); err != nil {
		return head, err
	}
	if len(head.Messages) > MaxAdd {
		return head, fmt.Errorf("one request adds at most %d messages", MaxAdd)
	}
	return head, nil
}

// MailboxImport calls Actions.MailboxImport.
func (c Client) MailboxImport(ctx context.Context, r MailboxSource, fn func(MailboxCame) error) error {
	return call.Stream(ctx, c.Client, "mailbox.import", r, fn)
}

// MailboxUIDs calls Actions.MailboxUIDs.
func (c Client) MailboxUIDs(ctx context.Context, r MailboxRef, fn func(MailboxUIDs) error) error {
	return call.Stream(ctx, c.Client, "mailbox.uids", r, fn)
}

// MailboxAdd calls Actions.MailboxAdd with the octets that the messages hold.
func (c Client) MailboxAdd(ctx context.Context, r MailboxAdd) (a MailboxAdded, err error) {
	head, err := json.Marshal(r)
	if err != nil {
		return a, err
	}
	parts := []io.Reader{bytes.NewReader(append(head, '\n'))}
	for _, m := range r.Messages {
		parts = append(parts, bytes.NewReader(m.Octets))
	}
	return call.Give[MailboxAdded](ctx, c.Client, "mailbox.add", io.MultiReader(parts...))
}
