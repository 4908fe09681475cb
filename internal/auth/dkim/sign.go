package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/message"
)

// SigningKey signs for a domain. The zero SigningKey signs nothing.
type SigningKey struct {
	Name      KeyName
	Algorithm Algorithm
	key       crypto.Signer
}

// NewSigningKey returns the key that signs under a name: an RSA key of 1024 bits at
// least, or an Ed25519 key.
func NewSigningKey(n KeyName, key crypto.Signer) (SigningKey, error) {
	if _, err := parseSelector(n.Selector); err != nil || n.Domain.IsZero() {
		return SigningKey{}, fmt.Errorf("dkim: a key needs a selector and a domain, not %q", n)
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if l := DefaultLimits(); k.N.BitLen() < l.MinRSABits || k.N.BitLen() > l.MaxRSABits {
			return SigningKey{}, fmt.Errorf("dkim: an RSA key of %d bits counts nowhere", k.N.BitLen())
		}
		return SigningKey{Name: n, Algorithm: RSASHA256, key: k}, nil
	case ed25519.PrivateKey:
		return SigningKey{Name: n, Algorithm: Ed25519SHA256, key: k}, nil
	}
	return SigningKey{}, ErrKey
}

// Public returns the public half of the key.
func (k SigningKey) Public() crypto.PublicKey { return k.key.Public() }

// alwaysSigned are named once more than they occur, whether they occur or not, so
// that none can be added to a signed message. RFC 6376 §8.15.
func alwaysSigned() []string { return []string{"from", "to", "subject", "date"} }

// signedIfPresent are named once more than they occur where they do. RFC 6376 §5.4.1,
// RFC 8058 §4. Trace fields are changed on the way and never signed.
func signedIfPresent() []string {
	return []string{
		"sender", "reply-to", "cc", "message-id", "in-reply-to", "references",
		"mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id", "content-description",
		"resent-date", "resent-from", "resent-sender", "resent-to", "resent-cc", "resent-message-id",
		"list-id", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe", "list-post", "list-owner", "list-archive",
	}
}

// Signing makes the signatures of one message with several keys in one pass over its
// body. It belongs to one goroutine.
type Signing struct {
	fields fields
	names  []string
	keys   []SigningKey
	body   *bodyHash
}

// NewSigning begins to sign a message with this header section.
func NewSigning(h message.Header, keys []SigningKey) *Signing {
	s := &Signing{fields: indexFields(h), keys: keys, body: newBodyHash(Relaxed, -1)}
	for _, n := range alwaysSigned() {
		s.name(n, 1)
	}
	for _, n := range signedIfPresent() {
		if s.fields.count(n) > 0 {
			s.name(n, 1)
		}
	}
	return s
}

// name signs every field of a name, and so many more that are not there.
func (s *Signing) name(n string, more int) {
	s.names = append(s.names, slices.Repeat([]string{n}, s.fields.count(n)+more)...)
}

// Body takes the next octets of the body.
func (s *Signing) Body(p []byte) { s.body.write(p) }

// Fields returns one DKIM-Signature field for each key, to be put before the message.
// They say when they were made, and, for lasts above zero, when they end.
func (s *Signing) Fields(now time.Time, lasts time.Duration) ([]byte, error) {
	var out []byte
	for _, k := range s.keys {
		f, err := s.field(k, now, lasts)
		if err != nil {
			return nil, err
		}
		out = append(out, f...)
	}
	return out, nil
}

// maxLine is where lines of our field are folded. RFC 5322 §2.1.1.
const maxLine = 76

func (s *Signing) field(k SigningKey, now time.Time, lasts time.Duration) ([]byte, error) {
	var b strings.Builder
	b.WriteString(signatureField + ": v=1; a=" + k.Algorithm.String() + "; c=relaxed/relaxed;\r\n\td=" + k.Name.Domain.ASCII() +
		";\r\n\ts=" + k.Name.Selector + "; t=" + strconv.FormatInt(now.Unix(), 10))
	if lasts > 0 {
		b.WriteString("; x=" + strconv.FormatInt(now.Add(lasts).Unix(), 10))
	}
	b.WriteString(";\r\n\t" + foldNames(s.names) + ";\r\n\tbh=" + base64.StdEncoding.EncodeToString(s.body.finish()) + ";\r\n\tb=")
	value, err := k.sign(s.fields.hash(Relaxed, s.names, []byte(b.String()), unwritten))
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(value)
	for len(text) > maxLine-4 {
		b.WriteString(text[:maxLine-4] + "\r\n\t")
		text = text[maxLine-4:]
	}
	b.WriteString(text + "\r\n")
	return []byte(b.String()), nil
}

// foldNames writes the h= tag on as many lines as it takes.
func foldNames(names []string) string {
	var b strings.Builder
	line := 0
	for i, n := range names {
		if i == 0 {
			n = "h=" + n
		} else {
			n = ":" + n
		}
		if line > 0 && line+len(n) > maxLine-8 {
			b.WriteString("\r\n\t ")
			line = 0
		}
		b.WriteString(n)
		line += len(n)
	}
	return b.String()
}

// sign signs the hash of a header. RFC 8463 §3: Ed25519 signs the hash as its message.
func (k SigningKey) sign(sum []byte) ([]byte, error) {
	switch key := k.key.(type) {
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum)
	case ed25519.PrivateKey:
		return ed25519.Sign(key, sum), nil
	}
	return nil, ErrKey
}
