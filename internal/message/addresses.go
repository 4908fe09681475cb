package message

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// maxCommentDepth bounds comments within comments.
const maxCommentDepth = 8

// addressReader reads a mailbox-list in the strict grammar of RFC 5322 §3.4, with
// dots in display names (§4.1), which people write. The first fault sticks and
// ends the reading.
type addressReader struct {
	text    string
	charset mail.Charset
	room    int // how many more addresses there may be
	// anew says that the field is written anew: then brackets and commas may stand in a display
	// name without quotes, blanks around an address and its "@", and a comma or a semicolon at
	// the end, as many programs write them.
	anew bool

	at        int
	comments  strings.Builder // of the mailbox being read
	found     []mail.Address
	boxes     []writtenBox // as found, how each stands in text
	claims    []mail.Address
	fault     string
	needsUTF8 bool
	loose     bool // a comma or a semicolon stands at the end
}

func (r *addressReader) fail(fault string) {
	if r.fault == "" {
		r.fault = fault
	}
}

// writtenBox is how a mailbox stands in its field.
type writtenBox struct {
	start, end int    // in the text, without the white space around it
	phrase     string // the display name as it is written
	spec       string // the address as it is written
	angled     bool
	comments   string // all of them, one behind the other
}

// list reads: mailbox *("," mailbox). Empty elements (§4.4) are faults.
func (r *addressReader) list() {
	r.checkText()
	for r.fault == "" {
		r.mailbox()
		if r.fault != "" || r.at == len(r.text) {
			return
		}
		c := r.text[r.at]
		if c != ',' && !(c == ';' && r.anew) {
			r.fail(r.unexpected())
			return
		}
		at := r.at
		r.at++
		switch {
		case r.anew && r.ends():
			r.loose = true
			return
		case c == ';':
			r.at = at
			r.fail(r.unexpected())
		}
	}
}

// ends reports whether nothing but white space is left.
func (r *addressReader) ends() bool { return strings.Trim(r.text[r.at:], " \t") == "" }

