package config

import (
	"bytes"
	"errors"
	"strings"
	"unicode/utf8"

	"sallyport/internal/mail"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// span is a range of octets of the source; the zero span is the file as a whole.
type span struct{ offset, length int }

// node is one value or table of the file, with its place. A value's text is the
// decoded string, or the literal of a number or boolean as it stands.
type node struct {
	path string
	kind unstable.Kind // Table, Array, String, Integer, Float, Bool, or a date
	text string
	key  span // the key that named it last
	at   span // the value; for tables and arrays, the key

	items    []*node          // of an Array
	names    []string         // of a Table, in the order of the file
	children map[string]*node // of a Table
	headed   bool             // a [table] header named it
	closed   bool             // an inline table: nothing may be added to it
}

// meant is what a fault about n points at.
func (n *node) meant() span {
	if n.at.length > 0 {
		return n.at
	}
	return n.key
}

// isTable reports whether there is a table.
func (n *node) isTable() bool { return n != nil && n.kind == unstable.Table }

func newTable(path string, key span) *node {
	return &node{path: path, kind: unstable.Table, key: key, at: key, children: map[string]*node{}}
}

// source is a file's text and the faults found in it so far.
type source struct {
	file   string
	text   []byte
	faults Faults

	// Where each of the Config's domains, aliases and routes stands.
	domainAt, aliasAt, routeAt []*node
}

// builder turns the parser's expressions into one tree.
type builder struct {
	*source
	parser  unstable.Parser
	root    *node
	current *node // the table that a header opened
}

// parseTree returns the tree of a whole file, or nil where it is no TOML at all.
func (s *source) parseTree() *node {
	b := &builder{source: s, root: newTable("", span{})}
	b.current = b.root
	b.parser.Reset(s.text)
	for b.parser.NextExpression() {
		b.expression(b.parser.Expression())
	}
	if err := b.parser.Error(); err != nil {
		b.syntax(err)
		return nil
	}
	// The parser alone leaves some rules of TOML unchecked, such as those of
	// numbers; the decoder knows them all, but stops at the first.
	var all map[string]any
	if err := toml.Unmarshal(s.text, &all); err != nil && len(s.faults) == 0 {
		b.syntax(err)
		return nil
	}
	return b.root
}

func (b *builder) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.Table:
		b.current = b.header(e)
	case unstable.ArrayTable:
		it := e.Key()
		it.Next()
		at := spanOf(it.Node())
		b.fault(at, "[["+string(it.Node().Data)+"]]", "no part of this file is an array of tables",
			"write [name] once, with single brackets")
		// It is read as the table that it was meant to be, to find what else is wrong.
		b.current = b.step(b.root, it.Node())
	case unstable.KeyValue:
		b.keyValue(b.current, e)
	}
}

// header opens the table that [a.b] names.
func (b *builder) header(e *unstable.Node) *node {
	t := b.root
	it := e.Key()
	for it.Next() {
		t = b.step(t, it.Node())
	}
	if t.headed {
		b.fault(t.key, b.literal(t.key), "this table stands here a second time", "put its keys into one place")
	}
	t.headed = true
	return t
}

// step enters the table name of t, making it where it is missing.
func (b *builder) step(t *node, key *unstable.Node) *node {
	name, at := string(key.Data), spanOf(key)
	child, ok := t.children[name]
	switch {
	case !ok:
		child = newTable(join(t.path, name), at)
		t.add(name, child)
	case child.kind != unstable.Table || child.closed:
		b.fault(at, b.literal(at), "this name already has a value", "remove one of the two")
		child = newTable(join(t.path, name), at)
	default:
		child.key, child.at = at, at
	}
	return child
}

func (b *builder) keyValue(t *node, e *unstable.Node) {
	it := e.Key()
	for it.Next() {
		if !it.IsLast() {
			t = b.step(t, it.Node())
			continue
		}
		name, at := string(it.Node().Data), spanOf(it.Node())
		if old, ok := t.children[name]; ok {
			b.fault(at, b.literal(at), "this key stands here a second time",
				"the first is at line "+itoa(b.position(old.key.offset).Line))
			return
		}
		v := b.value(join(t.path, name), e.Value())
		v.key = at
		if v.at.length == 0 {
			v.at = at
		}
		t.add(name, v)
	}
}

