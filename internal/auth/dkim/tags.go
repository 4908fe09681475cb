package dkim

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tag is one tag of a list. RFC 6376 §3.2.
type tag struct {
	name  string
	value string // without white space around it
	from  int    // offset in the list behind the "="
	to    int    // offset of what ends the value
}

var (
	errTagSyntax = errors.New("the tag list is malformed")
	errTagTwice  = errors.New("a tag stands there twice")
	errTagsMany  = errors.New("it has too many tags")
)

// tagList is a parsed list; tags are found by their case-sensitive names.
type tagList []tag

// parseTags parses a tag list. RFC 6376 §3.2: a list in which a name occurs twice is
// invalid as a whole.
func parseTags(s string, most int) (tagList, error) {
	var list tagList
	for at := 0; at < len(s); {
		end := at + len(s[at:])
		if i := strings.IndexByte(s[at:], ';'); i >= 0 {
			end = at + i
		}
		if trim(s[at:end]) == "" {
			// Only a last semicolon may stand before nothing.
			if end == len(s) && len(list) > 0 {
				return list, nil
			}
			return nil, errTagSyntax
		}
		t, err := parseTag(s, at, end)
		switch {
		case err != nil:
			return nil, err
		case len(list) == most:
			return nil, errTagsMany
		case list.has(t.name):
			return nil, errTagTwice
		}
		list = append(list, t)
		at = end + 1
	}
	if len(list) == 0 {
		return nil, errTagSyntax
	}
	return list, nil
}

func parseTag(s string, from, to int) (tag, error) {
	name, _, found := strings.Cut(s[from:to], "=")
	t := tag{name: trim(name), from: from + len(name) + 1, to: to}
	if !found || !isTagName(t.name) {
		return tag{}, errTagSyntax
	}
	t.value = trim(s[t.from:t.to])
	for i := range len(t.value) {
		if c := t.value[i]; (c < ' ' || c == 0x7f) && !isSpace(c) {
			return tag{}, errTagSyntax
		}
	}
	// RFC 8616 §3: addresses and domains may be in UTF-8.
	if !utf8.ValidString(t.value) {
		return tag{}, errTagSyntax
	}
	return t, nil
}

func isTagName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '_')) {
			return false
		}
	}
	return s != ""
}

func (l tagList) find(name string) (tag, bool) {
	for _, t := range l {
		if t.name == name {
			return t, true
		}
	}
	return tag{}, false
}

func (l tagList) has(name string) bool {
	_, ok := l.find(name)
	return ok
}

// value returns the value of a tag, or what stands for a tag that is not there.
func (l tagList) value(name, missing string) string {
	if t, ok := l.find(name); ok {
		return t.value
	}
	return missing
}

// words returns the words of a value that are parted by colons. RFC 6376 §3.5.
func words(value string) []string {
	list := strings.Split(value, ":")
	for i, w := range list {
		list[i] = trim(w)
	}
	return list
}

// squeeze removes all white space, as base64 values need it.
func squeeze(s string) string {
	if strings.IndexAny(s, " \t\r\n") < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := range len(s) {
		if !isSpace(s[i]) {
			out = append(out, s[i])
		}
	}
	return string(out)
}

// decode64 decodes a base64string: white space may stand anywhere in it, and the padding
// need not be there. RFC 6376 §2.10.
func decode64(s string) ([]byte, error) {
	s = squeeze(s)
	for range 2 {
		s = strings.TrimSuffix(s, "=")
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// unquote decodes dkim-quoted-printable: white space does not count, as the value may be
// folded anywhere. What is no escape stands for itself. RFC 6376 §2.11.
func unquote(s string) string {
	s = squeeze(s)
	if strings.IndexByte(s, '=') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '=' {
			if c, err := hex.DecodeString(s[i+1 : min(i+3, len(s))]); err == nil && len(c) == 1 {
				out = append(out, c[0])
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}

// mostDigits is how many digits a number of a tag may have. RFC 6376 §3.5, l=.
const mostDigits = 76

// number reads 1*12DIGIT or more; -1 for what is none. What is beyond int64 is
// beyond any time and any body.
func number(s string) int64 {
	if s == "" || len(s) > mostDigits || strings.IndexFunc(s, func(c rune) bool { return c < '0' || c > '9' }) >= 0 {
		return -1
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 1<<63 - 1
	}
	return n
}

func trim(s string) string { return strings.Trim(s, " \t\r\n") }

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }
