package structure

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// NewNeedle makes a needle that is alone in its haystack.
func NewNeedle(text string) Needle { return new(Haystack).Needle(text) }

func parsed(t testing.TB, text string) (Structure, *strings.Reader) {
	t.Helper()
	file := strings.NewReader(text)
	s, err := Parse(file, int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return s, file
}

// told is the octets of a section as a client gets them.
func told(t testing.TB, file io.ReaderAt, where Span) string {
	t.Helper()
	b, err := io.ReadAll(where.Reader(file))
	if err != nil {
		t.Fatal(err)
	}
	if int64(len(b)) != where.Size || int64(bytes.Count(b, []byte("\n"))) != where.Lines {
		t.Fatalf("%q is said to have %d octets and %d lines", b, where.Size, where.Lines)
	}
	return string(b)
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

const nested = `From: user@domain.test
Date: Sat, 24 Mar 2007 23:00:00 +0200
Mime-Version: 1.0
Content-Type: multipart/mixed; boundary="foo
 bar"

Root MIME prologue

--foo bar
Content-Type: text/x-myown; charset=us-ascii

hello

--foo bar
Content-Type: message/rfc822

From: sub@domain.test
Date: Sun, 12 Aug 2012 12:34:56 +0300
Subject: submsg
Content-Type: multipart/digest; boundary="sub1"

Sub MIME prologue
--sub1 

From: m1@example.test
Subject: m1

m1 body

--sub1
X-Mime: m2 header

Subject: m2

m2 body
--sub1--
Sub MIME epilogue

--foo bar--
Root MIME epilogue
`

// Each section lies where RFC 9051 §6.4.5 says, whichever way lines end.
func TestSections(t *testing.T) {
	sub := nested[strings.Index(nested, "From: sub@"):strings.Index(nested, "\n--foo bar--")]
	head, body, _ := strings.Cut(sub, "\n\n")
	for name, text := range map[string]string{"LF": nested, "CRLF": crlf(nested)} {
		s, file := parsed(t, text)
		for _, c := range []struct {
			path []uint32
			what What
			want string
		}{
			{nil, Whole, nested}, {nil, Header, nested[:strings.Index(nested, "Root MIME pro")]}, {nil, Body, nested[strings.Index(nested, "Root MIME pro"):]}, {nil, MIME, "-"},
			{[]uint32{1}, Whole, "hello\n"}, {[]uint32{1}, MIME, "Content-Type: text/x-myown; charset=us-ascii\n\n"}, {[]uint32{1}, Header, "-"}, {[]uint32{1}, Body, "-"},
			{[]uint32{1, 1}, Whole, "-"}, {[]uint32{3}, Whole, "-"}, {[]uint32{0}, Whole, "-"},
			{[]uint32{2}, Whole, sub}, {[]uint32{2}, MIME, "Content-Type: message/rfc822\n\n"}, {[]uint32{2}, Header, head + "\n\n"}, {[]uint32{2}, Body, body},
			{[]uint32{2, 1}, Whole, "From: m1@example.test\nSubject: m1\n\nm1 body\n"}, {[]uint32{2, 1}, MIME, "\n"},
			{[]uint32{2, 1}, Header, "From: m1@example.test\nSubject: m1\n\n"}, {[]uint32{2, 1}, Body, "m1 body\n"}, {[]uint32{2, 1, 1}, Whole, "m1 body\n"}, {[]uint32{2, 1, 1, 1}, Whole, "-"},
			{[]uint32{2, 2}, MIME, "X-Mime: m2 header\n\n"}, {[]uint32{2, 2}, Whole, "Subject: m2\n\nm2 body"}, {[]uint32{2, 2, 1}, Whole, "m2 body"}, {[]uint32{2, 3}, Whole, "-"},
		} {
			got, where := "-", Span{}
			where, ok := s.Section(c.path, c.what)
			if ok {
				got = told(t, file, where)
			}
			if want := crlf(c.want); got != want {
				t.Errorf("%s: %v %d is %q, want %q", name, c.path, c.what, got, want)
			}
		}
		if s.Size() != int64(len(crlf(nested))) {
			t.Errorf("%s: the message is said to have %d octets", name, s.Size())
		}
	}
}

// A message that is no multipart has one part; a message in it is one more step.
func TestOnePart(t *testing.T) {
	s, file := parsed(t, "Subject: x\nContent-Type: message/rfc822\n\nSubject: y\n\nbody\n")
	for _, c := range []struct {
		path []uint32
		want string
	}{{[]uint32{1}, "Subject: y\r\n\r\nbody\r\n"}, {[]uint32{1, 1}, "body\r\n"}, {[]uint32{2}, ""}, {[]uint32{1, 2}, ""}} {
		where, ok := s.Section(c.path, Whole)
		if got := told(t, file, where); got != c.want || ok != (c.want != "") {
			t.Errorf("%v is %q, want %q", c.path, got, c.want)
		}
	}
}

// lists writes addresses as ENVELOPE has them.
func lists(of ...[]Address) string {
	var b strings.Builder
	for _, list := range of {
		b.WriteByte('(')
		for _, a := range list {
			fmt.Fprintf(&b, "[%d %s|%s|%s|%s]", a.Kind, a.Name, a.Route, a.Mailbox, a.Host)
		}
		b.WriteByte(')')
	}
	return b.String()
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"user@domain.test":                      "[0 ||user|domain.test]",
		"<user@domain.test>":                    "[0 ||user|domain.test]",
		"Real Name <user@domain.test>":          "[0 Real Name||user|domain.test]",
		`"Name, Real \"x\"" <user@domain.test>`: `[0 Name, Real "x"||user|domain.test]`,
		"user@domain.test (Real (inner) Name)":  "[0 Real (inner) Name||user|domain.test]",
		"<@route:user@domain>":                  "[0 |@route|user|domain]",
		"<@a.test,@b.test:user@domain>":         "[0 |@a.test,@b.test|user|domain]",
		"group: g1@d1.test, g2@d2.test;, group2: g3@d3.test;": "[1 ||group|][0 ||g1|d1.test][0 ||g2|d2.test][2 |||][1 ||group2|][0 ||g3|d3.test][2 |||]",
		"undisclosed-recipients:;":                            "[1 ||undisclosed-recipients|][2 |||]",
		"group: a@b.test":                                     "[1 ||group|][0 ||a|b.test][2 |||]",
		"a@b.test, c@d.test":                                  "[0 ||a|b.test][0 ||c|d.test]",
		",,a@b.test,,":                                        "[0 ||a|b.test]",
		"=?utf-8?q?J=C3=BCrgen?= <j@x.test>":                  "[0 =?utf-8?q?J=C3=BCrgen?=||j|x.test]",
		"Jürgen <jürgen@bücher.test>":                         "[0 Jürgen||jürgen|bücher.test]",
		`"a b"@x.test`:                                        "[0 ||a b|x.test]",
		"a@[192.0.2.1]":                                       "[0 ||a|[192.0.2.1]]",
		"a . b @ x . test":                                    "[0 a .||b|x.test]",
		"alice@x.test <alice@x.test>":                         "[0 alice@x.test||alice|x.test]",
		"Nobody":                                              "[0 ||Nobody|]",
		"<nobody>":                                            "[0 ||nobody|]",
		"<>":                                                  "",
		"Name <>":                                             "[0 Name|||]",
		"Name <a@b.test":                                      "[0 Name||a|b.test]",
		`"open`:                                               "[0 ||open|]",
		"(only a comment)":                                    "",
		"Dot. In Name <a@b.test>":                             "[0 Dot. In Name||a|b.test]",
		"A <a@b.test> B":                                      "[0 A B||a|b.test]",
		"a@b@c.test":                                          "[0 @c.test||a|b]",
		"a@x.test c@d.test":                                   "[0 c @d.test||a|x.test]",
		"g: h: a@b.test;":                                     "[1 ||g|][0 h||a|b.test][2 |||]",
		"; , : @":                                             "[0 ||@|]",
	} {
		s, _ := parsed(t, "To: "+in+"\n\n")
		if got := lists(s.Envelope.To); got != "("+want+")" {
			t.Errorf("%q is %s, want (%s)", in, got, want)
		}
	}
}

func TestEnvelope(t *testing.T) {
	s, _ := parsed(t, "Message-ID: <msg@id>\nin-reply-to:\t<reply@to.id>\nDate : Sat, 01 Feb 2007 01:02:03 +0200\nSubject: subject\n header\nFrom: a@b.test\nSender: \nReply-To: R <r@b.test>\nTo: t@b.test\nTo: u@b.test\nCc:\nsubject: other\n\n")
	e := s.Envelope
	if e.MessageID != (Text{"<msg@id>", true}) || e.InReplyTo != (Text{"<reply@to.id>", true}) || e.Subject != (Text{"subject header", true}) {
		t.Errorf("%+v", e)
	}
	if got, want := lists(e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc), "([0 ||a|b.test])([0 ||a|b.test])([0 R||r|b.test])([0 ||t|b.test][0 ||u|b.test])()()"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if at, ok := e.Time(); !ok || !at.Equal(time.Date(2007, 1, 31, 23, 2, 3, 0, time.UTC)) {
		t.Errorf("the date is %v", at)
	}
	// Absent is NIL, empty is the empty string; what no line may hold is not told.
	s, _ = parsed(t, "Subject:\nIn-Reply-To: a\rb\x00c\n\n")
	if e := s.Envelope; e.Subject != (Text{"", true}) || e.Date.Given || e.InReplyTo.Value != "abc" {
		t.Errorf("%+v", e)
	}
	if _, ok := s.Envelope.Time(); ok {
		t.Error("no date is a date")
	}
}

// sketch writes the tree of parts.
func sketch(p *Part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s", p.Type, p.Subtype)
	for i := range p.Parts {
		b.WriteString(" (" + sketch(&p.Parts[i]) + ")")
	}
	if p.Message != nil {
		b.WriteString(" [" + sketch(&p.Message.Part) + "]")
	}
	if len(p.Parts) == 0 {
		fmt.Fprintf(&b, " %d %d", p.Body.Size, p.Body.Lines)
	}
	return b.String()
}

// Where a program has folded a line with a tab, words stand beside each other all the same.
func TestFoldedWithTabs(t *testing.T) {
	text := "Subject: all of\r\n\tthe\r\n \t \tnews and\ta tab\r\nX-Other: one\n\ttwo\r\n\r\nbody\r\n"
	s, file := parsed(t, text)
	if have := s.Envelope.Subject.Value; have != "all of the    news and\ta tab" {
		t.Errorf("%q", have)
	}
	head, err := DefaultLimits().HeaderOf(s.Part.Header, file)
	if err != nil {
		t.Fatal(err)
	}
	var h Haystack
	for name, words := range map[string]string{"subject": "of the", "x-other": "ONE two"} {
		if !DefaultLimits().InField(h.Needle(words), name, head) {
			t.Errorf("%q is not found in %s", words, name)
		}
	}
	if found, err := DefaultLimits().InHeader(h.Needle("one two"), s, file); !found || err != nil {
		t.Error(found, err)
	}
}

// Whom a report of a failed delivery is about is found in it, and so is what other reports say.
func TestReportsAreSearched(t *testing.T) {
	s, file := parsed(t, "Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\n\r\nsorry\r\n--a\r\nContent-Type: message/delivery-status\r\n\r\n"+
		"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: rfc822; who@there.test\r\n--a\r\nContent-Type: message/feedback-report\r\n"+
		"Content-Transfer-Encoding: base64\r\n\r\nRmVlZGJhY2stVHlwZTogYWJ1c2U=\r\n--a\r\nContent-Type: image/png\r\n\r\nneedle\r\n--a--\r\n")
	var h Haystack
	for words, want := range map[string]bool{"WHO@there": true, "type: abuse": true, "sorry": true, "needle": false} {
		if found, err := DefaultLimits().InBody(h.Needle(words), s, file); found != want || err != nil {
			t.Errorf("%q: %v, %v", words, found, err)
		}
	}
}

func TestTrees(t *testing.T) {
	const multi = "Content-Type: multipart/mixed; boundary=b\n\n"
	for in, want := range map[string]string{
		"":                         "text/plain 0 0",
		"\n":                       "text/plain 0 0",
		"x":                        "text/plain 0 0", // a header without a colon
		"Subject: x":               "text/plain 0 0",
		"\nbody":                   "text/plain 4 0",
		"\nbody\n":                 "text/plain 6 1",
		"Content-Type: text\n\nx":  "text/plain 1 0",
		"Content-Type: text/\n\nx": "text/plain 1 0",
		"content-type: (c) Image (x) / (y) PNG (z)\n\nx": "image/png 1 0",
		multi:                                 "multipart/mixed (text/plain 0 0)",
		multi + "--b--\n":                     "multipart/mixed (text/plain 0 0)",
		multi + "--b\n\na\n--b\n\nb\n--b--\n": "multipart/mixed (text/plain 1 0) (text/plain 1 0)",
		multi + "--b\n\na\n--b\n\nb\n\n":      "multipart/mixed (text/plain 1 0) (text/plain 5 2)",
		multi + "--b\nX: y\n--b\n--b\n":       "multipart/mixed (text/plain 0 0) (text/plain 0 0) (text/plain 0 0)",
		multi + "--b\nContent-Type: message/rfc822\n--b--\n":                                                              "multipart/mixed (message/rfc822 [text/plain 0 0] 0 0)",
		multi + "--b\nContent-Type: message/rfc822\n\n--b--\n":                                                            "multipart/mixed (message/rfc822 [text/plain 0 0] 0 0)",
		multi + "--b\nContent-Type: multipart/x; boundary=c\n--b--\n":                                                     "multipart/mixed (multipart/x (text/plain 0 0))",
		multi + "--b and more\n\na\n--b--and more\n\n--b\n\nx":                                                            "multipart/mixed (text/plain 1 0)",
		multi + "--b\n" + strings.Replace(multi, "=b", "=bc", 1) + "--bc\n\na\n--b\n\nb\n--bc\n--b--":                     "multipart/mixed (multipart/mixed (text/plain 1 0)) (text/plain 1 0) (text/plain 0 0)",
		"Content-Type: multipart/mixed\n\n--b\n\nx\n":                                                                     "text/plain 10 3",
		"Content-Type: multipart/mixed; boundary=\"\"\n\n--\n\nx\n":                                                       "text/plain 9 3",
		"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\ny\n--b\nContent-Type: text/plain\n\nz\n--b--": "multipart/digest (message/rfc822 [text/plain 1 0] 15 2) (text/plain 1 0)",
		"Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\n\n--bc\n\nx\n--bc--":                                  "multipart/mixed (text/plain 1 0)",
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3Vi\n":                                       "message/rfc822 [text/plain 0 0] 6 1",
		"Content-Type: message/partial; id=x\n\nU\n":                                                                      "message/partial 3 1",
	} {
		for _, text := range []string{in, crlf(in)} {
			s, file := parsed(t, text)
			if got := sketch(&s.Part); got != want {
				t.Errorf("%q is %s, want %s", text, got, want)
			}
			allTold(t, &s, file)
		}
	}
}

// allTold looks at what is said of every part.
func allTold(t testing.TB, s *Structure, file io.ReaderAt) {
	t.Helper()
	over := s.Over(file)
	var each func(p *Part)
	each = func(p *Part) {
		told(t, over, p.Header)
		told(t, over, p.Body)
		for i := range p.Parts {
			each(&p.Parts[i])
		}
		if p.Message != nil {
			each(&p.Message.Part)
		}
	}
	each(&s.Part)
}

func TestDescription(t *testing.T) {
	s, _ := parsed(t, `Content-Type: Application/PDF; Name="a\"b.pdf" ; x=un quoted (comment); bad; =no; y = "z";
	filename*0*=utf-8'en'%E2%82; filename*1*=%AC%zz; filename*2="uro.txt"
Content-Transfer-Encoding: Base64 (so it is)
Content-Disposition: ATTACHMENT; filename="=?utf-8?q?=E2=82=AC?="; size=3
Content-ID: <id@x>
Content-Description:
Content-Language: de, en
Content-MD5: Q2hlY2s=
Content-Location: http://x.test/

`)
	p := s.Part
	want := Part{
		Type: "application", Subtype: "pdf", Encoding: "base64",
		Params: []Param{{"name", `a"b.pdf`}, {"x", "un quoted"}, {"y", "z"}, {"filename*0*", "utf-8'en'%E2%82"}, {"filename*1*", "%AC%zz"}, {"filename*2", "uro.txt"}},
		ID:     Text{"<id@x>", true}, Description: Text{"", true}, MD5: Text{"Q2hlY2s=", true}, Location: Text{"http://x.test/", true},
		Disposition: &Disposition{"attachment", []Param{{"filename", "=?utf-8?q?=E2=82=AC?="}, {"size", "3"}}},
		Languages:   []string{"de", "en"},
		Header:      p.Header, Body: p.Body,
	}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	if got := Value(p.Params, "filename"); got != "€%zzuro.txt" {
		t.Errorf("the pieces are %q", got)
	}
	if got := filename(p); got != "€" {
		t.Errorf("the name is %q", got)
	}
	if got := Value([]Param{{"n*", "iso-8859-1''%FC"}}, "n"); got != "ü" {
		t.Errorf("the value is %q", got)
	}
	if got := Value([]Param{{"n", "x"}}, "m"); got != "" {
		t.Errorf("what is absent is %q", got)
	}
}

func TestFields(t *testing.T) {
	const section = "From: a\r\nSubject : b\r\n c\r\nX-from: d\r\nno colon\r\nFROM: e\r\n\r\n"
	for _, c := range []struct {
		names   []string
		without bool
		want    string
	}{
		{[]string{"from", "SUBJECT"}, false, "From: a\r\nSubject : b\r\n c\r\nFROM: e\r\n\r\n"},
		{[]string{"from"}, true, "Subject : b\r\n c\r\nX-from: d\r\nno colon\r\n\r\n"},
		{[]string{"none"}, false, "\r\n"},
	} {
		if got := string(Fields([]byte(section), c.names, c.without)); got != c.want {
			t.Errorf("%v is %q", c.names, got)
		}
	}
	if got := string(Fields([]byte("From: a"), []string{"From"}, false)); got != "From: a\r\n\r\n" {
		t.Errorf("%q", got)
	}
	got := DefaultLimits().Header([]byte("Subject: =?utf-8?q?=E2=82?=\r\n =?utf-8?q?=AC?= x\r\nX\r\n\r\n"))
	if d := cmp.Diff([]HeaderField{{"Subject", "€ x"}}, got); d != "" {
		t.Error(d)
	}
}

// Every bound makes less of the structure, and loses no octet.
func TestBounds(t *testing.T) {
	deep := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%03d\n\n--b%03d\n", i, i)
		}
		return b.String() + "\nx"
	}
	messages := strings.Repeat("Content-Type: message/rfc822\n\n", 100) + "\nx"
	parts := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 5000) + "--b--\n"
	s, file := parsed(t, parts)
	if n := len(s.Part.Parts); n != DefaultLimits().Parts-1 {
		t.Errorf("%d parts", n)
	}
	last := s.Part.Parts[len(s.Part.Parts)-1]
	if last.Body.End != int64(len(parts)) {
		t.Error("the last part does not take what is left")
	}
	for _, text := range []string{deep(100), messages} {
		s, file := parsed(t, text)
		depth := 0
		for p := &s.Part; p.Message != nil || len(p.Parts) > 0; depth++ {
			if p.Message != nil {
				p = &p.Message.Part
			} else {
				p = &p.Parts[0]
			}
			if p.Message == nil && len(p.Parts) == 0 && (p.Type != "application" || p.Body.End != int64(len(text))) {
				t.Errorf("at the bound: %s/%s up to %d of %d", p.Type, p.Subtype, p.Body.End, len(text))
			}
		}
		if depth != DefaultLimits().Depth {
			t.Errorf("%d levels", depth)
		}
		allTold(t, &s, file)
	}
	allTold(t, &s, file)
	l := Limits{Depth: 3, Parts: 10, HeaderOctets: 60, Fields: 3, Addresses: 2, Params: 2, ParamOctets: 8, BoundaryOctets: 3, KeptOctets: 40}
	text := "To: g: a@x, b@x, c@x\nSubject: 12345678901234567890\nA: 1\nDate: x\n\n"
	s, err := l.Parse(strings.NewReader(text), int64(len(text)))
	if err != nil || lists(s.Envelope.To) != "([1 ||g|][0 ||a|x][2 |||])" || s.Envelope.Date.Given || s.Envelope.Subject.Value != "12345678901234567890" {
		t.Errorf("%+v, %v", s.Envelope, err)
	}
	text = "Content-Type: x/y; a=1; b=123456789; c=2; d=3; e=4\n\n"
	s, err = l.Parse(strings.NewReader(text), int64(len(text)))
	if d := cmp.Diff([]Param{{"a", "1"}, {"c", "2"}}, s.Part.Params); d != "" || err != nil {
		t.Error(d, err)
	}
	text = "Content-Type: multipart/x; boundary=1234\n\n"
	if s, err = l.Parse(strings.NewReader(text), int64(len(text))); err != nil || s.Part.Type != "text" {
		t.Errorf("%s, %v", s.Part.Type, err)
	}
	text = "Subject: " + strings.Repeat("x", 41) + "\n\n"
	if s, err = l.Parse(strings.NewReader(text), int64(len(text))); err != nil || s.Envelope.Subject.Given {
		t.Errorf("%v, %v", s.Envelope, err)
	}
}

