package message

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"sallyport/internal/mail"
)

const (
	// maxFieldLine bounds the lines of a field that is written anew, without CRLF.
	// RFC 5322 §2.1.1.
	maxFieldLine = 998
	// goodFieldLine is where a list of addresses is folded. RFC 5322 §2.1.1.
	goodFieldLine = 78
	// MaxAuthorField bounds an author's field that is written anew: MaxAuthorAddresses
	// with names as long as a line can hold, and blanks.
	MaxAuthorField = 128 << 10
)

// authorFields are the fields that name who wrote or sent a message. Reply-To is none.
func authorFields() []string { return []string{"From", "Sender", "Resent-From", "Resent-Sender"} }

// Settled returns the header with its author fields written so that every reader reads
// the same authors in them: folded between addresses alone, without comments, display
// names in quotes or encoded words that hide nothing. A Sender with nothing in it is left out. A field that is written so already
// stays as it is, to the octet. A display name beyond ASCII is encoded, so that a header
// of ASCII addresses is one of ASCII authors. White space before a colon and folded lines
// that hold nothing are left out of every field.
//
// A field that cannot be read, or not be written so, stays too; where Authors would find
// no fault in it, the header that is returned has one.
func (h Header) Settled() Header {
	h = h.cleared()
	var spans []Span
	var anew [][]byte
	fault := ""
	for _, f := range h.fields {
		name, ok := h.authorField(f)
		if !ok || f.bad {
			continue
		}
		field, why := h.settle(f)
		if why != "" && fault == "" {
			fault = name + ": " + why
		}
		if field != nil {
			spans, anew = append(spans, Span{f.start, f.end}), append(anew, field)
		}
	}
	if len(spans) > 0 {
		h = h.replaced(spans, anew)
	}
	h.note(fault)
	return h
}

// cleared leaves out what says nothing, and what some programs take for the end of the header
// or for another field: white space before a colon (RFC 5322 §4.5), folded lines of white
// space alone (§4.2), and a Sender of nobody.
func (h Header) cleared() Header {
	if !slices.ContainsFunc(h.fields, func(f span) bool { return f.bad || h.ofNobody(f) }) {
		return h
	}
	raw := make([]byte, 0, len(h.raw))
	for _, f := range h.fields {
		if !h.ofNobody(f) {
			raw = h.appendCleared(raw, f)
		}
	}
	if h.Ended() {
		raw = append(raw, "\r\n"...)
	}
	out, err := Limits{HeaderOctets: len(raw), Fields: len(h.fields)}.Parse(raw)
	if err != nil {
		return h
	}
	return out
}

// ofNobody reports whether a field is a Sender with nothing in it, as programs write it whose sender is
// not set: no reader reads a name there, and the author stands in From.
func (h Header) ofNobody(f span) bool {
	return (h.named(f, "Sender") || h.named(f, "Resent-Sender")) && f.value > f.start && h.raw[f.value-1] == ':' && h.value(f) == ""
}

// appendCleared appends one field; one whose name is none, or that has no colon, as it is.
func (h Header) appendCleared(dst []byte, f span) []byte {
	name := h.raw[f.start:f.nameEnd]
	if !f.bad || f.value == f.start || h.raw[f.value-1] != ':' || nameFault(name, len(name)) != "" {
		return append(dst, h.raw[f.start:f.end]...)
	}
	dst = append(append(dst, name...), ':')
	first := true
	for line := range bytes.SplitAfterSeq(h.raw[f.value:f.end], []byte("\r\n")) {
		if first || len(bytes.Trim(line, " \t\r\n")) > 0 {
			dst = append(dst, line...)
		}
		first = false
	}
	return dst
}

func (h Header) authorField(f span) (name string, ok bool) {
	for _, name := range authorFields() {
		if h.named(f, name) {
			return name, true
		}
	}
	return "", false
}

// NeedsUTF8 reports whether an address in the header is beyond ASCII, as only
// internationalised mail may have it (RFC 6532 §3.2). Names and other texts are shown to
// people, and pass without. A field that cannot be read needs what stands in it.
func (h Header) NeedsUTF8() bool {
	names := append(authorFields(), "Reply-To", "To", "Cc", "Bcc", "Resent-Reply-To", "Resent-To", "Resent-Cc", "Resent-Bcc", "Return-Path")
	for _, f := range h.fields {
		if isASCII(string(h.raw[f.value:f.end])) || !slices.ContainsFunc(names, func(n string) bool { return h.named(f, n) }) {
			continue
		}
		wide := false
		whole := bareWords(h.value(f), func(w string) { wide = wide || strings.Contains(w, "@") && !isASCII(w) })
		if wide || !whole {
			return true
		}
	}
	return false
}

