package wire

import (
	"bytes"
	"io"
)

// DataWriter writes a message after DATA: it stuffs dots and, at Close, ends the
// message. It refuses a bare CR, a bare LF and NUL, so that nothing that it writes
// can be read as two messages. RFC 5321 §4.5.2.
//
// It writes small pieces: give it a bufio.Writer and flush that afterwards.
type DataWriter struct {
	w    io.Writer
	text Text
	err  error
}

// NewDataWriter returns a DataWriter that writes to w.
func NewDataWriter(w io.Writer) *DataWriter { return &DataWriter{w: w} }

// Write writes a piece of the message. After an error the message is cut: the
// connection must be closed without Close, so that the server takes no part of the
// message for the whole. A piece at fault is not written at all.
func (d *DataWriter) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	start := d.text.AtLineStart()
	if _, err := d.text.Check(p); err != nil {
		d.err = err
		return 0, err
	}
	if d.err = d.stuff(p, start); d.err != nil {
		return 0, d.err
	}
	return len(p), nil
}

// stuff writes p with a dot before each dot that begins a line.
func (d *DataWriter) stuff(p []byte, start bool) error {
	if start && len(p) > 0 && p[0] == '.' {
		if _, err := d.w.Write(p[:1]); err != nil {
			return err
		}
	}
	for {
		i := bytes.Index(p, []byte("\n."))
		if i < 0 {
			_, err := d.w.Write(p)
			return err
		}
		if _, err := d.w.Write(p[:i+2]); err != nil {
			return err
		}
		p = p[i+1:]
	}
}

// Close ends the message with CRLF "." CRLF, adding the first CRLF only if the last
// line has none. After an error it writes nothing and returns the error.
func (d *DataWriter) Close() error {
	if d.err != nil {
		return d.err
	}
	if d.err = d.text.End(); d.err != nil {
		return d.err
	}
	end := "\r\n.\r\n"
	if d.text.AtLineStart() {
		end = end[2:]
	}
	_, err := io.WriteString(d.w, end)
	d.err = err
	if err == nil {
		d.err = io.ErrClosedPipe
	}
	return err
}
