package wire

import (
	"bytes"
	"errors"
	"strings"

	"sallyport/internal/mail"
)

// maxParams bounds the parameters of one command; the extensions that we offer
// have seven.
const maxParams = 10

// param is one esmtp-param: keyword in capitals, value as it came.
type param struct {
	keyword string
	value   string
	given   bool // "=" was there
}

// parseMail reads "FROM:" reverse-path [params]. RFC 5321 §4.1.1.2.
func parseMail(cmd Command, rest []byte) (Command, *Fault) {
	path, params, f := splitPath(VerbMAIL, rest, "FROM:")
	if f != nil {
		return Command{}, f
	}
	var m MailParams
	for i, p := range params {
		if f := m.set(p); f != nil {
			return Command{}, f
		}
		if repeated(params[:i], p.keyword) {
			return Command{}, fault(VerbMAIL, 501, "5.5.4", p.keyword+" was given twice")
		}
	}
	cs := mail.ASCII
	if m.SMTPUTF8 {
		cs = mail.UTF8
	}
	if cs == mail.ASCII && !isASCII(path) {
		return Command{}, needsUTF8(VerbMAIL)
	}
	from, err := mail.ParseReversePath(path, cs)
	if err != nil {
		return Command{}, fault(VerbMAIL, 501, "5.1.7", "sender address: "+reason(err))
	}
	m.From = from
	cmd.Mail = m
	return cmd, nil
}

// set reads one parameter of MAIL. RFC 5321 §4.1.1.11: an unknown one is refused.
func (m *MailParams) set(p param) *Fault {
	ok := true
	switch p.keyword {
	case "SIZE":
		m.Size, ok = parseSize([]byte(p.value))
		m.SizeGiven = true
	case "BODY":
		m.Body, ok = parseBody(p.value)
	case "SMTPUTF8":
		m.SMTPUTF8, ok = true, !p.given
	case "REQUIRETLS":
		m.RequireTLS, ok = true, !p.given
	case "RET":
		m.Ret, ok = parseRet(p.value)
	case "ENVID":
		m.EnvID, ok = parseEnvID(p.value)
	case "AUTH":
		m.Auth, ok = parseAuthParam(p.value)
	default:
		return fault(VerbMAIL, 555, "5.5.4", "a parameter of MAIL is not known here")
	}
	if !ok {
		return fault(VerbMAIL, 501, "5.5.4", "the value of "+p.keyword+" is not valid")
	}
	return nil
}

// parseRcpt reads "TO:" forward-path [params]. RFC 5321 §4.1.1.3.
func parseRcpt(cmd Command, rest []byte) (Command, *Fault) {
	path, params, f := splitPath(VerbRCPT, rest, "TO:")
	if f != nil {
		return Command{}, f
	}
	r := RcptParams{UTF8: !isASCII(path)}
	for i, p := range params {
		if f := r.set(p); f != nil {
			return Command{}, f
		}
		if repeated(params[:i], p.keyword) {
			return Command{}, fault(VerbRCPT, 501, "5.5.4", p.keyword+" was given twice")
		}
	}
	// Whether the transaction allows UTF-8 is not known to the grammar: see UTF8.
	to, err := mail.ParseForwardPath(path, mail.UTF8)
	if err != nil {
		return Command{}, fault(VerbRCPT, 501, "5.1.3", "recipient address: "+reason(err))
	}
	r.To = to
	cmd.Rcpt = r
	return cmd, nil
}

func (r *RcptParams) set(p param) *Fault {
	ok := true
	switch p.keyword {
	case "NOTIFY":
		r.Notify, ok = parseNotify(p.value)
	case "ORCPT":
		r.ORcpt, ok = parseORcpt(p.value)
		r.UTF8 = r.UTF8 || !isASCII(p.value) // RFC 6533 §3: in seven bits it needs no SMTPUTF8
	default:
		return fault(VerbRCPT, 555, "5.5.4", "a parameter of RCPT is not known here")
	}
	if !ok {
		return fault(VerbRCPT, 501, "5.5.4", "the value of "+p.keyword+" is not valid")
	}
	return nil
}

