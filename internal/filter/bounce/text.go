package bounce

import (
	"bytes"
	"html"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/message/transfer"
)

// How far is read from where something begins.
const (
	maxName       = 40  // octets of a field's name in a text
	maxIdentifier = 400 // octets of an identifier, with what folds it
	maxFolds      = 4   // lines of a field's value
)

// text looks in a text for the header section of a message that was copied into it, as
// qmail and others do, each line possibly behind a quotation mark; and for whatever
// else may name a message.
func (w *walk) text(text []byte) {
	w.sections(text)
	w.loose(text)
	if bytes.Contains(text, []byte("=\n")) || bytes.Contains(text, []byte("=\r\n")) || bytes.Contains(text, []byte("=3")) {
		w.loose(transfer.QuotedPrintable(text)) // some lose the field that says how they encoded it
	}
}

// section is what stands in a text between two empty lines.
type section struct {
	from string
	ids  []string
}

// sections reads the fields that are copied into a text. An identifier goes with the
// author that stands beside it, or with the first author there is.
func (w *walk) sections(text []byte) {
	var all []section
	var one section
	first := ""
	next := func() {
		if len(one.ids) > 0 && len(all) < w.l.Returned {
			all = append(all, one)
		}
		one = section{}
	}
	fields(text, func(name, value string) {
		switch {
		case name == "":
			next()
		case namesMessage(name):
			if id := identifier(value); id != "" {
				one.ids = add(one.ids, id, w.l.Returned)
			}
		case strings.EqualFold(name, "From") && one.from == "":
			one.from = value
			if first == "" {
				first = value
			}
		}
	})
	next()
	for _, s := range all {
		if s.from == "" {
			s.from = first
		}
		authors := w.authors(s.from)
		for _, id := range s.ids {
			if len(w.copied) < w.l.Returned {
				w.copied = append(w.copied, Returned{MessageID: id, Domains: authors})
			}
		}
	}
}

// authors returns the domains in a From field's value.
func (w *walk) authors(value string) []mail.Domain {
	h, err := w.l.Header.Parse(crlf([]byte("From: " + value + "\n")))
	if err != nil {
		return nil
	}
	r, _ := returnedBy(h)
	return r.Domains
}

// status reads the fields of a report. Its Original-Envelope-Id (RFC 3464 §2.2.1) may
// be a queue identifier of ours; some add the Message-ID in a field of their own.
func (w *walk) status(text []byte) {
	var one Failure
	named := false
	next := func() {
		if named && len(w.failed) < w.l.Returned {
			w.failed = append(w.failed, one)
		}
		one, named = Failure{}, false
	}
	defer next()
	fields(text, func(name, value string) {
		switch strings.ToLower(name) {
		case "": // RFC 3464 §2.1: each recipient's fields stand between empty lines
			next()
		case "final-recipient":
			one.Domain, named = recipientDomain(value), true
		case "status":
			one.Status = statusCode(value)
		}
		id := identifier(value)
		if namesMessage(name) && id != "" && len(w.returned) < w.l.Returned {
			w.returned = append(w.returned, Returned{MessageID: id})
		}
		w.queued(value)
	})
}

// recipientDomain reads "rfc822; alice@example.org". RFC 3464 §2.3.2
func recipientDomain(value string) mail.Domain {
	_, address, _ := strings.Cut(value, ";")
	a, err := mail.ParseAddress(strings.Trim(strings.TrimSpace(address), "<>"), mail.UTF8)
	if err != nil {
		return mail.Domain{}
	}
	return a.Domain()
}

// mostStatusDigits is how many digits the subject and the detail of a status code may have. RFC 3463 §2.
const mostStatusDigits = 3