// checkText refuses octets that no reader should ever meet in an address field.
func (r *addressReader) checkText() {
	ascii := true
	for i := range len(r.text) {
		c := r.text[i]
		if c < 0x20 && c != '\t' || c == 0x7f {
			r.fail("it holds a control character")
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	switch {
	case ascii:
	case r.charset != mail.UTF8:
		r.needsUTF8 = r.fault == ""
		r.fail("it is not ASCII and SMTPUTF8 was not asked for")
	case !utf8.ValidString(r.text):
		r.fail("it is not UTF-8")
	case strings.IndexFunc(r.text, isDeceptive) >= 0:
		r.fail("it holds a character that hides or turns round text")
	}
}

// isDeceptive reports characters that make readers see another text than programs:
// controls, line separators, and bidirectional embeddings and overrides.
func isDeceptive(c rune) bool {
	return unicode.IsControl(c) && c != '\t' || c == 0x2028 || c == 0x2029 ||
		c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069
}

// mailbox reads: addr-spec, or [phrase] "<" addr-spec ">", with comments and white
// space around words.
func (r *addressReader) mailbox() {
	r.comments.Reset()
	r.skip()
	start, before := r.at, len(r.boxes)
	switch {
	case r.fault != "":
		return
	case r.peek() == '<':
		r.angle("")
	case r.bracket():
		r.phrase(start)
	default:
		r.word()
		if r.fault != "" {
			return
		}
		if r.meets('@') {
			r.spec(start)
			r.shownAgain()
			break
		}
		r.phrase(start)
	}
	end := r.at
	r.skip()
	r.claim(r.comments.String())
	if len(r.boxes) > before {
		b := &r.boxes[before]
		b.start, b.end, b.comments = start, end, r.comments.String()
	}
}

// shownAgain reads the angle brackets of "alice@x <alice@x>", which many scripts
// write without the quotes that RFC 5322 §3.2.3 wants. It names one author only
// when both are the same address, to the octet.
func (r *addressReader) shownAgain() {
	if r.skip(); r.fault != "" || r.peek() != '<' {
		return
	}
	last := len(r.found) - 1
	r.room++
	r.angle("")
	r.room--
	if r.fault == "" && r.found[last] != r.found[last+1] {
		r.fail("two addresses stand side by side")
	}
	r.found, r.boxes = r.found[:last+1], r.boxes[:last+1]
	if r.fault == "" {
		r.boxes[last].phrase, r.boxes[last].angled = quotedString(r.boxes[last].spec), true
	}
}

// phrase reads the rest of a display name that began at start, and the angle
// brackets behind it.
func (r *addressReader) phrase(start int) {
	for {
		end := r.at
		r.skip()
		switch {
		case r.fault != "":
			return
		case r.peek() == '<':
			r.angle(r.text[start:end])
			return
		case r.bracket() || r.comma():
			continue
		}
		r.word()
		if r.fault != "" {
			return
		}
	}
}

// comma passes one behind a word of a display name that stands in no quotes: there is no
// address before it.
func (r *addressReader) comma() bool {
	if !r.anew || r.peek() != ',' {
		return false
	}
	r.at++
	return true
}

// meets reports whether c comes next, behind blanks where they may stand.
func (r *addressReader) meets(c byte) bool {
	before := r.at
	r.blanks()
	met := r.peek() == c
	r.at = before
	return met
}

// blanks passes white space within an address. RFC 5322 §3.4.1 lets it stand around the "@";
// readers differ about it.
func (r *addressReader) blanks() {
	for r.anew && r.at < len(r.text) && isSpace(r.text[r.at]) {
		r.at++
	}
}

// bracket passes a bracket of a display name that stands in no quotes.
func (r *addressReader) bracket() bool {
	if c := r.peek(); !r.anew || c != '[' && c != ']' {
		return false
	}
	r.at++
	return true
}

// angle reads: "<" addr-spec ">", without comment or route in it.
func (r *addressReader) angle(name string) {
	r.at++
	r.blanks()
	start := r.at
	switch r.peek() {
	case '@':
		r.fail("a source route stands in the address") // RFC 5322 §4.4
		return
	case '>':
		r.fail("the angle brackets are empty")
		return
	}
	r.word()
	if r.fault != "" {
		return
	}
	r.spec(start)
	r.blanks()
	if r.fault != "" {
		return
	}
	if r.peek() != '>' {
		r.fail("the address does not end where its angle brackets do")
		return
	}
	r.at++
	b := &r.boxes[len(r.boxes)-1]
	b.phrase, b.angled = name, true
	r.claim(name)
}

// spec reads "@" and the domain behind a local-part that began at start, and takes
// the address. Comments around the "@" (RFC 5322 §4.4) are faults, and so is white space
// unless the field is written anew.
func (r *addressReader) spec(start int) {
	local := r.text[start:r.at]
	r.blanks()
	if r.peek() != '@' {
		r.fail("the address has no domain")
		return
	}
	r.at++
	r.blanks()
	domain := r.at
	for r.at < len(r.text) && isDomainOctet(r.text[r.at]) {
		r.at++
	}
	text := local + "@" + r.text[domain:r.at]
	if strings.Contains(text, "=?") {
		// Some programs decode it there, others do not: two authors.
		r.fail("an encoded word stands in the address")
		return
	}
	a, err := mail.ParseAddress(text, r.charset)
	if err != nil {
		r.fail("the address is malformed" + reason(err))
		return
	}
	if len(r.found) >= r.room {
		r.fail("it names too many addresses")
		return
	}
	r.found = append(r.found, a)
	r.boxes = append(r.boxes, writtenBox{spec: text})
}

func reason(err error) string {
	var syntax *mail.SyntaxError
	if errors.As(err, &syntax) {
		return ": " + syntax.Reason
	}
	return ""
}

// word reads an atom (with dots) or a quoted-string.
func (r *addressReader) word() {
	if r.peek() == '"' {
		r.quoted()
		return
	}
	start := r.at
	for r.at < len(r.text) && (isAtext(r.text[r.at]) || r.text[r.at] == '.') {
		r.at++
	}
	if r.at == start {
		r.fail(r.unexpected())
	}
}

// unexpected says in words why what stands here cannot stand here.
func (r *addressReader) unexpected() string {
	switch r.peek() {
	case 0:
		return "an address is missing or incomplete"
	case ',':
		return "a name stands without an address"
	case '@':
		return "an @ stands outside the address"
	case ':', ';':
		return "it is a group, not an address"
	case ')':
		return "a comment ends that did not begin"
	case '<':
		return "angle brackets stand where none can"
	case '>':
		return "angle brackets end that did not begin"
	case '[', ']':
		return "a bracket stands outside of quotes"
	}
	return "it cannot be read with certainty"
}

// quoted skips a quoted-string.
func (r *addressReader) quoted() {
	ended := false
	if r.at, ended = pastQuoted(r.text, r.at); !ended {
		r.fail("a quoted text does not end")
	}
}

// pastQuoted returns where the quoted-string that begins at an octet is over; false: it does not end.
// RFC 5322 §3.2.4.
func pastQuoted(text string, at int) (int, bool) {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '"':
			return at + 1, true
		case '\\':
			at++
		}
	}
	return len(text), false
}

// skip passes white space and comments. RFC 5322 §3.2.2.
func (r *addressReader) skip() {
	for r.fault == "" && r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case isSpace(c):
			r.at++
		case c == '(':
			r.comment()
		default:
			return
		}
	}
}

// comment passes one comment with those inside it, and keeps its text.
func (r *addressReader) comment() {
	start, depth := r.at, 0
	for ; r.at < len(r.text); r.at++ {
		switch r.text[r.at] {
		case '\\':
			r.at++
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth > maxCommentDepth {
			r.fail("comments are nested too deep")
			return
		}
		if depth == 0 {
			r.at++
			r.comments.WriteString(r.text[start:r.at])
			return
		}
	}
	r.at = len(r.text)
	r.fail("a comment does not end")
}

// claim notes the addresses that a display name or comment shows beside the
// mailbox that was found last.
func (r *addressReader) claim(shown string) {
	if r.fault != "" || shown == "" || len(r.found) == 0 {
		return
	}
	text, clean := decodeWords(shown)
	if !clean {
		r.fail("an encoded word hides control characters")
		return
	}
	mailbox := r.found[len(r.found)-1].Key()
	for _, a := range addressesIn(text, MaxDisplayClaims-len(r.claims)) {
		if a.Key() != mailbox {
			r.claims = append(r.claims, a)
		}
	}
}

func (r *addressReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// isAtext reports the octets of an atom; those of UTF-8 were let in by checkText
// alone. RFC 5322 §3.2.3, RFC 6532 §3.2.
func isAtext(c byte) bool {
	return c >= utf8.RuneSelf || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// isDomainOctet reports what may stand in a domain or an address literal; the
// vocabulary judges it.
func isDomainOctet(c byte) bool {
	return isAtext(c) || c == '.' || c == '[' || c == ']' || c == ':'
}
