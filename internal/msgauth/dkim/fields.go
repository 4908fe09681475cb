package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"strings"

	"sallyport/internal/message"
)

// signatureField is the name of the field that this package is about.
const signatureField = "DKIM-Signature"

// fields are those of one header section by their names in lower case, each list in
// the order of the section.
type fields map[string][][]byte

func indexFields(h message.Header) fields {
	out := make(fields, h.Len())
	h.All(func(f message.Field) bool {
		name := strings.ToLower(f.Name)
		out[name] = append(out[name], f.Raw)
		return true
	})
	return out
}

// hash returns the hash that is signed: the named fields, then the signature field
// itself without the value of b=. RFC 6376 §3.7.
func (f fields) hash(c Canon, names []string, signature []byte) []byte {
	sum := sha256.New()
	used := make(map[string]int, len(names))
	var buf []byte
	for _, name := range names {
		// RFC 6376 §5.4.2: from the bottom up; a name too many stands for no field,
		// so that none can be added.
		have, n := f[name], used[name]
		if n >= len(have) {
			continue
		}
		used[name] = n + 1
		buf = appendField(buf[:0], c, have[len(have)-1-n])
		writeLine(sum, buf)
	}
	// The signature's own line end is not signed.
	buf = appendField(buf[:0], c, signature)
	sum.Write(bytes.TrimSuffix(buf, []byte("\r\n")))
	return sum.Sum(nil)
}

// writeLine writes a field with its line end, which the last line of a message may
// lack.
func writeLine(h hash.Hash, line []byte) {
	h.Write(line)
	if !bytes.HasSuffix(line, []byte("\r\n")) {
		h.Write([]byte("\r\n"))
	}
}

// appendField appends a field in its canonical form. RFC 6376 §3.4.1, §3.4.2.
func appendField(dst []byte, c Canon, raw []byte) []byte {
	if c == Simple {
		return append(dst, raw...)
	}
	name, value, _ := bytes.Cut(raw, []byte(":"))
	dst = append(dst, bytes.ToLower(bytes.TrimRight(name, " \t"))...)
	dst = append(dst, ':')
	start, blank := len(dst), false
	for _, c := range value {
		switch c {
		case '\r', '\n':
		case ' ', '\t':
			blank = true
		default:
			if blank && len(dst) > start {
				dst = append(dst, ' ')
			}
			blank = false
			dst = append(dst, c)
		}
	}
	return append(dst, "\r\n"...)
}
