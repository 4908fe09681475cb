package dkim

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/message"
)

// Whatever stands in a signature field is parsed within its bounds or refused, and
// what is accepted obeys the grammar.
func FuzzSignature(f *testing.F) {
	h, _ := parts(f, crlf(rfc8463))
	for _, field := range h.Fields(signatureField) {
		f.Add(string(field.Raw[len(signatureField)+1:]))
	}
	f.Add(" v=1; a=rsa-sha256; d=e.test; s=s; l=5; q=dns/txt:x; i=\xc3\xbc@sub.e.test; t=1; x=2; z=From:x; h=From; bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b=AA AA;")
	f.Add("v=1;;b=")
	f.Fuzz(func(t *testing.T, value string) {
		l := DefaultLimits()
		s, err := ParseSignature(value, l)
		if err != nil {
			return
		}
		if s.Algorithm == AlgorithmUnknown || s.Key.Domain.IsZero() || s.Key.Selector == "" || len(s.BodyHash) != 32 || len(s.Value) == 0 || len(s.Names) > l.SignedFields {
			t.Fatalf("%+v", s)
		}
		if rest := value[:s.bFrom] + value[s.bTo:]; !strings.HasSuffix(value[:s.bFrom], "=") || strings.Contains(value[s.bFrom:s.bTo], ";") || len(rest) > len(value) {
			t.Fatalf("b= stands at %d to %d of %q", s.bFrom, s.bTo, value)
		}
		if d := s.identity.ASCII(); d != s.Key.Domain.ASCII() && !strings.HasSuffix(d, "."+s.Key.Domain.ASCII()) {
			t.Fatalf("identity %q of %q", s.Identity, s.Key.Domain)
		}
	})
}

// A key record is a key that can be used, revoked, or refused.
func FuzzRecord(f *testing.F) {
	f.Add(rfc8463Ed25519)
	f.Add(rfc8463RSA)
	f.Add("p=; t=y:s; n=note; s=*; h=sha1:sha256")
	f.Add("v=DKIM1; k=rsa; p=AA AA\tAA==; s=email")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseRecord(text, DefaultLimits())
		if err != nil {
			return
		}
		if k.Algorithm == AlgorithmUnknown || k.Revoked == (k.key != nil) {
			t.Fatalf("%+v", k)
		}
		if k.key != nil {
			again, err := Record(k.key)
			if err != nil {
				t.Fatal(err)
			}
			if same, err := ParseRecord(again, Limits{Tags: 10, RecordOctets: 1 << 20}); err != nil || !same.Same(k.key) {
				t.Fatalf("%q came back as %+v, %v", again, same, err)
			}
		}
		k.verifies(make([]byte, 32), []byte(text))
	})
}

// A whole message of a stranger's is checked without a fault, and never passes
// without a key.
func FuzzCheck(f *testing.F) {
	f.Add([]byte(crlf(rfc8463)), 7)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		h, rest, err := message.ReadHeader(strings.NewReader(string(text)), message.DefaultLimits())
		if err != nil {
			return
		}
		c := NewCheck(h, DefaultLimits())
		for n = max(1, n%100); len(rest) > 0; {
			c.Body(rest[:min(n, len(rest))])
			rest = rest[min(n, len(rest)):]
		}
		found := map[KeyName]Found{}
		for _, name := range c.Names() {
			found[name] = Found{Records: []string{"v=DKIM1; k=ed25519; p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}
		}
		for _, r := range c.Results(h0, found) {
			if r.Passed() {
				t.Fatalf("%v", r)
			}
		}
	})
}

// h0 is the time of every check that depends on none.
var h0 = time.Unix(1_800_000_000, 0)
