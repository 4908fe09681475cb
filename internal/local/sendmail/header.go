package sendmail

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"sallyport/internal/mail"
	imf "sallyport/internal/message"
)

// maxHeader bounds the header section.
const maxHeader = 1 << 20

// splitHeader parts a message into its fields and its body. A header ends at its empty
// line, or before the first line that can be no field: programs that write a bare text
// send all of it as the body. The line "From …" of a mailbox file is no field. A line of
// the header may be as long as the header. whole says that it did not break off.
func splitHeader(r io.Reader) (fields []byte, body *bufio.Reader, whole bool, err error) {
	br := bufio.NewReaderSize(r, bufferOctets)
	for first := true; ; first = false {
		line, err := br.Peek(peekable(br))
		if err != nil && err != io.EOF && len(line) == 0 {
			return nil, nil, false, err
		}
		end := bytes.Index(line, []byte("\r\n"))
		begin := line
		if end >= 0 {
			begin = line[:end]
		}
		switch {
		case len(line) == 0:
			return fields, br, true, nil
		case end == 0:
			_, _ = br.Discard(2)
			return fields, br, true, nil
		case first && isMailboxLine(line) && end > 0:
			_, _ = br.Discard(end + 2)
			continue
		case !isField(begin, len(fields) > 0):
			return fields, br, false, nil
		}
		if fields, err = appendLine(fields, br); err != nil {
			return nil, nil, false, err
		}
	}
}

// isMailboxLine reports whether what begins so is the line "From …" of a mailbox file.
func isMailboxLine(begin []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(begin, ">"), []byte("From "))
}

// appendLine adds the next line of the header, whatever its length.
func appendLine(fields []byte, br *bufio.Reader) ([]byte, error) {
	for {
		piece, err := br.ReadSlice('\n')
		if fields = append(fields, piece...); len(fields) > maxHeader {
			return nil, fail(CodeData, "the header is larger than %d octets", maxHeader)
		}
		switch err {
		case nil, io.EOF:
			return fields, nil
		case bufio.ErrBufferFull:
		default:
			return nil, fail(CodeTempFail, "the message could not be read again: %v", err)
		}
	}
}

// strayRecipients finds recipients that the header meant to name and does not: it broke
// off before its empty line, at a line that can be no field, in the middle of a list or
// with more fields of recipients to come. Taken as it stands, it would send the message to
// some of them. It is nil where there are none.
func strayRecipients(h imf.Header, body *bufio.Reader) error {
	open := ""
	h.All(func(f imf.Field) bool {
		open = ""
		if namesRecipients(f.Name) && strings.HasSuffix(f.Value, ",") {
			open = f.Name
		}
		return true
	})
	next, err := body.Peek(peekAhead)
	if err != nil && err != io.EOF || len(next) == 0 {
		return nil // what cannot be read now fails when it is sent
	}
	for line := range bytes.SplitSeq(next, []byte("\r\n")) {
		name, _, found := strings.Cut(string(line), ":")
		switch {
		case open != "":
			return fail(CodeData, "the header breaks off in the list of %s, before %s; a line that goes on begins with a blank", open, mail.Printable(string(line), mail.NameShown))
		case len(line) == 0:
			return nil
		case found && namesRecipients(strings.TrimRight(name, " \t")):
			return fail(CodeData, "the header breaks off before the field %s: the line before it is no header field", mail.Printable(name, mail.NameShown))
		}
	}
	return nil
}

// peekAhead is how much behind a broken header is searched for recipients.
const peekAhead = 32 << 10

func namesRecipients(field string) bool {
	switch strings.ToLower(field) {
	case "to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc":
		return true
	}
	return false
}

// firstPeek is how much is looked at first; most lines of a header are no longer.
const firstPeek = 128

// peekable returns how much of the reader can be looked at: up to the end of a line
// where there is one in the buffer, else all that fits.
func peekable(br *bufio.Reader) int {
	for n := firstPeek; n < br.Size(); n *= 2 {
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

// phrase writes a display name; the server writes anew what readers could differ about.
func phrase(name string) string {
	name = strings.Join(strings.FieldsFunc(name, func(c rune) bool { return c == ' ' || c < 0x20 || c == 0x7f }), " ")
	switch {
	case name == "":
		return ""
	case !ascii(name):
		return imf.Phrase(name)
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
	return strings.Join(names, ",\r\n "), true
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
