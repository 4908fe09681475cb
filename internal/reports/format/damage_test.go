package format

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"golang.org/x/text/encoding/charmap"

	"sallyport/test/cpu"
)

// swap returns a text with another in the place of the first one.
func swap(t testing.TB, in []byte, old, new string) []byte {
	t.Helper()
	if !bytes.Contains(in, []byte(old)) {
		t.Fatalf("there is no %q", old)
	}
	return bytes.Replace(in, []byte(old), []byte(new), 1)
}

// in16 is a document in UTF-16.
func in16(raw []byte, high, low int, mark bool) []byte {
	text := string(raw)
	if mark {
		text = "\ufeff" + text
	}
	var out []byte
	for _, u := range utf16.Encode([]rune(text)) {
		two := [2]byte{}
		two[high], two[low] = byte(u>>8), byte(u)
		out = append(out, two[:]...)
	}
	return out
}

// streamed is an archive whose members have their sizes behind them, as those have that
// are written to a pipe; stored and deflated.
func streamed(t testing.TB, method uint16, members ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i, m := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: strings.Repeat("m", i+1), Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// mailed is a message with one part, written by hand.
func mailed(fields, body string) []byte { return []byte(fields + "\r\n\r\n" + body) }

// Whatever a report comes in, it is read whole, and nothing is said to be left out.
func TestWrappingsOfOthers(t *testing.T) {
	raw := sample(t, "new.xml")
	want, err := DefaultLimits().Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	gz, zp := gzipped(t, raw), zipped(t, map[string][]byte{"report": raw})
	b64 := base64.StdEncoding.EncodeToString
	lines := strings.ReplaceAll(wrapped(b64(gz)), "\r\n", "\r\n \t")
	multi := "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"x y\""
	latin9, err := charmap.ISO8859_15.NewEncoder().Bytes(swap(t, raw, "UTF-8", "ISO-8859-15"))
	if err != nil {
		t.Fatal(err)
	}
	for how, data := range map[string][]byte{
		"CRLF behind gzip":              append(bytes.Clone(gz), "\r\n"...),
		"CRLF before gzip":              append([]byte("\r\n"), gz...),
		"something behind gzip":         append(bytes.Clone(gz), "-- \nsent by x\x00\x1f"...),
		"zeros behind gzip":             append(bytes.Clone(gz), make([]byte, 512)...),
		"gzip of several members":       append(gzipped(t, raw[:300]), gzipped(t, raw[300:])...),
		"gzip in gzip":                  gzipped(t, gz),
		"gzip in zip":                   zipped(t, map[string][]byte{"x.xml.gz": gz}),
		"zip in gzip":                   gzipped(t, zp),
		"zip in zip":                    zipped(t, map[string][]byte{"x.zip": zp}),
		"a member without .xml":         zp,
		"a member of another name":      zipped(t, map[string][]byte{"a.test!b.test!1!2.txt": raw, "readme": []byte("hello"), "p.png": []byte("\x89PNG")}),
		"folders and resource forks":    zipped(t, map[string][]byte{"x/": nil, "x/report.xml": raw, "__MACOSX/": nil, "__MACOSX/x/._report.xml": []byte("\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")}),
		"sizes behind, deflated":        streamed(t, zip.Deflate, []byte("hello"), raw),
		"sizes behind, stored":          streamed(t, zip.Store, []byte("hello"), raw),
		"CRLF behind zip":               append(bytes.Clone(zp), "\r\n"...),
		"a zip without its directory":   zp[:bytes.Index(zp, []byte("PK\x01\x02"))],
		"a zip with half its directory": zp[:bytes.Index(zp, []byte("PK\x01\x02"))+9],
		"blanks at starts of lines":     mailed("Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64", " "+lines),
		"base64 without padding":        mailed("Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64", strings.TrimRight(b64(gz), "=")),
		"base64 of an odd case":         mailed("content-type:Application/GZIP\r\nCONTENT-TRANSFER-ENCODING : BASE64 ", b64(gz)),
		"base64 that is none":           mailed("Content-Type: application/xml\r\nContent-Transfer-Encoding: base64", string(raw)),
		"base64 without saying so":      mailed("Content-Type: application/zip", wrapped(b64(zp))),
		"base64 in a text":              mailed("Subject: x", wrapped(b64(gz))),
		"base64 of XML in a text":       mailed("Subject: x", wrapped(b64(raw))),
		"base64 alone":                  []byte(wrapped(b64(gz))),
		"base64 twice":                  mailed("Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64", b64([]byte(b64(gz)))),
		"XML in a text":                 mailed("Content-Type: text/plain", string(raw)),
		"XML in HTML's type":            mailed("Content-Type: text/html", string(raw)),
		"quoted-printable":              mailed("Content-Type: text/xml\r\nContent-Transfer-Encoding: quoted-printable", strings.ReplaceAll(strings.ReplaceAll(string(raw), "=", "=3D"), "<record>", "<rec=  \r\nord>")),
		"quoted-printable that is none": mailed("Content-Type: text/xml\r\nContent-Transfer-Encoding: quoted-printable", string(raw)),
		"an mbox line":                  mailed("From x@y.test Mon Nov 23 10:00:00 2026\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64", b64(gz)),
		"a line without a colon":        mailed("nonsense\r\nContent-Type:\r\n application/gzip;\r\n name=a b.gz\r\nContent-Transfer-Encoding: base64", b64(gz)),
		"octets of any kind":            mailed("Content-Type: application/octet-stream", string(gz)),
		"a wrong type":                  mailed("Content-Type: image/png\r\nContent-Transfer-Encoding: base64", b64(gz)),
		"a type of old":                 mailed("Content-Type: application/x-zip-compressed; name=\"x.zip\"\r\nContent-Transfer-Encoding: base64", b64(zp)),
		"no last boundary":              mailed(multi, "--x y\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x y\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"+wrapped(b64(gz))),
		"no header in the part":         mailed(multi, "--x y\r\n\r\n"+wrapped(b64(gz))+"\r\n--x y--"),
		"another boundary":              mailed(multi, "hi\r\n\r\n--z\r\nContent-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n\r\n"+wrapped(b64(gz))+"\r\n--z--"),
		"blanks behind boundaries":      mailed(multi, "--x y \t\r\nContent-Type: text/xml\r\n\r\n"+string(raw)+"\r\n--x y-- \r\n"),
		"parts in parts":                mailed(multi, "--x y\r\nContent-Type: multipart/related; boundary=x\r\n\r\n--x\r\nContent-Type: text/xml\r\n\r\n"+string(raw)+"\r\n--x--\r\n--x y--\r\n"),
		"attached as a file":            letter("application/octet-stream; name=report.eml", letter("application/gzip", gz)),
		"attached with its mbox line":   letter("application/x-eml", append([]byte("From x@y.test Mon Nov 23 10:00:00 2026\n"), letter("application/zip", zp)...)),
		"a message in gzip":             gzipped(t, letter("application/gzip", gz)),
		"messages in zip":               zipped(t, map[string][]byte{"a.eml": letter("application/zip", zp), "readme": []byte("hello: x")}),
		"other files beside it":         mailed(multi, "--x y\r\nContent-Type: image/svg+xml\r\n\r\n<svg/>\r\n--x y\r\nContent-Type: text/html\r\n\r\n<html><p>hi</html>\r\n--x y\r\nContent-Type: text/xml\r\n\r\n"+string(raw)+"\r\n--x y--\r\n"),
		"a schema before it":            swap(t, raw, "<feedback", `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="feedback"><xs:complexType/></xs:element></xs:schema><feedback`),
		"a root around it":              append(swap(t, raw, "<feedback", `<reports><feedback`), "</reports>"...),
		"a document type":               swap(t, raw, "<feedback", "<!DOCTYPE feedback SYSTEM \"http://x.test/d\" [<!ENTITY a \"b>\"> <!ELEMENT c ANY>]><feedback"),
		"comments and instructions":     swap(t, swap(t, raw, "</count>", "]]><?x </count>?></count>"), "<count>", "<count><!-- </count> -->\n <![CDATA["),
		"elements in capitals":          bytes.ReplaceAll(raw, []byte("record>"), []byte("Record>")),
		"prefixes":                      bytes.ReplaceAll(bytes.ReplaceAll(swap(t, raw, "<feedback", "<d:feedback xmlns:d=\"urn:x\""), []byte("</"), []byte("</d:")), []byte("<record"), []byte("<d:record")),
		"blanks around numbers":         swap(t, raw, "<count>", "<count>\r\n\t "),
		"attributes":                    swap(t, raw, "<record>", `<record id="1" x='</record'>`),
		"extensions":                    swap(t, raw, "</record>", "<extensions><x:record2 a='b'><count>9</count></x:record2></extensions></record>"),
		"UTF-16 with a mark":            in16(raw, 1, 0, true),
		"UTF-16 the other way round":    in16(raw, 0, 1, true),
		"UTF-16 without a mark":         in16(raw, 1, 0, false),
		"UTF-16 in gzip":                gzipped(t, in16(raw, 0, 1, false)),
		"UTF-16 that is none":           swap(t, raw, "UTF-8", "utf-16"),
		"ISO-8859-15":                   latin9,
		"windows-1252":                  swap(t, raw, "UTF-8", "Windows-1252"),
		"an encoding of nobody":         swap(t, raw, "UTF-8", "x-nobody"),
		"no encoding":                   swap(t, raw, ` encoding="UTF-8"`, ""),
		"a mark for UTF-8":              append([]byte("\xef\xbb\xbf"), raw...),
		"empty lines before it":         append([]byte("\r\n \r\n"), raw...),
		"an unknown reference":          swap(t, raw, "</report_id>", "</report_id><note>a &nbsp; b & c &#x110000; &</note>"),
	} {
		got, err := DefaultLimits().Read(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", how, got, err)
		}
	}
}

// What is damaged costs no more than what it stands in, and is told.
func TestDamagedReports(t *testing.T) {
	raw := sample(t, "new.xml")
	cutAt := func(mark string) []byte { return raw[:bytes.LastIndex(raw, []byte(mark))] }
	gz := gzipped(t, raw)
	wrongSum := bytes.Clone(gz)
	wrongSum[len(wrongSum)-8] ^= 1
	for how, c := range map[string]struct {
		data       []byte
		rows, lost int
		fault      string
	}{
		"a count that is none":       {swap(t, raw, "<count>5", "<count>many"), 2, 1, "count"},
		"a count without an end":     {swap(t, raw, "<count>5</count>", "<count>5"), 3, 0, ""},
		"a negative count":           {swap(t, raw, "<count>5", "<count>-5"), 2, 1, "count"},
		"a count beyond all sums":    {swap(t, raw, "<count>5", "<count>9223372036854775807"), 2, 1, "count"},
		"no count":                   {swap(t, raw, "<count>5</count>", ""), 2, 1, "count"},
		"a source that is none":      {swap(t, raw, "203.0.113.9", "localhost"), 2, 1, "source"},
		"no source":                  {swap(t, raw, "<source_ip>203.0.113.9</source_ip>", "<source_ip/>"), 2, 1, "source"},
		"no evaluation":              {swap(t, raw, "policy_evaluated", "policy_evaluation"), 2, 1, "DMARC"},
		"a bare ampersand":           {swap(t, raw, "<org_name>", "<org_name>A & B &x "), 3, 0, ""},
		"a bare <":                   {swap(t, raw, "<org_name>", "<org_name>A < B "), 3, 0, ""},
		"one bad octet":              {swap(t, raw, "<org_name>", "<org_name>\xff\x00\x01"), 3, 0, ""},
		"an element without an end":  {swap(t, raw, "</row>", ""), 3, 0, ""},
		"a row without an end":       {swap(t, raw, "</record>", ""), 3, 0, ""},
		"an end without a beginning": {swap(t, raw, "<row>", "</spf></x><row>"), 3, 0, ""},
		"a tag without an end":       {swap(t, raw, "</row>", "</row"), 3, 0, ""},
		"no end":                     {cutAt("</feedback>"), 3, 0, "breaks off after row 3"},
		"an end within a row":        {cutAt("</record>"), 2, 1, "breaks off"},
		"an end within a tag":        {cutAt("eedback>"), 3, 0, "breaks off after row 3"},
		"gzip that breaks off":       {gz[:len(gz)-12], -1, 0, "breaks off"},
		"gzip with another sum":      {wrongSum, 3, 0, "checksum"},
		"no metadata":                {swap(t, swap(t, raw, "<report_metadata>", "<other>"), "</report_metadata>", "</other>"), 3, 0, ""},
		"no policy":                  {swap(t, swap(t, raw, "<policy_published>", "<other>"), "</policy_published>", "</other>"), 3, 0, ""},
		"a second one that is none":  {zipped(t, map[string][]byte{"a": raw, "b": []byte("<feedback><record/></feedback>")}), 3, 1, "no rows"},
	} {
		got, err := DefaultLimits().Read(c.data)
		if err != nil || len(got.Reports) != 1 {
			t.Errorf("%s: %+v, %v", how, got, err)
			continue
		}
		if n := len(got.Reports[0].Records); c.rows >= 0 && n != c.rows || n == 0 || got.Rows != c.lost && c.rows >= 0 {
			t.Errorf("%s: %d rows, %d left out", how, n, got.Rows)
		}
		if faults := strings.Join(got.Faults, "; "); !strings.Contains(faults, c.fault) || c.fault == "" && faults != "" {
			t.Errorf("%s: %q, want %q", how, faults, c.fault)
		}
	}
	l := DefaultLimits()
	l.Rows, l.Reports = 2, 2
	if got, err := l.Read(raw); err != nil || len(got.Reports[0].Records) != 2 || got.Rows != 1 || got.Faults == nil {
		t.Errorf("too many rows: %+v, %v", got, err)
	}
	if got, err := l.Read(zipped(t, map[string][]byte{"a": raw, "b": raw, "c": raw})); err != nil || len(got.Reports) != 2 || got.Faults == nil {
		t.Errorf("too many reports: %+v, %v", got, err)
	}
}

// Addresses and times in the forms that others write.
func TestValuesOfOthers(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "192.000.002.010": "192.0.2.10", "::ffff:192.0.2.1": "192.0.2.1", "[2001:db8::1]": "2001:db8::1", "ipv6:2001:db8::1": "2001:db8::1",
		"[ipv6:2001:db8::1]": "2001:db8::1", "2001:db8:0:0::1/128": "2001:db8::1", "fe80::1%eth0": "fe80::1", "192.0.2.1/32": "192.0.2.1", "192.0.2": "", "": "", "1.2.3.": "", "unknown": "",
	} {
		ip, err := readSource(text)
		if (err == nil) != (want != "") || err == nil && ip.String() != want {
			t.Errorf("%q is %v, %v", text, ip, err)
		}
	}
	day := time.Unix(1793577600, 0).UTC()
	for _, text := range []string{"1793577600", "2026-11-02T00:00:00Z", "2026-11-02 00:00:00", "2026-11-02", "1793577600.0", "1793577600.987", "1793577600000"} {
		if got := moment(text); !got.Equal(day) {
			t.Errorf("%q is %v", text, got)
		}
	}
	for _, text := range []string{"", "-1", "1793577600.x", "9223372036854775807", "yesterday", "."} {
		if got := moment(text); got.Unix() != 0 {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// Where the end of one element was lost, or its first character, what follows it counts all the
// same: a large provider's reports had "<report_id>2026/report_id>".
func TestALostEndCostsNothingElse(t *testing.T) {
	raw := sample(t, "new.xml")
	want, err := DefaultLimits().Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"org_name", "email", "extra_contact_info", "report_id", "date_range", "begin", "end", "domain", "p", "sp", "source_ip", "count", "policy_evaluated", "row", "identifiers"} {
		if !bytes.Contains(raw, []byte("</"+name+">")) {
			continue
		}
		for _, lost := range []string{"/" + name + ">", ""} {
			got, err := DefaultLimits().Read(swap(t, raw, "</"+name+">", lost))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			g, w := got.Reports[0], want.Reports[0]
			first, was := g.Records[0].Row, w.Records[0].Row
			if len(g.Records) != len(w.Records) || first.Source != was.Source || first.Count != was.Count || first.Evaluated.SPF != was.Evaluated.SPF ||
				g.Records[0].Identifiers != w.Records[0].Identifiers || len(g.Records[0].Results.DKIM) != len(w.Records[0].Results.DKIM) ||
				!g.Begin.Equal(w.Begin) || !g.End.Equal(w.End) || g.ID != w.ID || g.Policy != w.Policy {
				t.Errorf("%s, %q: %+v", name, lost, got)
			}
		}
	}
}

// Hostile shapes cost no more for each octet than honest reports do, by a factor that
// leaves room for caches that other work on the machine emptied.
func TestReadingIsLinear(t *testing.T) {
	cost := func(shape func(n int) []byte, n int) time.Duration {
		data := shape(n)
		best := time.Hour
		for range 5 {
			best = min(best, cpu.Thread(t, func() { _, _ = DefaultLimits().Read(data) }))
		}
		return best
	}
	again := func(s string) func(int) []byte {
		return func(n int) []byte { return append([]byte("<feedback>"), bytes.Repeat([]byte(s), n/len(s))...) }
	}
	for name, shape := range map[string]func(int) []byte{
		"tags": again("<a>"), "rows": again("<record>"), "ends": again("</a>"), "comments": again("<!--"), "sections": again("<![CDATA["), "types": again("<!a["), "instructions": again("<?"),
		"references": again("&"), "bare": again("<"), "attributes": again("<a b='"), "closed": again("<record><a/></record>"),
		"boundaries": func(n int) []byte {
			return append([]byte("Content-Type: multipart/mixed; boundary=b\n\n"), bytes.Repeat([]byte("--b\n\n"), n/6)...)
		},
		"field":  func(n int) []byte { return append([]byte("Content-Type: a"), bytes.Repeat([]byte("\n b"), n/3)...) },
		"fields": func(n int) []byte { return bytes.Repeat([]byte("a:\n"), n/3) },
		"escapes": func(n int) []byte {
			return append([]byte("Content-Transfer-Encoding: quoted-printable\n\n"), bytes.Repeat([]byte("= "), n/2)...)
		},
		"archives": func(n int) []byte { return bytes.Repeat([]byte("PK\x03\x04"), n/4) },
	} {
		if small, large := cost(shape, 20_000), cost(shape, 2_000_000); large > 400*small+20*time.Millisecond {
			t.Errorf("%s: %v for 20 kB, %v for 2 MB", name, small, large)
		}
	}
}
