package wire

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

var errName = errors.New("wire: no mailbox can have this name")

// EncodeName writes a name of UTF-8 in modified UTF-7. RFC 3501 §5.1.3.
func EncodeName(name string) string {
	var b strings.Builder
	var wide []uint16
	flush := func() {
		if len(wide) == 0 {
			return
		}
		raw := make([]byte, 0, 2*len(wide))
		for _, u := range wide {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteByte('&')
		b.WriteString(strings.ReplaceAll(base64.RawStdEncoding.EncodeToString(raw), "/", ","))
		b.WriteByte('-')
		wide = wide[:0]
	}
	for _, r := range name {
		if r < 0x20 || r > 0x7e {
			wide = utf16.AppendRune(wide, r)
			continue
		}
		flush()
		if b.WriteByte(byte(r)); r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// DecodeName reads modified UTF-7. It takes one form for each name only, so that no two
// names are the same mailbox: what EncodeName would write otherwise is refused.
func DecodeName(text string) (string, error) {
	var b strings.Builder
	rest := text
	for rest != "" {
		plain, after, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		code, tail, closed := strings.Cut(after, "-")
		if !closed {
			return "", errName
		}
		if code == "" {
			b.WriteByte('&')
		} else if err := decodeRun(&b, code); err != nil {
			return "", err
		}
		rest = tail
	}
	if name := b.String(); EncodeName(name) == text {
		return name, nil
	}
	return "", errName
}

// decodeRun decodes what stands between "&" and "-".
func decodeRun(b *strings.Builder, code string) error {
	raw, err := base64.RawStdEncoding.DecodeString(strings.ReplaceAll(code, ",", "/"))
	if err != nil || len(raw)%2 != 0 {
		return errName
	}
	wide := make([]uint16, 0, len(raw)/2)
	for i := 0; i < len(raw); i += 2 {
		wide = append(wide, uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	b.WriteString(string(utf16.Decode(wide)))
	return nil
}

// decodeMailbox returns the UTF-8 of a name as a client wrote it. A client that has enabled UTF-8
// writes UTF-8 alone (RFC 9755 §3, RFC 9051 §5.1); others modified UTF-7, or UTF-8 against
// the rule, which reads only one way.
func decodeMailbox(text string, enabled bool) (string, error) {
	name := text
	if !enabled && isASCII(text) {
		var err error
		if name, err = DecodeName(text); err != nil {
			return "", err
		}
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", errName
	}
	// RFC 3501 §5.1: INBOX in any letters.
	if len(name) >= 5 && strings.EqualFold(name[:5], "INBOX") && (len(name) == 5 || name[5] == '/') {
		name = "INBOX" + name[5:]
	}
	return name, nil
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}

// mailbox takes the name of a mailbox.
func (s *scanner) mailbox() string {
	name, err := decodeMailbox(s.astring(), s.utf8)
	if err != nil {
		s.refuse("CANNOT", "no mailbox can have this name")
		return ""
	}
	return name
}
