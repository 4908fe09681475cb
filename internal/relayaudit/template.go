package relayaudit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a template. Rows come from a file, and a typing error in it must not
// cost the tester's memory.
const (
	maxRepeat   = 2 << 20 // octets that one {REP} or {FILL} may make
	maxNesting  = 4       // directives of a template within each other
	fillLine    = 64      // octets of a line made by {FILL}, with its CR LF
	placeholder = "LD D2 RD HN LIT IP USER PASS SASL FROM TO MARK HDR SMUG"
)

var errTemplate = errors.New("relayaudit: bad script")

// template is a text with placeholders, parsed once and expanded for every run.
type template struct{ parts []part }

// part is a literal, or the placeholder name with its arguments.
type part struct {
	lit  string
	name string
	n    int
	arg  template
}

// parseTemplate reads s as far as its end.
func parseTemplate(s string, depth int) (template, error) {
	var t template
	var lit strings.Builder
	for i := 0; i < len(s); {
		switch s[i] {
		case '\\':
			b, n, err := unescape(s[i:])
			if err != nil {
				return template{}, err
			}
			lit.WriteString(b)
			i += n
		case '{':
			end := closing(s[i:])
			if end < 0 {
				return template{}, fmt.Errorf("%w: %q has no closing brace", errTemplate, s[i:])
			}
			p, err := parsePlaceholder(s[i+1:i+end], depth)
			if err != nil {
				return template{}, err
			}
			t.parts = append(t.parts, part{lit: lit.String()}, p)
			lit.Reset()
			i += end + 1
		case '}':
			return template{}, fmt.Errorf("%w: a closing brace stands alone in %q", errTemplate, s)
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	t.parts = append(t.parts, part{lit: lit.String()})
	return t, nil
}

// escapeOctets is how long the longest escape is: \x2e.
const escapeOctets = 4

// unescape reads one escape at the start of s and returns its length.
func unescape(s string) (octets string, n int, err error) {
	if len(s) < 2 {
		return "", 0, fmt.Errorf("%w: a backslash ends it", errTemplate)
	}
	switch s[1] {
	case 'r':
		return "\r", 2, nil
	case 'n':
		return "\n", 2, nil
	case 't':
		return "\t", 2, nil
	case 's':
		return " ", 2, nil
	case '\\', '{', '}':
		return s[1:2], 2, nil
	case 'x':
		if len(s) < 4 {
			break
		}
		v, err := strconv.ParseUint(s[2:4], 16, 8)
		if err != nil {
			break
		}
		return string([]byte{byte(v)}), 4, nil
	}
	return "", 0, fmt.Errorf("%w: unknown escape %q", errTemplate, s[:min(escapeOctets, len(s))])
}

// closing returns the index of the brace that closes the one at s[0], or -1.
func closing(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// parsePlaceholder reads what stands between two braces.
func parsePlaceholder(s string, depth int) (part, error) {
	if depth >= maxNesting {
		return part{}, fmt.Errorf("%w: nested deeper than %d", errTemplate, maxNesting)
	}
	name, rest, _ := strings.Cut(s, " ")
	p := part{name: name}
	var err error
	switch name {
	case "CUT":
		return p, nil
	case "REP":
		count, text, _ := strings.Cut(rest, " ")
		if p.n, err = parseCount(count); err != nil {
			return part{}, err
		}
		p.arg, err = parseTemplate(text, depth+1)
		return p, err
	case "FILL":
		p.n, err = parseCount(rest)
		return p, err
	case "B64":
		p.arg, err = parseTemplate(rest, depth+1)
		return p, err
	}
	if rest != "" || name == "" || !containsWord(placeholder, name) {
		return part{}, fmt.Errorf("%w: unknown placeholder {%s}", errTemplate, s)
	}
	return p, nil
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > maxRepeat {
		return 0, fmt.Errorf("%w: %q is no count up to %d", errTemplate, s, maxRepeat)
	}
	return n, nil
}

func containsWord(words, w string) bool {
	for _, x := range strings.Fields(words) {
		if x == w {
			return true
		}
	}
	return false
}

// expand returns the octets of t, in the pieces that {CUT} makes: at least one.
func (t template) expand(vars map[string]string) ([][]byte, error) {
	pieces := [][]byte{nil}
	total := 0
	for _, p := range t.parts {
		last := &pieces[len(pieces)-1]
		before := len(*last)
		switch p.name {
		case "":
			*last = append(*last, p.lit...)
		case "CUT":
			pieces = append(pieces, nil)
		case "FILL":
			*last = appendFill(*last, p.n-total)
		case "REP", "B64":
			b, err := p.call(vars)
			if err != nil {
				return nil, err
			}
			*last = append(*last, b...)
		default:
			*last = append(*last, vars[p.name]...)
		}
		total += len(*last) - before
	}
	return pieces, nil
}

// call applies {REP} or {B64} to its argument.
func (p part) call(vars map[string]string) ([]byte, error) {
	inner, err := p.arg.expand(vars)
	if err != nil {
		return nil, err
	}
	if len(inner) != 1 {
		return nil, fmt.Errorf("%w: {CUT} cannot stand within {%s}", errTemplate, p.name)
	}
	if p.name == "B64" {
		return base64.StdEncoding.AppendEncode(nil, inner[0]), nil
	}
	if len(inner[0])*p.n > maxRepeat {
		return nil, fmt.Errorf("%w: {REP} makes more than %d octets", errTemplate, maxRepeat)
	}
	return []byte(strings.Repeat(string(inner[0]), p.n)), nil
}

// appendFill appends n octets of ordinary text whose lines are shorter than any
// limit; the last line is not ended.
func appendFill(b []byte, n int) []byte {
	for ; n > 2*fillLine; n -= fillLine {
		b = append(b, strings.Repeat("f", fillLine-2)...)
		b = append(b, '\r', '\n')
	}
	return append(b, strings.Repeat("f", max(0, n))...)
}