// statusCode reads the code that a Status field begins with; "": it has none. RFC 3463 §2
func statusCode(value string) string {
	code, _, _ := strings.Cut(strings.TrimSpace(value), " ")
	class, rest, _ := strings.Cut(code, ".")
	subject, detail, ok := strings.Cut(rest, ".")
	digits := func(s string) bool {
		return s != "" && len(s) <= mostStatusDigits && strings.Trim(s, "0123456789") == ""
	}
	if !ok || class != "2" && class != "4" && class != "5" || !digits(subject) || !digits(detail) {
		return ""
	}
	return code
}

// fields tells the lines of a text that look like header fields, with the lines that
// continue their values, and each empty line as a field without a name.
func fields(text []byte, tell func(name, value string)) {
	for at := 0; at < len(text); {
		var line []byte
		line, at = lineAt(text, at)
		bare := unquotedLine(line)
		if bare == "" {
			tell("", "")
			continue
		}
		name, value, ok := field(bare)
		if !ok {
			continue
		}
		// A value may be folded, and an identifier be cut by whoever wrapped the text.
		for folds := 0; folds < maxFolds && at < len(text) && !complete(name, value); folds++ {
			more, end := lineAt(text, at)
			rest := unquotedLine(more)
			if _, _, another := field(rest); another || rest == "" {
				break
			}
			value, at = value+" "+rest, end
		}
		tell(name, value)
	}
}

// unquotedLine is a line without what quotes or indents it.
func unquotedLine(line []byte) string {
	return strings.TrimSpace(strings.TrimLeft(string(line), "> \t|"))
}

// field parts a line that looks like a header field.
func field(line string) (name, value string, ok bool) {
	i := strings.IndexByte(line[:min(len(line), maxName+1)], ':')
	if i <= 0 {
		return "", "", false
	}
	name = strings.TrimSpace(line[:i])
	for _, c := range []byte(name) {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != ' ' {
			return "", "", false
		}
	}
	return name, strings.TrimSpace(line[i+1:]), name != ""
}

// complete reports whether a field's value needs no further line: only identifiers and
// authors are read at all.
func complete(name, value string) bool {
	switch {
	case len(value) > maxIdentifier:
		return true
	case namesMessage(name):
		return strings.Contains(value, ">") || value != "" && !strings.Contains(value, "<")
	case strings.EqualFold(name, "From"):
		return strings.Contains(value, "@")
	}
	return true
}

// namesMessage reports whether a field of that name holds the identifier of a message:
// Message-ID, Resent-Message-ID, X-Original-Message-ID, "Original Message Id".
func namesMessage(name string) bool {
	if len(name) > maxName {
		return false
	}
	const last = "messageid"
	at := len(last)
	for i := len(name) - 1; i >= 0 && at > 0; i-- {
		switch c := name[i]; {
		case c == '-' || c == '_' || c == ' ':
		case c|0x20 == last[at-1]:
			at--
		default:
			return false
		}
	}
	return at == 0
}

// identifier returns the first identifier in a text: what stands in angle brackets,
// without the white space that folds it, or a word that could be one.
func identifier(s string) string {
	s = s[:min(len(s), maxIdentifier)]
	before, rest, _ := strings.Cut(s, "<")
	if id := wordIdentifier(before); id != "" {
		return id
	}
	inner, after, closed := strings.Cut(rest, ">")
	switch inner = squeeze(inner); {
	case closed && inner != "":
		return "<" + inner + ">"
	case closed:
		return wordIdentifier(after)
	}
	return wordIdentifier(rest)
}

func wordIdentifier(s string) string {
	if !strings.Contains(s, "@") {
		return ""
	}
	for word := range strings.FieldsSeq(s) {
		word = strings.Trim(word, "<>()[]{}\"',;:.")
		if i := strings.IndexByte(word, '@'); i > 0 && i < len(word)-1 {
			return word
		}
	}
	return ""
}

func squeeze(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' {
			return -1
		}
		return r
	}, s)
}

