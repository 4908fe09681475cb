package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// PublicKey is a parsed key record. RFC 6376 §3.6.1.
type PublicKey struct {
	Algorithm Algorithm // what its key can verify
	Bits      int
	Testing   bool // t=y: the domain tries DKIM out
	Strict    bool // t=s: the domain of i= must be that of d=
	Revoked   bool // p= is empty
	key       crypto.PublicKey
}

var (
	// ErrNotKey says that a text is no key record at all: a wildcard answers, say.
	ErrNotKey = errors.New("it is no DKIM key record")
	// ErrService says that the key is not for mail, or not for SHA-256.
	ErrService = errors.New("the key is for another use")
	// ErrKey says that the key itself is malformed or of an unknown type.
	ErrKey = errors.New("the key is malformed or of a type that we do not know")
)

// ParseRecord parses the text of a key record. A key of a size that does not count is
// no error here: Check judges it.
func ParseRecord(text string, l Limits) (PublicKey, error) {
	var k PublicKey
	if len(text) > l.RecordOctets {
		return k, ErrNotKey
	}
	tags, err := parseTags(text, l.Tags)
	if err != nil {
		return k, fmt.Errorf("%w: %w", ErrNotKey, err)
	}
	// RFC 6376 §3.6.1: v= stands first, or not at all.
	if tags.has("v") && (tags[0].name != "v" || tags[0].value != "DKIM1") || !tags.has("p") {
		return k, ErrNotKey
	}
	if !allows(tags.value("s", "*"), "*", "email") || !allows(tags.value("h", "sha256"), "sha256") {
		return k, ErrService
	}
	k.Testing, k.Strict = allows(tags.value("t", ""), "y"), allows(tags.value("t", ""), "s")
	switch strings.ToLower(tags.value("k", "rsa")) { // RFC 5234 §2.3
	case "rsa":
		k.Algorithm = RSASHA256
	case "ed25519":
		k.Algorithm = Ed25519SHA256
	default:
		return k, ErrKey
	}
	p := squeeze(tags.value("p", ""))
	if k.Revoked = p == ""; k.Revoked {
		return k, nil
	}
	return k, k.readKey(p)
}

// allows reports whether a list between colons holds one of these words, in any case: the
// words of a grammar are written so. RFC 5234 §2.3.
func allows(list string, any ...string) bool {
	return slices.ContainsFunc(words(list), func(w string) bool {
		return slices.Contains(any, strings.ToLower(w))
	})
}

func (k *PublicKey) readKey(p string) error {
	raw, err := decode64(p)
	if err != nil {
		return ErrKey
	}
	if k.Algorithm == Ed25519SHA256 {
		if len(raw) != ed25519.PublicKeySize { // RFC 8463 §4.2: the key alone
			return ErrKey
		}
		k.key, k.Bits = ed25519.PublicKey(raw), 256
		return nil
	}
	key, err := parseRSA(raw)
	if err != nil {
		return ErrKey
	}
	k.key, k.Bits = key, key.N.BitLen()
	return nil
}

// parseRSA reads a SubjectPublicKeyInfo, or the bare RSAPublicKey of which the text
// of RFC 6376 §3.6.1 speaks: both are published (erratum 3017).
func parseRSA(raw []byte) (*rsa.PublicKey, error) {
	if parsed, err := x509.ParsePKIXPublicKey(raw); err == nil {
		if key, ok := parsed.(*rsa.PublicKey); ok {
			return key, nil
		}
		return nil, ErrKey
	}
	return x509.ParsePKCS1PublicKey(raw)
}

// Record returns the text of the key record for a public key: what is published at
// KeyName. RFC 6376 §3.6.1, RFC 8463 §4.2.
func Record(key crypto.PublicKey) (string, error) {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil
	case *rsa.PublicKey:
		raw, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return "", err
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(raw), nil
	}
	return "", ErrKey
}

// Same reports whether the record is one under which signatures of key verify.
func (k PublicKey) Same(key crypto.PublicKey) bool {
	equal, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && !k.Revoked && equal.Equal(key)
}

// mostString is the most octets of one string of a TXT record: one octet says how long it is. RFC 1035 §3.3.
const mostString = 255

// SplitTXT parts a text into the strings of which a TXT record
// is made, quoted as a zone file wants them. RFC 1035 §3.3.14, §5.1.
func SplitTXT(text string) string {
	var parts []string
	for len(text) > mostString {
		parts = append(parts, `"`+text[:mostString]+`"`)
		text = text[mostString:]
	}
	return strings.Join(append(parts, `"`+text+`"`), " ")
}

// Equal reports whether two records hold the same key for the same algorithm, and
// both can be used for mail.
func (k PublicKey) Equal(other PublicKey) bool {
	return k.Algorithm == other.Algorithm && !other.Revoked && k.Same(other.key)
}
