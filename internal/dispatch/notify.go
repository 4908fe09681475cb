package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/trace"
)

// maxReturnedHeader bounds how much of the original header section a notification
// carries.
const maxReturnedHeader = 64 << 10

// note is a notification that is committed together with the outcome it reports.
type note struct {
	spool.Notification
	fact trace.Fact
}

// report is one recipient's line in a notification.
type report struct {
	recipient mail.Recipient
	outcome   mail.Outcome
	action    string // RFC 3464 §2.3.3: "failed", "delivered", "relayed"
}

// notification makes the delivery status notification for what became final, or
// nil when nobody wants or may get one. It goes only to a verified local sender:
// the account that signed in, at its own envelope sender. Promise 5.
func (d *Dispatch) notification(ctx context.Context, c spool.Claim, pending []spool.RecipientState, outcomes []mail.Outcome, now time.Time) (*note, error) {
	e := c.Entry
	sender, ok := e.Envelope.From.Address()
	// RFC 5321 §6.1: a message with the null path is never answered.
	if !ok || e.Account.IsZero() {
		return nil, nil
	}
	reports := wanted(pending, outcomes)
	if len(reports) == 0 {
		return nil, nil
	}
	boxes := d.verified(e, sender)
	if len(boxes) == 0 {
		return nil, nil
	}
	id, err := mail.NewID(now, d.Rand)
	if err != nil {
		return nil, err
	}
	text, err := d.compose(c, id, sender, reports, now)
	if err != nil {
		return nil, err
	}
	body, err := d.Queue.NewBody(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := body.Write(text); err != nil {
		return nil, errors.Join(err, body.Abort())
	}
	m := spool.Message{
		ID: id, Envelope: mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{{Address: sender, Notify: mail.NotifyNever}}, SMTPUTF8: e.Envelope.SMTPUTF8},
		MessageID: d.messageID(id),
	}
	for _, b := range boxes {
		m.Deliveries = append(m.Deliveries, spool.Delivery{Recipient: m.Envelope.To[0], Kind: spool.KindLocal, Mailbox: b.Account, Detail: b.Detail})
	}
	out := &note{Notification: spool.Notification{Message: m, Body: body}}
	out.fact = d.fact(trace.KindNotify, e)
	out.fact.Queue, out.fact.About, out.fact.MessageID = id, e.ID, m.MessageID
	out.fact.Sender, out.fact.Rule, out.fact.Recipients = "<>", "notify-verified-sender", []string{sender.String()}
	return out, nil
}

// verified asks the gate whether a notification may go to the sender, and returns
// the mailboxes it goes to.
func (d *Dispatch) verified(e spool.Entry, sender mail.Address) []directory.Mailbox {
	dir := d.Directory()
	class := dir.Classify(sender)
	v := gate.Decide(gate.Facts{
		Door: gate.DoorNotification, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone,
		Ownership: gate.OwnershipNull, Destination: class.Destination,
	}, gate.Subject{Transaction: e.ID, Sender: mail.NullPath(), Recipient: sender})
	if v.Action != gate.AcceptLocal || !dir.Owner(e.Account).Owns(sender) {
		return nil
	}
	return class.Mailboxes
}

// wanted picks the outcomes that RFC 3461 §4.1 says to report.
func wanted(pending []spool.RecipientState, outcomes []mail.Outcome) []report {
	var out []report
	for i, o := range outcomes {
		n := pending[i].Recipient.Notify
		switch {
		case n&mail.NotifyNever != 0:
		case o.Failed() && (n == 0 || n&mail.NotifyFailure != 0):
			out = append(out, report{pending[i].Recipient, o, "failed"})
		case o.Delivered() && n&mail.NotifySuccess != 0:
			action := "relayed" // the next hop may not report further; RFC 3461 §5.2.4
			if pending[i].Kind == spool.KindLocal {
				action = "delivered"
			}
			out = append(out, report{pending[i].Recipient, o, action})
		}
	}
	return out
}

func (d *Dispatch) messageID(id mail.ID) string {
	return "<" + id.String() + "@" + d.Hostname.ASCII() + ">"
}

