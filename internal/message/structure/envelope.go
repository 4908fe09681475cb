package structure

import "bytes"

// envelope reads the fields of a message that ENVELOPE tells. RFC 9051 §7.5.2.
func (p *parser) envelope(fields []field) Envelope {
	e := Envelope{
		Date: p.text(fields, "date"), Subject: p.text(fields, "subject"),
		From:      p.addressField(fields, "from"),
		Sender:    p.addressField(fields, "sender"),
		ReplyTo:   p.addressField(fields, "reply-to"),
		To:        p.addressField(fields, "to"),
		Cc:        p.addressField(fields, "cc"),
		Bcc:       p.addressField(fields, "bcc"),
		InReplyTo: p.text(fields, "in-reply-to"), MessageID: p.text(fields, "message-id"),
	}
	// "If the Sender or Reply-To lines are absent or empty, the server sets the corresponding
	// member to be the same value as the from member."
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
	return e
}

// addressField reads the addresses of every field of that name: people read To twice.
func (p *parser) addressField(fields []field, name string) []Address {
	var out []Address
	for _, f := range fields {
		if named(f.name, name) {
			r := addressReader{text: unfolded(f.value), parser: p}
			out = append(out, r.list()...)
		}
	}
	return out
}

// addressReader reads an address field as programs of people read it: everything between two
// commas is an address. RFC 5322 §3.4 and §4.4, RFC 6532.
type addressReader struct {
	*parser
	text []byte
	at   int

	out     []Address
	group   bool
	words   []string // of the element that is read
	spec    bool     // it has an address outside of angle brackets
	angle   bool     // or within
	address Address
	comment string
}

// list reads the whole field.
func (r *addressReader) list() []Address {
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case ' ', '\t':
			r.at++
		case '(':
			r.comment = r.readComment()
		case ',':
			r.at++
			r.finish()
		case ';':
			r.at++
			r.finish()
			r.endGroup()
		case ':':
			r.at++
			r.beginGroup()
		case '<':
			r.readAngle()
		case '@':
			r.at++
			r.readHost()
		default:
			r.words = append(r.words, r.word())
		}
	}
	r.finish()
	r.endGroup()
	return r.out
}

// finish takes the element that was read.
func (r *addressReader) finish() {
	a, words, comment := r.address, r.words, r.comment
	r.address, r.words, r.comment = Address{}, nil, ""
	switch {
	case r.spec || r.angle:
		a.Name = joined(words)
	case len(words) > 0: // a name without an address
		a.Mailbox = joined(words)
	default:
		return
	}
	r.spec, r.angle = false, false
	if a.Name == "" {
		a.Name = comment
	}
	if a != (Address{}) {
		r.add(a)
	}
}

func (r *addressReader) add(a Address) bool {
	octets := len(a.Name) + len(a.Route) + len(a.Mailbox) + len(a.Host)
	if r.addresses <= 0 || octets > r.kept {
		r.addresses = 0 // nothing comes behind what is left out
		return false
	}
	r.addresses--
	r.kept -= octets
	r.out = append(r.out, a)
	return true
}

func (r *addressReader) beginGroup() {
	if r.group || r.spec || r.angle {
		return // a colon that begins nothing
	}
	name := joined(r.words)
	r.words, r.comment = nil, ""
	r.group = name != "" && r.add(Address{Kind: GroupBegin, Mailbox: name})
}

func (r *addressReader) endGroup() {
	if r.group {
		r.out = append(r.out, Address{Kind: GroupEnd})
	}
	r.group = false
}

// readHost reads the domain behind an "@" outside of angle brackets; the word before it is the
// local part.
func (r *addressReader) readHost() {
	if r.spec || r.angle || len(r.words) == 0 {
		r.words = append(r.words, "@"+r.host())
		return
	}
	last := len(r.words) - 1
	r.address.Mailbox, r.address.Host = r.words[last], r.host()
	r.words, r.spec = r.words[:last], true
}

// host reads a domain, or a literal, with white space and comments around its dots.
func (r *addressReader) host() string {
	var b bytes.Buffer
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == ' ' || c == '\t':
			r.at++
			// A domain goes on behind white space only if a dot stands there.
			if b.Len() > 0 && !bytes.HasSuffix(b.Bytes(), []byte(".")) && !bytes.HasPrefix(bytes.TrimLeft(r.text[r.at:min(len(r.text), r.at+8)], " \t"), []byte(".")) {
				return b.String()
			}
		case c == '(':
			r.comment = r.readComment()
		case c == '[':
			end := bytes.IndexByte(r.text[r.at:], ']')
			if end < 0 {
				end = len(r.text) - r.at - 1
			}
			b.Write(r.text[r.at : r.at+end+1])
			r.at += end + 1
		case endsAtom(c):
			return b.String()
		default:
			b.WriteByte(c)
			r.at++
		}
	}
	return b.String()
}

// readAngle reads what stands in angle brackets. What was read before is the name.
func (r *addressReader) readAngle() {
	if r.spec { // "alice@x.test <alice@x.test>"
		r.words = append(r.words, r.address.Mailbox+"@"+r.address.Host)
		r.address, r.spec = Address{}, false
	}
	r.at++
	var route, local bytes.Buffer
	r.address, r.angle = Address{}, true
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case '>':
			r.at++
			r.address.Mailbox, r.address.Route = local.String(), route.String()
			return
		case ' ', '\t', '<':
			r.at++
		case '(':
			r.readComment()
		case '@':
			r.at++
			if host := r.host(); local.Len() == 0 { // a route. RFC 5322 §4.4
				if route.Len() > 0 {
					route.WriteByte(',')
				}
				route.WriteString("@" + host)
			} else {
				r.address.Host = host
			}
		case ',', ':', ';':
			r.at++
		default:
			local.WriteString(r.word())
		}
	}
	r.address.Mailbox, r.address.Route = local.String(), route.String()
}

// word reads an atom with its dots, or a quoted string, unquoted.
func (r *addressReader) word() string {
	if r.text[r.at] == '"' {
		return r.quoted()
	}
	start := r.at
	for r.at++; r.at < len(r.text) && !endsAtom(r.text[r.at]); r.at++ {
	}
	return string(r.text[start:r.at])
}

func (r *addressReader) quoted() string {
	var b bytes.Buffer
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return b.String()
		case c == '\\' && r.at+1 < len(r.text):
			r.at++
			b.WriteByte(r.text[r.at])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// readComment reads a comment with those in it, without its outer brackets. RFC 5322 §3.2.2.
func (r *addressReader) readComment() string {
	var b bytes.Buffer
	depth := 0
	for ; r.at < len(r.text); r.at++ {
		c := r.text[r.at]
		switch {
		case c == '\\' && r.at+1 < len(r.text):
			r.at++
			c = r.text[r.at]
		case c == '(':
			if depth++; depth == 1 {
				continue
			}
		case c == ')':
			if depth--; depth == 0 {
				r.at++
				return b.String()
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

func endsAtom(c byte) bool {
	switch c {
	case ' ', '\t', ',', ';', ':', '<', '>', '@', '(', '"':
		return true
	}
	return false
}

func joined(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	var b bytes.Buffer
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}
