package dispatch

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/spool"
)

// notice is one delivery status notification: RFC 3464, and RFC 6533 where the
// message had addresses beyond ASCII.
type notice struct {
	host    mail.Domain
	id      mail.ID
	to      mail.Address
	entry   spool.Entry
	reports []report
	at      time.Time
	until   time.Time // when what is delayed is given up
	limits  Limits
}

// maxText bounds a remote's words in one line. RFC 5322 §2.1.1 allows 998 octets.
const maxText = 800

// utf8 reports whether the message that it is about is internationalised.
func (n notice) utf8() bool {
	return n.entry.Envelope.SMTPUTF8 || n.entry.Envelope.UTF8Addresses()
}

// globalStatus reports whether its status part is one of RFC 6533 §3: only where it names an
// address beyond ASCII. Programs that keep mailing lists read the plain one alone, so that
// it is not enough that the message was internationalised.
func (n notice) globalStatus() bool {
	return slices.ContainsFunc(n.reports, func(r report) bool { return !r.outcome.Recipient.IsASCII() })
}

func (n notice) messageID() string { return "<" + n.id.String() + "@" + n.host.ASCII() + ">" }

// forwarded reports whether it is about mail that was sent on for its reader.
func (n notice) forwarded() bool { return n.entry.Forward != spool.ForwardNone }

func (n notice) failed() bool { return slices.ContainsFunc(n.reports, report.failed) }

func (n notice) delayed() bool { return slices.ContainsFunc(n.reports, report.delayed) }

// write writes the notification, a multipart/report with the message
// that it is about.
func (n notice) write(w io.Writer, original io.Reader) error {
	parts := multipart.NewWriter(w)
	// Nobody who wrote the original knew this id: the original cannot end the part.
	if err := parts.SetBoundary(n.id.String()); err != nil {
		return err
	}
	kind := "delivery-status"
	if n.globalStatus() {
		kind = "global-delivery-status"
	}
	if _, err := io.WriteString(w, n.header(kind)); err != nil {
		return err
	}
	if err := addPart(parts, "text/plain; charset=utf-8", strings.NewReader(n.words())); err != nil {
		return err
	}
	if err := addPart(parts, "message/"+kind, strings.NewReader(n.status())); err != nil {
		return err
	}
	kind, part, err := n.returned(original)
	if err != nil {
		return err
	}
	if err := addPart(parts, kind, part); err != nil {
		return err
	}
	return parts.Close()
}

func (n notice) header(kind string) string {
	subject := "Your message was delivered"
	switch {
	case !slices.ContainsFunc(n.reports, func(r report) bool { return r.action != actionRelayed }):
		subject = "Your message was relayed"
	case n.forwarded():
		subject = "Mail for you could not be forwarded"
	case n.failed():
		subject = "Your message could not be delivered"
	case n.delayed():
		subject = "Your message is delayed"
	}
	return fmt.Sprintf("From: Mail delivery system <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n"+
		"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=%s;\r\n\tboundary=\"%s\"\r\n\r\n",
		n.host.ASCII(), n.to, subject, message.FormatDate(n.at.UTC()), n.messageID(), kind, n.id)
}

