package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// BenchmarkVerify is what verification costs beside receiving: one message of 10 KiB
// with its keys at hand, parsed anew as each message parses them.
func BenchmarkVerify(b *testing.B) {
	for _, set := range [][]string{{"rsa"}, {"ed25519"}, {"rsa", "ed25519"}} {
		b.Run(strings.Join(set, "+"), func(b *testing.B) {
			keys, found := benchKeys(b, set)
			text := benchText()
			text = sign(b, text, keys, time.Now(), 0) + text
			h, body := parts(b, text)
			limits := DefaultLimits()
			limits.Enough = 1 // as on the mx door
			b.ReportAllocs()
			for b.Loop() {
				c := NewCheck(h, limits)
				c.Body(body)
				c.Names()
				passed := 0
				for _, r := range c.Results(time.Now(), found) {
					if r.Passed() {
						passed++
					}
				}
				if passed != 1 {
					b.Fatal(passed)
				}
			}
		})
	}
}

// BenchmarkSign signs one message of 10 KiB.
func BenchmarkSign(b *testing.B) {
	for _, set := range [][]string{{"rsa"}, {"ed25519"}, {"rsa", "ed25519"}} {
		b.Run(strings.Join(set, "+"), func(b *testing.B) {
			keys, _ := benchKeys(b, set)
			text := benchText()
			for b.Loop() {
				sign(b, text, keys, time.Now(), 0)
			}
		})
	}
}

func benchKeys(b *testing.B, set []string) (keys []SigningKey, found map[KeyName]Found) {
	d, err := mail.ParseDomain("example.test")
	must(b, err)
	found = map[KeyName]Found{}
	for _, kind := range set {
		var key crypto.Signer
		if kind == "rsa" {
			key, err = rsa.GenerateKey(rand.Reader, 2048)
		} else {
			_, key, err = ed25519.GenerateKey(rand.Reader)
		}
		must(b, err)
		k, err := NewSigningKey(KeyName{kind, d}, key)
		must(b, err)
		record, err := Record(key.Public())
		must(b, err)
		keys, found[k.Name] = append(keys, k), Found{Records: []string{record}}
	}
	return keys, found
}

func benchText() string {
	text := "From: Alice <alice@example.test>\r\nTo: bob@remote.test\r\nSubject: a message\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
	for i := 0; len(text) < 10<<10; i++ {
		text += fmt.Sprintf("Line %d of an ordinary message with words of ordinary length in it.\r\n", i)
	}
	return text
}
