package parsers

import (
	"bytes"
	"fmt"
	"strings"
)

// shape makes hostile text of about n octets without line ends.
type shape struct {
	name string
	text func(n int) []byte
}

// again repeats a unit.
func again(name, unit string) shape {
	return shape{name, func(n int) []byte { return bytes.Repeat([]byte(unit), max(1, n/len(unit))) }}
}

// numbered writes units that all differ, so that nothing that remembers them helps.
func numbered(name, format string) shape {
	return shape{name, func(n int) []byte {
		var b bytes.Buffer
		for i := 0; b.Len() < max(1, n-len(format)); i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.Bytes()
	}}
}

// around puts one text before and one behind what it repeats.
func around(name, before, unit, behind string) shape {
	return shape{name, func(n int) []byte {
		return []byte(before + strings.Repeat(unit, max(1, (n-len(before)-len(behind))/len(unit))) + behind)
	}}
}

// shapes are all of them.
func shapes() []shape {
	all := []shape{
		again("blanks", " "), again("letters", "a"), again("letters and blanks", "a "), again("dots", "."),
		again("labels", "a."), again("hyphens", "-"), again("digits", "9"), again("capitals", "A"),
		again("ats", "@"), again("commas", ","), again("semicolons", ";"), again("colons", ":"), again("percents", "%"),
		again("equals", "="), again("slashes", "/"), again("ampersands", "&"), again("backslashes", `\`), again("hashes", "#"),
		again("quotes", `"`), again("empty quotes", `"" `), again("quoted words", `"a" `), again("quoted pairs", `\"`),
		around("an open quote", `"`, "a ", ""), around("an open quote of pairs", `"`, `\"`, ""), around("a long quoted name", `"`, "a@b.test ", `" <alice@local.test>`),
		again("open comments", "("), again("closing comments", ")"), again("comments", "()"), again("comments with words", "(a b) "),
		again("comments opened behind words", "a(b "),
		around("a long comment", "alice@local.test (", "x@y.test ", ")"),
		around("comments in a comment", "(", "(a)", ")"), again("comments and pairs", `(\)`),
		again("open angles", "<"), again("closing angles", ">"), again("angles", "<>"), again("angles and words", "a <"),
		again("addresses", "a@b.test,"), numbered("different addresses", "a%d@b%[1]d.test, "),
		again("addresses in angles", "<a@b.test>, "), again("addresses without commas", "a@b.test "),
		again("named addresses", `"A, B" <a@b.test>, `), again("groups", "g:a@b.test;, "),
		again("empty groups", "g:;,"), again("open groups", "g:"),
		again("routes", "<@a.test,@b.test:c@d.test>, "),
		around("a long route", "<", "@a.test,", ":a@b.test>"),
		again("literals", "a@[192.0.2.1], "), again("open brackets", "["),
		around("a long local-part", "", "a", "@local.test"),
		around("a long quoted local-part", `"`, "a", `"@local.test`),
		around("a long domain", "alice@", "a.", "test"),
		again("encoded words open", "=?"), again("encoded words without ends", "=?a?q?x"),
		again("encoded words", "=?utf-8?q?a=40b.test?= "),
		again("encoded words in base64", "=?utf-8?b?YUBiLnRlc3Q=?= "),
		again("encoded words glued", "=?utf-8?q?=C3=BC?="),
		numbered("different encoded words", "=?utf-8?q?w%d=2Etest?= "),
		again("encoded words of another charset", "=?iso-2022-jp?b?GyRCOzNFREJATzobKEI=?= "),
		around("a long encoded word", "=?utf-8?q?", "=40", "?= <alice@local.test>"),
		around("a long encoded word in base64", "=?utf-8?b?", "YUBi", "?= <alice@local.test>"),
		again("question marks", "?"), again("charsets without ends", "=?utf-8?"),
		again("non-ASCII letters", "ü"), again("non-ASCII words", "ü "), again("non-ASCII labels", "ü."),
		numbered("different non-ASCII domains", "ü%d.test "), numbered("different non-ASCII labels", "ü%dö."),
		numbered("different domains", "w%d.test "),
		numbered("different long domains", "%020d."+strings.Repeat("abcdefghi.", 20)+"test "),
		numbered("long non-ASCII words", "%08d"+strings.Repeat("üö", 250)+" "),
		numbered("long non-ASCII labels", "%08d"+strings.Repeat("üöäß", 14)+".test "),
		numbered("long non-ASCII domains", "%06d."+strings.Repeat("äöüäöüäöüäöü.", 9)+"test "),
		numbered("Chinese labels", "%d"+strings.Repeat("測試", 25)+".test "),
		numbered("Arabic labels", "%d"+strings.Repeat("عربي", 12)+".test "),
		again("compatibility forms", "ﷺ"), again("ligatures", "ﬃ."), again("full-width letters", "ａ．"),
		again("combining marks", "\u0301"), again("letters with marks", "a\u0323\u0307"),
		again("Jamo", "\u1112\u1161\u11ab"), again("ideographic stops", "a。"),
		again("soft hyphens", "a\u00ad"), again("overrides", "\u202e"), again("broken UTF-8", "\xff"),
		again("half of UTF-8", "\xe2\x82"), again("Latin-1", "B\xfcro "),
		again("A-labels", "xn--mnchen-3ya."), numbered("different A-labels", "xn--mnchen%d-3ya.test "),
		numbered("long A-labels", "xn--%d-"+strings.Repeat("9a", 25)+".test "),
		again("broken A-labels", "xn--."), around("one long A-label", "xn--", "9a", ""),
		again("tags", "a=b;"), numbered("different tags", "t%d=b; "), again("tags without values", "a;"),
		around("one tag with words", "v=DKIM1; k=rsa; p=", "QUJD ", ""),
		around("names in h=", "v=1; a=rsa-sha256; d=a.test; s=s; bh=AAAA; b=AAAA; h=from", ":from", ""),
		again("results", "; spf=pass smtp.mailfrom=a@b.test"),
		around("an id and results", "mx.local.test", "; dkim=pass header.d=b.test", ""),
		again("base64", "QUJD"), again("base64 ends", "QQ=="), again("quoted-printable", "=41"), again("broken quoted-printable", "=4"), again("xtext", "+2B"),
		around("SPF mechanisms", "v=spf1", " ip4:192.0.2.1", " -all"),
		around("SPF macros", "v=spf1 exists:", "%{i}", ".test -all"),
		around("SPF modifiers", "v=spf1", " x=%{s}", ""),
		around("SPF macros split", "v=spf1 exists:", "%{l1r-+,/_=}.", "test -all"),
		around("DMARC tags", "v=DMARC1; p=reject", "; x=y", ""),
		around("DMARC addresses", "v=DMARC1; p=reject; rua=mailto:a@b.test", ",mailto:a@b.test!10m", ""),
		around("TLSRPT addresses", "v=TLSRPTv1; rua=mailto:a@b.test", ",mailto:a@b.test", ""),
		around("a DKIM key", "v=DKIM1; p=", "AAAA", ""),
		again("parameters", `; a="b"`), numbered("different parameters", `; p%d=b`),
		around("a boundary", `multipart/mixed; boundary="`, "a", `"`),
		numbered("continued parameters", "; a*%d=x"),
		around("media parameters", "multipart/report; report-type=delivery-status", `; x="y"`, ""),
		again("encoded parameters", "; a*=utf-8''%41"),
		around("JSON arrays", "", "[", ""), around("JSON objects", "", `{"a":`, ""),
		around("JSON symbols", `{"action":"no action","score":1,"symbols":{`, `"A":{"score":1},`, `"B":{}}}`),
		numbered("JSON fields", `{"f%d":"v"}`), around("JSON text", `"`, `\u0041`, `"`),
		around("JSON fields to add", `{"action":"no action","score":1,"milter":{"add_headers":{`, `"X":["a","b"],`, `"Y":{"value":"v"}}}}`),
		again("elements", "<a>"), around("elements in a report", "<feedback>", "<a>", ""),
		around("rows", "<feedback>", "<record><row><source_ip>192.0.2.1</source_ip><count>1</count></row></record>", "</feedback>"),
		around("attributes", "<feedback ", `a="b" `, "></feedback>"),
		numbered("different attributes", `<a%d b="c"/>`), again("entities", "&amp;"),
		again("character references", "&#65;"), again("XML comments", "<!-- -->"),
		again("CDATA", "<![CDATA[a]]>"), again("processing instructions", "<?a?>"),
		around("a comment without end", "<feedback><!--", "- ", ""),
		around("name spaces", "<feedback ", `xmlns:a="b" `, ">"),
		again("addresses of networks", "192.0.2.1 "), again("message-ids", "<a@b.test> "),
		numbered("different message-ids", "<%d@b.test> "), again("queue ids", "06EXAMPLEABCDEFGHJKMNPQRST "),
	}
	return all
}

// folded parts a text into lines of a header field, as they come over the wire: no
// character is cut.
func folded(text []byte) []byte {
	const width = 900
	var b bytes.Buffer
	for len(text) > width {
		n := width
		for n > width-4 && text[n]&0xc0 == 0x80 {
			n--
		}
		b.Write(text[:n])
		b.WriteString("\r\n ")
		if c := bytes.TrimLeft(text[n:], " "); len(c) == 0 {
			return append(b.Bytes(), "x\r\n"...) // a line of blanks alone is another matter
		}
		text = text[n:]
	}
	b.Write(text)
	b.WriteString("\r\n")
	return b.Bytes()
}

// lined parts a text into lines of a body or a stream.
func lined(text []byte, width int) []byte {
	var b bytes.Buffer
	for len(text) > width {
		b.Write(text[:width])
		b.WriteString("\r\n")
		text = text[width:]
	}
	b.Write(text)
	b.WriteString("\r\n")
	return b.Bytes()
}
