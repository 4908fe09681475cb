package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// rfc8463 is the message of RFC 8463 §A.3, with the keys of §A.2.
const rfc8463 = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`

const (
	rfc8463Ed25519 = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
	rfc8463RSA     = "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// parts parses a message's header section and returns what follows it.
func parts(t testing.TB, text string) (message.Header, []byte) {
	t.Helper()
	h, rest, err := message.ReadHeader(strings.NewReader(text), message.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return h, []byte(text[len(h.Raw()):len(h.Raw())+len(rest)] + text[len(h.Raw())+len(rest):])
}

// check verifies a message whose body arrives in pieces of n octets.
func check(t testing.TB, text string, now time.Time, n int, keys map[string]string) []Result {
	t.Helper()
	h, body := parts(t, text)
	c := NewCheck(h, DefaultLimits())
	for len(body) > 0 {
		c.Body(body[:min(n, len(body))])
		body = body[min(n, len(body)):]
	}
	found := map[KeyName]Found{}
	for _, name := range c.Names() {
		switch text, ok := keys[name.String()]; {
		case text == "TEMP":
			found[name] = Found{Temporary: true}
		case ok:
			found[name] = Found{Records: strings.Split(text, "|")}
		default:
			found[name] = Found{}
		}
	}
	return c.Results(now, found)
}

func TestRFC8463Example(t *testing.T) {
	keys := map[string]string{"brisbane._domainkey.football.example.com": rfc8463Ed25519, "test._domainkey.football.example.com": rfc8463RSA}
	for _, n := range []int{1, 2, 3, 7, 1000} {
		got := check(t, crlf(rfc8463), time.Unix(1528637909, 0), n, keys)
		if len(got) != 2 || !got[0].Passed() || !got[1].Passed() || got[0].Algorithm != Ed25519SHA256 || got[1].KeyBits != 1024 || got[1].Value != "F45dVWDfMbQD" {
			t.Errorf("pieces of %d: %v", n, got)
		}
	}
}

// pair are the keys of example.test, whose RSA key is of a size that tests can wait for.
func pair(t testing.TB) (keys []SigningKey, records map[string]string) {
	t.Helper()
	d, err := mail.ParseDomain("example.test")
	must(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	_, e, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	records = map[string]string{}
	for sel, key := range map[string]crypto.Signer{"r1": r, "e1": e} {
		k, err := NewSigningKey(KeyName{sel, d}, key)
		must(t, err)
		keys = append(keys, k)
		records[k.Name.String()], err = Record(key.Public())
		must(t, err)
	}
	return keys, records
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sign(t testing.TB, text string, keys []SigningKey, now time.Time, lasts time.Duration) string {
	t.Helper()
	h, body := parts(t, text)
	s := NewSigning(h, keys)
	s.Body(body)
	f, err := s.Fields(now, lasts)
	must(t, err)
	return string(f)
}

// genMessage draws messages of all shapes that come over the wire: every line end is
// a CRLF.
func genMessage(t *rapid.T) string {
	word := rapid.SampledFrom([]string{"", "a", "Hello", "\t", " ", "  ", "x y", "=20", "ü", "\xff", "."})
	var b strings.Builder
	b.WriteString("From: A <a@example.test>\r\n")
	for range rapid.IntRange(0, 6).Draw(t, "fields") {
		name := rapid.SampledFrom([]string{"To", "to", "Subject", "Date", "Cc", "X-Other", "List-Id", "Received", "MIME-Version"}).Draw(t, "name")
		value := strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "value"), "")
		fold := rapid.SampledFrom([]string{"", "\r\n\tfolded", "\r\n  a \r\n b\t "}).Draw(t, "fold")
		b.WriteString(name + ":" + value + fold + "\r\n")
	}
	if rapid.Bool().Draw(t, "body") {
		b.WriteString("\r\n")
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			b.WriteString(strings.Join(rapid.SliceOfN(word, 0, 5).Draw(t, "line"), "") + "\r\n")
		}
		b.WriteString(rapid.SampledFrom([]string{"", "end", "end ", "\t"}).Draw(t, "last"))
	}
	return b.String()
}

// What is signed verifies, whatever the message looks like and however it arrives;
// and signing puts whole header fields before the message and touches nothing else.
func TestSignaturesVerify(t *testing.T) {
	keys, records := pair(t)
	field := regexp.MustCompile(`^(DKIM-Signature: v=1;([^\r\n]|\r\n\t)*\r\n){2}$`)
	rapid.Check(t, func(rt *rapid.T) {
		text := genMessage(rt)
		now := time.Unix(rapid.Int64Range(0, 1<<32).Draw(rt, "now"), 0)
		prefix := sign(t, text, keys, now, time.Hour)
		if !field.MatchString(prefix) {
			rt.Fatalf("prefix %q", prefix)
		}
		for _, line := range strings.Split(prefix, "\r\n") {
			if len(line) > 78 {
				rt.Fatalf("a line of %d octets: %q", len(line), line)
			}
		}
		for _, r := range check(t, prefix+text, now, rapid.IntRange(1, 40).Draw(rt, "pieces"), records) {
			if !r.Passed() {
				rt.Fatalf("%v\n%q", r, prefix+text)
			}
		}
	})
}

// A field that is signed cannot be changed, taken away, or added once more.
func TestWhatIsSignedCannotBeChanged(t *testing.T) {
	keys, records := pair(t)
	now := time.Unix(1_800_000_000, 0)
	text := "From: a@example.test\r\nTo: b@remote.test\r\nSubject: hi\r\nDate: now\r\nReply-To: a@example.test\r\nContent-Type: text/plain\r\n\r\nHello  world\r\n"
	prefix := sign(t, text, keys, now, 0)
	for _, field := range []string{"From: x@example.test", "To: x@remote.test", "Subject: x", "Date: x", "Reply-To: x@x.test", "Content-Type: text/html"} {
		name, _, _ := strings.Cut(field, ":")
		old := regexp.MustCompile("(?m)^" + name + ":.*\r\n")
		for what, changed := range map[string]string{
			"changed": prefix + old.ReplaceAllString(text, field+"\r\n"), "removed": prefix + old.ReplaceAllString(text, ""),
			"added above": field + "\r\n" + prefix + text, "added below": prefix + strings.Replace(text, "\r\n\r\n", "\r\n"+field+"\r\n\r\n", 1),
		} {
			for _, r := range check(t, changed, now, 100, records) {
				if r.Passed() {
					t.Errorf("%s %s: %v", name, what, r)
				}
			}
		}
	}
	for _, body := range []string{"Hello  worl", "Hello world!\r\n", "Hello  world\r\nx\r\n", ""} {
		h, _ := parts(t, text)
		for _, r := range check(t, prefix+string(h.Raw())+body, now, 100, records) {
			if r.Status != StatusFail {
				t.Errorf("body %q: %v", body, r)
			}
		}
	}
	for _, r := range check(t, prefix+strings.Replace(text, "hi\r\n", " hi \r\n", 1)+"\r\n\r\n", now, 100, records) {
		if !r.Passed() {
			t.Errorf("white space and empty lines at the end: %v", r)
		}
	}
}

// simpleBody and relaxedBody are the canonical forms in other words: whole, with
// regular expressions.
func simpleBody(b string) string {
	b = strings.TrimSuffix(regexp.MustCompile(`(\r\n)*$`).ReplaceAllString(b, ""), "\r\n")
	return b + "\r\n"
}

func relaxedBody(b string) string {
	b = regexp.MustCompile(`[ \t]+\r\n`).ReplaceAllString(b, "\r\n")
	b = regexp.MustCompile(`[ \t]+$`).ReplaceAllString(b, "")
	b = regexp.MustCompile(`[ \t]+`).ReplaceAllString(b, " ")
	b = regexp.MustCompile(`(\r\n)*$`).ReplaceAllString(b, "")
	if b == "" {
		return ""
	}
	return b + "\r\n"
}

// The streaming forms are those of the standard, for any octets in any pieces, with
// any l=.
func TestBodyForms(t *testing.T) {
	piece := rapid.SampledFrom([]string{"\r\n", "\r", "\n", " ", "\t", "a", "word", "two words\r\n", "a  b\r\n", strings.Repeat("\r\n", 40), "x \r\n", "\x00", "\xff"})
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(piece, 0, 20).Draw(t, "pieces")
		body := strings.Join(parts, "")
		for c, want := range map[Canon]string{Simple: simpleBody(body), Relaxed: relaxedBody(body)} {
			limit := rapid.Int64Range(-1, 60).Draw(t, "l")
			b := newBodyHash(c, limit)
			rest := []byte(body)
			for len(rest) > 0 {
				n := rapid.IntRange(1, len(rest)).Draw(t, "n")
				b.write(rest[:n])
				rest = rest[n:]
			}
			signed := want
			if limit >= 0 {
				signed = want[:min(int64(len(want)), limit)]
			}
			sum := sha256.Sum256([]byte(signed))
			if !bytes.Equal(b.finish(), sum[:]) || b.total != int64(len(want)) {
				t.Fatalf("form %d with l=%d of %q: %d octets, want %q", c, limit, body, b.total, want)
			}
		}
	})
}

// craft signs with a signature field that the caller writes, up to "b=".
func craft(t testing.TB, k SigningKey, field, text string) string {
	t.Helper()
	h, body := parts(t, text)
	s, err := ParseSignature(field[strings.IndexByte(field, ':')+1:]+"AAAA", DefaultLimits())
	if err != nil {
		return field + "AAAA\r\n" + text
	}
	b := newBodyHash(s.Body, s.Length)
	b.write(body)
	field = strings.Replace(field, base64.StdEncoding.EncodeToString(make([]byte, 32)), base64.StdEncoding.EncodeToString(b.finish()), 1)
	value, err := k.sign(indexFields(h).hash(s.Header, s.Names, []byte(field), unwritten))
	must(t, err)
	return field + base64.StdEncoding.EncodeToString(value) + "\r\n" + text
}

// Each way in which a signature or its key may be wrong has its own answer, and none
// is a pass.
func TestVerdicts(t *testing.T) {
	keys, records := pair(t)
	var k SigningKey
	for _, k = range keys {
		if k.Algorithm == Ed25519SHA256 {
			break
		}
	}
	now := time.Unix(1_800_000_000, 0)
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	foreign, err := Record(small.Public())
	must(t, err)
	good := records[k.Name.String()]
	bh := base64.StdEncoding.EncodeToString(make([]byte, 32))
	std := "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=example.test; s=e1; h=from:subject; bh=" + bh + "; b="
	with := func(old, new string) string { return strings.Replace(std, old, new, 1) }
	text := "From: a@example.test\r\nSubject: x\r\n\r\nHello\r\nworld\r\n"
	for _, row := range []struct{ name, field, key, text, want string }{
		{"right", std, good, text, "pass"},
		{"right, in upper case", with("s=e1", "s=E1"), good, text, "pass"},
		{"the grammar's words in another case", strings.NewReplacer("ed25519-sha256", "Ed25519-SHA256", "relaxed/simple", "Relaxed/SIMPLE", "s=e1", "s=e1; q=DNS/Txt").Replace(std), strings.Replace(good, "k=ed25519", "k=Ed25519; s=Email; h=SHA256", 1), text, "pass"},
		{"a strict key in another case, subdomain", with("s=e1", "i=b@sub.example.test; s=e1"), good + "; t=S", text, "permerror"},
		{"a key without v=", std, strings.TrimPrefix(good, "v=DKIM1; "), text, "pass"},
		{"a key for mail", std, good + "; s=email:x; h=sha1:sha256; n=what; x=y", text, "pass"},
		{"a second record", std, "v=spf1 -all|" + good, text, "pass"},
		{"many records that are no keys", std, "a|b|c|d=e|v=spf1 -all|x=y; z|" + good + "|zz", text, "pass"},
		{"a damaged key before it", std, good[:len(good)-6] + "|" + good, text, "pass"},
		{"another's key before it", std, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "|" + good, text, "pass"},
		{"a revoked key before it", std, "v=DKIM1; p=|" + good, text, "pass"},
		{"too many other keys before it", std, foreign + "|" + foreign + "|" + foreign + "|" + good, text, "permerror"},
		{"a key without padding", std, strings.TrimRight(good, "="), text, "pass"},
		{"a key with blanks in it", std, good[:40] + " \t" + good[40:], text, "pass"},
		{"a key with padding within", std, good[:40] + "=" + good[40:], text, "permerror"},
		{"a key that is tried out", std, good + "; t=y", text, "pass testing"},
		{"signatures named where there are none", with("h=from:subject", "h=from:subject:dkim-signature"), good, text, "pass"},
		{"a colon too many", with("h=from:subject", "h=:from::subject : "), good, text, "pass"},
		{"a subdomain", with("s=e1", "i=b@sub.example.test; s=e1"), good, text, "pass"},
		{"a strict key, same domain", with("s=e1", "i=@example.test; s=e1"), good + "; t=s", text, "pass"},
		{"a strict key, subdomain", with("s=e1", "i=b@sub.example.test; s=e1"), good + ";t=y:s", text, "permerror"},
		{"an identity in quoted-printable", with("s=e1", "i=a=3Bb=40=\r\n\t 2E@s=75b.example.te\r\n st; s=e1"), good, text, "pass"},
		{"an identity with what is no escape", with("s=e1", "i=a=zz=@example.test; s=e1"), good, text, "pass"},
		{"another's identity, encoded", with("s=e1", "i=@ex=61mple.test=2Eevil.test; s=e1"), good, text, "neutral"},
		{"another's identity", with("s=e1", "i=b@test; s=e1"), good, text, "neutral"},
		{"a look-alike identity", with("s=e1", "i=b@badexample.test; s=e1"), good, text, "neutral"},
		{"no key", std, "", text, "permerror"},
		{"DNS is silent", std, "TEMP", text, "temperror"},
		{"a revoked key", std, "v=DKIM1; k=ed25519; p=", text, "permerror"},
		{"no record of DKIM", std, "v=spf1 -all", text, "permerror"},
		{"another version", std, "v=DKIM2; " + good[9:], text, "permerror"},
		{"v= not first", std, "k=ed25519; v=DKIM1; " + good[22:], text, "permerror"},
		{"a key for something else", std, good + "; s=tlsrpt", text, "permerror"},
		{"a key for sha1", std, good + "; h=sha1", text, "permerror"},
		{"a tag twice in the key", std, good + "; k=rsa", text, "permerror"},
		{"another type of key", std, foreign, text, "permerror"},
		{"a key cut off", std, good[:len(good)-6], text, "permerror"},
		{"another key", std, "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)), text, "fail"},
		{"expired", with("s=e1", "s=e1; x=1799999999"), good, text, "policy"},
		{"not expired", with("s=e1", "s=e1; t=1799999999; x=1800000001"), good, text, "pass"},
		{"from the future", with("s=e1", "s=e1; t=1800003700"), good, text, "policy"},
		{"from far in the future", with("s=e1", "s=e1; t="+strings.Repeat("9", 40)), good, text, "policy"},
		{"ended before it began", with("s=e1", "s=e1; t=1800000000; x=1799999999"), good, text, "neutral"},
		{"all of the body", with("s=e1", "s=e1; l=14"), good, text, "pass"},
		{"a part of the body", with("s=e1", "s=e1; l=5"), good, text, "policy"},
		{"nothing of the body", with("s=e1", "s=e1; l=0"), good, text, "policy"},
		{"more than the body", with("s=e1", "s=e1; l=15"), good, text, "fail"},
		{"no length", with("s=e1", "s=e1; l=-1"), good, text, "neutral"},
		{"two authors", std, good, "From: x@bank.test\r\n" + text, "policy"},
		{"rsa-sha1", with("ed25519-sha256", "rsa-sha1"), good, text, "policy"},
		{"no version", with("v=1; ", ""), good, text, "neutral"},
		{"another version of the field", with("v=1", "v=2"), good, text, "neutral"},
		{"From is not signed", with("from:subject", "subject"), good, text, "neutral"},
		{"a tag twice", with("s=e1", "s=e1; s=e1"), good, text, "neutral"},
		{"an empty tag", with("s=e1;", "s=e1;;"), good, text, "neutral"},
		{"another query", with("s=e1", "s=e1; q=http"), good, text, "neutral"},
		{"an unknown tag", with("s=e1", "s=e1; zz=1"), good, text, "pass"},
		{"another canonicalisation", with("relaxed/simple", "nowsp"), good, text, "neutral"},
		{"a selector that climbs", with("s=e1", "s=a..b"), good, text, "neutral"},
		{"a domain that is none", with("d=example.test", "d=exa mple.test"), good, text, "neutral"},
	} {
		t.Run(row.name, func(t *testing.T) {
			keys := map[string]string{}
			if row.key != "" {
				keys[k.Name.String()] = row.key
			}
			signed := craft(t, k, row.field, row.text)
			if row.name == "two authors" {
				signed = "From: x@bank.test\r\n" + craft(t, k, row.field, text)
			}
			got := check(t, signed, now, 5, keys)
			status, testing, _ := strings.Cut(row.want, " ")
			if len(got) != 1 || got[0].Status.String() != status || (got[0].Reason == "") != (status == "pass") || got[0].Testing != (testing != "" || strings.Contains(row.key, "t=y")) {
				t.Errorf("%v, want %s", got, row.want)
			}
		})
	}
}

// Who names signature fields signs those that were there before his own, never that one. RFC
// 6376 §3.5, h=
func TestASignatureOverSignatures(t *testing.T) {
	keys, records := pair(t)
	const text, below = "From: a@example.test\r\nSubject: x\r\n\r\nHello\r\n", "DKIM-Signature: v=1; of somebody else\r\n"
	for _, k := range keys {
		field := "DKIM-Signature: v=1; a=" + k.Algorithm.String() + "; d=example.test; s=" + k.Name.Selector + "; h=DKIM-Signature:from:dkim-signature; bh=" +
			base64.StdEncoding.EncodeToString(make([]byte, 32)) + "; b="
		signed := craft(t, k, field, below+text)
		for message, want := range map[string]Status{
			signed:                                StatusPass,
			strings.Replace(signed, below, "", 1): StatusFail,
			strings.Replace(signed, "of somebody", "of nobody", 1): StatusFail,
			below + signed: StatusFail, // it was not there when this one was made
		} {
			for _, r := range check(t, message, time.Unix(1_800_000_000, 0), 5, records) {
				if r.Key == k.Name && r.Status != want {
					t.Errorf("%v, want %v, of %q", r, want, message)
				}
			}
		}
	}
}

// Values may lack their padding, and hold white space anywhere. RFC 6376 §2.10.
func TestDecode64(t *testing.T) {
	for text, want := range map[string]string{"YWJj": "abc", "YWI=": "ab", "YWI": "ab", "YQ==": "a", "YQ": "a", "YQ=": "a", " Y\r\n\tQ = =": "a", "": "",
		"Y": "!", "YQ===": "!", "Y=Q=": "!", "Y-_": "!", "YQ==YQ==": "!"} {
		got, err := decode64(text)
		if (err != nil) != (want == "!") || err == nil && string(got) != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

// Labels of selectors may be U-labels, and underscores stand in real names. RFC 8616.
func TestNamesOfKeys(t *testing.T) {
	for tags, want := range map[string]string{
		"s=b\u00fccher; d=b\u00fccher.test": "xn--bcher-kva._domainkey.xn--bcher-kva.test", "s=S1.b\u00fccher.2; d=x.test": "s1.xn--bcher-kva.2._domainkey.x.test",
		"s=a_b; d=_x.my_host.test": "a_b._domainkey._x.my_host.test", "s=b\u00fccher.\u3002; d=x.test": "", "s=\u212a; d=x.test": "", "s=a b; d=x.test": "", "s=a; d=x..test": "",
	} {
		value := "v=1; a=rsa-sha256; h=from; bh=" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "; b=YQ; " + tags
		s, err := ParseSignature(value, DefaultLimits())
		if (err == nil) != (want != "") || err == nil && s.Key.String() != want {
			t.Errorf("%s: %q, %v", tags, s.Key, err)
		}
	}
}

// What others put into a message does not cost the author his own signature: his come
// first. What is not looked at is said to be just that.
func TestTheAuthorComesFirst(t *testing.T) {
	keys, records := pair(t)
	var k SigningKey
	for _, k = range keys {
		if k.Algorithm == Ed25519SHA256 {
			break
		}
	}
	now := time.Unix(1_800_000_000, 0)
	bh := base64.StdEncoding.EncodeToString(make([]byte, 32))
	std := "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=example.test; s=e1; h=from; bh=" + bh + "; b="
	text := "From: a@example.test\r\n\r\nHello\r\n"
	field := func(change func(string) string) string {
		signed := craft(t, k, change(std), text)
		return signed[:len(signed)-len(text)]
	}
	good := field(func(s string) string { return s })
	foreign := func(i int) string {
		return strings.Replace(good, "d=example.test", fmt.Sprintf("d=other%d.test", i), 1)
	}
	var before, broken, shapes strings.Builder
	for i := range 30 {
		before.WriteString(foreign(i))
		broken.WriteString(strings.Replace(good, "bh=", "bh=AAAA", 1))
		shapes.WriteString(field(func(s string) string { return strings.Replace(s, "s=e1", fmt.Sprintf("s=e1; l=%d", i), 1) }))
	}
	large := field(func(s string) string {
		return strings.Replace(s, "s=e1", "s=e1; z="+strings.Repeat("From:=20x|", 900), 1)
	})
	for name, c := range map[string]struct {
		prefix string
		unseen int
	}{
		"alone": {good, 0}, "the ninth": {before.String() + good, 30 - 7}, "behind its own broken ones": {broken.String() + good, 0},
		"with 9 kB of z=": {large, 0}, "behind other ways to hash": {strings.ReplaceAll(shapes.String(), "d=example.test", "d=other.test") + good, 28},
	} {
		h, body := parts(t, c.prefix+text)
		check := NewCheckFor(h, DefaultLimits(), func(d mail.Domain) int {
			if d.ASCII() == "example.test" {
				return 0
			}
			return 1
		})
		check.Body(body)
		found := map[KeyName]Found{}
		for _, n := range check.Names() {
			found[n] = Found{Records: []string{records[n.String()]}}
		}
		if len(found) > DefaultLimits().Signatures {
			t.Errorf("%s: %d keys are asked for", name, len(found))
		}
		passed, unseen := 0, 0
		for _, r := range check.Results(now, found) {
			if r.Passed() {
				passed++
			}
			if r.Unseen {
				unseen++
				if r.Status != StatusPolicy || !strings.Contains(r.Reason, "not looked at") || r.Domain().ASCII() == "" {
					t.Errorf("%s: %v", name, r)
				}
			}
		}
		if passed != 1 || unseen != c.unseen {
			t.Errorf("%s: %d passed, %d not looked at", name, passed, unseen)
		}
	}
	// Beyond every bound it is known at least whose it would be.
	huge := strings.Replace(good, "s=e1", "s=e1; z="+strings.Repeat("x", 70<<10), 1)
	if got := check(t, huge+text, now, 100, records); !got[0].Unseen || got[0].Domain().ASCII() != "example.test" {
		t.Errorf("%v", got)
	}
}

// A stranger's signatures cost bounded work.
func TestSignaturesAreBounded(t *testing.T) {
	bh := base64.StdEncoding.EncodeToString(make([]byte, 32))
	field := func(extra string) string {
		return "DKIM-Signature: v=1; a=rsa-sha256; d=example.test; s=r1; h=from" + extra + "; bh=" + bh + "; b=AAAA\r\n"
	}
	var many strings.Builder
	for i := range 100 {
		many.WriteString(field(fmt.Sprintf("; l=%d", i)))
	}
	h, _ := parts(t, many.String()+"From: a@example.test\r\n\r\n")
	c := NewCheck(h, DefaultLimits())
	if len(c.bodies) > DefaultLimits().BodyHashes || len(c.Results(time.Now(), nil)) != 100 || len(c.Names()) != 0 {
		t.Errorf("%d hashes, %d names", len(c.bodies), len(c.Names()))
	}
	for name, f := range map[string]string{
		"names": field(strings.Repeat(":x", 300)), "tags": field(strings.Repeat("; x", 1) + strings.Repeat("=1; y", 50)), "octets": field("; z=" + strings.Repeat("x", 65<<10)),
	} {
		if _, err := ParseSignature(strings.TrimPrefix(f, "DKIM-Signature:"), DefaultLimits()); err == nil {
			t.Errorf("%s are not bounded", name)
		}
	}
	if _, err := ParseRecord("v=DKIM1; p=; n="+strings.Repeat("x", 5<<10), DefaultLimits()); err == nil {
		t.Error("a record is not bounded")
	}
}

// A record is published in strings of 255 octets, which together are the record.
func TestSplitTXT(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 400, 510, 511, 800} {
		text := strings.Repeat("x", n)
		split := SplitTXT(text)
		joined := ""
		for _, p := range strings.Split(split, " ") {
			if len(p) > 257 || p[0] != '"' || p[len(p)-1] != '"' {
				t.Errorf("%d octets: part %q", n, p)
			}
			joined += p[1 : len(p)-1]
		}
		if joined != text {
			t.Errorf("%d octets: %q", n, split)
		}
	}
}
