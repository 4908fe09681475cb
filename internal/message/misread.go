package message

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// maxMisread bounds the domains that are remembered of what programs may misread in the
// fields of one name.
const maxMisread = 20

// misread are the domains that widely used programs may read out of fields that name
// other authors by the grammar. What only shows an address, as a name in quotes does, is
// not among them: every program reads the mailbox behind it.
type misread []mail.Domain

// text takes the addresses in a text.
func (m *misread) text(text string) {
	if len(*m) >= maxMisread {
		return
	}
	for _, a := range addressesIn(text, maxMisread) {
		if d := a.Domain(); len(*m) < maxMisread && !slices.Contains(*m, d) {
			*m = append(*m, d)
		}
	}
}

// comment looks at a comment with its parentheses. Some programs end it at the first ")",
// whatever stands before that or within it, and some read in it where an address is
// open, or where something parts a list.
func (m *misread) comment(text string, inAddress bool) {
	if inner := text[1:max(1, len(text)-1)]; inAddress || strings.ContainsAny(inner, specialsOfLists) {
		m.text(decodedToo(text))
	}
}

// specialsOfLists are the specials without "@" and the dot. RFC 5322 §3.2.3.
const specialsOfLists = `"\<>()[]:;,`

// quotes are the quoted-strings of a local-part or a display name, looked at one by one.
// Some programs end one at an escaped quotation mark, and take what stands in the next
// for what stands outside, some where the line is folded, and some at brackets between
// two or where one is empty; in a local-part, some at everything.
type quotes struct {
	span        // from the first to the last
	many  bool  // more than one
	empty bool  // one of them is
	odd   bool  // some program may read them otherwise
	folds []int // where the field was folded
}

// add looks at the next one, which begins and ends there in a text.
func (q *quotes) add(text string, start, end int) {
	one := text[start:end]
	inner := one[1:max(1, len(one)-1)]
	pairs := strings.Contains(one, `\`)
	if pairs {
		inner = strings.ReplaceAll(inner, `\"`, `"`)
	}
	if q.end == 0 {
		q.start = start
	} else {
		q.many = true
		q.odd = q.odd || strings.ContainsAny(text[q.end:start], "[]")
	}
	q.end = end
	q.empty = q.empty || inner == ""
	q.odd = q.odd || pairs && !isQuotable(inner) || q.many && q.empty
	if fold, _ := slices.BinarySearch(q.folds, start); !q.odd && fold < len(q.folds) && q.folds[fold] < end {
		q.odd = strings.ContainsAny(inner, "<,")
	}
}

// quoted takes the addresses in quoted-strings that some program may read otherwise.
func (m *misread) quoted(text string, q quotes, local bool) {
	if q.end > 0 && (q.odd || local) {
		m.text(text[q.start:q.end])
	}
}

// decodedToo is a text, with what its encoded words hold behind it.
func decodedToo(text string) string {
	decoded, _ := decodeWords(text)
	if decoded == text {
		return text
	}
	return text + " " + decoded
}

// encoded looks at a whole field as programs see it that decode before they read. An
// encoded word that holds nothing but an address, as contact forms send it, is a name.
func (m *misread) encoded(value string, domains []string) {
	if !strings.Contains(value, "=?") {
		return
	}
	hidden := mapped(encodedText(value))
	if !strings.Contains(hidden, "@") || !strings.ContainsAny(hidden, specialsOfLists) {
		return
	}
	decoded, ok := decodeName(value)
	if !ok {
		decoded, _ = decodeWords(value)
	}
	r := namedReader{text: decoded, room: MaxAuthorAddresses}
	r.list()
	if r.fault != "" || !slices.Equal(r.domains, domains) {
		m.text(hidden)
	}
}

// encodedText is what the encoded words of a text hold, in their charsets, and nothing
// else. Of a charset that is not known here the octets are taken, which are ASCII where
// an address can be, but for the zeros of wide ones.
func encodedText(s string) string {
	var b strings.Builder
	eachWord(s, func(_ string, word encodedWord) {
		if text, known := decodeCharset(word.charset, word.text); known {
			word.text = text
		}
		b.WriteString(strings.ReplaceAll(word.text, "\x00", ""))
	})
	return b.String()
}

// foldsOf returns where in the unfolded value of a field its lines were folded.
func (h Header) foldsOf(f span) []int {
	var folds []int
	raw := strings.Trim(string(h.raw[f.value:f.end]), " \t\r\n")
	for at := 0; ; {
		line, rest, more := strings.Cut(raw, "\r\n")
		if !more {
			return folds
		}
		at += len(line)
		folds, raw = append(folds, at), rest
	}
}