func TestAFaultOfTheFile(t *testing.T) {
	for _, text := range []string{"Subject: x\n", "Subject: x\n\nbody\n", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"} {
		_, err := Parse(broken{text}, 1000)
		if !errors.Is(err, errBroken) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

var errBroken = errors.New("broken")

type broken struct{ text string }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b.text)) {
		return 0, errBroken
	}
	return copy(p, b.text[off:]), nil
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"\nplain\n": "plain\r\n",
		"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nf=FCr\n":       "für\r\n",
		"Content-Type: text/plain; charset=iso-2022-jp\nContent-Transfer-Encoding: base64\n\nGyRCOzNFREJATzobKEI=\n": "山田太郎",
		"Content-Type: text/plain; charset=UTF-7\n\nf+APw-r 2 +- 2\n":                                                "für 2 + 2\r\n",
		"Content-Type: text/plain; charset=nobody-knows\n\nf\xfcr\n":                                                 "f\xfcr\r\n",
		"Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin\n":                                 "begin\r\n",
		"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nfür\n":                          "für\r\n",
		"Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\n/v8AZgD8AHI=\n":              "für",
	} {
		s, file := parsed(t, in)
		b, err := io.ReadAll(s.Part.Text(file))
		if err != nil || string(b) != want {
			t.Errorf("%q is %q, want %q (%v)", in, b, want, err)
		}
	}
	s, file := parsed(t, "Content-Transfer-Encoding: x-uuencode\n\nbegin\n")
	if _, err := s.Part.Decoded(file); !errors.Is(err, ErrEncoding) {
		t.Error(err)
	}
	s, file = parsed(t, "Content-Type: message/rfc822\nContent-Transfer-Encoding: x\n\nSubject: y\n\n")
	if _, err := s.Part.Decoded(file); err != nil {
		t.Error(err)
	}
}

