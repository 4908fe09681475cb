package structure

import (
	"errors"
	"io"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/text/encoding"

	"sallyport/internal/message"
	"sallyport/internal/message/transfer"
)

// ErrEncoding says that the transfer encoding of a part is not known (UNKNOWN-CTE). RFC 3516
// §4.3.
var ErrEncoding = errors.New("structure: unknown transfer encoding")

// Decoded gives the body of a part without its transfer encoding, for BINARY. Its error is
// ErrEncoding. What is wrong within an encoding is read as far as it goes.
func (p *Part) Decoded(file io.ReaderAt) (io.Reader, error) {
	if p.composite() {
		return p.Body.Reader(file), nil // no encoding changes these. RFC 2045 §6.4
	}
	r, ok := transfer.NewReader(p.Encoding, p.Body.Reader(file))
	if !ok {
		return nil, ErrEncoding
	}
	return r, nil
}

func (p *Part) composite() bool {
	_, decodes := p.decodes()
	return len(p.Parts) > 0 || p.Message != nil && !decodes
}

// Text gives the body of a part as UTF-8, for people to read and to search. What cannot be
// decoded, since its encoding or charset is not known, is given as it is.
func (p *Part) Text(file io.ReaderAt) io.Reader {
	r, err := p.Decoded(file)
	if err != nil {
		return p.Body.Reader(file)
	}
	charset, ok := message.ReadableCharset(Value(p.Params, "charset"))
	if !ok || charset == encoding.Nop {
		return r
	}
	return charset.NewDecoder().Reader(r)
}

// Readable reports whether the part is a text that a person reads where the message is shown:
// no attachment.
func (p *Part) Readable() bool {
	return p.Type == "text" && len(p.Parts) == 0 && (p.Disposition == nil || p.Disposition.Type != "attachment")
}

// Preview returns the first words of the message, "" if it has no text. RFC 8970 §3.2.
func (l Limits) Preview(s Structure, file io.ReaderAt) (string, error) {
	var plain, marked *Part
	s.Leaves(func(p *Part) bool {
		switch {
		case !p.Readable() || p.Body.Size == 0:
		case p.Subtype == "html":
			if marked == nil {
				marked = p
			}
		default:
			plain = p
		}
		return plain == nil
	})
	switch {
	case plain != nil:
		text, err := io.ReadAll(io.LimitReader(plain.Text(file), int64(l.PreviewOctets)))
		return l.words(string(text)), err
	case marked != nil:
		return l.markedWords(marked.Text(file))
	}
	return "", nil
}

// words returns the begin of a text with one blank between its words.
func (l Limits) words(text string) string {
	var b strings.Builder
	left := l.PreviewCharacters
	for word := range strings.FieldsSeq(strings.ToValidUTF8(text, "\ufffd")) {
		if b.Len() > 0 {
			if left--; left <= 0 {
				break
			}
			b.WriteByte(' ')
		}
		for _, c := range word {
			if left--; left < 0 {
				return b.String()
			}
			b.WriteRune(c)
		}
	}
	return b.String()
}

// markedWords is words of what HTML shows.
func (l Limits) markedWords(text io.Reader) (string, error) {
	var b strings.Builder
	z := html.NewTokenizer(io.LimitReader(text, int64(l.PreviewOctets)))
	hidden := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return "", err
			}
			return l.words(b.String()), nil
		case html.TextToken:
			if hidden == "" {
				b.Write(z.Text())
			}
		case html.StartTagToken:
			name, _ := z.TagName()
			b.WriteByte(' ')
			switch tag := string(name); tag {
			case "head", "style", "script", "title":
				if hidden == "" {
					hidden = tag
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if b.WriteByte(' '); string(name) == hidden {
				hidden = ""
			}
		}
	}
}
