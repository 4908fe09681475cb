package dkim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// Algorithm is how a signature is made. The zero Algorithm is none.
type Algorithm uint8

const (
	AlgorithmUnknown Algorithm = iota
	RSASHA256                  // RFC 6376 §3.3.2
	Ed25519SHA256              // RFC 8463
)

// String returns the algorithm as the a= tag names it.
func (a Algorithm) String() string {
	switch a {
	case RSASHA256:
		return "rsa-sha256"
	case Ed25519SHA256:
		return "ed25519-sha256"
	}
	return "unknown"
}

// Canon is a canonicalisation. The zero Canon is "simple", as in the standard.
type Canon uint8

const (
	Simple  Canon = iota // RFC 6376 §3.4.1, §3.4.3
	Relaxed              // RFC 6376 §3.4.2, §3.4.4
)

// KeyName names a public key in the DNS. It is comparable.
type KeyName struct {
	Selector string // lower case
	Domain   mail.Domain
}

// String returns the name to ask for: "sel._domainkey.example.org". RFC 6376 §3.6.2.1.
func (n KeyName) String() string { return n.Selector + "._domainkey." + n.Domain.ASCII() }

// Signature is a parsed DKIM-Signature field. RFC 6376 §3.5.
type Signature struct {
	Algorithm  Algorithm
	Named      string      // a= as written, "" if it is no name
	Key        KeyName     // from d= and s=
	Identity   string      // i= decoded, "" if it is not there
	identity   mail.Domain // of i=, or d=
	Header     Canon
	Body       Canon
	Names      []string // h= in lower case
	BodyHash   []byte
	Value      []byte    // b=
	Length     int64     // l=, -1 if it is not there
	Made       time.Time // t=, zero if it is not there
	Expires    time.Time // x=, zero if it is not there
	bFrom, bTo int       // offsets of the value of b= in the field's value
}

// errAlgorithm is a signature by an algorithm that is not on our list: rsa-sha1, for
// one, must not count. RFC 8301 §3.1.
var errAlgorithm = errors.New("its algorithm is not one that counts")

// errBound is a signature that was not looked at since it exceeds a bound of ours.
var errBound = errors.New("not looked at")

// ParseSignature parses the value of a DKIM-Signature field as it was written, folds
// and all. The Signature that comes with an error holds what could be read of d=, s=
// and a=, for reports alone.
func ParseSignature(value string, l Limits) (Signature, error) {
	s := Signature{Length: -1}
	if len(value) > l.SignatureOctets {
		s.readDomain(value, l.SignatureOctets)
		return s, fmt.Errorf("%w: the signature is too large", errBound)
	}
	tags, err := parseTags(value, l.Tags)
	if errors.Is(err, errTagsMany) {
		s.readDomain(value, l.SignatureOctets)
		return s, fmt.Errorf("%w: %w", errBound, err)
	}
	if err != nil {
		return s, err
	}
	if a := tags.value("a", ""); isAlgorithmName(a) {
		s.Named = a
	}
	for _, step := range []func(tagList, Limits) error{s.readKey, s.readAlgorithm, s.readForm, s.readIdentity, s.readNames, s.readTimes, s.readValues} {
		if err := step(tags, l); err != nil {
			return s, err
		}
	}
	return s, nil
}

// readDomain finds d= in a signature that is beyond a bound, among its first octets, so
// that it is known whose was not looked at.
func (s *Signature) readDomain(value string, most int) {
	for text := range strings.SplitSeq(value[:min(len(value), most)], ";") {
		if name, rest, found := strings.Cut(text, "="); found && trim(name) == "d" {
			s.Key.Domain, _ = mail.ParseDomain(trim(rest)) // the zero Domain is nobody's
			return
		}
	}
}

// mostAlgorithm is the most characters of the name of an algorithm that is told though it is not known; those that there are have
// 15 at most.
const mostAlgorithm = 40

// isAlgorithmName reports whether a= is a name that can be told: "rsa-sha1", say.
func isAlgorithmName(s string) bool {
	return len(s) <= mostAlgorithm && strings.Contains(s, "-") && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-')
	}) < 0
}

// readKey reads v=, d=, s= and q=.
func (s *Signature) readKey(tags tagList, _ Limits) (err error) {
	if s.Key.Domain, err = mail.ParseDomain(tags.value("d", "")); err != nil {
		return errors.New("d= is no domain")
	}
	if s.Key.Selector, err = parseSelector(tags.value("s", "")); err != nil {
		return err
	}
	if tags.value("v", "") != "1" {
		return errors.New("v= is not 1")
	}
	if !allows(tags.value("q", "dns/txt"), "dns/txt") {
		return errors.New("q= names no way that we know")
	}
	return nil
}

// mostSelector is the most octets of a selector: with "._domainkey." it leaves 61 of the 253 of a name for the domain (RFC 1035
// §2.3.4, RFC 6376 §3.6.2.1).
const mostSelector = 180

// latest is the last second of the year 9999, since 1970: beyond it no time of a signature is later than another.
const latest = 253402300799

