package pop3

import (
	"bytes"
	"strconv"
	"strings"
)

// command is a line of a client: its keyword in capitals, and what stands behind it.
type command struct {
	verb string
	arg  string // to the octet, behind one blank: a password may begin with one
}

// mostVerb is the most letters of a keyword that is told; those that there are have four at most.
const mostVerb = 8

// parseCommand reads a line without its end. A line without a keyword has none. RFC 1939 §3.
func parseCommand(line []byte) command {
	verb, arg, _ := bytes.Cut(line, []byte(" "))
	for _, c := range verb {
		if c < 'A' || c > 'Z' && c < 'a' || c > 'z' {
			if c < '0' || c > '9' || len(verb) > len("UTF8") {
				return command{}
			}
		}
	}
	if len(verb) > mostVerb {
		return command{}
	}
	return command{strings.ToUpper(string(verb)), string(arg)}
}

// numbers reads n numbers parted by blanks. RFC 1939 §3.
func (c command) numbers(n int) ([]int, bool) {
	words := strings.Fields(c.arg)
	if len(words) != n {
		return nil, false
	}
	out := make([]int, n)
	for i, w := range words {
		v, err := strconv.ParseUint(w, 10, 31)
		if err != nil {
			return nil, false
		}
		out[i] = int(v)
	}
	return out, true
}

// stuffer writes a message as a multi-line response: a dot before each dot that begins a line.
// RFC 1939 §3.
type stuffer struct {
	take   func([]byte)
	within bool // the line goes on
	last   [2]byte
}

func (s *stuffer) write(p []byte) {
	if len(p) == 0 {
		return
	}
	if n := len(p); n > 1 {
		s.last = [2]byte{p[n-2], p[n-1]}
	} else {
		s.last = [2]byte{s.last[1], p[0]}
	}
	if !s.within && p[0] == '.' {
		s.take([]byte("."))
	}
	for {
		i := bytes.Index(p, []byte("\n."))
		if i < 0 {
			break
		}
		s.take(p[:i+1])
		s.take([]byte("."))
		p = p[i+1:]
	}
	s.take(p)
	s.within = p[len(p)-1] != '\n'
}

// end writes the end; the last line gets one if it has none.
func (s *stuffer) end() {
	if s.last != [2]byte{'\r', '\n'} && s.last != [2]byte{} {
		s.take([]byte("\r\n"))
	}
	s.take([]byte(".\r\n"))
}

// topper lets the header section pass, and some lines of the body. RFC 1939 §7, TOP.
type topper struct {
	lines int // of the body that may still pass
	body  bool
	begun bool // octets of this line were seen that are no CR
}

// pass returns how many octets of p pass, and whether there may be more.
func (t *topper) pass(p []byte) (n int, more bool) {
	for i, c := range p {
		if t.body && t.lines == 0 {
			return i, false
		}
		switch {
		case c != '\n':
			t.begun = t.begun || c != '\r'
		case t.body:
			t.lines--
		case !t.begun:
			t.body = true
		default:
			t.begun = false
		}
	}
	return len(p), !t.body || t.lines > 0
}