func TestSearch(t *testing.T) {
	const text = "Subject: =?iso-8859-1?q?Gr=FC=DFe?=\nContent-Type: multipart/mixed; boundary=b\n\nhidden\n" +
		"--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: base64\n\nR3L832UgYXVzIEvWTE4=\n" +
		"--b\nContent-Type: image/png; name=\"picture.png\"\n\nsecret\n" +
		"--b\nContent-Type: message/rfc822\n\nSubject: within\n\nraw \xff octets\n--b--\n"
	s, file := parsed(t, text)
	l := DefaultLimits()
	for needle, want := range map[string][2]bool{
		"": {true, true}, "grüße": {true, true}, "GRU\u0308SSE": {false, false}, "GRÜßE": {true, true}, "köln": {false, true}, "KO\u0308LN": {false, true},
		"subject: gr": {true, false}, "picture.PNG": {false, true}, "secret": {false, false}, "hidden": {false, false}, "WITHIN": {false, true}, "raw \xff": {false, true}, "nothing": {false, false},
	} {
		n := NewNeedle(needle)
		head, err := l.InHeader(n, s, file)
		body, err2 := l.InBody(n, s, file)
		if err != nil || err2 != nil || head != want[0] && needle != "" || body != want[1] {
			t.Errorf("%q: in the header %v, in the body %v, want %v (%v, %v)", needle, head, body, want, err, err2)
		}
	}
}

