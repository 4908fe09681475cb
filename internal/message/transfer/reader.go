package transfer

import "io"

// readOctets is what is read and decoded at once.
const readOctets = 16 << 10

// NewReader decodes what r gives as it is read, as Base64 and QuotedPrintable do; encoding is in
// small letters. ok is false for an encoding that is not known. RFC 2045 §6.
func NewReader(encoding string, r io.Reader) (decoded io.Reader, ok bool) {
	switch encoding {
	case "7bit", "8bit", "binary":
		return r, true
	case "base64":
		return &reader{from: r, base64: true}, true
	case "quoted-printable":
		return &reader{from: r}, true
	}
	return r, false
}

// reader decodes in pieces.
type reader struct {
	from   io.Reader
	base64 bool
	groups base64Decoder

	buffer []byte
	held   int    // octets at the begin of buffer that wait for others
	out    []byte // decoded, not given yet
	room   []byte
	err    error
}

// Read gives decoded octets.
func (r *reader) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if len(p) == 0 {
			return 0, nil
		}
		r.fill()
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *reader) fill() {
	if r.buffer == nil {
		r.buffer, r.room = make([]byte, readOctets), make([]byte, 0, readOctets+3)
	}
	n, err := r.from.Read(r.buffer[r.held:])
	data := r.buffer[:r.held+n]
	r.held, r.err = 0, err
	if r.base64 {
		if r.out = r.groups.decode(r.room[:0], data); err != nil {
			r.out = r.groups.end(r.out)
		}
		return
	}
	out, rest := quotedPrintable(r.room[:0], data, err != nil)
	r.out, r.held = out, copy(r.buffer, rest)
}
