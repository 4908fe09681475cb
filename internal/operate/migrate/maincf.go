// Package migrate reads a configuration of Postfix: main.cf, the tables that it names,
// aliases(5) and master.cf, and says line by line what of it can be carried over.
//
// It promises that every setting of main.cf gets a verdict with its line, that what
// cannot be carried over is said and never guessed, and that no trust in addresses, no
// program, no file and no lookup that runs code is ever carried over. It is pure: the
// files come through a function of the caller.
package migrate

import (
	"strconv"
	"strings"
)

// Setting is one logical line of main.cf.
type Setting struct {
	Name, Value string // Value as written, continuation lines joined
	Line        int    // of its first line, from 1
}

// Fault is a line that is no setting.
type Fault struct {
	Line int
	Text string
	Why  string
}

// ParseMain parses main.cf. A line that begins with white space continues the one
// before it; comments and empty lines in between do not end it. postconf(5).
func ParseMain(text string) (settings []Setting, faults []Fault) {
	for _, l := range logicalLines(text) {
		name, value, found := strings.Cut(l.text, "=")
		name = strings.TrimSpace(name)
		switch {
		case l.orphan:
			faults = append(faults, Fault{l.number, l.text, "it continues a line that is not there"})
		case !found || !isName(name):
			faults = append(faults, Fault{l.number, l.text, "it is no setting of the form name = value"})
		default:
			settings = append(settings, Setting{name, strings.TrimSpace(value), l.number})
		}
	}
	return settings, faults
}

// line is one logical line.
type line struct {
	text   string
	number int
	orphan bool // it begins with white space, and nothing stands before it
}

func logicalLines(text string) []line {
	var out []line
	for i, raw := range strings.Split(text, "\n") {
		raw = strings.TrimRight(raw, " \t\r")
		trimmed := strings.TrimLeft(raw, " \t")
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case trimmed != raw && len(out) > 0:
			out[len(out)-1].text += " " + trimmed
		default:
			out = append(out, line{trimmed, i + 1, trimmed != raw})
		}
	}
	return out
}

// isName reports what can name a parameter, also one of the administrator's own.
func isName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
	}) < 0
}

// Params are the settings with Postfix's own defaults behind them.
type Params struct {
	set  map[string]Setting
	dir  string
	host string
}

// NewParams returns the parameters of a configuration folder. Where a name is set
// twice, the last one counts. host is the name of the host that it ran on, for what
// main.cf leaves to the system.
func NewParams(settings []Setting, dir, host string) Params {
	p := Params{set: map[string]Setting{}, dir: dir, host: host}
	for _, s := range settings {
		p.set[s.Name] = s
	}
	return p
}

// Given returns a setting as it stands.
func (p Params) Given(name string) (Setting, bool) {
	s, ok := p.set[name]
	return s, ok
}

const (
	// maxDepth bounds parameters that name parameters.
	maxDepth = 20
	// maxValue bounds what an expansion may grow to.
	maxValue = 1 << 20
)

// Value returns a parameter with every $name in it expanded; ok is false where that
// has no end. A parameter that is neither set nor known here is empty.
func (p Params) Value(name string) (value string, ok bool) {
	return p.value(name, 0)
}

func (p Params) value(name string, depth int) (string, bool) {
	if depth > maxDepth {
		return "", false
	}
	raw, given := p.raw(name)
	if !given {
		return "", true
	}
	return p.expand(raw, depth)
}

// raw returns a parameter as set, or Postfix's default.
func (p Params) raw(name string) (string, bool) {
	if s, ok := p.set[name]; ok {
		return s.Value, true
	}
	switch name {
	case "config_directory":
		return p.dir, true
	case "queue_directory":
		return "/var/spool/postfix", true
	case "local_transport":
		return "local:$myhostname", true
	case "relay_transport":
		return "relay", true
	case "default_transport":
		return "smtp", true
	case "myhostname":
		return p.host, true
	case "mydomain":
		host, _ := p.value("myhostname", 1)
		if _, rest, found := strings.Cut(host, "."); found {
			return rest, true
		}
		return "localdomain", true
	case "myorigin":
		return "$myhostname", true
	case "mydestination":
		return "$myhostname, localhost.$mydomain, localhost", true
	case "virtual_alias_domains":
		return "$virtual_alias_maps", true
	case "virtual_mailbox_domains":
		return "$virtual_mailbox_maps", true
	case "alias_database", "alias_maps":
		return "hash:/etc/aliases", true
	case "virtual_transport":
		return "virtual", true
	case "default_database_type":
		return "hash", true
	case "inet_interfaces", "inet_protocols":
		return "all", true
	}
	return "", false
}