// What lies across pieces is found.
func TestSearchInPieces(t *testing.T) {
	for _, word := range []string{"needle", "nadel-für-ü", "e\u0301te\u0301", "한국어"} {
		n := NewNeedle(strings.ToUpper(word))
		for at := chunk - 20; at < chunk+3; at += 3 {
			for _, before := range []string{"x", "é", "e\u0301"} {
				text := strings.Repeat(before, at/len(before)) + word + strings.Repeat("y", 100)
				for _, r := range []io.Reader{strings.NewReader(text), &small{strings.NewReader(text)}} {
					if found, err := n.InReader(r); !found || err != nil {
						t.Fatalf("%q behind %d octets of %q: %v, %v", word, at, before, found, err)
					}
				}
			}
		}
		if found, _ := n.InReader(strings.NewReader(strings.Repeat("x", 3*chunk))); found {
			t.Errorf("%q is found where it is not", word)
		}
	}
	if found, err := NewNeedle("x").InReader(strings.NewReader(strings.Repeat("\u0301", 2*chunk) + "x")); !found || err != nil {
		t.Error("marks without end hide what follows them")
	}
}

type small struct{ from io.Reader }

func (s *small) Read(p []byte) (int, error) { return s.from.Read(p[:min(len(p), 1000)]) }

