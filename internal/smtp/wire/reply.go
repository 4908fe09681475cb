package wire

import (
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// maxReplyText bounds the text of one reply line that we write, so that with code,
// enhanced code and CRLF it stays within 512 octets. RFC 5321 §4.5.3.1.5.
const maxReplyText = 490

// AppendReply appends r as it goes over the wire: one line per line of its text,
// the code and the enhanced code on each of them, CRLF. Text beyond printable ASCII
// becomes "?"; a line too long is continued on the next.
//
// A value that is no reply is written as a temporary failure, so that a decision
// that nobody made never reads as a success. An enhanced code whose class is not
// that of the reply is left out. RFC 2034 §4.
func AppendReply(b []byte, r mail.Reply) []byte {
	if r.Code < 200 || r.Code > 599 {
		r = mail.R(451, "4.3.0", "no decision was made")
	}
	if int(r.Enhanced.Class) != r.Code/100 {
		r.Enhanced = mail.Enhanced{}
	}
	text := r.Text
	for {
		line, rest, more := strings.Cut(text, "\n")
		for len(line) > maxReplyText {
			b = appendReplyLine(b, r, line[:maxReplyText], true)
			line = line[maxReplyText:]
		}
		b = appendReplyLine(b, r, line, more)
		if !more {
			return b
		}
		text = rest
	}
}

func appendReplyLine(b []byte, r mail.Reply, text string, more bool) []byte {
	b = strconv.AppendInt(b, int64(r.Code), 10)
	if more {
		b = append(b, '-')
	} else {
		b = append(b, ' ')
	}
	if e := r.Enhanced; e.Class != 0 {
		b = strconv.AppendUint(b, uint64(e.Class), 10)
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(e.Subject), 10)
		b = append(b, '.')
		b = strconv.AppendUint(b, uint64(e.Detail), 10)
		b = append(b, ' ')
	}
	for i := range len(text) {
		if c := text[i]; c >= 0x20 && c <= 0x7e {
			b = append(b, c)
		} else {
			b = append(b, '?')
		}
	}
	return append(b, '\r', '\n')
}
