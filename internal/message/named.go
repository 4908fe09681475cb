package message

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Named is what all fields of one name say of the mailboxes in them, read for judging
// what a stranger sent: as generously as RFC 5322 lets, with its obsolete forms (§4).
type Named struct {
	Fields int
	// Claims are the domains of the mailboxes, in their order.
	Claims []Claim
	// Locals are their local-parts, without quotes and comments, and those of mailboxes
	// that have no domain.
	Locals []string
	// Misread are the domains of others that widely used programs take for an author's,
	// though by the grammar they are in a comment, a quoted text or a display name.
	Misread []mail.Domain
	// Fault says why the fields cannot be trusted to name what every reader shows, ""
	// if they can: the domains in them need not be all among Claims.
	Fault string
}

// Named reads every field of that name. Comments and white space may stand wherever
// RFC 5322 has CFWS, dots anywhere in a local-part and in a display name, octets of any
// charset in what is shown, and a name without an address beside an address. Faults
// are what two readers may read in two ways: a source route (§4.4), a second address
// beside the one in angle brackets, an encoded word that hides an address, what does
// not end, and what is no address list.
func (h Header) Named(name string) Named {
	var out Named
	for _, f := range h.fields {
		if !h.looksNamed(f, name) {
			continue
		}
		out.Fields++
		r := namedReader{text: h.value(f), folds: h.foldsOf(f), room: MaxAuthorAddresses - len(out.Claims), misread: out.Misread}
		r.list()
		r.misread.encoded(r.text, r.domains)
		out.Misread = r.misread
		out.Locals = append(out.Locals, r.locals...)
		for _, d := range r.domains {
			out.Claims = append(out.Claims, claimOf(d))
		}
		if f.bad {
			r.fail("its name and its colon are not one")
		}
		if out.Fault == "" && r.fault != "" {
			out.Fault = name + ": " + r.fault
		}
	}
	out.Misread = slices.DeleteFunc(out.Misread, func(d mail.Domain) bool {
		return slices.ContainsFunc(out.Claims, func(c Claim) bool { return c.Domain == d })
	})
	return out
}

// namedReader reads an address-list. RFC 5322 §3.4, RFC 6854 §2.
type namedReader struct {
	text    string
	folds   []int // where the text was folded
	at      int
	room    int      // how many more domains there may be
	domains []string // without comments and white space
	locals  []string
	word    strings.Builder // the words that were passed last, without quotes and blanks
	misread misread
	inside  bool // an address is open
	group   bool
	ended   bool // nothing more can be read
	fault   string
}

// fail notes a fault and ends the reading.
func (r *namedReader) fail(fault string) {
	r.doubt(fault)
	r.ended = true
}

// doubt notes a fault, behind which can be read on.
func (r *namedReader) doubt(fault string) {
	if r.fault == "" {
		r.fault = fault
	}
}