// splitPath parts "FROM:<path> params" into path and parameters.
//
// RFC 5321 §3.3 allows no space after the colon, nor within the angle brackets, and no
// address without them. Many devices send both, and as neither can change what the path says,
// they are let pass; the path that is returned has its brackets, and no space around it.
func splitPath(v Verb, rest []byte, lead string) (path string, params []param, f *Fault) {
	if !hasPrefixFold(rest, lead) {
		return "", nil, fault(v, 501, "5.5.4", v.String()+" must be followed by "+lead+"<address>")
	}
	text := string(bytes.TrimLeft(rest[len(lead):], " "))
	path, text = cutPath(text)
	if path == "" {
		return "", nil, fault(v, 501, "5.5.2", "the address must stand in angle brackets")
	}
	if text == "" {
		return path, nil, nil
	}
	if text[0] != ' ' {
		return "", nil, fault(v, 501, "5.5.2", "only a space may follow the address")
	}
	params, ok := parseParams(text)
	if !ok {
		return "", nil, fault(v, 501, "5.5.4", "the parameters are not well formed")
	}
	return path, params, nil
}

// cutPath parts a path from what follows it, and gives it the brackets that it lacks;
// it is empty where there is none.
func cutPath(text string) (path, rest string) {
	if bare, _, _ := strings.Cut(text, " "); isBare(bare) {
		return "<" + bare + ">", text[len(bare):]
	}
	end := pathEnd(text)
	if end < 0 {
		return "", ""
	}
	return "<" + strings.Trim(text[1:end-1], " ") + ">", text[end:]
}

// isBare reports whether a word may be an address without its brackets: one without
// anything that quotes, routes, lists or comments.
func isBare(s string) bool {
	return (strings.Contains(s, "@") || strings.EqualFold(s, "postmaster")) && !strings.ContainsAny(s, "<>()[]\\\":;,")
}

// pathEnd returns the index after the ">" that closes the path at the start of s,
// or -1. A ">" inside a quoted local-part is part of the path. RFC 5321 §4.1.2.
func pathEnd(s string) int {
	if s == "" || s[0] != '<' {
		return -1
	}
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return i + 1
		}
	}
	return -1
}

// parseParams reads *( SP esmtp-param ). RFC 5321 §4.1.2.
func parseParams(s string) ([]param, bool) {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	if len(words) > maxParams {
		return nil, false
	}
	var out []param
	for _, w := range words {
		k, v, given := strings.Cut(w, "=")
		if !isKeyword(k) || given && v == "" {
			return nil, false
		}
		// No value holds "=" (RFC 5321 §4.1.2); some clients write it into those that should be xtext.
		if strings.Contains(v, "=") && !isXtextKeyword(k) {
			return nil, false
		}
		out = append(out, param{keyword: strings.ToUpper(k), value: v, given: given})
	}
	return out, true
}

// isXtextKeyword names the parameters whose values are xtext. RFC 3461 §4, RFC 4954 §5.
func isXtextKeyword(k string) bool {
	return strings.EqualFold(k, "AUTH") || strings.EqualFold(k, "ENVID") || strings.EqualFold(k, "ORCPT")
}

// isKeyword is esmtp-keyword of RFC 5321 §4.1.2.
func isKeyword(s string) bool {
	if s == "" || !isAlnum(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

func repeated(before []param, keyword string) bool {
	for _, p := range before {
		if p.keyword == keyword {
			return true
		}
	}
	return false
}

func needsUTF8(v Verb) *Fault {
	return fault(v, 553, "5.6.7", "an address beyond ASCII needs SMTPUTF8")
}

// reason says in words what is wrong with an address, without repeating it.
func reason(err error) string {
	var syntax *mail.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Reason
	}
	return "it is not valid"
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
