package feedback

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"strings"
	"time"
)

// Limits bounds reading.
type Limits struct {
	Octets   int64 // of one file or message
	Expanded int64 // of XML that a file or message holds, expanded
	Reports  int   // in one file or message
	Rows     int   // of one report; what is beyond makes it no report
	Parts    int   // of one message, with those of messages in it
	Depth    int   // of parts in parts
}

// DefaultLimits returns the bounds that nobody configured.
func DefaultLimits() Limits {
	return Limits{Octets: 50 << 20, Expanded: 100 << 20, Reports: 50, Rows: 200_000, Parts: 200, Depth: 5}
}

// Read returns the reports in a file: XML, XML in gzip or zip, or a message with
// such files in it. It is ErrReport where there is none, and where one of several
// cannot be read.
func (l Limits) Read(data []byte) ([]Report, error) {
	r := reader{Limits: l, left: l.Expanded}
	if int64(len(data)) > l.Octets {
		return nil, fmt.Errorf("%w: it is larger than %d octets", ErrReport, l.Octets)
	}
	found, err := r.file(data)
	if err == nil && !found {
		err = r.message(data, 0)
	}
	if err == nil && len(r.reports) == 0 {
		err = ErrNone
	}
	return r.reports, err
}

// reader reads one file or message.
type reader struct {
	Limits
	left    int64 // octets that may still be expanded
	parts   int
	reports []Report
}

// file reads data that is no message; false: it may be one.
func (r *reader) file(data []byte) (bool, error) {
	switch {
	case bytes.HasPrefix(data, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return true, fmt.Errorf("%w: %w", ErrReport, err)
		}
		return true, r.document(z)
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return true, r.archive(data)
	case bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("<")):
		return true, r.document(bytes.NewReader(data))
	}
	return false, nil
}

func (r *reader) archive(data []byte) error {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !strings.HasSuffix(strings.ToLower(f.Name), ".xml") {
			continue
		}
		in, err := f.Open()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrReport, err)
		}
		err = r.document(in)
		_ = in.Close() // of memory
		if err != nil {
			return err
		}
	}
	return nil
}

// document reads one XML document, no further than what may still be expanded.
func (r *reader) document(in io.Reader) error {
	if len(r.reports) >= r.Reports {
		return fmt.Errorf("%w: there are more than %d in it", ErrReport, r.Reports)
	}
	bounded := &io.LimitedReader{R: in, N: r.left + 1}
	one, err := parse(bounded, r.Rows)
	if bounded.N <= 0 {
		return fmt.Errorf("%w: it expands to more than %d octets", ErrReport, r.Expanded)
	}
	r.left = bounded.N - 1
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	r.reports = append(r.reports, one)
	return nil
}

var errNoFeedback = errors.New("its root is not a <feedback> with its metadata, policy and records")

// parse reads a <feedback> element by element, so that unknown ones cost nothing.
func parse(in io.Reader, rows int) (Report, error) {
	d := xml.NewDecoder(in)
	d.CharsetReader = charset
	var out Report
	depth, seen := 0, 0
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Report{}, err
		}
		switch t := t.(type) {
		case xml.Directive:
			return Report{}, errors.New("it has a document type") // which no report needs
		case xml.EndElement:
			depth--
		case xml.StartElement:
			if depth == 0 {
				if t.Name.Local != "feedback" {
					return Report{}, errNoFeedback
				}
				depth++
				continue
			}
			n, err := out.element(d, t)
			if err != nil {
				return Report{}, err
			}
			if seen |= n; len(out.Records) > rows {
				return Report{}, fmt.Errorf("it has more than %d rows", rows)
			}
		}
	}
	if seen&(sawMetadata|sawPolicy) != sawMetadata|sawPolicy {
		return Report{}, errNoFeedback
	}
	return out, nil
}

const (
	sawMetadata = 1 << iota
	sawPolicy
)

// element reads one element below the root.
func (r *Report) element(d *xml.Decoder, t xml.StartElement) (saw int, err error) {
	switch t.Name.Local {
	case "report_metadata":
		var m metadata
		if err := d.DecodeElement(&m, &t); err != nil {
			return 0, err
		}
		r.Organisation, r.Contact, r.Extra, r.ID = text(m.Organisation), text(m.Email), text(m.Extra), text(m.ID)
		r.Begin, r.End = time.Unix(m.Range.Begin, 0).UTC(), time.Unix(m.Range.End, 0).UTC()
		return sawMetadata, nil
	case "policy_published":
		var p Policy
		if err := d.DecodeElement(&p, &t); err != nil {
			return 0, err
		}
		r.Policy = Policy{word(p.Domain), word(p.Discovery), word(p.P), word(p.SP), word(p.NP), word(p.FO), word(p.ADKIM), word(p.ASPF), word(p.Testing)}
		return sawPolicy, nil
	case "record":
		var rec Record
		if err := d.DecodeElement(&rec, &t); err != nil {
			return 0, err
		}
		rec = rec.clean()
		ip, err := netip.ParseAddr(rec.Row.Source)
		if err != nil || rec.Row.Count < 1 {
			return 0, errors.New("a row has no address or no count")
		}
		rec.Row.Source = ip.Unmap().WithZone("").String()
		r.Records = append(r.Records, rec)
		return 0, nil
	}
	return 0, d.Skip() // RFC 9990 §5: extensions are passed over
}

// charset reads the two encodings that reports come in beside UTF-8.
func charset(name string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "ascii", "utf8":
		return in, nil
	case "iso-8859-1", "windows-1252", "latin1":
		return &latin1{in: in}, nil
	}
	return nil, fmt.Errorf("its encoding %s is not known", text(name))
}

// latin1 turns ISO 8859-1 into UTF-8.
type latin1 struct {
	in   io.Reader
	rest []byte
}

func (l *latin1) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		var raw [512]byte
		n, err := l.in.Read(raw[:])
		if n == 0 {
			return 0, err
		}
		for _, b := range raw[:n] {
			l.rest = append(l.rest, string(rune(b))...)
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// message reads the reports that a message has among its parts.
func (r *reader) message(data []byte, depth int) error {
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: it is neither XML nor a message: %w", ErrReport, err)
	}
	return r.part(textproto.MIMEHeader(m.Header), m.Body, depth)
}

func (r *reader) part(h textproto.MIMEHeader, body io.Reader, depth int) error {
	if r.parts++; r.parts > r.Parts || depth > r.Depth {
		return fmt.Errorf("%w: the message has too many parts", ErrReport)
	}
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045 §5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%w: %w", ErrReport, err)
			}
			if err := r.part(p.Header, p, depth+1); err != nil {
				return err
			}
		}
	}
	if kind == "text/plain" || kind == "text/html" {
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(decoded(h.Get("Content-Transfer-Encoding"), body), r.Octets))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReport, err)
	}
	if kind == "message/rfc822" {
		return r.message(data, depth+1)
	}
	if kind == "image/svg+xml" {
		return nil
	}
	_, err = r.file(data) // what is none of its kinds is somebody's picture
	return err
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}