// expand replaces $name, ${name}, $(name), ${name?text}, ${name:text} and the
// three-part forms, and $$ by a dollar. postconf(5).
func (p Params) expand(s string, depth int) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); {
		if b.Len() > maxValue {
			return "", false
		}
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			i++
			continue
		}
		text, used, ok := p.one(s[i+1:], depth)
		if !ok {
			return "", false
		}
		b.WriteString(text)
		i += 1 + used
	}
	return b.String(), b.Len() <= maxValue
}

// one expands what stands behind a dollar, and says how many octets of s that were.
func (p Params) one(s string, depth int) (text string, used int, ok bool) {
	switch s[0] {
	case '$':
		return "$", 1, true
	case '{', '(':
		end := closing(s)
		if end < 0 {
			return "", 0, false
		}
		text, ok = p.braced(s[1:end], depth)
		return text, end + 1, ok
	}
	n := 0
	for n < len(s) && isName(s[n:n+1]) && s[n] != '.' && s[n] != '-' {
		n++
	}
	if n == 0 {
		return "$", 0, true
	}
	text, ok = p.value(s[:n], depth+1)
	return text, n, ok
}

// closing returns where the bracket that opens s closes.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{', '(':
			depth++
		case '}', ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// braced expands the inside of ${…}.
func (p Params) braced(s string, depth int) (string, bool) {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "{") {
		return p.compared(s, depth)
	}
	at := strings.IndexAny(s, "?:")
	if at < 0 {
		return p.value(strings.TrimSpace(s), depth+1)
	}
	value, ok := p.value(strings.TrimSpace(s[:at]), depth+1)
	if !ok {
		return "", false
	}
	return p.choose(value != "", s[at:], depth)
}

// choose takes the branch of "?a", ":b" or "?{a}:{b}" that a condition calls for.
func (p Params) choose(yes bool, s string, depth int) (string, bool) {
	first, rest := branch(s[1:])
	if s[0] == ':' {
		yes, rest = !yes, ""
	}
	switch {
	case yes:
		return p.expand(first, depth+1)
	case strings.HasPrefix(rest, ":"):
		second, _ := branch(rest[1:])
		return p.expand(second, depth+1)
	}
	return "", true
}

// branch takes one text, in braces or up to the end.
func branch(s string) (text, rest string) {
	s = strings.TrimLeft(s, " ")
	if strings.HasPrefix(s, "{") {
		if end := closing(s); end > 0 {
			return strings.TrimSpace(s[1:end]), strings.TrimLeft(s[end+1:], " ")
		}
	}
	return s, ""
}

// compared expands "{a} == {b}?{c}:{d}", with any of Postfix's comparisons.
func (p Params) compared(s string, depth int) (string, bool) {
	left, rest := branch(s)
	op := ""
	for _, o := range []string{"==", "!=", "<=", ">=", "<", ">"} {
		if strings.HasPrefix(rest, o) {
			op = o
			break
		}
	}
	if op == "" {
		return "", false
	}
	right, rest := branch(rest[len(op):])
	left, okLeft := p.expand(left, depth+1)
	right, okRight := p.expand(right, depth+1)
	if !okLeft || !okRight || rest == "" || rest[0] != '?' && rest[0] != ':' {
		return "", false
	}
	return p.choose(holds(left, op, right), rest, depth)
}

// holds compares as numbers where both are, else as texts.
func holds(left, op, right string) bool {
	c := strings.Compare(left, right)
	l, errL := strconv.ParseInt(left, 10, 64)
	r, errR := strconv.ParseInt(right, 10, 64)
	if errL == nil && errR == nil {
		c = int(min(max(l-r, -1), 1))
	}
	switch op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// Words parts a list, at commas and white space outside of braces.
func Words(s string) []string {
	var out []string
	depth, start := 0, -1
	for i := 0; i <= len(s); i++ {
		if i == len(s) || depth == 0 && strings.IndexByte(", \t", s[i]) >= 0 {
			if start >= 0 {
				out = append(out, s[start:i])
				start = -1
			}
			continue
		}
		if start < 0 {
			start = i
		}
		switch s[i] {
		case '{':
			depth++
		case '}':
			depth = max(0, depth-1)
		}
	}
	return out
}
