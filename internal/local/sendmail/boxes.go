package sendmail

import (
	"strings"

	"sallyport/internal/mail"
	imf "sallyport/internal/message"
)

// box is one mailbox of an address list as it is written.
type box struct {
	spec string // the address, or a name without a domain
	name string // the display name, or the comment that stands for one
}

// readBoxes reads an address list of RFC 5322 §3.4: mailboxes, groups, comments, and
// names without a domain. ok is false where it cannot be read with certainty.
func readBoxes(value string) (boxes []box, ok bool) {
	l := &lister{text: value}
	for l.at = 0; l.at < len(l.text); {
		if !l.step() {
			return nil, false
		}
	}
	if l.depth > 0 || l.group || !l.end() {
		return nil, false
	}
	return l.boxes, true
}

// lister reads one element at a time.
type lister struct {
	text  string
	at    int
	boxes []box

	words   []string // of the element: atoms, specials kept together
	angle   string
	angled  bool
	comment string
	group   bool
	depth   int
}

// step reads one token.
func (l *lister) step() bool {
	switch c := l.text[l.at]; c {
	case ' ', '\t':
		l.at++
	case '(':
		return l.readComment()
	case '"':
		return l.readQuoted()
	case '<':
		return l.readAngle()
	case ',':
		l.at++
		return l.end()
	case ';':
		// Outside of a group it means nothing; many write it where a comma belongs.
		l.at++
		l.group = false
		return l.end()
	case ':':
		// The words before were a group's name. RFC 5322 §3.4.
		if l.group || l.angled || len(l.words) == 0 {
			return false
		}
		l.group, l.words, l.comment = true, nil, ""
		l.at++
	case ')', '>', '\\':
		return false
	default:
		return l.readAtom()
	}
	return true
}

// readAtom reads up to white space or a special that ends it; brackets of a literal
// keep their colons.
func (l *lister) readAtom() bool {
	start, literal := l.at, false
	for ; l.at < len(l.text); l.at++ {
		c := l.text[l.at]
		if c == '[' || c == ']' {
			literal = c == '['
		}
		if !literal && strings.IndexByte(" \t(\"<>,:;)\\", c) >= 0 || c < 0x20 || c == 0x7f {
			break
		}
	}
	if l.at == start || l.angled {
		return false
	}
	l.words = append(l.words, l.text[start:l.at])
	return true
}

// readQuoted reads a quoted-string; with what follows at once it may be a local-part.
func (l *lister) readQuoted() bool {
	start := l.at
	for l.at++; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case '\\':
			l.at++
		case '"':
			l.at++
			for l.at < len(l.text) && strings.IndexByte(" \t(\"<>,;", l.text[l.at]) < 0 {
				l.at++
			}
			if l.angled {
				return false
			}
			l.words = append(l.words, l.text[start:l.at])
			return true
		}
	}
	return false
}

func (l *lister) readComment() bool {
	start := l.at + 1
	for ; l.at < len(l.text); l.at++ {
		switch l.text[l.at] {
		case '\\':
			l.at++
		case '(':
			l.depth++
		case ')':
			if l.depth--; l.depth == 0 {
				l.comment = l.text[start:l.at]
				l.at++
				return true
			}
		}
	}
	return false
}

func (l *lister) readAngle() bool {
	end := -1
	quoted := false
	for i := l.at + 1; i < len(l.text) && end < 0; i++ {
		switch c := l.text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			end = i
		}
	}
	if end < 0 || l.angled {
		return false
	}
	l.angle, l.angled = l.text[l.at+1:end], true
	l.at = end + 1
	return true
}

// end takes the element that was read; an empty one is none (RFC 5322 §4.4).
func (l *lister) end() bool {
	words, angle, angled, comment := l.words, l.angle, l.angled, l.comment
	l.words, l.angle, l.angled, l.comment = nil, "", false, ""
	switch {
	case angled:
		name := strings.Trim(strings.Join(words, " "), `"`)
		l.boxes = append(l.boxes, box{spec: strings.TrimSpace(angle), name: orElse(name, comment)})
	case len(words) == 1:
		l.boxes = append(l.boxes, box{spec: words[0], name: comment})
	case len(words) > 1:
		return false
	}
	return true
}

// argument is where a recipient stands that the command line names.
const argument = "recipient"

// recipients returns whom the message goes to: those of the command line, and with
// -t those of the header, as in Postfix. A header that was resent names them in its
// Resent fields alone.
func recipients(o Options, h imf.Header, d mail.Domain) ([]mail.Address, error) {
	var out []mail.Address
	seen := map[string]bool{}
	take := func(text, where string) error {
		boxes, ok := readBoxes(text)
		if !ok {
			return fail(CodeData, "%s: %s is no list of addresses", where, mail.Printable(text, mail.TextShown))
		}
		if len(boxes) == 0 && where == argument {
			return fail(CodeUsage, "a recipient of the command line names nobody: %s", mail.Printable(text, mail.TextShown))
		}
		for _, b := range boxes {
			a, err := addressOf(b.spec, d)
			if err != nil {
				return fail(CodeData, "%s: %s is no address: %v", where, mail.Printable(b.spec, mail.TextShown), err)
			}
			if !seen[a.String()] {
				seen[a.String()] = true
				out = append(out, a)
			}
		}
		return nil
	}
	for _, r := range o.Recipients {
		if err := take(r, argument); err != nil {
			return nil, err
		}
	}
	if o.Extract {
		names := []string{"To", "Cc", "Bcc"}
		if h.Count("Resent-To")+h.Count("Resent-Cc")+h.Count("Resent-Bcc") > 0 {
			names = []string{"Resent-To", "Resent-Cc", "Resent-Bcc"}
		}
		for _, name := range names {
			for _, f := range h.Fields(name) {
				if err := take(f.Value, f.Name); err != nil {
					return nil, err
				}
			}
		}
	}
	switch {
	case len(out) == 0:
		return nil, fail(CodeUsage, "the message names no recipient")
	case len(out) > MaxRecipients:
		return nil, fail(CodeUnavailable, "more than %d recipients; nothing was sent to any of them", MaxRecipients)
	}
	return out, nil
}

// addressOf parses an address; a name without a domain is one of the account's domain.
func addressOf(spec string, d mail.Domain) (mail.Address, error) {
	if bareName(spec) {
		return mail.NewAddress(spec, d)
	}
	return mail.ParseTyped(spec, mail.UTF8)
}
