package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"mime/quotedprintable"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
)

const reportFolder = "abuse/"

// Bounds of the reports.
const (
	maxReports = 50 // networks; the busiest are reported
	maxEvents  = 50 // lines about one network
)

// source is what came from one network.
type source struct {
	network  netip.Prefix
	peer     netip.Addr // of the latest message, or else of the latest sign-in
	at       time.Time
	sender   string
	id       string // Message-ID of that message
	queue    mail.ID
	messages int
	signIns  int
	lines    []string
}

// reports makes one report a network.
func (c Contents) reports() ([]File, error) {
	var files []File
	for _, s := range c.sources() {
		name := reportFolder + strings.NewReplacer("/", "_", ":", "-").Replace(s.network.String())
		if s.messages == 0 {
			files = append(files, File{name + ".txt", []byte(c.told(s))})
			continue
		}
		data, err := c.report(s)
		if err != nil {
			return nil, fmt.Errorf("bundle: writing a report: %w", err)
		}
		files = append(files, File{name + ".eml", data})
	}
	return files, nil
}

// sources are the networks of the incident, the busiest first: those that the evidence
// names, or else all whence the account was used.
func (c Contents) sources() []*source {
	by := map[netip.Prefix]*source{}
	for _, o := range c.Incident.Seen {
		if o.Peer.IsValid() {
			by[networkOf(o.Peer)] = &source{network: networkOf(o.Peer), peer: o.Peer, at: o.At}
		}
	}
	named := len(by) > 0
	for _, e := range c.Facts {
		f := e.Fact
		if !f.Peer.IsValid() || f.Kind != fact.KindAccept && f.Kind != fact.KindAuth || f.Kind == fact.KindAuth && !f.Reply.OK() {
			continue
		}
		n := networkOf(f.Peer)
		if by[n] == nil && named {
			continue
		}
		if by[n] == nil {
			by[n] = &source{network: n}
		}
		by[n].add(f)
	}
	c.caused(by)
	all := make([]*source, 0, len(by))
	for _, s := range by {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *source) int {
		if a.messages != b.messages {
			return b.messages - a.messages
		}
		return a.network.Addr().Compare(b.network.Addr())
	})
	return all[:min(len(all), maxReports)]
}

// caused adds the message that the evidence was complete with, which was not taken and so
// is in no fact of one that was.
func (c Contents) caused(by map[netip.Prefix]*source) {
	cause := c.Incident.Cause
	if cause.IsZero() || len(c.Incident.Seen) == 0 {
		return
	}
	o := c.Incident.Seen[0]
	s := by[networkOf(o.Peer)]
	if s == nil || s.messages > 0 {
		return
	}
	s.messages, s.peer, s.at, s.sender, s.id, s.queue = 1, o.Peer, o.At, cause.Sender, cause.MessageID, cause.Queue
	s.lines = append(s.lines, fmt.Sprintf("%s from %s a message to %s, at which the account was stopped", stamp(o.At), o.Peer, words.Count(len(cause.Recipients), "recipient")))
}

func (s *source) add(f fact.Fact) {
	what := "signed in as the account"
	if f.Kind == fact.KindAuth {
		s.signIns++
		if s.messages == 0 {
			s.peer, s.at = f.Peer, f.At
		}
	} else {
		what = fmt.Sprintf("a message to %s, %s", words.Count(len(f.Recipients)+f.Cut, "recipient"), f.MessageID)
		if f.Part == 0 {
			s.messages++
		}
		s.peer, s.at, s.sender, s.id, s.queue = f.Peer, f.At, f.Sender, f.MessageID, f.Queue
	}
	if len(s.lines) < maxEvents {
		s.lines = append(s.lines, fmt.Sprintf("%s from %s at the door %s: %s", stamp(f.At), f.Peer, f.Door, what))
	}
}

// told is the readable part of a report.
func (c Contents) told(s *source) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From %s somebody used the stolen mail account %s of this server, %s:\n%s and %s since %s.\nTimes are UTC. Please look after the machine or the customer.\n\n",
		s.network, plain(c.Incident.Account.String()), c.Hostname.ASCII(), words.Count(s.signIns, "sign-in"), words.Count(s.messages, "message"), stamp(c.Since))
	for _, l := range s.lines {
		b.WriteString(plain(l) + "\n")
	}
	if more := s.signIns + s.messages - len(s.lines); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}