// replaced returns the header with other fields in place of the spans.
func (h Header) replaced(spans []Span, anew [][]byte) Header {
	out := Header{fault: h.fault, fields: make([]span, 0, len(h.fields))}
	next := 0
	for _, f := range h.fields {
		field := h.raw[f.start:f.end]
		start := len(out.raw)
		if next < len(spans) && spans[next].Start == f.start {
			field = anew[next]
			next++
		}
		out.raw = append(out.raw, field...)
		out.fields = append(out.fields, span{start, start + f.nameEnd - f.start, start + f.value - f.start, len(out.raw), f.bad, f.loose})
	}
	if h.Ended() {
		out.raw = append(out.raw, "\r\n"...)
	}
	return out
}

// settle returns the field that takes f's place, nil if f may stay; or why it cannot be
// written so that it names one author to all.
func (h Header) settle(f span) (field []byte, fault string) {
	if f.end-f.start > MaxAuthorField {
		return nil, "it is too long"
	}
	value := h.value(f)
	raw := !utf8.ValidString(value)
	if raw {
		text, ok := decodeName(value)
		if !ok {
			return nil, ""
		}
		value = text // of which nothing but names may be beyond ASCII
	}
	r := addressReader{text: value, charset: mail.UTF8, room: MaxAuthorAddresses, anew: true}
	r.list()
	if r.fault != "" {
		return nil, "" // Authors finds it
	}
	boxes := make([]string, len(r.boxes))
	plain := !raw && !r.loose && h.foldedBetween(f)
	for i, b := range r.boxes {
		if raw && !r.found[i].IsASCII() {
			return nil, ""
		}
		if len(r.boxes) > 1 && strings.HasPrefix(r.found[i].String(), `"`) {
			return nil, "a local-part in quotes stands beside another address" // some pair its quotes with others
		}
		if boxes[i], fault = b.settled(r.found[i]); fault != "" {
			return nil, fault
		}
		plain = plain && boxes[i] == r.text[b.start:b.end] && b.comments == ""
	}
	if list := strings.Join(boxes, ", "); !shownAlone(list, r.found) || looksLikeAt(list) {
		return nil, "a display name hides quotes, brackets or an address in encoded words: leave them out of it"
	}
	if plain {
		return nil, ""
	}
	return joined(string(h.raw[f.start:f.nameEnd]), boxes)
}

// shownAlone reports whether the addresses are all that stands outside of quotes and
// comments, in their order, to a program that decodes a field before it reads it. In a
// field that shows other addresses, no separator may appear by that.
func shownAlone(field string, addresses []mail.Address) bool {
	text, ok := decodeName(field)
	if !ok || strings.Count(text, "@") > len(addresses) && strings.Count(outside(text), ",") != len(addresses)-1 {
		return false
	}
	others := false
	whole := bareWords(text, func(w string) {
		if others || !strings.Contains(w, "@") {
			return
		}
		a, err := mail.ParseAddress(w, mail.UTF8)
		if others = err != nil || len(addresses) == 0 || a != addresses[0]; !others {
			addresses = addresses[1:]
		}
	})
	return whole && !others && len(addresses) == 0
}

// bareWords parts a text at white space and specials, without its comments and quoted
// texts but for quoted local-parts, and gives each word to take; whole says that each of
// those ends. There may be half a million words: no list of them is made.
func bareWords(text string, take func(word string)) (whole bool) {
	r := addressReader{text: text}
	start := 0
	for r.at < len(text) && r.fault == "" {
		at := r.at
		switch c := text[at]; {
		case c == '"':
			if r.quoted(); r.peek() == '@' && at == start {
				continue
			}
		case c == '(':
			r.comment()
		case strings.IndexByte(" \t,;<>)", c) >= 0:
			r.at++
		default:
			r.at++
			continue
		}
		take(text[start:at])
		start = r.at
	}
	take(text[min(start, len(text)):])
	return r.fault == ""
}

// looksLikeAt reports whether encoded words hold an "@" of another width, which some
// programs turn into one before they read.
func looksLikeAt(field string) bool {
	text, ok := decodeName(field)
	return !ok || strings.ContainsAny(text, "\uff20\ufe6b")
}

// outside leaves out the quoted texts and comments of a text in which all of them end.
func outside(text string) string {
	var b strings.Builder
	r := addressReader{text: text}
	for r.at < len(text) && r.fault == "" {
		switch text[r.at] {
		case '"':
			r.quoted()
		case '(':
			r.comment()
		default:
			b.WriteByte(text[r.at])
			r.at++
		}
	}
	return b.String()
}