// peek returns the next octet; 0 at the end. No header section holds a NUL.
func (r *namedReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// list reads addresses and groups; elements may be empty. RFC 5322 §4.4.
func (r *namedReader) list() {
	for !r.ended {
		r.address()
		r.skip()
		if r.peek() == ';' && r.group {
			r.group = false
			r.at++
			r.skip()
		}
		if r.peek() == ';' && strings.Trim(r.text[r.at:], "; \t") == "" {
			r.at = len(r.text) // as others write a comma behind the last address
		}
		switch {
		case r.ended:
		case r.at == len(r.text):
			if r.group {
				r.fail("a group does not end")
			}
			return
		case r.peek() != ',':
			r.fail("it cannot be read with certainty")
		}
		r.at++
	}
}

// address reads one address, or the name of a group and its first address, up to what
// ends it.
func (r *namedReader) address() {
	r.skip()
	start := r.at
	words, local := r.words()
	switch {
	case r.ended:
	case r.peek() == ':' && words && !r.group:
		r.shown(start)
		r.at++
		r.group = true
		if !r.ended {
			r.address()
		}
	case r.peek() == '<':
		r.angle()
	case r.peek() == '@' && words && local:
		r.local()
		r.spec()
		r.shownAgain()
	case r.peek() == '@':
		r.fail("an @ stands outside the address")
	default:
		if words && local {
			r.local()
		}
		r.shown(start)
	}
}

// local takes the words that were passed last for a local-part.
func (r *namedReader) local() {
	if !r.ended && len(r.locals) < r.room {
		r.locals = append(r.locals, r.word.String())
	}
}

// words passes words and dots, with what may stand around them, up to anything else.
// any reports whether there were words; local, whether they can be a local-part: a dot
// stands between each two. RFC 5322 §4.1, §4.4.
func (r *namedReader) words() (any, local bool) {
	local = true
	r.word.Reset()
	quoted := quotes{folds: r.folds}
	defer func() { r.misread.quoted(r.text, quoted, local && r.peek() == '@') }()
	for word := false; !r.ended; {
		r.skip()
		switch c := r.peek(); {
		case c == '.':
			word = false
			r.word.WriteByte(c)
			r.at++
			continue
		case c == '"':
			start := r.at
			r.quoted()
			r.word.WriteString(unquote(r.text[start:r.at]))
			quoted.add(r.text, start, r.at)
		case c == '[' || c == ']':
			local = false // in display names, people write them without quotes
			r.at++
		case isLoose(c):
			r.word.WriteString(r.atom())
		default:
			return any, local
		}
		local = local && !word
		any, word = true, true
	}
	return any, local
}

// shown demands that what was read since start, and is no address, is none to a reader
// who decodes it first.
func (r *namedReader) shown(start int) {
	if text, _ := decodeWords(squeezed(r.text[start:r.at])); !r.ended && strings.Contains(text, "@") {
		r.fail("a name without an address looks like one")
	}
}

// angle reads: "<" addr-spec ">", empty, or with a source route.
func (r *namedReader) angle() {
	r.inside = true
	defer func() { r.inside = false }()
	r.at++
	r.skip()
	if r.peek() == '>' {
		r.at++
		return
	}
	if c := r.peek(); c == '@' || c == ',' {
		r.route()
	}
	words, local := r.words()
	if words && local {
		r.local()
	}
	switch {
	case r.ended:
	case r.peek() != '@' || !words || !local:
		r.fail("no address stands in the angle brackets")
	default:
		r.spec()
		if r.peek() != '>' {
			r.fail("the address does not end where its angle brackets do")
		}
		r.at++
	}
}

// route passes the hosts of a source route and its colon. RFC 5322 §4.4.
func (r *namedReader) route() {
	r.doubt("a source route stands in the address")
	for r.skip(); !r.ended; r.skip() {
		switch r.peek() {
		case ',':
			r.at++
		case '@':
			r.at++
			r.domain()
		case ':':
			r.at++
			return
		default:
			r.fail("a source route does not end")
		}
	}
}

// spec reads "@" and the domain, takes it, and passes the white space behind it.
func (r *namedReader) spec() {
	r.at++
	d := r.domain()
	switch {
	case r.ended:
	case d == "":
		r.fail("the address has no domain")
	case strings.Contains(d, "=?"):
		// Some programs decode it there, others do not.
		r.fail("an encoded word stands in the address")
	case len(r.domains) >= r.room:
		r.fail("it names too many addresses")
	default:
		r.domains = append(r.domains, d)
	}
	r.skip()
}

// domain reads labels and dots, or a literal, and returns it without what stands
// around them.
func (r *namedReader) domain() string {
	var b strings.Builder
	for label := false; !r.ended; {
		start := r.at
		r.skip()
		c := r.peek()
		if r.at > start && (c == '.' || isLoose(c) && !label) {
			r.misread.text(decodedToo(r.text[start:r.at])) // comments within the address
		}
		switch {
		case c == '.':
			r.at++
			b.WriteByte('.')
			label = false
		case c == '[' && b.Len() == 0:
			return r.literal()
		case isLoose(c) && !label:
			b.WriteString(r.atom())
			label = true
		default:
			return b.String()
		}
	}
	return b.String()
}

// literal reads an address literal. RFC 5322 §3.4.1.
func (r *namedReader) literal() string {
	end := strings.IndexByte(r.text[r.at:], ']')
	if end < 0 {
		r.fail("an address literal does not end")
		return ""
	}
	text := r.text[r.at : r.at+end+1]
	r.at += end + 1
	return text
}

// shownAgain reads the angle brackets of "alice@x <alice@x>", which many scripts write
// without the quotes that RFC 5322 §3.2.3 wants, where both are of the same domain.
func (r *namedReader) shownAgain() {
	if r.ended || r.peek() != '<' {
		return
	}
	before := len(r.domains)
	r.room++
	r.angle()
	r.room--
	if r.ended || len(r.domains) == before {
		r.fail("an address stands beside angle brackets")
		return
	}
	last := r.domains[before]
	r.domains = r.domains[:before]
	if !strings.EqualFold(last, r.domains[before-1]) {
		r.fail("two addresses stand side by side")
	}
}

// atom passes what is neither white space nor special, of any charset.
func (r *namedReader) atom() string {
	start := r.at
	for r.at < len(r.text) && isLoose(r.text[r.at]) {
		r.at++
	}
	return r.text[start:r.at]
}

// isLoose reports the octets of an atom, and those that can only be meant to be in one.
func isLoose(c byte) bool {
	return c != 0 && !isSpace(c) && strings.IndexByte(`()<>[]:;@\,."`, c) < 0
}

// quoted passes a quoted-string.
func (r *namedReader) quoted() {
	ended := false
	if r.at, ended = pastQuoted(r.text, r.at); !ended {
		r.fail("a quoted text does not end")
	}
}

// skip passes white space and comments. RFC 5322 §3.2.2.
func (r *namedReader) skip() {
	depth, start := 0, 0
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '(':
			if depth == 0 {
				start = r.at
			}
			if depth++; depth > maxCommentDepth {
				r.fail("comments are nested too deep")
				return
			}
		case c == ')' && depth > 0:
			if depth--; depth == 0 {
				r.misread.comment(r.text[start:r.at+1], r.inside)
			}
		case c == '\\' && depth > 0:
			r.at++
		case depth == 0 && !isSpace(c):
			return
		}
	}
	r.at = len(r.text)
	if depth > 0 {
		r.fail("a comment does not end")
	}
}
