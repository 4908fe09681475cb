package server

import (
	"strings"

	imapwire "sallyport/internal/imap/wire"
	"sallyport/internal/message/structure"
)

// appendEnvelope writes an ENVELOPE. RFC 9051 §7.5.2.
func appendEnvelope(b []byte, e structure.Envelope, utf8 bool) []byte {
	b = append(b, '(')
	b = appendText(b, e.Date, utf8)
	b = append(b, ' ')
	b = appendText(b, e.Subject, utf8)
	for _, list := range [][]structure.Address{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		b = appendAddresses(append(b, ' '), list, utf8)
	}
	b = appendText(append(b, ' '), e.InReplyTo, utf8)
	b = appendText(append(b, ' '), e.MessageID, utf8)
	return append(b, ')')
}

func appendText(b []byte, t structure.Text, utf8 bool) []byte {
	return imapwire.AppendNString(b, t.Value, t.Given, utf8)
}

// appendAddresses writes addresses; a group begins with its name and ends with nothing. RFC 9051
// §7.5.2.
func appendAddresses(b []byte, list []structure.Address, utf8 bool) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = append(b, '(')
		b = imapwire.AppendNString(b, a.Name, a.Name != "", utf8)
		b = imapwire.AppendNString(append(b, ' '), a.Route, a.Route != "", utf8)
		b = imapwire.AppendNString(append(b, ' '), a.Mailbox, a.Kind != structure.GroupEnd, utf8)
		b = imapwire.AppendNString(append(b, ' '), a.Host, a.Kind == structure.Mailbox, utf8)
		b = append(b, ')')
	}
	return append(b, ')')
}

// appendPart writes BODY, or with all BODYSTRUCTURE. How deep it goes is bounded where the
// message was read. RFC 9051 §7.5.2.
func appendPart(b []byte, p *structure.Part, all, utf8 bool) []byte {
	b = append(b, '(')
	if p.Multipart() {
		for i := range p.Parts {
			b = appendPart(b, &p.Parts[i], all, utf8)
		}
		b = appendWord(append(b, ' '), p.Subtype)
		if all {
			b = appendParams(append(b, ' '), p.Params, utf8)
			b = appendExtension(b, p, utf8)
		}
		return append(b, ')')
	}
	b = appendWord(b, p.Type)
	b = appendWord(append(b, ' '), p.Subtype)
	b = appendParams(append(b, ' '), p.Params, utf8)
	b = appendText(append(b, ' '), p.ID, utf8)
	b = appendText(append(b, ' '), p.Description, utf8)
	b = appendWord(append(b, ' '), p.Encoding)
	b = append(b, " "+decimal(p.Body.Size)...)
	switch {
	case p.Message != nil:
		b = appendEnvelope(append(b, ' '), p.Message.Envelope, utf8)
		b = appendPart(append(b, ' '), &p.Message.Part, all, utf8)
		b = append(b, " "+decimal(p.Body.Lines)...)
	case p.Type == "text":
		b = append(b, " "+decimal(p.Body.Lines)...)
	}
	if all {
		b = appendText(append(b, ' '), p.MD5, utf8)
		b = appendExtension(b, p, utf8)
	}
	return append(b, ')')
}

func appendWord(b []byte, word string) []byte { return imapwire.AppendString(b, word, false) }

func appendParams(b []byte, params []structure.Param, utf8 bool) []byte {
	if len(params) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for i, p := range params {
		if i > 0 {
			b = append(b, ' ')
		}
		b = imapwire.AppendString(b, p.Name, utf8)
		b = imapwire.AppendString(append(b, ' '), p.Value, utf8)
	}
	return append(b, ')')
}

// appendExtension writes disposition, languages and location.
func appendExtension(b []byte, p *structure.Part, utf8 bool) []byte {
	b = append(b, ' ')
	if d := p.Disposition; d != nil {
		b = imapwire.AppendString(append(b, '('), d.Type, utf8)
		b = append(appendParams(append(b, ' '), d.Params, utf8), ')')
	} else {
		b = append(b, "NIL"...)
	}
	b = append(b, ' ')
	switch len(p.Languages) {
	case 0:
		b = append(b, "NIL"...)
	default:
		var quoted []string
		for _, l := range p.Languages {
			quoted = append(quoted, string(imapwire.AppendString(nil, l, utf8)))
		}
		b = append(b, '(')
		b = append(append(b, strings.Join(quoted, " ")...), ')')
	}
	return appendText(append(b, ' '), p.Location, utf8)
}
