package transfer

import (
	"bytes"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
)

// What others damaged is read as far as it goes.
func TestDamage(t *testing.T) {
	for in, want := range map[string]string{
		"SGVsbG8=": "Hello", "SGVsbG8": "Hello", " SGV\r\n\tsbG8=\r\n": "Hello", "SGVsbG8=SGVsbG8=": "HelloHello", "SG-Vs!bG8==": "Hello",
		"SGVsbG8=\r\n--": "Hello", "S": "", "": "", "+/+/": "\xfb\xff\xbf",
	} {
		if got := string(Base64([]byte(in))); got != want {
			t.Errorf("base64 %q became %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"a=3Db": "a=b", "a=3db=C3=bc": "a=bü", "a=\r\nb=\nc= \t\r\nd": "abcd", "a=zz=": "a=zz=", "=": "=", "a=3": "a=3", "": "",
		"a=" + strings.Repeat(" ", 200) + "\nb": "a=" + strings.Repeat(" ", 200-maxBlanks) + "\nb", "é": "é",
		"a \t\r\nb \n c=20 \r\nd ": "a\r\nb\n c \r\nd ",
	} {
		if got := string(QuotedPrintable([]byte(in))); got != want {
			t.Errorf("quoted-printable %q became %q, want %q", in, got, want)
		}
	}
}

// What the standard library encodes comes back whole.
func TestWhatIsWholeComesBack(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(chance.Uint32())
		}
		if got := Base64([]byte(base64.StdEncoding.EncodeToString(data))); !bytes.Equal(got, data) {
			t.Fatalf("base64 of %d octets", n)
		}
		var text bytes.Buffer
		w := quotedprintable.NewWriter(&text)
		w.Binary = true
		_, err := io.Copy(w, bytes.NewReader(data))
		if err == nil {
			err = w.Close()
		}
		if got := QuotedPrintable(text.Bytes()); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("quoted-printable of %d octets: %v", n, err)
		}
	}
}

// What is read in pieces is what is decoded at once, however it comes.
func TestPiecesChangeNothing(t *testing.T) {
	chance := rand.New(rand.NewPCG(3, 4))
	const letters = "aZ9+/= \t\r\n=3D_-\xff"
	for range 2000 {
		data := make([]byte, chance.IntN(300))
		for i := range data {
			data[i] = letters[chance.IntN(len(letters))]
		}
		if chance.IntN(2) == 0 {
			data = append(data, bytes.Repeat([]byte("="+strings.Repeat(" ", chance.IntN(90))+"\r\n41"), chance.IntN(9))...)
		}
		for encoding, want := range map[string][]byte{"base64": Base64(data), "quoted-printable": QuotedPrintable(data), "8bit": data} {
			r, ok := NewReader(encoding, &slow{bytes.NewReader(data), chance})
			got, err := io.ReadAll(r)
			if !ok || err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s of %q in pieces became %q, at once %q (%v)", encoding, data, got, want, err)
			}
		}
	}
	long := bytes.Repeat([]byte("QUJD=\r\n=41"), 20000)
	for encoding, want := range map[string][]byte{"base64": Base64(long), "quoted-printable": QuotedPrintable(long)} {
		r, _ := NewReader(encoding, bytes.NewReader(long))
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s of many octets is not the same in pieces: %v", encoding, err)
		}
	}
	if _, ok := NewReader("x-uuencode", bytes.NewReader(nil)); ok {
		t.Error("an unknown encoding is said to be known")
	}
}

// slow gives a few octets at a time, and the end sometimes with the last of them.
type slow struct {
	from   *bytes.Reader
	chance *rand.Rand
}

func (s *slow) Read(p []byte) (int, error) {
	n, err := s.from.Read(p[:min(len(p), 1+s.chance.IntN(5))])
	if err == nil && s.from.Len() == 0 && s.chance.IntN(2) == 0 {
		err = io.EOF
	}
	return n, err
}
