package wire

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"sallyport/internal/mail"
)

// ReplyLimits bounds what a remote's reply may cost us.
type ReplyLimits struct {
	LineOctets int // one line with its CRLF
	Lines      int // lines of one reply
	TextOctets int // of the text of all lines together that are kept; what follows is read and dropped
}

// DefaultReplyLimits returns limits that no honest server meets: eight times the
// line of RFC 5321 §4.5.3.1.5, for the servers that explain at length.
func DefaultReplyLimits() ReplyLimits {
	return ReplyLimits{LineOctets: 4096, Lines: 100, TextOctets: 16 << 10}
}

// ErrReply is a reply that does not follow the grammar of RFC 5321 §4.2: the
// stream has lost its place, and the connection is of no more use.
var ErrReply = errors.New("malformed reply")

// ErrReplyTooLong is a reply beyond its limits.
var ErrReplyTooLong = errors.New("reply too long")

// ReadReply reads one reply of a server, all its lines. Each line must end with
// exactly CRLF and all lines must have one code. The enhanced code, the first that there is,
// is taken off the text; control characters in the text become "?". Errors are those of br,
// io.ErrUnexpectedEOF in the midst of a reply, ErrReply, ErrReplyTooLong, ErrBareCR,
// ErrBareLF or ErrNUL; each means that the connection is of no more use.
func ReadReply(br *bufio.Reader, lim ReplyLimits) (mail.Reply, error) {
	var r mail.Reply
	var text []byte
	var line []byte
	for n := 1; ; n++ {
		if n > lim.Lines {
			return mail.Reply{}, ErrReplyTooLong
		}
		var err error
		line, err = readReplyLine(br, line[:0], lim.LineOctets)
		if err != nil {
			if err == io.EOF && n > 1 {
				err = io.ErrUnexpectedEOF
			}
			return mail.Reply{}, err
		}
		code, more, rest, ok := splitReplyLine(line)
		if !ok || n > 1 && code != r.Code {
			return mail.Reply{}, ErrReply
		}
		if n > 1 && len(text) < lim.TextOctets {
			text = append(text, '\n')
		}
		r.Code = code
		e, words := splitEnhanced(code, mail.ShownLine(string(rest), len(rest)))
		if r.Enhanced == (mail.Enhanced{}) {
			r.Enhanced = e // some have it in their last line alone
		}
		if e != r.Enhanced {
			words = mail.ShownLine(string(rest), len(rest))
		}
		if room := max(lim.TextOctets-len(text), 0); len(words) > room {
			words = strings.ToValidUTF8(words[:room], "")
		}
		text = append(text, words...)
		if !more {
			r.Text = string(text)
			return r, nil
		}
	}
}

// readReplyLine reads one line and returns it without CRLF in dst.
func readReplyLine(br *bufio.Reader, dst []byte, limit int) ([]byte, error) {
	for {
		c, err := br.ReadByte()
		if err != nil {
			if err == io.EOF && len(dst) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		cr := len(dst) > 0 && dst[len(dst)-1] == '\r'
		switch {
		case c == '\n' && cr:
			return dst[:len(dst)-1], nil
		case c == '\n':
			return nil, ErrBareLF
		case cr:
			return nil, ErrBareCR
		case c == 0:
			return nil, ErrNUL
		case len(dst)+1 >= limit:
			return nil, ErrReplyTooLong
		}
		dst = append(dst, c)
	}
}

// splitReplyLine parts a Reply-line. RFC 5321 §4.2: the code alone is a whole line. The
// second digit of a code is 5 at most, but there are servers that refuse with 571 or 599, and
// RFC 5321 §4.2 has a client go by the first digit where it does not know the code.
func splitReplyLine(line []byte) (code int, more bool, text []byte, ok bool) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || line[1] < '0' || line[1] > '9' || line[2] < '0' || line[2] > '9' {
		return 0, false, nil, false
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, nil, true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, nil, false
	}
	return code, line[3] == '-', line[4:], true
}

// splitEnhanced takes an enhanced code off the text if its class is the reply's. A widely used
// gateway writes it "#5.1.0". RFC 2034 §4.
func splitEnhanced(code int, text string) (mail.Enhanced, string) {
	e, rest, ok := mail.ParseEnhanced(strings.TrimPrefix(text, "#"))
	if !ok || int(e.Class) != code/100 {
		return mail.Enhanced{}, text
	}
	return e, rest
}
