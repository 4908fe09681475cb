package structure

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told by Python of a message: its parts in order, with what each holds.
type leaf struct {
	Type, Name, Text string
	Depth            int
}

// pythonReads prints the leaves of messages, each given as a line of base64.
const pythonReads = `
import base64, email, email.policy, hashlib, json, sys
def leaves(m, depth, out):
    if m.get_content_maintype() == "multipart":
        for p in m.get_payload(): leaves(p, depth + 1, out)
    elif m.get_content_type() == "message/rfc822":
        out.append({"Type": m.get_content_type(), "Name": "", "Text": "", "Depth": depth})
        leaves(m.get_payload(0), depth + 1, out)
    else:
        out.append({"Type": m.get_content_type(), "Name": m.get_filename() or "", "Text": hashlib.sha256(m.get_payload(decode=True)).hexdigest(), "Depth": depth})
for line in sys.stdin:
    m = email.message_from_bytes(base64.b64decode(line), policy=email.policy.compat32)
    out = []
    leaves(m, 0, out)
    head = {"Subject": str(email.header.make_header(email.header.decode_header(m["Subject"] or ""))), "From": email.utils.parseaddr(m["From"])}
    print(json.dumps({"Leaves": out, "Head": head}))
`

// letterMaker writes honest messages of every shape.
type letterMaker struct {
	*rand.Rand
	serial int
}

func (m *letterMaker) pick(of ...string) string { return of[m.IntN(len(of))] }

func (m *letterMaker) body() []byte {
	var b bytes.Buffer
	for range m.IntN(6) {
		b.WriteString(m.pick("", "hello", "-- ", "--", "Grüße", ".", "a = b", strings.Repeat("long ", 40), "From me", "--boundary") + "\r\n")
	}
	return b.Bytes()
}

// part writes a part with its header, without the line end behind it.
func (m *letterMaker) part(depth int, more string) string {
	m.serial++
	kind := m.IntN(8)
	switch {
	case kind < 2 && depth < 4:
		boundary := fmt.Sprintf("b%d'()+_,-./:=?%dx", m.serial, m.serial)
		var b strings.Builder
		fmt.Fprintf(&b, "%sContent-Type: multipart/%s;\r\n boundary=\"%s\"\r\n\r\n%s", more, m.pick("mixed", "alternative", "related"), boundary, m.pick("", "preamble\r\n"))
		for range 1 + m.IntN(3) {
			b.WriteString("--" + boundary + m.pick("", " ") + "\r\n" + m.part(depth+1, "") + "\r\n")
		}
		return b.String() + "--" + boundary + "--" + m.pick("", "\r\n", "\r\nepilogue\r\n")
	case kind == 2 && depth > 0 && depth < 4:
		return more + "Content-Type: message/rfc822\r\n\r\n" + m.part(depth+1, "Subject: within\r\n")
	}
	body := m.body()
	head := more + "Content-Type: " + m.pick("text/plain; charset=utf-8", "text/html", "IMAGE/png", "application/x-thing")
	if m.IntN(2) == 0 {
		head += "\r\nContent-Disposition: attachment" + m.pick("; filename=\"a b.txt\"", "; filename*=utf-8''%E2%82%AC.txt", ";\r\n filename*0=long; filename*1=er.txt", "; filename*0*=utf-8''%E2; filename*1*=%82%AC")
	}
	switch m.IntN(3) {
	case 0:
		text := base64.StdEncoding.EncodeToString(body)
		var b strings.Builder
		for len(text) > 76 {
			b.WriteString(text[:76] + "\r\n")
			text = text[76:]
		}
		return head + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b.String() + text
	case 1:
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		_, err := w.Write(body)
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			return ""
		}
		return head + "\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n" + b.String()
	}
	return head + "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + string(body)
}

func (m *letterMaker) letter() string {
	subject := mime.QEncoding.Encode("utf-8", m.pick("plain", "Grüße aus Köln", strings.Repeat("für alle ", 12)))
	return m.part(0, "From: "+m.pick("a@x.test", "Ann Other <a@x.test>", "\"Other, Ann\" <a@x.test>", "a@x.test (Ann)")+"\r\nSubject: "+strings.ReplaceAll(subject, "?= =?", "?=\r\n =?")+"\r\n")
}

