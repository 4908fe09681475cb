package message

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// ReadableCharset is Charset for what people read and search alone. It knows UTF-7 as well, in which some old
// programs wrote and which says in ASCII what is none, and takes what has no charset for what it looks like: whoever
// decides by an address takes Charset.
func ReadableCharset(name string) (encoding.Encoding, bool) {
	short, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(name)), "*")
	switch short {
	case "utf-7", "utf7", "csutf7", "unicode-1-1-utf-7": // RFC 2152, and its older names
		return utf7{}, true
	case "unknown-8bit", "x-unknown", "unknown":
		return unlabelled{}, true
	}
	return Charset(name)
}

// utf7 is UTF-7. RFC 2152. Nothing is written in it.
type utf7 struct{}

func (utf7) NewDecoder() *encoding.Decoder {
	return &encoding.Decoder{Transformer: &utf7Decoder{}}
}

func (utf7) NewEncoder() *encoding.Encoder { return encoding.Nop.NewEncoder() }

// utf7Decoder is between two octets of a text.
type utf7Decoder struct {
	shifted bool   // within what is in base64
	bits    uint32 // that make no unit of UTF-16 yet
	have    uint   // how many
	high    rune   // a surrogate that waits for its second half; 0: none
}

// Reset makes it ready for another text.
func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// utf7Room is the most that one octet adds: a surrogate without its half, and a character.
const utf7Room = 2 * utf8.UTFMax

// Transform decodes as much of src as there is room for in dst. What is no UTF-7 stays as it is.
func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for ; nSrc < len(src); nSrc++ {
		if len(dst)-nDst < utf7Room {
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		out := dst[nDst:nDst:len(dst)]
		switch v := base64Value(c); {
		case d.shifted && v >= 0:
			out = d.take(out, uint32(v))
		case d.shifted:
			d.Reset()
			if c != '-' { // which ends the base64 and stands for nothing
				nSrc--
			}
		case c == '+' && nSrc+1 == len(src) && !atEOF:
			return nDst, nSrc, transform.ErrShortSrc
		case c == '+' && nSrc+1 < len(src) && src[nSrc+1] == '-':
			out = append(out, '+')
			nSrc++
		case c == '+' && nSrc+1 < len(src) && base64Value(src[nSrc+1]) >= 0:
			d.shifted = true
		default:
			out = append(out, c)
		}
		nDst += len(out)
	}
	return nDst, nSrc, nil
}

// take takes six bits, and adds the character that they complete.
func (d *utf7Decoder) take(out []byte, six uint32) []byte {
	d.bits, d.have = d.bits<<6|six, d.have+6
	if d.have < 16 {
		return out
	}
	d.have -= 16
	unit := rune(d.bits >> d.have)
	d.bits &= 1<<d.have - 1
	high := d.high
	d.high = 0
	switch {
	case high != 0 && utf16.DecodeRune(high, unit) != utf8.RuneError:
		return utf8.AppendRune(out, utf16.DecodeRune(high, unit))
	case high != 0:
		out = utf8.AppendRune(out, utf8.RuneError)
	}
	if utf16.IsSurrogate(unit) {
		d.high = unit
		return out
	}
	return utf8.AppendRune(out, unit)
}

// base64Value returns what an octet of base64 stands for; -1 if it is none.
func base64Value(c byte) int {
	return strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", c)
}
