package dkim

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"slices"
	"strings"

	"sallyport/internal/message"
)

// signatureField is the name of the field that this package is about.
const signatureField = "DKIM-Signature"

// signatureName is how the h= tag may name it.
const signatureName = "dkim-signature"

// fields are those of one header section, in its order.
type fields struct {
	all    []message.Field
	places map[string][]int // where those of a name in lower case stand
}

func indexFields(h message.Header) fields {
	f := fields{all: make([]message.Field, 0, h.Len()), places: make(map[string][]int, h.Len())}
	h.All(func(one message.Field) bool {
		name := strings.ToLower(one.Name)
		f.places[name] = append(f.places[name], len(f.all))
		f.all = append(f.all, one)
		return true
	})
	return f
}

// count returns how many fields have a name in lower case.
func (f fields) count(name string) int { return len(f.places[name]) }

// unwritten is the place of a signature field that is not in the header yet.
const unwritten = -1

// hash returns the hash that is signed: the named fields, then the signature field
// itself, which stands at a place of the header, without the value of b=. RFC 6376 §3.7.
func (f fields) hash(c Canon, names []string, signature []byte, place int) []byte {
	sum := sha256.New()
	buf := make([]byte, 0, 1024)
	taken := make(map[string]int, len(names))
	// RFC 6376 §3.5, h=: who names signature fields means those that were there before his.
	others := slices.DeleteFunc(slices.Clone(f.places[signatureName]), func(i int) bool { return i == place })
	for _, name := range names {
		// RFC 6376 §5.4.2: from the bottom up; a name too many stands for no field,
		// so that none can be added.
		places := f.places[name]
		if name == signatureName {
			places = others
		}
		if taken[name]++; taken[name] > len(places) {
			continue
		}
		buf = appendField(buf[:0], c, f.all[places[len(places)-taken[name]]].Raw)
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
	for _, c := range bytes.TrimRight(name, " \t") {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	start := len(dst)
	for len(value) > 0 {
		n := 0
		for n < len(value) && !isSpace(value[n]) {
			n++
		}
		dst = append(dst, value[:n]...)
		blank := false
		for value = value[n:]; len(value) > 0 && isSpace(value[0]); value = value[1:] {
			blank = blank || isBlank(value[0])
		}
		if blank && len(value) > 0 && len(dst) > start {
			dst = append(dst, ' ')
		}
	}
	return append(dst, "\r\n"...)
}
