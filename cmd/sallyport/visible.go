package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// visible is the last net below everything that the program prints: what is no visible
// character, nor the end of a line or a tab, becomes an escape. Its form, \u and four
// hexadecimal digits, is one of JSON too, whose encoder lets some of them pass. Lines
// that hold text of others clean it before, by mail.Shown, since a line end passes here.
//
// On a terminal, the words of ours that begin a line about something wrong have a colour.
type visible struct {
	w      io.Writer
	colour bool

	mu   sync.Mutex
	rest []byte // the begin of a character whose end has not been written yet
	mid  bool   // the last line has not ended yet
}

// onScreen returns the net above a file of ours.
func onScreen(f *os.File) *visible { return &visible{w: f, colour: wantsColour(f)} }

// Write writes b; what it returns counts the octets of b.
func (v *visible) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := append(v.rest, b...)
	out := make([]byte, 0, len(all))
	v.rest = nil
	for len(all) > 0 {
		if !utf8.FullRune(all) {
			v.rest = append(v.rest, all...)
			break
		}
		r, n := utf8.DecodeRune(all)
		switch {
		case r == utf8.RuneError && n == 1:
			out = append(out, "\uFFFD"...)
		case r == '\n' || r == '\t' || mail.Visible(r):
			out = append(out, all[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		all = all[n:]
	}
	if v.colour {
		out = v.coloured(out)
	}
	if _, err := v.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// coloured marks the begins of lines.
func (v *visible) coloured(b []byte) []byte {
	var out []byte
	for line := range bytes.Lines(b) {
		if begin, end, colour := marked(string(line)); !v.mid && colour != "" {
			out = append(append(append(out, line[:begin]...), colour...), line[begin:end]...)
			out = append(out, colourEnd...)
			line = line[end:]
		}
		out = append(out, line...)
		v.mid = !bytes.HasSuffix(line, []byte("\n"))
	}
	return out
}

// raw returns the writer below the net, for what is no text for people: the SMTP of
// sendmail -bs, and what is drawn on a terminal.
func raw(w io.Writer) io.Writer {
	switch v := w.(type) {
	case *output:
		return raw(v.Writer)
	case *visible:
		return v.w
	}
	return w
}

// fileOf returns the file that w writes to, if it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	f, ok := raw(w).(*os.File)
	return f, ok
}

// shownArgs makes the texts among the arguments of a format harmless on a line of ours:
// any of them may be a stranger's.
func shownArgs(args []any) []any {
	out := make([]any, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case string:
			out[i] = mail.Shown(v)
		case int, int64, uint64, float64, rune, uint32, bool:
			out[i] = v
		default:
			out[i] = mail.Shown(fmt.Sprint(v))
		}
	}
	return out
}
