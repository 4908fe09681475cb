package mailbox

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// mutf7 is the alphabet of modified UTF-7. RFC 3501 §5.1.3.
func mutf7() *base64.Encoding {
	return base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)
}

// EncodeUTF7 writes a name as IMAP4rev1 has it, and as folders are called on the disk.
// RFC 3501 §5.1.3.
func EncodeUTF7(name string) string { return encodeUTF7(name, "") }

// encodeUTF7 encodes the octets of also too, although they are printable.
func encodeUTF7(name, also string) string {
	var b strings.Builder
	var units []uint16
	flush := func() {
		if len(units) == 0 {
			return
		}
		raw := make([]byte, 0, 2*len(units))
		for _, u := range units {
			raw = append(raw, byte(u>>8), byte(u))
		}
		b.WriteString("&" + mutf7().EncodeToString(raw) + "-")
		units = units[:0]
	}
	for _, r := range name {
		if r < ' ' || r > '~' || strings.ContainsRune(also, r) {
			units = utf16.AppendRune(units, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}

// DecodeUTF7 reads what EncodeUTF7 wrote; ok is false for anything else. RFC 3501 §5.1.3.
func DecodeUTF7(name string) (decoded string, ok bool) {
	decoded, ok = decodeUTF7(name)
	return decoded, ok && EncodeUTF7(decoded) == name
}

func decodeUTF7(name string) (string, bool) {
	var b strings.Builder
	for name != "" {
		plain, rest, found := strings.Cut(name, "&")
		for i := range len(plain) {
			if plain[i] < ' ' || plain[i] > '~' {
				return "", false
			}
		}
		b.WriteString(plain)
		if !found {
			break
		}
		coded, rest, found := strings.Cut(rest, "-")
		if !found {
			return "", false
		}
		name = rest
		if coded == "" {
			b.WriteByte('&')
			continue
		}
		raw, err := mutf7().DecodeString(coded)
		if err != nil || len(raw)%2 != 0 {
			return "", false
		}
		units := make([]uint16, len(raw)/2)
		for i := range units {
			units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
		}
		for _, r := range utf16.Decode(units) {
			if r == utf8.RuneError {
				return "", false
			}
			b.WriteRune(r)
		}
	}
	return b.String(), true
}
