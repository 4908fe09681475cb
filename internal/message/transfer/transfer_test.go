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
		"a=" + strings.Repeat(" ", 200) + "\nb": "a=" + strings.Repeat(" ", 200) + "\nb", "é": "é",
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
