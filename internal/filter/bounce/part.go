package bounce

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/message/transfer"
)

// walk looks for returned messages.
type walk struct {
	l         Limits
	parts     int
	report    bool       // there is a delivery status notification among the parts
	returned  []Returned // in parts that return messages, and in a report's fields
	copied    []Returned // in texts
	mentioned []string
	queue     []mail.ID
	failed    []Failure
}

// entity reads one part: where it is one that returns a message, that one, else its
// text.
func (w *walk) entity(contentType, encoding string, body []byte, depth int) {
	if w.parts++; w.parts > w.l.Parts {
		return
	}
	kind, params := mediaType(contentType)
	body = decode(encoding, body)
	switch kind {
	// RFC 6522 §3, RFC 6533 §5; the last is a mistake that is often made.
	case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers", "message/rfc822-headers":
		w.message(body)
	case "message/delivery-status", "message/global-delivery-status":
		w.report = true
		w.status(body)
	case "text/html":
		w.text(plainOf(wide(params["charset"], body)))
	default:
		if boundary := strings.TrimRight(params["boundary"], " \t"); strings.HasPrefix(kind, "multipart/") && depth < w.l.Depth && boundary != "" {
			if w.multipart(boundary, body, depth) {
				w.report = w.report || kind == "multipart/report" && isDelivery(params)
				return
			}
		}
		if isText(kind) {
			w.text(wide(params["charset"], body))
		}
	}
}

// isText reports whether a part of a kind is read as a text. Some attach what they return as a file,
// or call it a message of a kind of their own.
func isText(kind string) bool {
	major, _, _ := strings.Cut(kind, "/")
	return major == "" || major == "text" || major == "multipart" || major == "message" || kind == "application/octet-stream"
}

// multipart goes through the parts between the lines of a boundary; false: there is no
// such line. A last part that breaks off is as good as a whole one.
func (w *walk) multipart(boundary string, body []byte, depth int) bool {
	mark, start, found := []byte("--"+boundary), -1, false
	for at := 0; at < len(body) && w.parts < w.l.Parts; {
		line, end := lineAt(body, at)
		rest, isMark := bytes.CutPrefix(line, mark)
		last := bytes.HasPrefix(rest, []byte("--"))
		if isMark = isMark && (last || len(bytes.TrimSpace(rest)) == 0); isMark {
			if start >= 0 {
				w.part(body[start:at], depth)
			}
			start, found = end, true
			if last {
				return true
			}
		}
		at = end
	}
	if start >= 0 {
		w.part(body[start:], depth)
	}
	return found
}

// lineAt returns the line that begins at a place, without its end, and where the next
// begins.
func lineAt(b []byte, at int) (line []byte, next int) {
	i := bytes.IndexByte(b[at:], '\n')
	if i < 0 {
		return b[at:], len(b)
	}
	return bytes.TrimSuffix(b[at:at+i], []byte("\r")), at + i + 1
}

// part reads one part of a multipart with its header. One without is plain text. RFC
// 2046 §5.1.
func (w *walk) part(all []byte, depth int) {
	head, body := split(all)
	h, err := w.l.Header.Parse(head)
	if err != nil {
		h, body = message.Header{}, all
	}
	w.entity(h.Value("Content-Type"), h.Value("Content-Transfer-Encoding"), body, depth+1)
}

// split parts a header section, with CRLFs, from what stands behind its empty line. A
// section that breaks off is as good as a whole one, and some programs lose the CR of
// what they return.
func split(all []byte) (head, body []byte) {
	for at := 0; at < len(all); {
		line, end := lineAt(all, at)
		if len(line) == 0 {
			return crlf(all[:end]), all[end:]
		}
		at = end
	}
	return crlf(all), nil
}

// crlf gives each line the end that the rules want, and drops what no header may hold.
func crlf(b []byte) []byte {
	b = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r"), nil), []byte("\x00"), nil)
	return bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
}

// message reads a returned message, of which only the header section counts.
func (w *walk) message(all []byte) {
	head, _ := split(all[:min(len(all), w.l.Header.HeaderOctets/2)])
	h, err := w.l.Header.Parse(head)
	if err != nil {
		w.text(all)
		return
	}
	if one, ok := returnedBy(h); ok && len(w.returned) < w.l.Returned {
		w.returned = append(w.returned, one)
	}
	w.identifiers(h)
}

func returnedBy(h message.Header) (Returned, bool) {
	r := Returned{MessageID: identifier(h.MessageID())}
	for _, c := range h.Named("From").Claims {
		if !c.Domain.IsZero() {
			r.Domains = add(r.Domains, c.Domain, message.MaxAuthorAddresses)
		}
	}
	return r, r.MessageID != "" || len(r.Domains) > 0
}

// identifiers notes everything in a header section that names a message: gateways write
// a Message-ID of their own and keep the other, and our own Received field has the
// queue identifier.
func (w *walk) identifiers(h message.Header) {
	h.All(func(f message.Field) bool {
		if namesMessage(f.Name) {
			w.mention(strings.TrimSpace(f.Value))
			w.mention(identifier(f.Value))
		}
		if strings.EqualFold(f.Name, "Received") {
			w.queued(f.Value)
		}
		return true
	})
}

// decode undoes a transfer encoding, as far as what it encodes can be told.
func decode(encoding string, body []byte) []byte {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return transfer.QuotedPrintable(body)
	case "base64":
		return transfer.Base64(body)
	}
	return body
}

// wide turns UTF-16 into UTF-8; every other charset that mail is written in has the
// octets of ASCII for what is looked for here.
func wide(charset string, b []byte) []byte {
	charset = strings.ToLower(charset)
	if !strings.HasPrefix(charset, "utf-16") && !strings.HasPrefix(charset, "utf16") {
		return b
	}
	var order binary.ByteOrder = binary.BigEndian // where nothing says otherwise
	if bytes.HasPrefix(b, []byte{0xff, 0xfe}) || strings.HasSuffix(charset, "le") {
		order = binary.LittleEndian
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = order.Uint16(b[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}