// foldedBetween reports whether a field is folded behind commas alone, and its lines are
// within the bound. A comma in quotes or a comment may be meant: such a field is written
// anew without need, and says the same.
func (h Header) foldedBetween(f span) bool {
	lines := strings.Split(strings.TrimSuffix(string(h.raw[f.start:f.end]), "\r\n"), "\r\n")
	for i, l := range lines {
		if len(l) > maxFieldLine || i < len(lines)-1 && (!strings.HasSuffix(l, ",") || strings.Count(l, `"`)%2 != 0) {
			return false
		}
	}
	return f.end-f.start >= 2 && string(h.raw[f.end-2:f.end]) == "\r\n"
}

// settled writes one mailbox.
func (b writtenBox) settled(a mail.Address) (text, fault string) {
	spec := b.spec
	if !isASCII(spec) {
		spec = a.String() // the domain in A-labels
	}
	if strings.HasPrefix(spec, `"`) {
		if spec = a.String(); strings.ContainsAny(a.Local(), specials) {
			return "", "a local-part in quotes holds what some programs take for another address"
		}
	}
	phrase, fault := b.name()
	switch {
	case fault != "":
		return "", fault
	case phrase != "":
		return phrase + " <" + spec + ">", ""
	case b.angled:
		return "<" + spec + ">", ""
	}
	return spec, ""
}

// name writes the display name, to which comments are added that stood beside it.
func (b writtenBox) name() (phrase, fault string) {
	n := readName(b.phrase)
	comments, ok := commentTexts(b.comments)
	switch {
	case !n.ok || !ok:
		return "", "a display name is in a charset that is not known, or holds what deceives a reader"
	case comments != "" && n.text != "":
		return Phrase(n.text + " (" + comments + ")"), ""
	case comments != "":
		return Phrase(comments), ""
	case isQuotedWhole(b.phrase):
		return b.phrase, ""
	case n.kept && isASCII(b.phrase) && isAtomsOrWords(b.phrase) && !strings.ContainsAny(n.text, hiding):
		return b.phrase, ""
	}
	return Phrase(n.text), ""
}

// isQuotedWhole reports whether a phrase is one quoted-string of printable ASCII, in
// which no reader looks for anything.
func isQuotedWhole(phrase string) bool {
	inner, opened := strings.CutPrefix(phrase, `"`)
	inner, closed := strings.CutSuffix(inner, `"`)
	return opened && closed && !strings.HasSuffix(inner, `\`) && isQuotable(strings.ReplaceAll(inner, `\"`, `"`)) &&
		strings.Count(inner, `"`) == strings.Count(inner, `\"`) && strings.IndexFunc(inner, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// isAtomsOrWords reports whether each word of a phrase is an atom of letters, or a whole
// encoded word.
func isAtomsOrWords(phrase string) bool {
	for w := range strings.SplitSeq(phrase, " ") {
		if isWholeWord(w) {
			continue
		}
		if w == "" || w[0] == '.' || strings.Contains(w, "..") || strings.Contains(w, "=?") || !isAtoms(strings.ReplaceAll(w, ".", "")) {
			return false
		}
	}
	return true
}

// isWholeWord reports whether w is one encoded word, in the strict grammar of RFC 2047
// §2 but for its length.
func isWholeWord(w string) bool {
	_, end, ok := (&wordReader{text: w}).word(0)
	if !ok || !strings.HasPrefix(w, "=?") || end != len(w) || strings.Count(w, "?") != 4 {
		return false
	}
	parts := strings.Split(w, "?")
	body := parts[3]
	if strings.EqualFold(parts[2], "b") {
		return len(body)%4 == 0
	}
	return strings.IndexFunc(body, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"\<>@()[]:;,.`, c) }) < 0
}

// joined puts mailboxes into a field, folded between them.
func joined(name string, boxes []string) (field []byte, fault string) {
	line := len(name) + 1
	field = append(field, name+":"...)
	for i, b := range boxes {
		if i < len(boxes)-1 {
			b += ","
		}
		if len(b)+line >= maxFieldLine {
			if len(b)+1 > maxFieldLine || i == 0 {
				return nil, "a display name is too long"
			}
		}
		if i > 0 && line+1+len(b) > goodFieldLine {
			field, line = append(field, "\r\n"...), 0
		}
		field = append(append(field, ' '), b...)
		line += 1 + len(b)
	}
	return append(field, "\r\n"...), ""
}