// value copies the value e, whose memory the parser will use again.
func (b *builder) value(path string, e *unstable.Node) *node {
	n := &node{path: path, kind: e.Kind}
	switch e.Kind {
	case unstable.Array:
		it := e.Children()
		for it.Next() {
			if it.Node().Kind == unstable.Comment {
				continue
			}
			item := b.value(path+"["+itoa(len(n.items))+"]", it.Node())
			item.key = item.at
			n.items = append(n.items, item)
		}
	case unstable.InlineTable:
		n = newTable(path, span{})
		it := e.Children()
		for it.Next() {
			if it.Node().Kind == unstable.KeyValue {
				b.keyValue(n, it.Node())
			}
		}
		n.closed = true
	default:
		n.text, n.at = string(e.Data), spanOf(e)
	}
	return n
}

func (n *node) add(name string, child *node) {
	n.children[name] = child
	n.names = append(n.names, name)
}

// syntax reports where the text is no TOML.
func (b *builder) syntax(err error) {
	var perr *unstable.ParserError
	if errors.As(err, &perr) {
		r := b.parser.Range(perr.Highlight)
		at := span{int(r.Offset), int(r.Length)}
		b.fault(at, b.literal(at), "this is not TOML: "+perr.Message, syntaxHint(perr.Message))
		return
	}
	var derr *toml.DecodeError
	if errors.As(err, &derr) {
		row, column := derr.Position()
		at := b.offset(row, column)
		message := strings.TrimPrefix(derr.Error(), "toml: ")
		b.fault(at, b.literal(at), "this is not TOML: "+message, syntaxHint(message))
		return
	}
	b.fault(span{}, "", "this is not TOML: "+err.Error(), syntaxHint(""))
}

// syntaxHint says how it is written, for what the reader of TOML said.
func syntaxHint(message string) string {
	switch {
	case strings.Contains(message, "start of value"):
		return `text stands in "quotes", lists in [brackets]`
	case strings.Contains(message, "new lines"):
		return `a text ends in its own line, with the "quote" that it began with`
	case strings.Contains(message, "close table name"):
		return `a table is opened by its name alone: [listen], [domain."example.org"]`
	}
	return `a line is key = "value", or opens a [table]`
}

// fault notes one fault at a place of the source.
func (s *source) fault(at span, text, message, hint string) {
	f := Fault{Position: Position{File: s.file}, Text: text, Message: message, Hint: hint}
	if at.length > 0 {
		f.Position = s.position(at.offset)
		f.Source = s.line(at.offset)
		end := min(at.offset+at.length, len(s.text))
		meant, _, _ := bytes.Cut(s.text[at.offset:end], []byte("\n"))
		f.Width = utf8.RuneCount(meant)
	}
	s.faults = append(s.faults, f.withoutSecrets())
}

// literal returns the source at a place, one line of it and no more than 80
// octets, for use in a message.
func (s *source) literal(at span) string {
	end := min(at.offset+at.length, at.offset+80, len(s.text))
	text, _, _ := bytes.Cut(s.text[at.offset:end], []byte("\n"))
	return strings.ToValidUTF8(strings.TrimSuffix(string(text), "\r"), "?")
}

// position turns an octet offset into line and column.
func (s *source) position(offset int) Position {
	before := s.text[:min(offset, len(s.text))]
	line := bytes.Count(before, []byte("\n")) + 1
	start := bytes.LastIndexByte(before, '\n') + 1
	return Position{File: s.file, Line: line, Column: utf8.RuneCount(before[start:]) + 1}
}

// offset turns line and column, in octets, into a span of one octet.
func (s *source) offset(line, column int) span {
	start := 0
	for ; line > 1; line-- {
		i := bytes.IndexByte(s.text[start:], '\n')
		if i < 0 {
			break
		}
		start += i + 1
	}
	return span{min(start+max(column-1, 0), max(len(s.text)-1, 0)), 1}
}

// line returns the line that holds an offset, without its end, made printable.
func (s *source) line(offset int) string {
	offset = min(offset, len(s.text))
	start := bytes.LastIndexByte(s.text[:offset], '\n') + 1
	text, _, _ := bytes.Cut(s.text[start:], []byte("\n"))
	return strings.Map(printable, strings.ToValidUTF8(strings.TrimSuffix(string(text), "\r"), "?"))
}

// printable keeps a terminal from obeying what a file holds.
func printable(r rune) rune {
	if r == '\t' || mail.Visible(r) {
		return r
	}
	return '?'
}

func spanOf(n *unstable.Node) span { return span{int(n.Raw.Offset), int(n.Raw.Length)} }

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