// leavesOf tells what Python tells.
func leavesOf(t *testing.T, s Structure, file io.ReaderAt) (all []leaf) {
	t.Helper()
	var visit func(p *Part, depth int)
	visit = func(p *Part, depth int) {
		switch {
		case len(p.Parts) > 0:
			for i := range p.Parts {
				visit(&p.Parts[i], depth+1)
			}
		case p.Message != nil:
			all = append(all, leaf{Type: "message/rfc822", Depth: depth})
			visit(&p.Message.Part, depth+1)
		default:
			r, err := p.Decoded(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(b)
			all = append(all, leaf{p.Type + "/" + p.Subtype, filename(*p), hex.EncodeToString(sum[:]), depth})
		}
	}
	visit(&s.Part, 0)
	return all
}

// Another reader finds the same parts in honest messages, holding the same.
func TestPythonReadsTheSame(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	m := &letterMaker{Rand: rand.New(rand.NewPCG(18, 1))}
	var letters []string
	var in bytes.Buffer
	for range 1000 {
		letter := m.letter()
		letters = append(letters, letter)
		in.WriteString(base64.StdEncoding.EncodeToString([]byte(letter)) + "\n")
	}
	cmd := exec.CommandContext(t.Context(), python, "-c", pythonReads)
	cmd.Stdin = &in
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(letters) {
		t.Fatalf("Python read %d of %d messages", len(lines), len(letters))
	}
	for i, letter := range letters {
		var theirs struct {
			Leaves []leaf
			Head   struct {
				Subject string
				From    []string
			}
		}
		if err := json.Unmarshal([]byte(lines[i]), &theirs); err != nil {
			t.Fatal(err)
		}
		s, file := parsed(t, letter)
		if d := cmp.Diff(theirs.Leaves, leavesOf(t, s, file)); d != "" {
			t.Fatalf("%s\nPython reads otherwise: %s", letter, d)
		}
		section, err := DefaultLimits().HeaderOf(s.Part.Header, file)
		if err != nil {
			t.Fatal(err)
		}
		subject := ""
		for _, f := range DefaultLimits().Header(section) {
			if f.Name == "Subject" {
				subject = f.Text
			}
		}
		from := s.Envelope.From[0]
		if subject != theirs.Head.Subject || from.Name != theirs.Head.From[0] || from.Mailbox+"@"+from.Host != theirs.Head.From[1] {
			t.Fatalf("%q %v, Python reads %v", subject, from, theirs.Head)
		}
		allTold(t, &s, file)
	}
}

// Whatever is stored, each octet is told once, sizes are right, parts lie within each other, and
// the record comes back.
func FuzzParse(f *testing.F) {
	m := &letterMaker{Rand: rand.New(rand.NewPCG(18, 2))}
	for range 20 {
		f.Add([]byte(m.letter()))
	}
	f.Add([]byte(nested))
	for _, encoding := range []string{"base64", "quoted-printable"} {
		text := inBase64(nested)
		if encoding == "quoted-printable" {
			text = strings.ReplaceAll(nested, "=", "=3D")
		}
		f.Add([]byte("Content-Type: message/global\nContent-Transfer-Encoding: " + encoding + "\n\n" + text))
	}
	f.Add([]byte("To: g: <@r:a@b>, (c \"x\";,\r\rContent-Type: a/b; c=\"\\"))
	f.Add([]byte("Content-Type: multipart/digest; boundary=b\n\n--b\n--b\n\n--b--\n--b\n\r\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file := bytes.NewReader(text)
		l := DefaultLimits()
		s, err := l.Parse(file, int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		allTold(t, &s, file)
		whole, _ := s.Section(nil, Whole)
		if whole.Start != 0 || whole.End != int64(len(text)) {
			t.Fatalf("the message is told as %d to %d of %d octets", whole.Start, whole.End, len(text))
		}
		within(t, &s.Part)
		back, err := Decode(s.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(s, back); d != "" {
			t.Fatal(d)
		}
		if found, err := l.InBody(NewNeedle("what nobody wrote\x00"), s, s.Over(file)); found || err != nil {
			t.Fatal(found, err)
		}
		preview, err := l.Preview(s, s.Over(file))
		if err != nil || len([]rune(preview)) > l.PreviewCharacters {
			t.Fatalf("%q, %v", preview, err)
		}
		for _, list := range [][]Address{s.Envelope.From, s.Envelope.To, s.Envelope.Cc} {
			open := false
			for _, a := range list {
				if strings.ContainsAny(a.Name+a.Mailbox+a.Host+a.Route, "\r\n\x00") || open && a.Kind == GroupBegin || !open && a.Kind == GroupEnd {
					t.Fatalf("%q", list)
				}
				open = a.Kind == GroupBegin || open && a.Kind != GroupEnd
			}
			if open {
				t.Fatalf("a group does not end: %q", list)
			}
		}
	})
}

// within holds that parts lie in their order, and none beyond its parent.
func within(t *testing.T, p *Part) {
	t.Helper()
	at := p.Body.Start
	for i := range p.Parts {
		child := &p.Parts[i]
		if child.Header.Start < at || child.Header.End > child.Body.Start || child.Body.End > p.Body.End {
			t.Fatalf("a part at %v %v does not lie in its parent at %v", child.Header, child.Body, p.Body)
		}
		at = child.Body.End
		within(t, child)
	}
	if p.Message != nil {
		m := &p.Message.Part
		if n, is := p.decodes(); is {
			if m.Header.Start != n*apart || m.Body.End >= (n+1)*apart {
				t.Fatalf("a message at %v %v is not the one of %d", m.Header, m.Body, n)
			}
		} else if m.Header.Start != p.Body.Start || m.Body.End != p.Body.End {
			t.Fatalf("a message at %v %v is not the body at %v", m.Header, m.Body, p.Body)
		}
		within(t, m)
	}
}

// BenchmarkParse reads what a message with an attachment of 10 MiB is made of.
func BenchmarkParse(b *testing.B) {
	line := strings.Repeat("QUJD", 19) + "\r\n"
	text := "From: a@x.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(line, 10<<20/len(line)) + "--b--\r\n"
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Parse(strings.NewReader(text), int64(len(text))); err != nil {
			b.Fatal(err)
		}
	}
}
