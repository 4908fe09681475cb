package format

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, files map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func letter(kind string, data []byte) []byte {
	return []byte("From: a@receiver.test\r\nSubject: Report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\n<hello>\r\n--b\r\nContent-Type: " + kind + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		wrapped(base64.StdEncoding.EncodeToString(data)) + "\r\n--b--\r\n")
}

func wrapped(s string) string {
	var b strings.Builder
	for len(s) > 76 {
		b.WriteString(s[:76] + "\r\n")
		s = s[76:]
	}
	return b.String() + s
}

// Both schemas, in each wrapping that reports come in, say the same.
func TestReading(t *testing.T) {
	for _, name := range []string{"old.xml", "new.xml"} {
		raw := sample(t, name)
		want, err := DefaultLimits().Read(raw)
		if err != nil || len(want.Reports) != 1 || len(want.Reports[0].Records) != 3 || want.Reports[0].Policy.Domain != "example.org" || want.Rows != 0 || want.Faults != nil {
			t.Fatalf("%s: %+v, %v", name, want, err)
		}
		gz, zp := gzipped(t, raw), zipped(t, map[string][]byte{"a.xml": raw, "b.txt": []byte("x")})
		for how, data := range map[string][]byte{
			"gzip": gz, "zip": zp, "mail with gzip": letter("application/gzip; name=x.xml.gz", gz), "mail with zip": letter("application/zip", zp),
			"mail with XML": letter("text/xml", raw), "a bare gzip mail": []byte("Content-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString(gz)),
			"forwarded": []byte("MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n\r\n" + string(letter("application/octet-stream", gz))),
			"with BOM":  append([]byte("\xef\xbb\xbf\r\n"), bytes.TrimPrefix(raw, []byte(`<?xml version="1.0" encoding="UTF-8" ?>`))...),
		} {
			got, err := DefaultLimits().Read(data)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %+v, %v", name, how, got, err)
			}
		}
	}
	read, _ := DefaultLimits().Read(sample(t, "new.xml"))
	if r := read.Reports; r[0].Policy.NP != "reject" || r[0].Policy.Discovery != "treewalk" || r[0].Records[2].Row.Evaluated.Reasons[0].Type != "mailing_list" ||
		r[0].Records[0].Results.SPF[0].Scope != "mfrom" || r[0].ID != "8f2a@other.test" || r[0].Begin.Unix() != 1793664000 {
		t.Errorf("%+v", r[0])
	}
	umlaut := bytes.Replace(bytes.Replace(sample(t, "old.xml"), []byte("UTF-8"), []byte("ISO-8859-1"), 1), []byte("<org_name>receiver.test"), []byte("<org_name>M\xfcller"), 1)
	if r, err := DefaultLimits().Read(umlaut); err != nil || r.Reports[0].Organisation != "Müller" {
		t.Errorf("%v %v", r, err)
	}
}

// What is no report, or would cost too much, is refused in bounded memory.
func TestReadingIsBounded(t *testing.T) {
	raw := sample(t, "old.xml")
	l := DefaultLimits()
	l.Octets, l.Expanded, l.Rows, l.Reports = 1<<20, 1<<20, 3, 2
	bomb := append(bytes.TrimSuffix(bytes.TrimSpace(raw), []byte("</feedback>")), append(bytes.Repeat([]byte(" "), 8<<20), []byte("</feedback>")...)...)
	var deep strings.Builder
	for range 20 {
		deep.WriteString("Content-Type: message/rfc822\r\n\r\n")
	}
	files := raw
	for range 12 {
		files = letter("application/octet-stream", files)
	}
	onion := raw
	for range 20 {
		onion = gzipped(t, onion)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "a picture": []byte("\x89PNG"), "mail without": []byte("Subject: x\r\n\r\nhello"), "other XML": []byte("<a><b/></a>"), "an empty report": []byte("<feedback/>"),
		"cut": raw[:400], "cut gzip": gzipped(t, raw)[:100], "bomb": gzipped(t, bomb), "bomb in zip": zipped(t, map[string][]byte{"a.xml": bomb}), "bomb in mail": letter("application/gzip", gzipped(t, bomb)),
		"too large": append(raw, make([]byte, 2<<20)...), "deep": []byte(deep.String()), "files in files": files,
		"bombs in each other": gzipped(t, gzipped(t, gzipped(t, bomb))), "gzip in gzip for ever": onion,
	} {
		if got, err := l.Read(data); !errors.Is(err, ErrReport) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func genText(label string) func(*rapid.T) string {
	return func(t *rapid.T) string {
		return rapid.StringMatching(`[a-z0-9.<>&"' \x00\x1b\x{7f}ü]{0,30}`).Draw(t, label)
	}
}

func genRecord(t *rapid.T) Record {
	s := genText("text")
	outcome := func() string { return rapid.SampledFrom([]string{Pass, Fail}).Draw(t, "outcome") }
	r := Record{
		Row: Row{Source: rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1"}).Draw(t, "ip"), Count: rapid.IntRange(1, 1000).Draw(t, "count"),
			Evaluated: Evaluated{Disposition: rapid.SampledFrom([]string{"none", "pass", "quarantine", "reject"}).Draw(t, "disposition"), DKIM: outcome(), SPF: outcome()}},
		Identifiers: Identifiers{HeaderFrom: s(t), EnvelopeFrom: s(t)},
	}
	for range rapid.IntRange(0, 3).Draw(t, "signatures") {
		r.Results.DKIM = append(r.Results.DKIM, DKIM{s(t), s(t), outcome(), s(t)})
	}
	r.Results.SPF = []SPF{{s(t), "mfrom", outcome(), s(t)}}
	return r
}

// What is written is well-formed, is read as it was meant, and counts the same.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Report{Organisation: genText("org")(t), Contact: "a@b.test", ID: "x", Begin: time.Unix(86400, 0).UTC(), End: time.Unix(172799, 0).UTC(),
			Policy: Policy{Domain: "example.org", Discovery: "treewalk", P: "reject", Testing: "n"}, Records: rapid.SliceOfN(rapid.Custom(genRecord), 1, 10).Draw(t, "records")}
		gz, err := in.Compress()
		if err != nil {
			t.Fatal(err)
		}
		out, err := DefaultLimits().Read(gz)
		if err != nil || len(out.Reports) != 1 || out.Faults != nil {
			t.Fatalf("%+v %v", out, err)
		}
		total := 0
		for i, r := range in.Records {
			got := out.Reports[0].Records[i]
			if !reflect.DeepEqual(got, r.clean()) {
				t.Fatalf("%+v became %+v", r.clean(), got)
			}
			total += r.Row.Count
		}
		s := Summarize(append(out.Reports, out.Reports...), Filter{})
		if s.Messages != total || s.Duplicates != 1 || s.Passed > s.Messages {
			t.Fatalf("%+v, want %d messages", s, total)
		}
	})
	if _, err := (Report{}).Write(); !errors.Is(err, ErrReport) {
		t.Error("a report needs a record")
	}
}