// parseSelector accepts the names that the DNS can be asked for; labels may be U-labels.
// RFC 8616 §3.
func parseSelector(s string) (string, error) {
	bad := errors.New("s= is no selector")
	if len(s) > mostSelector {
		return "", bad
	}
	labels := strings.Split(s, ".")
	for i, label := range labels {
		if strings.IndexFunc(label, func(c rune) bool { return c >= utf8.RuneSelf }) >= 0 {
			d, err := mail.ParseDomain(label)
			if err != nil {
				return "", bad
			}
			label = d.ASCII()
		}
		wrong := strings.IndexFunc(label, func(c rune) bool {
			return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
		})
		if label == "" || len(label) > mail.MaxLabelOctets || wrong >= 0 {
			return "", bad
		}
		labels[i] = label
	}
	return strings.ToLower(strings.Join(labels, ".")), nil
}

func (s *Signature) readAlgorithm(tags tagList, _ Limits) error {
	// The words of the grammar are in any case (RFC 5234 §2.3), and some write "RSA-SHA256".
	switch a, ok := tags.find("a"); {
	case !ok:
		return errors.New("a= is missing")
	case strings.EqualFold(a.value, RSASHA256.String()):
		s.Algorithm = RSASHA256
	case strings.EqualFold(a.value, Ed25519SHA256.String()):
		s.Algorithm = Ed25519SHA256
	default:
		return errAlgorithm
	}
	return nil
}

// readForm reads c= and l=.
func (s *Signature) readForm(tags tagList, _ Limits) error {
	header, body, both := strings.Cut(tags.value("c", "simple"), "/")
	if !both {
		body = "simple" // RFC 6376 §3.5
	}
	var ok1, ok2 bool
	s.Header, ok1 = parseCanon(header)
	s.Body, ok2 = parseCanon(body)
	if !ok1 || !ok2 {
		return errors.New("c= names no canonicalisation")
	}
	if t, ok := tags.find("l"); ok {
		if s.Length = number(t.value); s.Length < 0 {
			return errors.New("l= is no number")
		}
	}
	return nil
}

func parseCanon(s string) (Canon, bool) {
	switch strings.ToLower(s) { // RFC 5234 §2.3
	case "simple":
		return Simple, true
	case "relaxed":
		return Relaxed, true
	}
	return Simple, false
}

// readIdentity reads i=, whose domain is that of d= or below it. RFC 6376 §3.5.
func (s *Signature) readIdentity(tags tagList, _ Limits) error {
	s.identity = s.Key.Domain
	t, ok := tags.find("i")
	if !ok {
		return nil
	}
	value := unquote(t.value)
	at := strings.LastIndexByte(value, '@')
	d, err := mail.ParseDomain(value[at+1:])
	if at < 0 || err != nil {
		return errors.New("i= names no domain")
	}
	if d != s.Key.Domain && !strings.HasSuffix(d.ASCII(), "."+s.Key.Domain.ASCII()) {
		return errors.New("i= is outside of d=")
	}
	s.Identity, s.identity = value, d
	return nil
}

func (s *Signature) readNames(tags tagList, l Limits) error {
	t, ok := tags.find("h")
	if !ok {
		return errors.New("h= is missing")
	}
	if strings.Count(t.value, ":") >= l.SignedFields {
		return fmt.Errorf("%w: h= names too many fields", errBound)
	}
	for _, n := range words(t.value) {
		if n == "" {
			continue // some write a colon too many; no field has that name, and none is signed by it
		}
		if strings.IndexFunc(n, func(c rune) bool { return c <= ' ' || c > '~' }) >= 0 {
			return errors.New("h= is malformed")
		}
		s.Names = append(s.Names, strings.ToLower(n))
	}
	// RFC 6376 §5.4: who wrote a message is the least that a signature must say.
	if !slices.Contains(s.Names, "from") {
		return errors.New("h= does not name From")
	}
	return nil
}

func (s *Signature) readTimes(tags tagList, _ Limits) error {
	for name, to := range map[string]*time.Time{"t": &s.Made, "x": &s.Expires} {
		t, ok := tags.find(name)
		if !ok {
			continue
		}
		n := number(t.value)
		if n < 0 {
			return fmt.Errorf("%s= is no time", name)
		}
		*to = time.Unix(min(n, latest), 0).UTC()
	}
	if !s.Made.IsZero() && !s.Expires.IsZero() && s.Expires.Before(s.Made) {
		return errors.New("x= is before t=")
	}
	return nil
}

func (s *Signature) readValues(tags tagList, _ Limits) (err error) {
	b, ok := tags.find("b")
	if !ok {
		return errors.New("b= is missing")
	}
	s.bFrom, s.bTo = b.from, b.to
	if s.Value, err = decode64(b.value); err != nil || len(s.Value) == 0 {
		return errors.New("b= is no base64")
	}
	if s.BodyHash, err = decode64(tags.value("bh", "")); err != nil || len(s.BodyHash) != 32 {
		return errors.New("bh= is no SHA-256 in base64")
	}
	return nil
}
