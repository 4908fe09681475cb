package structure

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inBase64 encodes a text in lines, as programs do.
func inBase64(text string) string {
	coded := base64.StdEncoding.EncodeToString([]byte(text))
	var b strings.Builder
	for len(coded) > 76 {
		b.WriteString(coded[:76] + "\n")
		coded = coded[76:]
	}
	return b.String() + coded
}

func inQuotedPrintable(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

// A message within another is told alike whether it is encoded or not: its envelope, its parts, and what each section is,
// also out of the record that is kept of it. RFC 6532 §3.7
func TestAMessageThatIsEncoded(t *testing.T) {
	sub := nested[strings.Index(nested, "From: sub@"):strings.Index(nested, "\n--foo bar--")]
	plain, plainFile := parsed(t, nested)
	for name, encoded := range map[string]string{
		"base64": inBase64(sub), "base64 of CRLF": inBase64(crlf(sub)), "quoted-printable": inQuotedPrintable(t, sub),
	} {
		encoding, _, _ := strings.Cut(name, " ")
		text := strings.Replace(nested, sub, encoded, 1)
		text = strings.Replace(text, "Content-Type: message/rfc822\n", "Content-Type: message/global\nContent-Transfer-Encoding: "+encoding+"\n", 1)
		s, file := parsed(t, text)
		kept, err := Decode(s.Append(nil))
		if err != nil || !cmp.Equal(s, kept) {
			t.Fatalf("%s: it is kept otherwise: %v", name, err)
		}
		over := kept.Over(file)
		part, message := s.Part.Parts[1], plain.Part.Parts[1].Message
		if part.Message == nil || !cmp.Equal(part.Message.Envelope, message.Envelope) || part.Encoding != encoding || part.Body.Size != int64(len(crlf(encoded))) {
			t.Fatalf("%s: it is told as %+v", name, part)
		}
		for _, c := range []struct {
			path []uint32
			what What
		}{
			{[]uint32{2, 2, 1}, Whole}, {[]uint32{2}, Header}, {[]uint32{2}, Body}, {[]uint32{2, 1}, Whole}, {[]uint32{2, 1}, MIME}, {[]uint32{2, 1}, Header},
			{[]uint32{2, 1}, Body}, {[]uint32{2, 1, 1}, Whole}, {[]uint32{2, 2}, MIME}, {[]uint32{2, 2}, Whole}, {[]uint32{1}, Whole}, {nil, Header},
		} {
			want, _ := plain.Section(c.path, c.what)
			where, ok := s.Section(c.path, c.what)
			if !ok || told(t, over, where) != told(t, plainFile, want) {
				t.Errorf("%s: %v %d is another text", name, c.path, c.what)
			}
		}
		r, err := part.Decoded(over)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != sub {
			t.Errorf("%s: decoded it is %q, %v", name, got, err)
		}
		if where, _ := s.Section([]uint32{2}, Whole); told(t, over, where) != crlf(encoded) {
			t.Errorf("%s: as it is it is another text", name)
		}
		if found, err := DefaultLimits().InBody(NewNeedle("m2 BODY"), s, over); !found || err != nil {
			t.Errorf("%s: a word in it is not found: %v", name, err)
		}
	}
}

// What says that it is encoded and is not is told as it is.
func TestAMessageThatIsNotAsEncodedAsItSays(t *testing.T) {
	for encoding, message := range map[string]string{
		"base64":           "Subject: y\n\nbody\n",
		"quoted-printable": "Subject: =?utf-8?q?a=3Db?=\nContent-Transfer-Encoding: quoted-printable\n\na=3Db\n",
		"x-other":          "Subject: y\n\nbody\n",
	} {
		s, file := parsed(t, "Content-Type: message/rfc822\nContent-Transfer-Encoding: "+encoding+"\n\n"+message)
		head, _ := s.Section([]uint32{1}, Header)
		want, _, _ := strings.Cut(message, "\n\n")
		if over := s.Over(file); over != file || told(t, over, head) != crlf(want+"\n\n") {
			t.Errorf("%s: the header is %q", encoding, told(t, over, head))
		}
	}
}

// What lies encoded within a message that was decoded is told as it is, and many beside each other are told as what they are.
func TestManyMessagesThatAreEncoded(t *testing.T) {
	encoded := "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
	innermost := inBase64("Subject: innermost\n\nneedle\n") + "\n"
	s, file := parsed(t, encoded+inBase64(encoded+innermost)+"\n")
	if where, ok := s.Section([]uint32{1, 1}, Whole); !ok || told(t, s.Over(file), where) != crlf(innermost) {
		t.Error("what lies in the one that was decoded is told otherwise")
	}
	if where, ok := s.Section([]uint32{1, 1}, Body); !ok || where.Size != 0 {
		t.Error("it is decoded")
	}
	const many = 50
	text := "Content-Type: multipart/mixed; boundary=b\n\n" +
		strings.Repeat("--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"+inBase64("Subject: one\n\nof many\n")+"\n", many) + "--b--\n"
	s, file = parsed(t, text)
	over := s.Over(file)
	for n := range uint32(many) {
		where, ok := s.Section([]uint32{many - n, 1}, Whole)
		if !ok || told(t, over, where) != "of many\r\n" {
			t.Fatalf("the one of %d is another", many-n)
		}
	}
}

// A record of before is good, but of a message in which one lies that may be encoded.
func TestRecordsOfBefore(t *testing.T) {
	former := func(text string) []byte {
		s, _ := parsed(t, text)
		b := s.Append(nil)
		b[0] = formerVersion
		return b
	}
	if s, err := Decode(former(nested)); err != nil || len(s.Part.Parts) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	b := former("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3Vi\n")
	if _, err := Decode(b); !errors.Is(err, ErrRecord) {
		t.Errorf("what may be encoded is read: %v", err)
	}
	b[0] = version + 1
	if _, err := Decode(b); !errors.Is(err, ErrRecord) {
		t.Errorf("a record of a later version is read: %v", err)
	}
}
