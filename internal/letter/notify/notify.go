// Package notify writes the server's own notices: to the administrator, to the owner of an
// account, and to the contact that an administrator named for that account.
//
// It promises that a letter is queued in one act with the marks that it was written; that no
// account answers for it, so that no hold of one keeps it back; that outside this server it
// goes to the contact alone; and that nothing bounces for it.
package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// ErrNobody says that nobody takes a letter.
var ErrNobody = errors.New("notify: nobody takes it")

// Queue is what is needed of the spool.
type Queue interface {
	NewBody(ctx context.Context) (*spool.Body, error)
	letter.Queue
}

// Post writes them; all of it but Sign and Commands is needed. Its methods may be called concurrently.
type Post struct {
	Hostname  mail.Domain
	Directory func() *directory.Snapshot
	Queue     Queue
	Handoff   func(spool.Claim)
	// Sign returns the header fields that sign a message of the domain; nil: nothing is signed.
	Sign func(from mail.Domain, h message.Header, body []byte) ([]byte, error)
	// Commands returns a text in which each command of this program names the configuration; nil: it is found without.
	Commands func(text string) string
	Now      func() time.Time
	Rand     io.Reader
	Logger   *slog.Logger
}

// Postmaster is who administers this server; zero: nobody has that mailbox. RFC 5321 §4.5.1
func (n *Post) Postmaster() mail.Address {
	dir := n.Directory()
	for _, d := range append([]mail.Domain{dir.Hostname()}, domainsOf(dir)...) {
		a, err := mail.ParseAddress("postmaster@"+d.ASCII(), mail.ASCII)
		if err == nil && len(dir.Classify(a).Mailboxes) > 0 {
			return a
		}
	}
	return mail.Address{}
}

// Reads reports whether what the postmaster gets comes into the mailbox of an account.
func (n *Post) Reads(account mail.Address) bool {
	of := n.Postmaster()
	return !of.IsZero() && slices.ContainsFunc(n.Directory().Classify(of).Mailboxes, func(m directory.Mailbox) bool { return m.Account.Key() == account.Key() })
}

func domainsOf(dir *directory.Snapshot) (out []mail.Domain) {
	for _, d := range dir.Domains() {
		out = append(out, d.Name)
	}
	return out
}

// Letter is one letter.
type Letter struct {
	Rule string // why it is written, for the trace
	To   mail.Address
	// About is the account whose contact To is; zero: it is a mailbox of ours.
	About         mail.Address
	Subject, Text string           // one line in ASCII of at most maxSubject octets; lines that end with \n
	Marks         []store.Mutation // change in the act that queues it
}

// Send queues a letter. Errors: ErrNobody, those of the store, and those of chance.
func (n *Post) Send(ctx context.Context, l Letter) error {
	if l.To.IsZero() {
		return ErrNobody
	}
	id, err := mail.NewID(n.Now(), n.Rand)
	if err != nil {
		return err
	}
	draft, err := n.draft(id, l)
	if err != nil {
		return err
	}
	text, messageID, err := n.compose(id, l)
	if err != nil {
		return err
	}
	body, err := n.Queue.NewBody(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Abort() }() // does nothing once Post took it
	if _, err := body.Write(text); err != nil {
		return err
	}
	f := fact.Notified{
		At: n.Now(), Rule: l.Rule, Message: fact.Message{Queue: id, MessageID: messageID, Sender: "<>"},
		Recipients: []string{l.To.String()},
	}
	claim, err := draft.Post(ctx, n.Queue, letter.Content{MessageID: messageID, Also: l.Marks}, body, f.Fact())
	if err != nil {
		return err
	}
	n.Handoff(claim)
	return nil
}

// draft asks the gate about the one recipient of a letter.
func (n *Post) draft(id mail.ID, l Letter) (*letter.Draft, error) {
	dir, door := n.Directory(), gate.DoorNotification
	class := dir.Classify(l.To)
	if !l.About.IsZero() {
		door, class = gate.DoorNotice, dir.ClassifyNotice(l.About, l.To)
	}
	draft := &letter.Draft{
		ID: id, About: l.About, Envelope: mail.Envelope{From: mail.NullPath(), Body: mail.Body8BitMIME}, Ownership: gate.OwnershipNull,
		Session: letter.Ours(door, func() gate.Standing { return gate.StandingNone }),
	}
	judged := draft.Judge(l.To, class, nil)
	part, ok := judged.Part(mail.Recipient{Address: l.To, Notify: mail.NotifyNever})
	if !ok {
		return nil, fmt.Errorf("%w: %s: %s", ErrNobody, l.To, judged.Rule)
	}
	draft.Add(part)
	return draft, nil
}

// maxSubject bounds a subject, which may name what people named. What is no printable ASCII
// there becomes a question mark, so that no name is ever a field of its own.
const maxSubject = 300

// compose writes the message. What goes outside is in the name of the account's domain,
// which the owner knows, and signed where that is possible.
func (n *Post) compose(id mail.ID, l Letter) (text []byte, messageID string, err error) {
	from := n.Hostname
	if !l.About.IsZero() {
		from = l.About.Domain()
	}
	messageID = "<" + id.String() + "@" + n.Hostname.ASCII() + ">"
	// RFC 3834 §5: no program answers it.
	head := fmt.Appendf(nil, "From: Mail server <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nAuto-Submitted: auto-generated\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		from.ASCII(), l.To, mail.PlainLine(l.Subject, maxSubject), message.FormatDate(n.Now().UTC()), messageID)
	words := l.Text
	if n.Commands != nil && l.About.IsZero() {
		words = n.Commands(words)
	}
	body := []byte(strings.ReplaceAll(words, "\n", "\r\n"))
	if l.About.IsZero() || n.Sign == nil {
		return append(head, body...), messageID, nil
	}
	h, err := message.ParseHeader(head)
	if err != nil {
		return nil, "", fmt.Errorf("notify: %w", err)
	}
	signed, err := n.Sign(from, h, body)
	if err != nil {
		// Unsigned it comes to most; unsent to nobody.
		n.Logger.Warn("a letter of ours is not signed", "domain", from.String(), "err", err)
	}
	return bytes.Join([][]byte{signed, head, body}, nil), messageID, nil
}
