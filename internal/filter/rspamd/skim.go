package rspamd

import "io"

// mostSkimmed is how many octets of an answer are looked at, those that are not kept included.
const mostSkimmed = 64 << 20

// skimmer gives an answer without the values that are not read. Rspamd tells every address of the web
// and of mail that stands in a message, up to 10,240 of each: the answer about a message of many would be
// too long, and whoever writes such a message past the check.
type skimmer struct {
	from  io.Reader
	piece []byte // what was read of it
	kept  []byte // of that, what is given
	out   []byte // of that, what is not given yet
	err   error

	depth   int    // brackets that are open
	inText  bool   // within quotation marks
	escaped bool   // behind a backslash
	name    []byte // the text that was read last where a name stands
	behind  bool   // behind the colon of a name
	passing bool   // that name's value is not read
}

// longestName is how much of a name is looked at: those that are read are shorter.
const longestName = 20

// pieceOctets is what is read of an answer and looked at, at once.
const pieceOctets = 16 << 10

func skim(from io.Reader) *skimmer {
	return &skimmer{from: io.LimitReader(from, mostSkimmed), piece: make([]byte, pieceOctets), kept: make([]byte, 0, pieceOctets)}
}

// Read implements io.Reader.
func (s *skimmer) Read(p []byte) (int, error) {
	for len(s.out) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		var n int
		n, s.err = s.from.Read(s.piece)
		s.kept = s.kept[:0]
		for _, c := range s.piece[:n] {
			if s.keeps(c) {
				s.kept = append(s.kept, c)
			}
		}
		s.out = s.kept
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// keeps takes the next octet, and reports whether it is given.
func (s *skimmer) keeps(c byte) bool {
	if s.inText {
		s.text(c)
		return !s.passing
	}
	switch c {
	case '"':
		s.inText = true
		if s.named() {
			s.name = s.name[:0]
		}
	case '{', '[':
		s.depth++
	case '}', ']':
		if s.depth--; s.depth <= 0 {
			s.behind, s.passing = false, false
		}
	case ':':
		if s.named() {
			if s.behind, s.passing = true, !isRead(string(s.name)); s.passing {
				s.kept = append(s.kept, ":null"...)
			}
		}
	case ',':
		if s.depth == 1 {
			s.behind, s.passing = false, false
		}
	}
	return !s.passing
}

// named reports whether the names of the whole answer stand here.
func (s *skimmer) named() bool { return s.depth == 1 && !s.behind }

// text takes an octet within quotation marks, or the mark at the end.
func (s *skimmer) text(c byte) {
	switch {
	case s.escaped:
		s.escaped = false
	case c == '\\':
		s.escaped = true
	case c == '"':
		s.inText = false
		return
	}
	if s.named() && len(s.name) <= longestName {
		s.name = append(s.name, c)
	}
}

// isRead reports whether what stands behind a name in an answer is read.
func isRead(name string) bool {
	switch name {
	case "action", "score", "required_score", "is_skipped", "error", "symbols", "messages", "milter":
		return true
	}
	return false
}
