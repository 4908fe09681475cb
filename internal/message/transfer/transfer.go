// Package transfer undoes the transfer encodings of MIME in what others wrote, as far as
// what they encoded can be told: RFC 2045 §6.7 and §6.8 ask readers to go on where an
// encoder, or whoever passed the message on, made mistakes. It is for reading what
// machines report, and for showing and searching mail; what decides about a message's author
// is read strictly elsewhere. Its work is linear.
package transfer

import "bytes"

// maxBlanks is how many blanks may stand behind the mark of a soft line break: as many as
// a line of quoted-printable has. RFC 2045 §6.7.
const maxBlanks = 76

// Base64 decodes base64 with anything between its characters, and padding, or none,
// wherever a part of it ends. RFC 2045 §6.8.
func Base64(data []byte) []byte {
	var d base64Decoder
	return d.end(d.decode(make([]byte, 0, len(data)/4*3+3), data))
}

// base64Decoder keeps the bits that make no whole group yet.
type base64Decoder struct {
	bits uint32
	n    int
}

func (d *base64Decoder) decode(out, data []byte) []byte {
	for _, c := range data {
		v := base64Value(c)
		switch {
		case c == '=':
			out = d.end(out)
		case v < 0:
		default:
			d.bits = d.bits<<6 | uint32(v)
			if d.n++; d.n == 4 {
				out = d.end(out)
			}
		}
	}
	return out
}

// end gives what the group that was begun holds.
func (d *base64Decoder) end(out []byte) []byte {
	if d.n >= 2 {
		bits := d.bits << (6 * (4 - d.n))
		out = append(out, []byte{byte(bits >> 16), byte(bits >> 8), byte(bits)}[:d.n-1]...)
	}
	d.bits, d.n = 0, 0
	return out
}

func base64Value(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// QuotedPrintable decodes quoted-printable; what is none of it stands for itself, and
// blanks that were added at the end of a line, or behind the mark of a soft line break, do not
// count. RFC 2045 §6.7.
func QuotedPrintable(data []byte) []byte {
	out, _ := quotedPrintable(make([]byte, 0, len(data)), data, true)
	return out
}

// quotedPrintable decodes data into out. Unless data ends there, rest is the begin of what only
// the octets behind it tell.
func quotedPrintable(out, data []byte, ends bool) (decoded, rest []byte) {
	for len(data) > 0 {
		i := bytes.IndexByte(data, '=')
		if i < 0 {
			if ends {
				return appendLines(out, data), nil
			}
			text, _ := withoutBlanks(data) // a line may end behind them
			return appendLines(out, text), data[len(text):]
		}
		out = appendLines(out, data[:i])
		if !ends && len(data)-i <= maxBlanks+1 {
			return out, data[i:]
		}
		data = data[i+1:]
		if tail := bytes.TrimLeft(data[:min(len(data), maxBlanks)], " \t\r"); bytes.HasPrefix(tail, []byte("\n")) {
			data = data[bytes.IndexByte(data, '\n')+1:]
			continue
		}
		if len(data) >= 2 && hexValue(data[0]) >= 0 && hexValue(data[1]) >= 0 {
			out, data = append(out, byte(hexValue(data[0])<<4|hexValue(data[1]))), data[2:]
			continue
		}
		out = append(out, '=')
	}
	return out, nil
}

// appendLines appends what stands for itself, but for blanks at the end of a line, which others
// added. RFC 2045 §6.7, rule 3.
func appendLines(out, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return append(out, text...)
		}
		line, cr := withoutBlanks(text[:i])
		out = append(append(append(out, line...), cr...), '\n')
		text = text[i+1:]
	}
}

// withoutBlanks returns a line without the blanks behind it, as many as a line has, and the CR
// that it may end with.
func withoutBlanks(line []byte) (text, cr []byte) {
	text = line
	if n := len(line); n > 0 && line[n-1] == '\r' {
		text, cr = line[:n-1], line[n-1:]
	}
	least := max(0, len(text)-maxBlanks)
	return text[:least+len(bytes.TrimRight(text[least:], " \t"))], cr
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
