package structure

import (
	"strconv"
	"strings"

	"sallyport/internal/message"
)

// Value returns a parameter as a person reads it, "" if there is none: its pieces joined, and
// decoded. RFC 2231 §3 and §4; encoded words, which many programs write there, are decoded too.
func Value(params []Param, name string) string {
	if v, ok := written(params, name+"*"); ok {
		return extended(v)
	}
	if v, ok := pieces(params, name); ok {
		return v
	}
	v, _ := written(params, name)
	return message.DecodeText(v)
}

func written(params []Param, name string) (string, bool) {
	for _, p := range params {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// pieces joins name*0, name*1*, and so on. The charset stands before the first. RFC 2231 §4.1.
func pieces(params []Param, name string) (string, bool) {
	var b strings.Builder
	charset := ""
	for i := 0; ; i++ {
		key := name + "*" + strconv.Itoa(i)
		if v, ok := written(params, key); ok {
			b.WriteString(v)
			continue
		}
		v, ok := written(params, key+"*")
		if !ok {
			return message.DecodeOctets(charset, b.String()), i > 0
		}
		if i == 0 {
			charset, v = languageCut(v)
		}
		b.WriteString(percentDecoded(v))
	}
}

// extended decodes charset'language'text. RFC 2231 §4.
func extended(v string) string {
	charset, text := languageCut(v)
	return message.DecodeOctets(charset, percentDecoded(text))
}

func languageCut(v string) (charset, text string) {
	charset, rest, ok := strings.Cut(v, "'")
	_, text, again := strings.Cut(rest, "'")
	if !ok || !again {
		return "utf-8", v
	}
	return charset, text
}

// percentDecoded decodes %XX; what is none of it stands for itself.
func percentDecoded(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