// The document is one of the schema: its elements, their order, their namespace.
func TestSchema(t *testing.T) {
	in, err := DefaultLimits().Read(sample(t, "new.xml"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := in.Reports[0].Write()
	if err != nil {
		t.Fatal(err)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	var names []string
	depth := 0
	for {
		tok, err := d.Token()
		if err != nil {
			break
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			if tok.Name.Space != Namespace {
				t.Errorf("<%s> is of %q", tok.Name.Local, tok.Name.Space)
			}
			if depth++; depth <= 3 {
				names = append(names, tok.Name.Local)
			}
		case xml.EndElement:
			depth--
		}
	}
	record := " record row identifiers auth_results"
	want := "feedback version report_metadata org_name email report_id date_range generator policy_published domain discovery_method p sp np fo adkim aspf testing"
	for range 3 {
		want += record
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("the elements are\n%s, want\n%s", got, want)
	}
}

// Each kind of source gets the advice that helps.
func TestSummary(t *testing.T) {
	var all []Report
	for _, name := range []string{"old.xml", "new.xml", "old.xml"} {
		r, err := DefaultLimits().Read(sample(t, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r.Reports...)
	}
	s := Summarize(all, Filter{Domain: "example.org"})
	if s.Messages != 177 || s.Passed != 43 || s.Reports != 2 || s.Duplicates != 1 || len(s.Sources) != 5 {
		t.Fatalf("%+v", s)
	}
	for i, want := range []struct{ source, advice string }{
		{"203.0.113.9", "if it is yours, let it send through your own server"},
		{"198.51.100.80", "speaks for bounce.letters.test, letters.test, and not for example.org"},
		{"198.51.100.7", "forwarded or went through a list"},
		{"192.0.2.25", Passes},
		{"2001:db8::25", Passes},
	} {
		if got := s.Sources[i]; got.Address.String() != want.source || !strings.Contains(got.Advice, want.advice) {
			t.Errorf("%d: %s: %s", i, got.Address, got.Advice)
		}
	}
	if s := Summarize(all, Filter{Domain: "shop.example.org"}); s.Messages != 5 || s.Reports != 1 {
		t.Errorf("a subdomain: %+v", s)
	}
	if s := Summarize(all, Filter{Since: time.Unix(1793664000, 0)}); s.Messages != 10 {
		t.Errorf("since: %+v", s)
	}
	if s := Summarize(all, Filter{Domain: "org"}); s.Messages != 177 {
		t.Errorf("a parent: %+v", s)
	}
	spf := all[0]
	spf.ID, spf.Records = "spf", []Record{{Row: Row{Source: "192.0.2.1", Count: 2, Evaluated: Evaluated{SPF: Pass, DKIM: Fail}}, Identifiers: Identifiers{HeaderFrom: "a.test"}}}
	if got := Summarize([]Report{spf}, Filter{}).Sources[0].Advice; !strings.Contains(got, "by SPF alone") {
		t.Error(got)
	}
}

// Nothing that is read makes more than the bounds allow, nor text that a terminal obeys.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"old.xml", "new.xml"} {
		raw := sample(f, name)
		f.Add(raw)
		f.Add(gzipped(f, raw))
		f.Add(zipped(f, map[string][]byte{"a.xml": raw}))
		f.Add(letter("application/gzip", gzipped(f, raw)))
	}
	f.Add([]byte("<feedback><record/><report_metadata/><policy_published/></feedback>"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\n"))
	l := Limits{Octets: 1 << 16, Expanded: 1 << 16, Reports: 3, Rows: 20, Parts: 10, Depth: 3}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := l.Read(data)
		if (len(all.Reports) > l.Reports) || err == nil && len(all.Reports) == 0 || err != nil && !errors.Is(err, ErrReport) || len(all.Faults) > maxFaults {
			t.Fatalf("%+v %v", all, err)
		}
		for _, r := range all.Reports {
			if len(r.Records) > l.Rows {
				t.Fatal("too many rows")
			}
			for _, text := range []string{r.Organisation, r.ID, r.Policy.Domain} {
				if len(text) > maxText || strings.ContainsAny(text, "\x1b\r\n\x00\u202e") {
					t.Fatalf("%q", text)
				}
			}
		}
		Summarize(all.Reports, Filter{Domain: "example.org"})
	})
}
