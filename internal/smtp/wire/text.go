package wire

import "bytes"

// Text checks a stream of text, piece by piece, for the octets that a message may
// not hold: a CR or LF that is not part of a CRLF, and NUL. Its zero value stands
// at the beginning of the text.
type Text struct {
	pendingCR bool
	inLine    bool
}

// Check looks at the next piece. n is the number of its octets before the fault,
// or all of them.
func (t *Text) Check(p []byte) (n int, err error) {
	for n < len(p) {
		if t.pendingCR {
			if p[n] != '\n' {
				return n, ErrBareCR
			}
			t.pendingCR, t.inLine = false, false
			n++
			continue
		}
		i, err := scanLine(p[n:])
		n += i
		if err != nil {
			return n, err
		}
		switch {
		case n > 0 && p[n-1] == '\n' && i > 0:
			t.inLine = false
		case n < len(p): // only a last CR is left
			t.pendingCR, t.inLine = true, true
			n++
		default:
			t.inLine = true
		}
	}
	return n, nil
}

// End says whether the text may end here: not between CR and LF.
func (t *Text) End() error {
	if t.pendingCR {
		return ErrBareCR
	}
	return nil
}

// AtLineStart reports whether the next octet begins a line.
func (t *Text) AtLineStart() bool { return !t.inLine && !t.pendingCR }

// scanLine returns the length of the first line of p with its CRLF, or, when p
// holds no whole line, of all of it but a CR at its end. The error is that of the
// first octet at fault, and n counts what comes before it.
func scanLine(p []byte) (n int, err error) {
	lf := bytes.IndexByte(p, '\n')
	seg := p
	if lf >= 0 {
		seg = p[:lf]
	}
	cr := bytes.IndexByte(seg, '\r')
	if cr < 0 {
		cr = len(seg)
	}
	if nul := bytes.IndexByte(seg[:cr], 0); nul >= 0 {
		return nul, ErrNUL
	}
	switch {
	case cr < len(seg)-1:
		return cr, ErrBareCR
	case lf < 0:
		return cr, nil
	case cr == len(seg):
		return lf, ErrBareLF
	}
	return lf + 1, nil
}
