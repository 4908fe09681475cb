package wire

import (
	"slices"
	"strconv"
	"strings"
)

// Fetch has the arguments of FETCH. RFC 9051 §6.4.5.
type Fetch struct {
	Set   Set
	Items []Item
	// Changed: only what has changed since ChangedSince; Vanished: what is gone since, too. RFC
	// 7162 §3.1.4, §3.2.6.
	Changed, Vanished bool
	ChangedSince      uint64
}

// ItemKind says what one item of a FETCH is.
type ItemKind uint8

// What a FETCH may ask for.
const (
	ItemNone ItemKind = iota
	ItemUID
	ItemFlags
	ItemModSeq
	ItemInternalDate
	ItemSize
	ItemEnvelope
	ItemBody          // BODY, without extensions
	ItemBodyStructure // BODYSTRUCTURE
	ItemSection       // BODY[…], RFC822, RFC822.HEADER, RFC822.TEXT
	ItemBinary        // BINARY[…]
	ItemBinarySize    // BINARY.SIZE[…]
	ItemEmailID       // RFC 8474
	ItemThreadID
	ItemPreview // RFC 8970
)

// Item is one thing that a FETCH asks for.
type Item struct {
	Kind    ItemKind
	Section Section
	// Peek: reading it does not set \Seen.
	Peek bool
	// Partial: only Octets octets from Offset on.
	Partial        bool
	Offset, Octets int64
	// Name is how the answer calls it, without partial.
	Name string
	Lazy bool // of PREVIEW: only if it is at hand
}

// SectionOf says which part of a message, or of one of its parts, a section is.
type SectionOf uint8

// What a Section is.
const (
	SectionWhole SectionOf = iota
	SectionHeader
	SectionFields    // HEADER.FIELDS
	SectionNotFields // HEADER.FIELDS.NOT
	SectionText
	SectionMIME
)

// Section names a part of a message. RFC 9051 §6.4.5.1.
type Section struct {
	Part   []int // numbers from 1; empty: the message
	Of     SectionOf
	Fields []string // as they were written
}

// simpleItems are the items that are one word.
var simpleItems = map[string]Item{
	"UID": {Kind: ItemUID}, "FLAGS": {Kind: ItemFlags}, "MODSEQ": {Kind: ItemModSeq},
	"INTERNALDATE": {Kind: ItemInternalDate}, "RFC822.SIZE": {Kind: ItemSize}, "ENVELOPE": {Kind: ItemEnvelope},
	"BODYSTRUCTURE": {Kind: ItemBodyStructure}, "EMAILID": {Kind: ItemEmailID}, "THREADID": {Kind: ItemThreadID},
	"RFC822":        {Kind: ItemSection},
	"RFC822.HEADER": {Kind: ItemSection, Section: Section{Of: SectionHeader}, Peek: true},
	"RFC822.TEXT":   {Kind: ItemSection, Section: Section{Of: SectionText}},
}