// loose notes what names a message wherever it stands: behind the words "message id",
// in angle brackets, or in the form of a queue identifier of ours.
func (w *walk) loose(text []byte) {
	for at := afterLabel(text, 0); at < len(text) && len(w.mentioned) < w.l.Mentioned; {
		next := afterLabel(text, at)
		w.mention(identifier(string(text[at:min(next, at+maxIdentifier)])))
		at = next
	}
	for at := 0; at < len(text) && len(w.mentioned) < w.l.Mentioned; {
		i := bytes.IndexByte(text[at:], '<')
		if i < 0 {
			break
		}
		at += i + 1
		end := bytes.IndexAny(text[at:min(len(text), at+maxIdentifier)], "<>")
		if end > 0 && text[at+end] == '>' && bytes.IndexByte(text[at:at+end], '@') > 0 {
			w.mention("<" + squeeze(string(text[at:at+end])) + ">")
		}
	}
	w.queued(string(text))
}

// afterLabel returns the place behind the next "message id", however it is written; the
// end of the text if there is none.
func afterLabel(text []byte, at int) int {
	for ; at < len(text); at++ {
		i := bytes.IndexAny(text[at:], "mM")
		if i < 0 {
			break
		}
		at += i
		for n := len("messageid"); n <= len("message - id") && at+n <= len(text); n++ {
			if namesMessage(string(text[at : at+n])) {
				return at + n
			}
		}
	}
	return len(text)
}

func (w *walk) mention(id string) {
	if id != "" {
		w.mentioned = add(w.mentioned, id, w.l.Mentioned)
	}
}

// queued notes each word of the form of a queue identifier.
func (w *walk) queued(text string) {
	start := 0
	for i := 0; i <= len(text) && len(w.queue) < w.l.Mentioned; i++ {
		if i < len(text) && (text[i] >= 'a' && text[i] <= 'z' || text[i] >= '0' && text[i] <= '9') {
			continue
		}
		if i-start == mail.IDLength {
			if id, err := mail.ParseID(text[start:i]); err == nil && !id.IsZero() {
				w.queue = add(w.queue, id, w.l.Mentioned)
			}
		}
		start = i + 1
	}
}

// plainOf returns the text of a page: without its tags, a line for each block. What
// has an @ in its name is no tag, but an identifier that nobody escaped.
func plainOf(page []byte) []byte {
	out := make([]byte, 0, len(page))
	commented := true // there may be a comment that ends
	for len(page) > 0 {
		i := bytes.IndexByte(page, '<')
		if i < 0 {
			out = append(out, page...)
			break
		}
		out, page = append(out, page[:i]...), page[i:]
		if commented && bytes.HasPrefix(page, []byte("<!--")) {
			if end := bytes.Index(page, []byte("-->")); end >= 0 {
				page = page[end+3:]
				continue
			}
			commented = false
		}
		name := tagName(page)
		if name == "" {
			out, page = append(out, '<'), page[1:]
			continue
		}
		end := bytes.IndexByte(page, '>')
		if end < 0 {
			end = len(page) - 1 // a tag that breaks off
		}
		out, page = append(out, between(name)...), page[end+1:]
	}
	return []byte(html.UnescapeString(string(out)))
}

// tagName returns the name of the tag that begins a text, in small letters; "": none
// begins there.
func tagName(b []byte) string {
	b = bytes.TrimPrefix(b[1:min(len(b), maxName)], []byte("/"))
	if len(b) == 0 || b[0] != '!' && b[0] != '?' && (b[0]|0x20 < 'a' || b[0]|0x20 > 'z') {
		return ""
	}
	for i, c := range b {
		switch c {
		case ' ', '\t', '\r', '\n', '/', '>':
			return strings.ToLower(string(b[:i]))
		case '@':
			return ""
		}
	}
	return strings.ToLower(string(b))
}

// between is what a tag leaves in the text.
func between(tag string) string {
	switch tag {
	case "br", "p", "div", "tr", "li", "pre", "table", "h1", "h2", "h3", "h4", "blockquote", "hr":
		return "\n"
	case "td", "th":
		return " "
	}
	return ""
}