func addPart(w *multipart.Writer, contentType string, text io.Reader) error {
	h := textproto.MIMEHeader{"Content-Type": {contentType}}
	if contentType != "message/delivery-status" { // which is ASCII. RFC 3464 §2.1.1
		h.Set("Content-Transfer-Encoding", "8bit")
	}
	p, err := w.CreatePart(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(p, text)
	return err
}

// words is the part that a person reads.
func (n notice) words() string {
	var b strings.Builder
	fmt.Fprintf(&b, "This is the mail server %s.\r\n\r\n", n.host.Unicode())
	for _, r := range n.reports {
		switch said := who(r) + "\r\n    " + oneLine(r.outcome.Reply.String()); {
		case n.forwarded():
			fmt.Fprintf(&b, "A message for you could not be forwarded to %s.\r\n%s\r\n\r\n", r.outcome.Recipient, said)
		case r.failed():
			fmt.Fprintf(&b, "Your message could not be delivered to %s.\r\n%s\r\n\r\n", r.outcome.Recipient, said)
		case r.delayed():
			fmt.Fprintf(&b, "Your message could not be delivered to %s yet.\r\n%s\r\nThis server goes on trying until %s.\r\n"+
				"You need not send the message again.\r\n\r\n", r.outcome.Recipient, said, message.FormatDate(n.until.UTC()))
		case r.action == actionRelayed:
			fmt.Fprintf(&b, "Your message was relayed to %s: the next server took it, and does not tell\r\nwhat becomes of it.\r\n\r\n", r.outcome.Recipient)
		default:
			fmt.Fprintf(&b, "Your message was delivered to %s.\r\n\r\n", r.outcome.Recipient)
		}
	}
	about := "Your message"
	if n.forwarded() {
		b.WriteString("Nobody else was told. The message itself is in your mailbox. If this happens\r\nagain, look after your forward: it is not taken out by itself.\r\n\r\n")
		about = "The forward"
	}
	fmt.Fprintf(&b, "%s was accepted on %s as %s. Give that number to your\r\nadministrator to see everything that became of it.\r\n",
		about, message.FormatDate(n.entry.Received.UTC()), n.entry.ID)
	return b.String()
}

// who introduces an answer by whose it is: nothing is put into the mouth of a host
// that said nothing.
func who(r report) string {
	switch o := r.outcome; {
	case o.Said:
		return oneLine(o.Remote) + " said:"
	case r.elsewhere():
		return "This server tried " + oneLine(o.Remote) + " and found:"
	}
	return "This server says:"
}

// status is the part that a program reads. RFC 3464 §2.
func (n notice) status() string {
	var b strings.Builder
	e := n.entry
	fmt.Fprintf(&b, "Reporting-MTA: dns; %s\r\n", n.host.ASCII())
	if e.Envelope.EnvID != "" {
		fmt.Fprintf(&b, "Original-Envelope-Id: %s\r\n", n.field(e.Envelope.EnvID))
	}
	fmt.Fprintf(&b, "Arrival-Date: %s\r\n", message.FormatDate(e.Received.UTC()))
	for _, r := range n.reports {
		b.WriteString("\r\n")
		// An address that only fits into more than one line is left out, not cut.
		if o := n.original(r.state.Recipient.ORcpt); o != "" && len(o) <= maxText {
			fmt.Fprintf(&b, "Original-Recipient: %s\r\n", o)
		}
		fmt.Fprintf(&b, "Final-Recipient: %s; %s\r\nAction: %s\r\nStatus: %s\r\n", addressType(r.outcome.Recipient), r.outcome.Recipient, r.action, statusCode(r))
		// Only of who reported something. RFC 3464 §2.3.5.
		if r.outcome.Said && r.elsewhere() {
			fmt.Fprintf(&b, "Remote-MTA: dns; %s\r\n", n.field(remoteName(r.outcome.Remote)))
		}
		fmt.Fprintf(&b, "Diagnostic-Code: %s; %s\r\nLast-Attempt-Date: %s\r\n", diagnosticType(r.outcome), n.field(r.outcome.Reply.String()), message.FormatDate(n.at.UTC()))
		if r.delayed() { // RFC 3464 §2.3.9
			fmt.Fprintf(&b, "Will-Retry-Until: %s\r\n", message.FormatDate(n.until.UTC()))
		}
	}
	return b.String()
}

// addressType is the type of an address: utf-8 only for what is not ASCII. RFC 6533 §3.
func addressType(a mail.Address) string {
	if a.IsASCII() {
		return "rfc822"
	}
	return "utf-8"
}

// diagnosticType says whose words a diagnostic is: "smtp" is what the other side answered,
// and nothing of ours passes for it. RFC 3464 §2.3.6.
func diagnosticType(o mail.Outcome) string {
	if o.Said {
		return "smtp"
	}
	return "x-sallyport"
}

// remoteName is the name of the host that answered, without its address and port; the
// address as a literal where there is no name. RFC 3464 §2.3.5, §2.1.2.
func remoteName(remote string) string {
	name, _, _ := strings.Cut(remote, " ")
	if at, err := netip.ParseAddrPort(name); err == nil {
		return literal(at.Addr())
	}
	if host, port, found := strings.Cut(name, ":"); found && strings.Trim(port, "0123456789") == "" {
		name = host
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return literal(a)
	}
	return name
}

func literal(a netip.Addr) string {
	if a = a.Unmap(); a.Is6() {
		return "[IPv6:" + a.String() + "]" // RFC 5321 §4.1.3
	}
	return "[" + a.String() + "]"
}

// original writes ORCPT back, if there was one. In a status part that is ASCII, an
// address of type utf-8 is written as utf-8-addr-xtext. RFC 6533 §3.
func (n notice) original(o mail.ORcpt) string {
	if o.Type == "" {
		return ""
	}
	if n.globalStatus() || o.Type != "utf-8" {
		return n.field(o.Type) + "; " + n.field(o.Address)
	}
	return "utf-8; " + o.UTF8Xtext()
}

// field makes a text fit for a field of the status part, which is ASCII unless it is global.
func (n notice) field(s string) string {
	s = oneLine(s)
	if n.globalStatus() {
		return s
	}
	return mail.PlainLine(s, maxText)
}

// oneLine makes a remote's text fit for one line, so that no answer of theirs adds
// a line to our notification.
func oneLine(s string) string { return mail.ShownLine(s, maxText) }

// statusCode is the enhanced code of the answer, if it is of the class that the
// action means, or the general one of that class. RFC 3464 §2.3.4.
func statusCode(r report) string {
	class := uint16(2)
	switch {
	case r.failed():
		class = 5
	case r.delayed():
		class = 4
	}
	if r.outcome.Reply.Enhanced.Class == class {
		return r.outcome.Reply.Enhanced.String()
	}
	return fmt.Sprintf("%d.0.0", class)
}

// returned is the last part: the header section of the message, bounded, or the
// whole message where the sender asked for it, something failed, and it is small.
// RFC 3461 §4.3, §6.2.
func (n notice) returned(original io.Reader) (kind string, part io.Reader, err error) {
	// RFC 8689 §5: what must not travel in clear is not sent back whole.
	full := n.entry.Envelope.Ret == mail.RetFull && n.entry.Envelope.TLS != mail.RequireTLS
	if full && n.failed() && n.entry.Size <= n.limits.ReturnedMessage {
		if n.utf8() {
			return "message/global", original, nil // RFC 6532 §3.7
		}
		return "message/rfc822", original, nil
	}
	head, err := io.ReadAll(io.LimitReader(original, n.limits.ReturnedHeader))
	if err != nil {
		return "", nil, err
	}
	if end := bytes.Index(head, []byte("\r\n\r\n")); end >= 0 {
		head = head[:end+2]
	} else if end := bytes.LastIndex(head, []byte("\r\n")); end >= 0 {
		head = head[:end+2]
	}
	if n.utf8() {
		return "message/global-headers", bytes.NewReader(head), nil // RFC 6533 §4
	}
	return "text/rfc822-headers", bytes.NewReader(head), nil
}
