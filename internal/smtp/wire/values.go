package wire

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/mail"
)

const (
	// MaxEnvIDOctets bounds ENVID before its encoding. RFC 3461 §4.4.
	MaxEnvIDOctets = 100
	// MaxORcptOctets bounds ORCPT as it stands in the command. RFC 3461 §4.2.
	MaxORcptOctets = 500
	// maxAuthParamOctets bounds the AUTH parameter of MAIL. RFC 4954 §3.
	maxAuthParamOctets = 500
)

// parseBody reads the value of BODY. RFC 6152 §2, RFC 3030 §3. BINARYMIME is read
// so that it can be refused by name where it isn't offered.
func parseBody(s string) (mail.BodyType, bool) {
	for _, b := range []mail.BodyType{mail.Body7Bit, mail.Body8BitMIME, mail.BodyBinaryMIME} {
		if strings.EqualFold(s, b.String()) {
			return b, true
		}
	}
	return mail.Body7Bit, false
}

// parseRet reads the value of RET. RFC 3461 §4.3.
func parseRet(s string) (mail.Ret, bool) {
	switch strings.ToUpper(s) {
	case "FULL":
		return mail.RetFull, true
	case "HDRS":
		return mail.RetHeaders, true
	}
	return mail.RetUnset, false
}

// parseNotify reads the value of NOTIFY: NEVER alone, or a list of conditions. One that is
// said twice, or a comma too many, says no more. RFC 3461 §4.1.
func parseNotify(s string) (mail.Notify, bool) {
	var set mail.Notify
	for word := range strings.SplitSeq(s, ",") {
		var n mail.Notify
		switch strings.ToUpper(word) {
		case "":
			continue
		case "NEVER":
			n = mail.NotifyNever
		case "SUCCESS":
			n = mail.NotifySuccess
		case "FAILURE":
			n = mail.NotifyFailure
		case "DELAY":
			n = mail.NotifyDelay
		}
		if n == 0 {
			return 0, false
		}
		set |= n
	}
	if set&mail.NotifyNever != 0 && set != mail.NotifyNever {
		return 0, false
	}
	return set, set != 0
}

// parseEnvID reads the value of ENVID. RFC 3461 §4.4: what it decodes to must be
// printable ASCII, for it ends in the header of a notification.
func parseEnvID(s string) (string, bool) {
	id := tolerantXtext(s)
	return id, id != "" && len(id) <= MaxEnvIDOctets && mail.IsPlain(id)
}

// parseORcpt reads the value of ORCPT: addr-type ";" xtext. RFC 3461 §4.2; for the
// type utf-8, RFC 6533 §3.
func parseORcpt(s string) (mail.ORcpt, bool) {
	if len(s) > MaxORcptOctets {
		return mail.ORcpt{}, false
	}
	kind, encoded, ok := strings.Cut(s, ";")
	if !ok || !isKeyword(kind) {
		return mail.ORcpt{}, false
	}
	kind = strings.ToLower(kind)
	if kind != "utf-8" && !isASCII(encoded) {
		return mail.ORcpt{}, false
	}
	addr := tolerantXtext(encoded)
	if kind == "utf-8" {
		addr = decodeUTF8Xtext(addr)
	}
	if addr == "" || !utf8.ValidString(addr) || strings.ContainsFunc(addr, unfit) {
		return mail.ORcpt{}, false
	}
	if kind != "utf-8" && !mail.IsPlain(addr) {
		return mail.ORcpt{}, false
	}
	return mail.ORcpt{Type: kind, Address: addr}, true
}

// unfit tells runes that end lines or hide text from those that show.
func unfit(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Cf)
}

// authUnknown is the AUTH parameter that names nobody. RFC 4954 §5.
const authUnknown = "<>"

// parseAuthParam reads the AUTH parameter of MAIL: xtext or "<>". What is no xtext, as
// the plain addresses that some clients put there, names nobody, as does whatever is
// not believed: RFC 4954 §5.
func parseAuthParam(s string) (string, bool) {
	if len(s) > maxAuthParamOctets {
		return "", false
	}
	v, ok := decodeXtext(s)
	if !ok || v == "" || !mail.IsPlain(v) {
		return authUnknown, s != ""
	}
	return v, true
}

// tolerantXtext decodes what a notification will show, and what no delivery goes by: xtext,
// whose hexchars some write in small letters; or an address or a name as it is, where a "+"
// begins no hexchar, or a "=" stands.
func tolerantXtext(s string) string {
	if v, ok := decodeXtext(s); ok {
		return v
	}
	return s
}

// decodeXtext decodes xtext, whose hexchars are in capitals; small letters say the same. RFC
// 3461 §4. Octets beyond ASCII pass; callers say whether they may.
func decodeXtext(s string) (string, bool) {
	if strings.ContainsAny(s, "= ") {
		return "", false
	}
	if strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) || !isHexDigit(s[i+1]) || !isHexDigit(s[i+2]) {
			return "", false
		}
		b.WriteByte(hexValue(s[i+1])<<4 | hexValue(s[i+2]))
		i += 2
	}
	return b.String(), true
}

// AppendXtext appends s encoded as xtext. RFC 3461 §4.
func AppendXtext(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c > 0x20 && c < 0x7f && c != '+' && c != '=' {
			b = append(b, c)
		} else {
			b = append(b, '+', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// AppendORcpt appends the value of ORCPT; nothing where that is too long or would not be
// read back as what it is: it only tells what the first sender wrote. The type utf-8 is
// written in seven bits, which every server takes. RFC 3461 §4.2, RFC 6533 §3.
func AppendORcpt(b []byte, o mail.ORcpt) ([]byte, bool) {
	value := append([]byte(o.Type), ';')
	if o.Type == "utf-8" {
		value = append(value, o.UTF8Xtext()...)
	} else {
		value = AppendXtext(value, o.Address)
	}
	if back, ok := parseORcpt(string(value)); !ok || back != o {
		return b, false
	}
	return append(b, value...), true
}

// mostPointDigits is how many hexadecimal digits the form of a character may have: the last is U+10FFFF. RFC 6533 §3.
const mostPointDigits = 6

// decodeUTF8Xtext decodes the form that mail.ORcpt.UTF8Xtext writes. A backslash that begins
// no such form stands for itself, as in the quoted text of a plain address, which
// RFC 6533 §3 allows as well. A form of no character becomes U+FFFD.
func decodeUTF8Xtext(s string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, `\x{`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		digits, behind, closed := strings.Cut(rest, "}")
		point, err := strconv.ParseUint(digits, 16, 32)
		if !closed || err != nil || len(digits) < 2 || len(digits) > mostPointDigits {
			b.WriteString(`\x{`)
			s = rest
			continue
		}
		// WriteRune writes U+FFFD for what is no character.
		b.WriteRune(rune(point))
		s = behind
	}
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' || c >= 'a' && c <= 'f'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}
