package daily

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Part is one part of a report.
type Part struct {
	Type string // "text/plain; charset=us-ascii", "application/tlsrpt+gzip"
	Name string // of the file; "": none
	Data []byte // text of lines with CRLF, or with Base64 any octets
	// Base64 encodes the part, as everything but short ASCII lines needs it.
	Base64 bool
}

// maxParts and maxFieldOctets bound what a caller can put together.
const (
	maxParts       = 10
	maxFieldOctets = 900
)

// compose writes the message, signed where that is possible.
func (s *Sender) compose(id mail.ID, m Mail, to []mail.Recipient) ([]byte, error) {
	head, err := s.header(id, m, to)
	if err != nil {
		return nil, err
	}
	body, err := parts(m, boundary(id))
	if err != nil {
		return nil, err
	}
	h, err := message.ParseHeader(head)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMail, err)
	}
	if s.o.Sign == nil {
		return append(head, body...), nil
	}
	signed, err := s.o.Sign(s.o.Account.Domain(), h, body)
	if err != nil {
		return nil, err
	}
	return append(append(signed, head...), body...), nil
}

func boundary(id mail.ID) string { return "=_" + id.String() }

func (s *Sender) header(id mail.ID, m Mail, recipients []mail.Recipient) ([]byte, error) {
	if len(m.Parts) == 0 || len(m.Parts) > maxParts {
		return nil, fmt.Errorf("%w: it needs 1 to %d parts", ErrMail, maxParts)
	}
	var to []string
	for _, r := range recipients {
		to = append(to, "<"+r.Address.String()+">")
	}
	fields := []Field{
		{"From", "<" + s.o.Account.String() + ">"}, {"To", strings.Join(to, ",\r\n ")}, {"Subject", m.Subject},
		{"Date", message.FormatDate(s.o.Now())}, {"Message-ID", s.messageID(id)},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834 §5
	}
	fields = append(fields, m.Fields...)
	fields = append(fields, Field{"MIME-Version", "1.0"}, Field{"Content-Type", "multipart/" + m.Type + ";\r\n boundary=\"" + boundary(id) + "\""})
	var b bytes.Buffer
	for _, f := range fields {
		if !safe(f) {
			return nil, fmt.Errorf("%w: the field %s cannot be written", ErrMail, mail.Printable(f.Name, mail.NameShown))
		}
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

// safe reports whether a field is one field: ASCII, folded or in one line, bounded.
func safe(f Field) bool {
	if f.Name == "" || strings.IndexFunc(f.Name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) >= 0 {
		return false
	}
	for line := range strings.SplitSeq(f.Value, "\r\n ") {
		if len(line) > maxFieldOctets || strings.TrimSpace(line) == "" || strings.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			return false
		}
	}
	return true
}

// lineOctets is the length of a line of base64. RFC 2045 §6.8.
const lineOctets = 76

func parts(m Mail, boundary string) ([]byte, error) {
	var b bytes.Buffer
	for _, p := range m.Parts {
		fields := []Field{{"Content-Type", p.Type}}
		if p.Name != "" {
			fields = append(fields, Field{"Content-Disposition", "attachment;\r\n filename=\"" + p.Name + "\""})
		}
		if p.Base64 {
			fields = append(fields, Field{"Content-Transfer-Encoding", "base64"})
		}
		fmt.Fprintf(&b, "--%s\r\n", boundary)
		for _, f := range fields {
			if !safe(f) || strings.ContainsAny(p.Name, `"\`) {
				return nil, fmt.Errorf("%w: the part %s cannot be written", ErrMail, mail.Printable(p.Name, mail.PieceShown))
			}
			fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
		}
		b.WriteString("\r\n")
		if err := content(&b, p); err != nil {
			return nil, err
		}
		b.WriteString("\r\n")
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes(), nil
}

func content(b *bytes.Buffer, p Part) error {
	if !p.Base64 {
		for line := range bytes.SplitSeq(p.Data, []byte("\r\n")) {
			if len(line) > lineOctets+2 || bytes.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
				return fmt.Errorf("%w: a part that is no short ASCII text needs base64", ErrMail)
			}
		}
		b.Write(p.Data)
		return nil
	}
	text := base64.StdEncoding.EncodeToString(p.Data)
	for len(text) > lineOctets {
		b.WriteString(text[:lineOctets] + "\r\n")
		text = text[lineOctets:]
	}
	b.WriteString(text)
	return nil
}
