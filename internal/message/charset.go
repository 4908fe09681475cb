package message

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// Charset returns how a charset of MIME is decoded, by any name that people's programs give it;
// encoding.Nop for UTF-8 and ASCII, whose octets stand for themselves. False: it is not known.
func Charset(name string) (encoding.Encoding, bool) {
	name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(name)), "*") // RFC 2231 §5
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return encoding.Nop, true
	case "unknown-8bit", "x-unknown", "unknown": // RFC 1428 §3: it holds ASCII
		return charmap.Windows1252, true
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e, true
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return e, true
	}
	return nil, false
}

// DecodeText decodes the encoded words of an unfolded value for people to read and to search.
// What cannot be decoded, and what stands raw in another charset, keeps its octets. It decides
// about no address. RFC 2047.
func DecodeText(value string) string {
	if !strings.Contains(value, "=?") {
		return value
	}
	var b strings.Builder
	eachRun(value, func(gap string, run encodedWord) {
		b.WriteString(gap)
		b.WriteString(DecodeOctets(run.charset, run.text))
	})
	return b.String()
}

// DecodeOctets turns octets of a charset into UTF-8; they stay as they are where it is not known,
// or they are none of it. It decides about no address.
func DecodeOctets(charset, octets string) string {
	e, known := ReadableCharset(charset)
	if !known || e == encoding.Nop {
		return octets
	}
	if text, err := e.NewDecoder().String(octets); err == nil {
		return text
	}
	return octets
}

// decodeCharset turns octets of a charset into UTF-8; false: it is not known. Another
// program may know it, and read an address where we see none.
func decodeCharset(charset, octets string) (string, bool) {
	e, known := Charset(charset)
	switch {
	case !known:
		return "", false
	case e == encoding.Nop:
		return strings.ToValidUTF8(octets, "\ufffd"), true
	}
	return decodeOctets(octets, e)
}

func decodeOctets(octets string, e encoding.Encoding) (string, bool) {
	text, err := e.NewDecoder().String(octets)
	return strings.ToValidUTF8(text, "\ufffd"), err == nil
}
