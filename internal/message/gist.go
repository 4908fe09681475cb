package message

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// Gist says of the text of a message, whose octets are written to it, what it has in common
// with others that say the same to somebody else. It leaves out what differs between
// copies of one letter: the first line (of each part) if it is short, as a salutation is; spaces and the
// case of letters; words with a digit or an at sign; what follows "?" or "#" in an address of
// the web; the marks and the fields that begin the parts of a message with several. The zero
// Gist is ready. Its work is linear, and its memory does not grow.
//
// Whoever writes each copy anew has no gist in common with himself: it is evidence when it is
// there, and nothing when it is not.
type Gist struct {
	sum    hash.Hash
	kept   int    // octets in sum
	lines  int    // that were not blank
	read   int    // octets
	line   []byte // what is kept of the line
	long   int    // octets of the line, as it came
	dashes int    // with which it begins
	word   []byte
	skips  bool // the rest of the word is left out
	odd    bool // the word has a digit or an at sign
	fields bool // a part of the message begins
}

const (
	gistRead  = 256 << 10 // octets that are looked at; what comes later changes nothing
	gistLeast = 64        // octets that must be kept: "thank you" is nobody's
	gistWord  = 32        // octets of a word from which it is no name, number or address
	gistHello = 60        // octets that a salutation has at most
	gistLine  = 1000      // octets of a line that are kept. RFC 5322 §2.1.1
	gistSum   = 12        // octets of what is told
)

// Write implements io.Writer. It never fails.
func (g *Gist) Write(p []byte) (int, error) {
	n := len(p)
	if g.sum == nil {
		g.sum = sha256.New()
	}
	p = p[:min(len(p), gistRead-g.read)]
	g.read += len(p)
	for len(p) > 0 {
		k := plain(p)
		if k > 0 && k < min(len(p), gistLine) && p[k] == ' ' && g.free() { // a whole word, as most of a text is
			g.line = append(g.line, p[:k+1]...)
			g.long += k + 1
			p = p[k+1:]
			continue
		}
		if k > 0 {
			if !g.skips {
				g.word = append(g.word, p[:max(0, min(k, gistLine-len(g.word)))]...)
			}
			g.long += k
			p = p[k:]
			continue
		}
		g.see(p[0])
		p = p[1:]
	}
	return n, nil
}

// free reports whether a word that comes now begins, and is kept.
func (g *Gist) free() bool {
	return len(g.word) == 0 && !g.skips && !g.odd && len(g.line) < gistLine
}

// plain returns with how many octets p begins that are taken as they are, in a word or as one. It
// leaves out some of them, for the sake of haste.
func plain(p []byte) int {
	for i, c := range p {
		if c <= 'Z' {
			return i
		}
	}
	return len(p)
}

// see takes one octet of any kind.
func (g *Gist) see(c byte) {
	switch c {
	case '\n':
		g.endLine()
		return
	case ' ', '\t', '\r':
		g.endWord()
	default:
		if c == '-' && g.dashes == g.long {
			g.dashes++
		}
		g.take(c)
	}
	g.long++
}

func (g *Gist) take(c byte) {
	switch {
	case c >= 'A' && c <= 'Z':
		c += 'a' - 'A'
	case c == '?' || c == '#':
		g.skips = true
	case !g.skips && (c >= '0' && c <= '9' || c == '@'):
		g.odd = true
	}
	if !g.skips && len(g.word) < gistLine {
		g.word = append(g.word, c)
	}
}

func (g *Gist) endWord() {
	if len(g.word) > 0 && (!g.odd || len(g.word) > gistWord) && len(g.line) < gistLine {
		g.line = append(append(g.line, g.word...), ' ')
	}
	g.word, g.skips, g.odd = g.word[:0], false, false
}

func (g *Gist) endLine() {
	g.endWord()
	blank := g.long <= 1 // with its CR
	switch {
	case g.dashes >= 2: // RFC 2046 §5.1.1
		g.fields = true
	case blank && g.fields:
		g.fields, g.lines = false, 0
	case blank:
	case g.fields:
	default:
		if g.lines++; g.lines > 1 || g.long > gistHello {
			g.sum.Write(g.line)
			g.kept += len(g.line)
		}
	}
	g.line, g.long, g.dashes = g.line[:0], 0, 0
}

// Sum returns the gist of what was written: hexadecimal digits, or "" where too little
// was kept for two letters to have it in common and mean it.
func (g *Gist) Sum() string {
	if g.sum == nil {
		return ""
	}
	if g.long > 0 {
		g.endLine()
	}
	if g.kept < gistLeast {
		return ""
	}
	return hex.EncodeToString(g.sum.Sum(nil)[:gistSum])
}
