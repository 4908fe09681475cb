package mbox

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Writer writes an mbox of the form RD or CL2.
type Writer struct {
	w    io.Writer
	form Form
}

// NewWriter writes to w.
func NewWriter(w io.Writer, form Form) *Writer { return &Writer{w, form} }

// Write writes a message whose lines end in LF. What is noted of it stands at the end of its
// header, where Dovecot, mutt and this package look for it.
func (w *Writer) Write(message []byte, date time.Time, n Notes) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "From MAILER-DAEMON %s +0000\n", written(date).Format(time.ANSIC))
	head, body, length := message, []byte(nil), -1
	end := headerEnd(message)
	if end >= 0 {
		head, body = message[:end], message[end+1:]
		length = len(body)
	}
	w.head(&out, head)
	if len(head) > 0 && head[len(head)-1] != '\n' {
		out.WriteByte('\n')
	}
	w.note(&out, n, length)
	out.WriteByte('\n')
	w.body(&out, body)
	if w.form != CL2 && len(body) > 0 && body[len(body)-1] != '\n' {
		out.WriteByte('\n')
	}
	if end >= 0 {
		out.WriteByte('\n')
	}
	_, err := w.w.Write(out.Bytes())
	return err
}

// The years of four digits.
const (
	leastYear = 1000
	mostYear  = 9999
)

// written is a date that a "From " line can hold: readers take four digits for a year.
func written(date time.Time) time.Time {
	date = date.UTC()
	switch {
	case date.Year() < leastYear:
		return time.Unix(0, 0).UTC()
	case date.Year() > mostYear:
		return time.Date(mostYear, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return date
}

// head writes the lines of a header. A line in it that begins with "From " would begin another
// message, and a field that programs write for themselves would tell them what its sender wants:
// where the next message begins, or that this one was read or removed.
func (w *Writer) head(out *bytes.Buffer, head []byte) {
	keep := true
	for line := range bytes.Lines(head) {
		if line[0] != ' ' && line[0] != '\t' {
			keep = !(&header{}).takes(line)
		}
		if !keep {
			continue
		}
		if isFrom(bytes.TrimLeft(line, ">")) {
			out.WriteByte('>')
		}
		out.Write(line)
	}
}

// headerEnd returns where the empty line behind the header is, or -1.
func headerEnd(m []byte) int {
	if len(m) > 0 && m[0] == '\n' {
		return 0
	}
	if i := bytes.Index(m, []byte("\n\n")); i >= 0 {
		return i + 1
	}
	return -1
}

func (w *Writer) note(out *bytes.Buffer, n Notes, length int) {
	status, more := "O", ""
	if n.Seen {
		status = "RO"
	}
	for _, f := range []struct {
		set    bool
		letter string
	}{{n.Answered, "A"}, {n.Flagged, "F"}, {n.Draft, "T"}, {n.Deleted, "D"}} {
		if f.set {
			more += f.letter
		}
	}
	fmt.Fprintf(out, "Status: %s\n", status)
	if more != "" {
		fmt.Fprintf(out, "X-Status: %s\n", more)
	}
	if len(n.Keywords) > 0 {
		fmt.Fprintf(out, "X-Keywords: %s\n", strings.Join(n.Keywords, " "))
	}
	if w.form == CL2 && length >= 0 {
		fmt.Fprintf(out, "Content-Length: %d\n", length)
	}
}

// body writes the lines of a body, quoted where the form wants it.
func (w *Writer) body(out *bytes.Buffer, body []byte) {
	for len(body) > 0 {
		n := bytes.IndexByte(body, '\n') + 1
		if n == 0 {
			n = len(body)
		}
		line := body[:n]
		if w.form != CL2 && isFrom(bytes.TrimLeft(line, ">")) {
			out.WriteByte('>')
		}
		out.Write(line)
		body = body[n:]
	}
}
