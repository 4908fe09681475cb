package sendmail

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"strings"

	"sallyport/internal/mail"
	imf "sallyport/internal/message"
)

// maxHeader bounds the header section.
const maxHeader = 1 << 20

// splitHeader parts a message into its fields and its body. A header ends at its empty
// line, or before the first line that can be no field: programs that write a bare text
// send all of it as the body. The line "From …" of a mailbox file is no field.
func splitHeader(r io.Reader) (fields []byte, body io.Reader, err error) {
	br := bufio.NewReaderSize(r, 64<<10)
	for first := true; ; first = false {
		line, err := br.Peek(peekable(br))
		if err != nil && err != io.EOF && len(line) == 0 {
			return nil, nil, err
		}
		end := bytes.Index(line, []byte("\r\n"))
		switch {
		case len(line) == 0:
			return fields, br, nil
		case end == 0:
			_, _ = br.Discard(2)
			return fields, br, nil
		case first && bytes.HasPrefix(line, []byte("From ")) && end > 0:
			_, _ = br.Discard(end + 2)
			continue
		case end < 0 || !isField(line[:end], len(fields) > 0):
			return fields, br, nil
		case len(fields)+end > maxHeader:
			return nil, nil, fail(CodeData, "the header is larger than %d octets", maxHeader)
		}
		fields = append(fields, line[:end+2]...)
		_, _ = br.Discard(end + 2)
	}
}

// peekable returns how much of the reader can be looked at: up to the end of a line
// where there is one in the buffer, else all that fits.
func peekable(br *bufio.Reader) int {
	for n := 128; n < br.Size(); n *= 2 {
		if p, err := br.Peek(n); err != nil || bytes.Contains(p, []byte("\r\n")) {
			return len(p)
		}
	}
	return br.Size()
}

// isField reports whether a line can be a header field, or the continuation of one.
// RFC 5322 §2.2.
func isField(line []byte, behindOne bool) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return behindOne && len(bytes.TrimSpace(line)) > 0
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return false
	}
	for _, c := range bytes.TrimRight(line[:colon], " \t") {
		if c <= 0x20 || c >= 0x7f {
			return false
		}
	}
	return true
}

// author is what the server says of the caller, and what the command line adds.
type author struct {
	account mail.Address
	name    string // full name; may be empty
}

// field returns a From field.
func (a author) field(name string) string {
	return "From: " + strings.TrimLeft(phrase(name)+" <"+a.account.String()+">", " ") + "\r\n"
}

// phrase writes a display name. RFC 5322 §3.2.5, RFC 2047 §5.
func phrase(name string) string {
	name = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, name)), " ")
	ascii := strings.IndexFunc(name, func(r rune) bool { return r > 0x7e }) < 0
	switch {
	case name == "":
		return ""
	case !ascii:
		return mime.QEncoding.Encode("utf-8", name)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// complete returns the header with an author, and with the domain behind each name
// that has none. A name without a domain in From is a login name: it stands for the
// account, whose own address takes its place, so that a job of cron that writes
// "From: root (Cron Daemon)" says who it is. What names a domain stays as it is, and
// is the server's to judge.
func complete(h imf.Header, a author) []byte {
	var out []byte
	if h.Count("From") == 0 {
		out = append(out, a.field(a.name)...)
	}
	h.All(func(f imf.Field) bool {
		switch strings.ToLower(f.Name) {
		case "from":
			if boxes, ok := readBoxes(f.Value); ok && len(boxes) == 1 && bareName(boxes[0].spec) {
				out = append(out, a.field(orElse(boxes[0].name, a.name))...)
				return true
			}
		case "to", "cc", "reply-to":
			if text, ok := qualified(f.Value, a.account.Domain()); ok {
				out = append(out, f.Name+": "+text+"\r\n"...)
				return true
			}
		}
		out = append(out, f.Raw...)
		return true
	})
	return out
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// qualified gives each name of a list its domain; ok is false where there is nothing
// but names to change, or where anything else than names stands.
func qualified(value string, d mail.Domain) (string, bool) {
	names := strings.Split(value, ",")
	for i, n := range names {
		n = strings.TrimSpace(n)
		if !bareName(n) {
			return "", false
		}
		names[i] = n + "@" + d.ASCII()
	}
	return strings.Join(names, ", "), true
}

// bareName reports whether s is a login name: an atom with dots, and no domain.
func bareName(s string) bool {
	if s == "" || len(s) > mail.SureLocalPartOctets || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$&'*+-/=?^_`{|}~.", c) >= 0) {
			return false
		}
	}
	return true
}