// report writes a network's report as a message without recipients. RFC 5965 §2
func (c Contents) report(s *source) ([]byte, error) {
	header := c.headerOf(s)
	sum := sha256.Sum256([]byte(header))
	boundary := "=_" + hex.EncodeToString(sum[:16]) // no header section holds its own sum
	var b bytes.Buffer
	domain := c.Hostname.ASCII()
	fmt.Fprintf(&b, "From: <postmaster@%s>\r\nSubject: Abuse report: mail from %s by a stolen account\r\nDate: %s\r\nMessage-ID: <incident-%d.%s@%s>\r\nMIME-Version: 1.0\r\n",
		domain, s.network, c.Made.UTC().Format(time.RFC1123Z), c.Incident.Number, hex.EncodeToString(sum[:8]), domain)
	fmt.Fprintf(&b, "Content-Type: multipart/report; report-type=feedback-report;\r\n boundary=\"%s\"\r\n\r\n", boundary)
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		return nil, err
	}
	for _, p := range []struct{ kind, coding, text string }{
		{"text/plain; charset=us-ascii", "quoted-printable", c.told(s)},
		{"message/feedback-report", "7bit", c.feedback(s)},
		{"text/rfc822-headers", coding(header), header},
	} {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind}, "Content-Transfer-Encoding": {p.coding}})
		if err != nil {
			return nil, err
		}
		if p.coding == "quoted-printable" {
			q := quotedprintable.NewWriter(part)
			if _, err := q.Write([]byte(p.text)); err != nil {
				return nil, err
			}
			if err := q.Close(); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := part.Write([]byte(p.text)); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// feedback is what programs read of a report. RFC 5965 §3
func (c Contents) feedback(s *source) string {
	fields := [][2]string{
		{"Feedback-Type", "abuse"}, {"User-Agent", "sallyport"}, {"Version", "1"}, // RFC 5965 §3.1
		{"Arrival-Date", s.at.UTC().Format(time.RFC1123Z)}, {"Source-IP", s.peer.Unmap().WithZone("").String()}, // RFC 5965 §3.2
		{"Reporting-MTA", "dns; " + c.Hostname.ASCII()}, {"Incidents", fmt.Sprint(s.messages)},
	}
	if sender := strings.Trim(s.sender, "<>"); mail.IsPlain(sender) {
		fields = append(fields, [2]string{"Original-Mail-From", "<" + sender + ">"})
	}
	var b strings.Builder
	for _, f := range fields {
		b.WriteString(f[0] + ": " + plain(f[1]) + "\r\n")
	}
	return b.String()
}

// headerOf is the header section that is reported with a network: one that is at hand of a
// message from there, or else what is known of the latest.
func (c Contents) headerOf(s *source) string {
	ids := map[mail.ID]bool{s.queue: true}
	for _, e := range c.Facts {
		if e.Fact.Kind == fact.KindAccept && e.Fact.Peer.IsValid() && networkOf(e.Fact.Peer) == s.network {
			ids[e.Fact.Queue] = true
		}
	}
	for _, h := range c.Headers {
		if ids[h.Queue] && h.Text != "" {
			return crlf(h.Text[:min(len(h.Text), incident.MaxKeptHeader)])
		}
	}
	known := "Return-Path: <" + plain(strings.Trim(s.sender, "<>")) + ">\r\n"
	if s.id != "" {
		known += "Message-ID: <" + plain(strings.Trim(s.id, "<>")) + ">\r\n"
	}
	return known
}

// crlf ends every line alike.
func crlf(text string) string {
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	return strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"
}

// coding names how the octets of a text stand in a part. RFC 2045 §6.2
func coding(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r > '~' }) >= 0 {
		return "8bit"
	}
	return "7bit"
}

// plain is text of others in one line of ASCII.
func plain(s string) string { return mail.PlainLine(s, maxLine) }