func TestPreview(t *testing.T) {
	l := DefaultLimits()
	for in, want := range map[string]string{
		"\n": "", "\n Hello\n\n  world \n": "Hello world",
		"Content-Type: text/html\n\n<html><head><title>t</title><style>p{}</style></head><p>Hello<br>w&ouml;rld</p><script>x</script>": "Hello wörld",
		"Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\n<p>html\n--b\n\nplain\n--b--":              "plain",
		"Content-Type: text/plain\nContent-Disposition: attachment\n\nx":                                                               "",
		"\n" + strings.Repeat("ü", 300):  strings.Repeat("ü", 200),
		"\n" + strings.Repeat("ü ", 300): strings.TrimRight(strings.Repeat("ü ", 100), " "),
	} {
		s, file := parsed(t, in)
		if got, err := l.Preview(s, file); got != want || err != nil {
			t.Errorf("%q is %q, want %q (%v)", in, got, want, err)
		}
	}
}

// What is encoded comes back, and no cut or changed octet is taken for something else than a
// structure.
func TestRecord(t *testing.T) {
	for _, text := range []string{"", nested, "Date: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: one\n two\nMessage-ID: <a@b>\n\nx", "Content-Disposition: x\nContent-ID:\nContent-Language: a,b\nTo: g:a@b;\n\n"} {
		s, _ := parsed(t, text)
		b := s.Append(nil)
		back, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, back); d != "" {
			t.Error(d)
		}
		if e, err := DecodeEnvelope(b); err != nil || cmp.Diff(s.Envelope, e) != "" {
			t.Errorf("the envelope alone: %v\n%s", err, cmp.Diff(s.Envelope, e))
		}
		if subject, err := DecodeSubject(b); err != nil || subject != s.Envelope.Subject {
			t.Errorf("the subject alone is %+v, not %+v (%v)", subject, s.Envelope.Subject, err)
		}
		for i := range b {
			// A part of a record is read whole, or it is a fault.
			if e, err := DecodeEnvelope(b[:i]); err == nil && cmp.Diff(s.Envelope, e) != "" {
				t.Fatalf("of a record cut at %d another envelope is read", i)
			}
			if subject, err := DecodeSubject(b[:i]); err == nil && subject != s.Envelope.Subject {
				t.Fatalf("of a record cut at %d another subject is read", i)
			}
			if _, err := Decode(b[:i]); !errors.Is(err, ErrRecord) {
				t.Fatalf("a record cut at %d is read", i)
			}
			changed := bytes.Clone(b)
			changed[i] ^= 0x80
			_, _ = Decode(changed)
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Error("something follows the record")
		}
	}
}