// compose writes the multipart/report of RFC 3464 (RFC 6533 for UTF-8 addresses),
// with the original header section and never its body.
func (d *Dispatch) compose(c spool.Claim, id mail.ID, sender mail.Address, reports []report, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	kind, rcptType, headersType := "delivery-status", "rfc822", "text/rfc822-headers"
	if c.Entry.Envelope.SMTPUTF8 {
		kind, rcptType, headersType = "global-delivery-status", "utf-8", "message/global-headers"
	}
	fmt.Fprintf(&b, "From: Mail delivery system <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%s; boundary=%q\r\n\r\n",
		d.Hostname.ASCII(), sender, subject(reports), now.UTC().Format(time.RFC1123Z), d.messageID(id), kind, w.Boundary())
	if err := addPart(w, "text/plain; charset=utf-8", words(d.Hostname, c.Entry, reports)); err != nil {
		return nil, err
	}
	if err := addPart(w, "message/"+kind, status(d.Hostname, c.Entry, reports, rcptType, now)); err != nil {
		return nil, err
	}
	head, err := d.originalHeader(c)
	if err != nil {
		return nil, err
	}
	if err := addPart(w, headersType, head); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func addPart(w *multipart.Writer, contentType, text string) error {
	h := textproto.MIMEHeader{"Content-Type": {contentType}}
	if !isASCII(text) {
		h.Set("Content-Transfer-Encoding", "8bit")
	}
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = io.WriteString(p, text)
	return err
}

func subject(reports []report) string {
	for _, r := range reports {
		if r.action == "failed" {
			return "Your message could not be delivered"
		}
	}
	return "Your message was delivered"
}

// words is the part that a person reads.
func words(host mail.Domain, e spool.Entry, reports []report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail server %s.\r\n\r\n", host.Unicode())
	for _, r := range reports {
		switch r.action {
		case "failed":
			fmt.Fprintf(&b, "Your message could not be delivered to %s.\r\n    %s said: %s\r\n\r\n", r.recipient.Address, orUs(r.outcome.Remote), clean(r.outcome.Reply.String()))
		default:
			fmt.Fprintf(&b, "Your message was %s to %s.\r\n\r\n", r.action, r.recipient.Address)
		}
	}
	fmt.Fprintf(&b, "Your message was accepted on %s as %s. Give that number to your\r\nadministrator to see everything that became of it.\r\n", e.Received.UTC().Format(time.RFC1123Z), e.ID)
	return b.String()
}

// status is the part that a program reads. RFC 3464 §2.
func status(host mail.Domain, e spool.Entry, reports []report, rcptType string, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Reporting-MTA: dns; %s\r\n", host.ASCII())
	if e.Envelope.EnvID != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\r\n", clean(e.Envelope.EnvID))
	}
	fmt.Fprintf(&b, "Arrival-Date: %s\r\n", e.Received.UTC().Format(time.RFC1123Z))
	for _, r := range reports {
		b.WriteString("\r\n")
		if o := r.recipient.ORcpt; o.Type != "" {
			fmt.Fprintf(&b, "Original-Recipient: %s; %s\r\n", clean(o.Type), clean(o.Address))
		}
		fmt.Fprintf(&b, "Final-Recipient: %s; %s\r\nAction: %s\r\nStatus: %s\r\n", rcptType, r.recipient.Address, r.action, statusCode(r))
		if r.outcome.Remote != "" {
			fmt.Fprintf(&b, "Remote-MTA: dns; %s\r\n", clean(r.outcome.Remote))
		}
		fmt.Fprintf(&b, "Diagnostic-Code: smtp; %s\r\nLast-Attempt-Date: %s\r\n", clean(r.outcome.Reply.String()), now.UTC().Format(time.RFC1123Z))
	}
	return b.String()
}

// statusCode is the enhanced code of the answer, or the general one of its class.
func statusCode(r report) string {
	if s := r.outcome.Reply.Enhanced.String(); s != "" {
		return s
	}
	if r.action == "failed" {
		return "5.0.0"
	}
	return "2.0.0"
}

// originalHeader returns the header section of the message, bounded.
func (d *Dispatch) originalHeader(c spool.Claim) (string, error) {
	r, err := d.open(c)
	if err != nil {
		return "", err
	}
	defer r.Close()
	head, err := io.ReadAll(io.LimitReader(r, maxReturnedHeader))
	if err != nil {
		return "", err
	}
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end+2]
	} else if end := bytes.LastIndex(head, []byte("\r\n")); end >= 0 {
		head = head[:end+2]
	}
	return string(head), nil
}

func orUs(remote string) string {
	if remote == "" {
		return "This server"
	}
	return remote
}

// clean makes a remote's text fit for one header line, so that no answer of theirs
// adds a line to our notification.
func clean(s string) string {
	out := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(out) > 800 {
		out = strings.ToValidUTF8(out[:800], "")
	}
	return out
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
