package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// With enough signatures of a domain, the others of that domain are left alone, the
// costly ones first; one that fails is never enough, and other domains are no help.
func TestEnough(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	_, other, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	found := map[KeyName]Found{}
	key := func(selector, domain string, signer crypto.Signer) SigningKey {
		d, err := mail.ParseDomain(domain)
		must(t, err)
		k, err := NewSigningKey(KeyName{Selector: selector, Domain: d}, signer)
		must(t, err)
		record, err := Record(signer.Public())
		must(t, err)
		found[k.Name] = Found{Records: []string{record}}
		return k
	}
	ed, rs, far := key("ed", "example.test", edKey), key("rsa", "example.test", rsaKey), key("far", "other.test", other)
	text := benchText()
	text = sign(t, text, []SigningKey{ed, rs, far}, time.Now(), 0) + text
	results := func(enough int) []Result {
		l := DefaultLimits()
		l.Enough = enough
		h, body := parts(t, text)
		c := NewCheck(h, l)
		c.Body(body)
		return c.Results(time.Now(), found)
	}
	count := func(rs []Result, s Status) (n int) {
		for _, r := range rs {
			if r.Status == s {
				n++
			}
		}
		return n
	}
	if all := results(0); count(all, StatusPass) != 3 {
		t.Errorf("all: %v", all)
	}
	one := results(1)
	if count(one, StatusPass) != 2 || count(one, StatusNone) != 1 {
		t.Errorf("one a domain: %v", one)
	}
	for _, r := range one {
		if r.Status == StatusNone && r.Algorithm != Ed25519SHA256 {
			t.Errorf("left alone was %v", r)
		}
	}
	found[rs.Name] = Found{} // its key is gone: now the other one counts
	if gone := results(1); count(gone, StatusPass) != 2 || count(gone, StatusPermError) != 1 {
		t.Errorf("without the RSA key: %v", gone)
	}
}
