package notice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/store"
)

// errNobody says that nobody takes a notice.
var errNobody = errors.New("notice: nobody takes it")

// postmaster is who administers this server. RFC 5321 §4.5.1
func (n *Notices) postmaster() mail.Address {
	dir := n.o.Directory()
	for _, d := range append([]mail.Domain{dir.Hostname()}, domainsOf(dir)...) {
		a, err := mail.ParseAddress("postmaster@"+d.ASCII(), mail.ASCII)
		if err == nil && len(dir.Classify(a).Mailboxes) > 0 {
			return a
		}
	}
	return mail.Address{}
}

func domainsOf(dir *directory.Snapshot) (out []mail.Domain) {
	for _, d := range dir.Domains() {
		out = append(out, d.Name)
	}
	return out
}

// letterTo is one notice.
type letterTo struct {
	to mail.Address
	// about is the account whose contact to is; zero: it is a mailbox of ours.
	about         mail.Address
	subject, text string
	marks         []store.Mutation // change in the act that queues it
}

// post queues a notice.
func (n *Notices) post(ctx context.Context, l letterTo) error {
	if l.to.IsZero() {
		return errNobody
	}
	id, err := mail.NewID(n.o.Now(), n.o.Rand)
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
	body, err := n.o.Queue.NewBody(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = body.Abort() }() // does nothing once Post took it
	if _, err := body.Write(text); err != nil {
		return err
	}
	f := fact.Notified{
		At: n.o.Now(), Rule: "incident-notice", Message: fact.Message{Queue: id, MessageID: messageID, Sender: "<>"}, Recipients: []string{l.to.String()},
	}
	claim, err := draft.Post(ctx, n.o.Queue, letter.Content{MessageID: messageID, Also: l.marks}, body, f.Fact())
	if err != nil {
		return err
	}
	n.o.Handoff(claim)
	return nil
}

// draft asks the gate about the one recipient of a notice.
func (n *Notices) draft(id mail.ID, l letterTo) (*letter.Draft, error) {
	dir, door := n.o.Directory(), gate.DoorNotification
	class := dir.Classify(l.to)
	if !l.about.IsZero() {
		door, class = gate.DoorNotice, dir.ClassifyNotice(l.about, l.to)
	}
	draft := &letter.Draft{
		ID: id, About: l.about, Envelope: mail.Envelope{From: mail.NullPath(), Body: mail.Body8BitMIME}, Ownership: gate.OwnershipNull,
		Session: letter.Ours(door, func() gate.Standing { return gate.StandingNone }),
	}
	judged := draft.Judge(l.to, class, nil)
	part, ok := judged.Part(mail.Recipient{Address: l.to, Notify: mail.NotifyNever})
	if !ok {
		return nil, fmt.Errorf("%w: %s: %s", errNobody, l.to, judged.Rule)
	}
	draft.Add(part)
	return draft, nil
}

// compose writes the message. What goes outside is in the name of the account's domain,
// which the owner knows, and signed where that is possible.
func (n *Notices) compose(id mail.ID, l letterTo) (text []byte, messageID string, err error) {
	from := n.o.Hostname
	if !l.about.IsZero() {
		from = l.about.Domain()
	}
	messageID = "<" + id.String() + "@" + n.o.Hostname.ASCII() + ">"
	// RFC 3834 §5: nobody answers it by himself.
	head := fmt.Appendf(nil, "From: Mail server <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nAuto-Submitted: auto-generated\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		from.ASCII(), l.to, l.subject, message.FormatDate(n.o.Now().UTC()), messageID)
	body := []byte(strings.ReplaceAll(l.text, "\n", "\r\n"))
	if l.about.IsZero() || n.o.Sign == nil {
		return append(head, body...), messageID, nil
	}
	h, err := message.ParseHeader(head)
	if err != nil {
		return nil, "", fmt.Errorf("notice: %w", err)
	}
	signed, err := n.o.Sign(from, h, body)
	if err != nil {
		// Unsigned it comes to most; unsent to nobody.
		n.o.Logger.Warn("a notice is not signed", "domain", from.String(), "err", err)
	}
	return bytes.Join([][]byte{signed, head, body}, nil), messageID, nil
}