// macros stand for several items. RFC 9051 §6.4.5.
var macros = map[string][]string{
	"FAST": {"FLAGS", "INTERNALDATE", "RFC822.SIZE"},
	"ALL":  {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"},
	"FULL": {"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"},
}

func (s *scanner) fetch() Args {
	f := Fetch{Set: s.set()}
	s.space()
	if s.peek() == '(' {
		s.list(func() { f.add(s.item()) })
		if len(f.Items) == 0 {
			s.fail("FETCH must ask for something")
		}
	} else {
		f.single(s)
	}
	if s.accept(' ') && !s.atEnd() {
		s.list(func() { f.modifier(s) })
	}
	if f.Vanished && !f.Changed {
		s.fail("VANISHED needs CHANGEDSINCE")
	}
	return f
}

// single takes one item, or a macro.
func (f *Fetch) single(s *scanner) {
	for name, words := range macros {
		if !s.acceptWord(name) {
			continue
		}
		for _, w := range words {
			item := simpleItems[w]
			if w == "BODY" {
				item = Item{Kind: ItemBody}
			}
			item.Name = w
			f.add(item)
		}
		return
	}
	f.add(s.item())
}

// add keeps an item, once.
func (f *Fetch) add(item Item) {
	for _, have := range f.Items {
		if have.same(item) {
			return
		}
	}
	f.Items = append(f.Items, item)
}

func (i Item) same(j Item) bool {
	return i.Kind == j.Kind && i.Name == j.Name && i.Peek == j.Peek && i.Partial == j.Partial && i.Offset == j.Offset && i.Octets == j.Octets &&
		slices.Equal(i.Section.Fields, j.Section.Fields)
}

func (f *Fetch) modifier(s *scanner) {
	switch w := s.word(); w {
	case "CHANGEDSINCE":
		s.space()
		f.Changed, f.ChangedSince = true, uint64(s.number())
	case "VANISHED":
		f.Vanished = true
	default:
		s.fail("unknown option of FETCH")
	}
}

// isItem: the letters of the name of an item.
func isItem(c byte) bool { return isAtom(c) && c != '[' }

func (s *scanner) item() Item {
	start := s.pos
	name := strings.ToUpper(s.while(isItem, "a data item"))
	if item, ok := simpleItems[name]; ok {
		item.Name = name
		return item
	}
	var item Item
	switch name {
	case "BODY", "BODY.PEEK":
		item.Peek = name == "BODY.PEEK"
		if s.peek() != '[' && !item.Peek {
			return Item{Kind: ItemBody, Name: name}
		}
		item.Kind, item.Name = ItemSection, "BODY"
		item.Section = s.section()
	case "BINARY", "BINARY.PEEK":
		item.Kind, item.Name, item.Peek = ItemBinary, "BINARY", name == "BINARY.PEEK"
		item.Section = s.section()
	case "BINARY.SIZE":
		item.Kind, item.Name, item.Peek = ItemBinarySize, name, true
		item.Section = s.section()
	case "PREVIEW":
		return s.preview()
	default:
		s.pos = start
		s.fail("unknown data item of FETCH")
		return item
	}
	item.Name += item.Section.String()
	if item.Kind != ItemBinarySize && s.accept('<') {
		item.Partial, item.Offset, item.Octets = true, s.number(), mostNumber64
		if s.accept('.') {
			if item.Octets = s.number(); item.Octets == 0 {
				s.fail("a partial FETCH must ask for an octet")
			}
		}
		s.expect('>')
	}
	return item
}

// preview: RFC 8970 §3.
func (s *scanner) preview() Item {
	item := Item{Kind: ItemPreview, Name: "PREVIEW", Peek: true}
	if at := s.pos; s.accept(' ') {
		if s.peek() != '(' {
			s.pos = at
			return item
		}
		s.list(func() {
			if w := s.word(); w != "LAZY" {
				s.fail("unknown option of PREVIEW")
			}
			item.Lazy = true
		})
	}
	return item
}

// section takes what stands in brackets. RFC 9051 §9: section; of BINARY, RFC 3516 §4.2 knows
// numbers alone, and programs use the rest too.
func (s *scanner) section() (out Section) {
	s.expect('[')
	for isDigit(s.peek()) {
		if out.Part = append(out.Part, int(s.number32(true))); len(out.Part) > s.limits.Nesting {
			s.fail("a section has too many numbers")
			return out
		}
		if s.peek() == ']' {
			break
		}
		s.expect('.')
	}
	if s.accept(']') {
		return out
	}
	switch w := strings.ToUpper(s.while(isAtom, "a section")); {
	case w == "HEADER":
		out.Of = SectionHeader
	case w == "HEADER.FIELDS", w == "HEADER.FIELDS.NOT":
		out.Of = SectionFields
		if w == "HEADER.FIELDS.NOT" {
			out.Of = SectionNotFields
		}
		s.space()
		s.list(func() { out.Fields = append(out.Fields, s.astring()) })
		if s.ok() && len(out.Fields) == 0 {
			s.fail("a list of header fields is empty")
		}
	case w == "TEXT":
		out.Of = SectionText
	case w == "MIME" && len(out.Part) > 0:
		out.Of = SectionMIME
	default:
		s.fail("unknown section")
	}
	s.expect(']')
	return out
}

// String writes the section as an answer names it, with its brackets.
func (t Section) String() string {
	b := []byte{'['}
	for i, n := range t.Part {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	word := map[SectionOf]string{
		SectionHeader: "HEADER", SectionFields: "HEADER.FIELDS", SectionNotFields: "HEADER.FIELDS.NOT",
		SectionText: "TEXT", SectionMIME: "MIME",
	}[t.Of]
	if word != "" && len(t.Part) > 0 {
		b = append(b, '.')
	}
	b = append(b, word...)
	if t.Of == SectionFields || t.Of == SectionNotFields {
		b = append(b, " ("...)
		for i, f := range t.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			b = AppendAstring(b, f, false)
		}
		b = append(b, ')')
	}
	return string(append(b, ']'))
}
