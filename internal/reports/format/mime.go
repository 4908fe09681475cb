package format

import (
	"bytes"
	"mime"
	"strings"

	"sallyport/internal/message/transfer"
)

// entity is a message, or a part of one: what its header says it is, and its octets.
type entity struct {
	kind, encoding string // in lower case
	boundary       string
	body           []byte
}

// maxField bounds what is read of one field.
const maxField = 4 << 10

// message reads the reports that a message has among its parts.
func (r *reader) message(data []byte, depth int) {
	if r.enter(depth) {
		r.entity(split(data), depth)
	}
}

// split parts the header of an entity from its body. Lines that are no field are passed
// over: what matters may stand in others.
func split(data []byte) entity {
	var e entity
	fields := map[string]string{"content-type": "", "content-transfer-encoding": ""}
	name := ""
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		text := string(bytes.TrimSpace(line[:min(len(line), maxField)]))
		data = rest
		if text == "" {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if v, ok := fields[name]; ok && len(v) < maxField {
				fields[name] = v + " " + text
			}
			continue
		}
		before, after, _ := strings.Cut(text, ":")
		name = strings.ToLower(strings.TrimSpace(before))
		if v, ok := fields[name]; ok && v == "" {
			fields[name] = strings.TrimSpace(after)
		} else {
			name = "" // the first one counts
		}
	}
	e.body = data
	e.kind, e.boundary = mediaType(fields["content-type"])
	encoding, _, _ := strings.Cut(strings.ToLower(fields["content-transfer-encoding"]), ";")
	e.encoding = strings.TrimSpace(encoding)
	return e
}

// mediaType reads a Content-Type; where it is malformed, what matters of it.
func mediaType(s string) (kind, boundary string) {
	if kind, params, err := mime.ParseMediaType(s); err == nil {
		return kind, params["boundary"]
	}
	kind, _, _ = strings.Cut(s, ";")
	const key = "boundary="
	if i := strings.Index(strings.ToLower(s), key); i >= 0 && i+len(key) <= len(s) {
		boundary = s[i+len(key):]
		if rest, ok := strings.CutPrefix(boundary, `"`); ok {
			boundary, _, _ = strings.Cut(rest, `"`)
		} else if end := strings.IndexAny(boundary, "; \t"); end >= 0 {
			boundary = boundary[:end]
		}
	}
	return strings.ToLower(strings.TrimSpace(kind)), boundary
}

// entity reads a message or part by its type, and what it holds by what that is.
func (r *reader) entity(e entity, depth int) {
	if strings.HasPrefix(e.kind, "multipart/") {
		for _, body := range parts(e.body, e.boundary, r.Parts) {
			if r.enter(depth + 1) {
				r.entity(split(body), depth+1)
			}
		}
		return
	}
	data := decoded(e)
	switch e.kind {
	case "message/rfc822", "message/global":
		r.message(data, depth+1)
	default:
		// What is none of its kinds is somebody's text or picture, or a message attached as a file.
		if !r.content(data, depth+1) && strings.HasPrefix(e.kind, "application/") {
			r.file(data, depth+1)
		}
	}
}

// file reads a message that is a file by itself; false: it says nothing of what is in it, and is none.
func (r *reader) file(data []byte, depth int) bool {
	if split(data).kind == "" {
		return false
	}
	r.message(data, depth)
	return true
}

// parts returns the parts of a multipart body, at most one more than most: as far as
// they go, where no last boundary ends them. RFC 2046 §5.1.1. A part of the length zero
// is one.
func parts(body []byte, boundary string, most int) (out [][]byte) {
	line := []byte("--" + boundary)
	if boundary == "" || !bytes.Contains(body, line) {
		line = guessed(body)
	}
	if line == nil {
		return [][]byte{append([]byte("\n"), body...)} // one part without a header
	}
	start := -1
	for at := 0; at < len(body) && len(out) <= most; {
		end := len(body)
		if i := bytes.IndexByte(body[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		if tail, ok := bytes.CutPrefix(body[at:end], line); ok {
			tail = bytes.TrimSpace(tail)
			last := string(tail) == "--"
			if last || len(tail) == 0 {
				if start >= 0 {
					out = append(out, body[start:at])
				}
				if start = end; last {
					return out
				}
			}
		}
		at = end
	}
	if start >= 0 && len(out) <= most {
		out = append(out, body[start:])
	}
	return out
}

// mostBoundary is the longest line that parts a message: a boundary has 70 characters at most, behind two hyphens. RFC 2046 §5.1.1.
const mostBoundary = 72

// guessed returns the first line that may be a boundary, where the one that the header
// names is none.
func guessed(body []byte) []byte {
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte("--")) && len(line) > 2 && len(line) <= mostBoundary {
			return line
		}
	}
	return nil
}

// decoded undoes a transfer encoding, unless what is there is obviously not encoded.
func decoded(e entity) []byte {
	plain := bytes.TrimLeft(e.body, " \t\r\n")
	switch e.encoding {
	case "base64":
		if !bytes.HasPrefix(plain, []byte("<")) && !bytes.HasPrefix(plain, []byte(gzipMagic)) {
			return transfer.Base64(plain)
		}
	case "quoted-printable":
		return transfer.QuotedPrintable(plain)
	}
	return e.body
}

// base64Starts are the first octets, encoded, of all that reports come in.
var base64Starts = [...]string{"H4sI", "UEsDB", "PD94bWw", "PGZlZWRiYWNr", "77u/PD94bWw", "77u/PGZlZWRiYWNr"}

func isBase64(data []byte) bool {
	for _, s := range base64Starts {
		if bytes.HasPrefix(data, []byte(s)) {
			return true
		}
	}
	return false
}
