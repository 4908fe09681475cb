package migrate

import (
	"errors"
	"fmt"
	"strings"
)

// Files reads a file that the configuration names. Where it is known that there is none, the
// error is ErrAbsent.
type Files func(path string) ([]byte, error)

// ErrAbsent is the error of a file of which it is known that there is none.
var ErrAbsent = errors.New("there is no such file")

// Entry is one line of a table.
type Entry struct {
	Key, Value string
	File       string
	Line       int
}

// MaxEntries bounds what is read of one table.
const MaxEntries = 1_000_000

// Table reads a lookup table by its type:name, from its source text. A table of a type
// that computes or asks elsewhere is an error that says so.
func (p Params) Table(spec string, read Files) ([]Entry, error) {
	kind, name, found := strings.Cut(strings.TrimPrefix(spec, "proxy:"), ":")
	if !found {
		return nil, fmt.Errorf("%s is no table of the form type:name", spec)
	}
	if isText(kind) {
		text, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("the source text of %s cannot be read: %w", spec, err)
		}
		return parseTable(name, string(text))
	}
	switch kind {
	case "inline":
		return inlineTable(spec, name)
	case "static":
		return []Entry{{Key: "*", Value: strings.Trim(name, "{}"), File: spec}}, nil
	case "fail":
		return nil, nil
	case "pcre", "regexp", "cidr":
		return nil, fmt.Errorf("%s matches patterns, which no table here does", spec)
	case "ldap", "mysql", "pgsql", "sqlite", "memcache", "nis", "nisplus", "tcp", "socketmap", "unix":
		return nil, fmt.Errorf("%s asks another program for each address; export it to a hash: source and import that", spec)
	}
	return nil, fmt.Errorf("tables of type %s are not read", kind)
}

// isText reports whether tables of a type are made of a source text, which is beside them.
func isText(kind string) bool {
	switch kind {
	case "hash", "lmdb", "btree", "dbm", "cdb", "sdbm", "texthash":
		return true
	}
	return false
}

func parseTable(file, text string) ([]Entry, error) {
	var out []Entry
	for _, l := range logicalLines(text) {
		if len(out) == MaxEntries {
			return nil, fmt.Errorf("%s has more than %d lines", file, MaxEntries)
		}
		key, value := cutKey(l.text)
		out = append(out, Entry{key, value, file, l.number})
	}
	return out, nil
}

// cutKey parts key and value at the first white space outside of quotes. postmap(1).
func cutKey(s string) (key, value string) {
	var q quotes
	for i := range len(s) {
		if q.next(s[i]) && !q.in && (s[i] == ' ' || s[i] == '\t') {
			return requoted(s[:i]), strings.TrimSpace(s[i:])
		}
	}
	return requoted(s), ""
}

// inlineTable reads inline:{ key=value, { key = value with spaces } }.
func inlineTable(spec, name string) ([]Entry, error) {
	name = strings.TrimSpace(name)
	if !strings.HasPrefix(name, "{") || !strings.HasSuffix(name, "}") {
		return nil, fmt.Errorf("%s is no inline table", spec)
	}
	var out []Entry
	for _, w := range Words(name[1 : len(name)-1]) {
		key, value, found := strings.Cut(strings.Trim(w, "{} "), "=")
		if !found {
			return nil, fmt.Errorf("%s: %s is no key=value", spec, w)
		}
		out = append(out, Entry{Key: strings.TrimSpace(key), Value: strings.TrimSpace(value), File: "inline table"})
	}
	return out, nil
}

// ParseAliases reads aliases(5): "name: value, value".
func ParseAliases(file, text string) (entries []Entry, faults []Fault) {
	for _, l := range logicalLines(text) {
		key, value, ok := cutAlias(l.text)
		if !ok {
			faults = append(faults, Fault{l.number, l.text, "it is no alias of the form name: value"})
			continue
		}
		entries = append(entries, Entry{key, value, file, l.number})
	}
	return entries, faults
}

// cutAlias parts at the first colon outside of quotes.
func cutAlias(s string) (key, value string, ok bool) {
	var q quotes
	for i := range len(s) {
		if q.next(s[i]) && !q.in && s[i] == ':' {
			key = requoted(strings.TrimSpace(s[:i]))
			return key, strings.TrimSpace(s[i+1:]), key != ""
		}
	}
	return "", "", false
}

// targets parts the right side of an alias at commas outside of quotes.
func targets(s string) []string {
	all := split(s, ",")
	for i, t := range all {
		all[i] = addressOf(t)
	}
	return all
}
