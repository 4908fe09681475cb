package dkim

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Status is the result of one signature, as RFC 8601 §2.7.1 names results. The zero
// Status says that nothing is known, and counts for nothing.
type Status uint8

const (
	StatusNone      Status = iota // also of a signature that was not verified
	StatusPass                    // it verified, and covers the whole message
	StatusFail                    // header or body is not what was signed
	StatusPolicy                  // it may verify, but does not count here; Reason says why
	StatusNeutral                 // it could not be read
	StatusTempError               // its key could not be asked for; another time it may
	StatusPermError               // its key does not exist or cannot be used
)

// String returns the result as Authentication-Results name it.
func (s Status) String() string {
	switch s {
	case StatusPass:
		return "pass"
	case StatusFail:
		return "fail"
	case StatusPolicy:
		return "policy"
	case StatusNeutral:
		return "neutral"
	case StatusTempError:
		return "temperror"
	case StatusPermError:
		return "permerror"
	}
	return "none"
}

// Result is what became of one signature.
type Result struct {
	Status    Status
	Reason    string  // why it is no pass, in a few words; "" for a pass
	Key       KeyName // zero where it could not be read
	Identity  string  // i= as written, "" if it is not there
	Algorithm Algorithm
	Named     string // a= as written, "" if it is no name
	KeyBits   int    // 0 where no key was seen
	Value     string // the start of b= in base64, which tells signatures apart. RFC 6008
	// Testing says that the domain only tries DKIM out: nothing may be held against a
	// message that fails. RFC 6376 §3.6.1.
	Testing bool
	// Unseen says that the signature was not looked at, for a bound of ours: nothing is
	// known about it.
	Unseen bool
	// Unsigned is how many octets of the body l= leaves out.
	Unsigned int64
}

// Passed reports whether the domain of the signature has signed the whole message.
func (r Result) Passed() bool { return r.Status == StatusPass }

// Domain returns the domain that signed, for alignment.
func (r Result) Domain() mail.Domain { return r.Key.Domain }

// String describes the result in one line of ASCII.
func (r Result) String() string {
	s := r.Status.String()
	if !r.Key.Domain.IsZero() {
		s += " d=" + r.Key.Domain.ASCII()
		if r.Key.Selector != "" {
			s += " s=" + r.Key.Selector
		}
		if r.Named != "" {
			s += " a=" + r.Named
		}
	}
	if r.KeyBits > 0 {
		s += fmt.Sprintf(" bits=%d", r.KeyBits)
	}
	if r.Testing {
		s += " testing"
	}
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// Found is what the DNS said about a key.
type Found struct {
	Records   []string // texts, not parsed
	Temporary bool     // it said nothing: ask another time
}

// Check verifies the signatures of one message. Begin it with NewCheck, give it the
// body, look up Names, and ask for Results. It belongs to one goroutine.
type Check struct {
	limits Limits
	fields fields
	sigs   []*pending // in the order of the message
	order  []*pending // in that of verification
	bodies []*bodyHash
	chosen bool // those that are verified are
}

// pending is a signature under verification.
type pending struct {
	Signature
	err   error
	rank  int
	raw   []byte    // the whole field
	place int       // among all fields
	at    int       // where its value begins
	body  *bodyHash // nil where err is not
}

// NewCheck begins to verify the signatures in a header section, from the top.
func NewCheck(h message.Header, l Limits) *Check {
	return NewCheckFor(h, l, func(mail.Domain) int { return 0 })
}

// NewCheckFor begins to verify the signatures in a header section, those first whose
// domain has the lowest rank: a bound that others use up must not cost the author his
// own.
func NewCheckFor(h message.Header, l Limits, rank func(mail.Domain) int) *Check {
	c := &Check{limits: l}
	place := 0
	for i, f := range h.Fields(signatureField) {
		if i == 0 {
			c.fields = indexFields(h)
		}
		for &c.fields.all[place].Raw[0] != &f.Raw[0] { // it is one of them
			place++
		}
		p := &pending{raw: f.Raw, place: place, at: bytes.IndexByte(f.Raw, ':') + 1}
		p.Signature, p.err = ParseSignature(string(f.Raw[p.at:]), l)
		p.rank = rank(p.Key.Domain)
		c.sigs = append(c.sigs, p)
	}
	c.order = slices.Clone(c.sigs)
	slices.SortStableFunc(c.order, func(a, b *pending) int { return a.rank - b.rank })
	for _, p := range c.order {
		if p.err == nil {
			p.body, p.err = c.bodyFor(p.Signature)
		}
	}
	return c
}

// bodyFor returns the hash of the body for a signature: one for all that want the
// same.
func (c *Check) bodyFor(s Signature) (*bodyHash, error) {
	for _, b := range c.bodies {
		if b.canon == s.Body && b.limit == s.Length {
			return b, nil
		}
	}
	if len(c.bodies) == c.limits.BodyHashes {
		return nil, fmt.Errorf("%w: the signatures want too many hashes of the body", errBound)
	}
	b := newBodyHash(s.Body, s.Length)
	c.bodies = append(c.bodies, b)
	return b, nil
}

// Signed reports whether the message has signatures at all.
func (c *Check) Signed() bool { return len(c.sigs) > 0 }

// Body takes the next octets of the body, those behind the header section's empty
// line.
func (c *Check) Body(p []byte) {
	for _, b := range c.bodies {
		b.write(p)
	}
}

// Names returns the keys that are worth to be looked up, each once, now that the body
// is complete.
func (c *Check) Names() []KeyName {
	c.choose()
	var names []KeyName
	for _, p := range c.order {
		if p.err == nil && p.bodyMatches() && !slices.Contains(names, p.Key) {
			names = append(names, p.Key)
		}
	}
	return names
}

// choose leaves out what is more than is verified. What fails without its key costs next
// to nothing, and does not count.
func (c *Check) choose() {
	n := 0
	for _, p := range c.order {
		if c.chosen || p.err != nil || !p.bodyMatches() {
			continue
		}
		if n++; n > c.limits.Signatures {
			p.err = fmt.Errorf("%w: the message has too many signatures", errBound)
		}
	}
	c.chosen = true
}

func (p *pending) bodyMatches() bool { return bytes.Equal(p.body.finish(), p.BodyHash) }

// Results returns one result for each signature, in the order of the message. A name
// that is not in found counts as one that could not be asked for.
func (c *Check) Results(now time.Time, found map[KeyName]Found) []Result {
	c.choose()
	out := make([]Result, len(c.sigs))
	passed := map[mail.Domain]int{}
	for _, i := range c.cheapestFirst() {
		p := c.sigs[i]
		if c.limits.Enough > 0 && p.err == nil && passed[p.Key.Domain] >= c.limits.Enough {
			// RFC 6376 §6.1: a verifier need not go on when a signature has passed.
			out[i] = Result{Key: p.Key, Identity: p.Identity, Algorithm: p.Algorithm, Named: p.Named, Value: p.shortValue(), Reason: "not verified: another signature of its domain passed"}
			continue
		}
		out[i] = c.result(p, now, found)
		if out[i].Passed() {
			passed[p.Key.Domain]++
		}
	}
	return out
}

// cheapestFirst is the order in which signatures are verified: RSA with its small
// exponent costs less than Ed25519.
func (c *Check) cheapestFirst() []int {
	order := make([]int, len(c.sigs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(c.sigs[a].Algorithm) - int(c.sigs[b].Algorithm) })
	return order
}

func (c *Check) result(p *pending, now time.Time, found map[KeyName]Found) Result {
	r := Result{Key: p.Key, Identity: p.Identity, Algorithm: p.Algorithm, Named: p.Named, Value: p.shortValue()}
	say := func(s Status, why string) Result {
		r.Status, r.Reason = s, why
		return r
	}
	switch {
	case errors.Is(p.err, errBound):
		r.Unseen = true
		return say(StatusPolicy, p.err.Error())
	case errors.Is(p.err, errAlgorithm):
		return say(StatusPolicy, p.err.Error())
	case p.err != nil:
		return say(StatusNeutral, p.err.Error())
	case !p.bodyMatches():
		return say(StatusFail, "the body is not what was signed")
	case p.Length > p.body.total:
		return say(StatusFail, "the body is shorter than what was signed")
	}
	keys, status, why := c.keys(p, found)
	r.KeyBits, r.Testing = keys[0].Bits, keys[0].Testing
	if status != StatusPass {
		return say(status, why)
	}
	sum := c.fields.hash(p.Header, p.Names, p.unsigned(), p.place)
	// RFC 6376 §3.6.2.2: what several keys mean is not defined; any will do.
	i := slices.IndexFunc(keys, func(k PublicKey) bool { return k.verifies(sum, p.Value) })
	if i >= 0 {
		r.KeyBits, r.Testing = keys[i].Bits, keys[i].Testing
	} else {
		return say(StatusFail, "the header is not what was signed, or by another key")
	}
	if status, why = c.reserve(p, now); status != StatusPass {
		if p.Length >= 0 {
			r.Unsigned = p.body.total - p.Length
		}
		return say(status, why)
	}
	return say(StatusPass, "")
}

// keys returns the keys among the records at a name that the signature may be verified
// with; else the first one, and why there is none. Records that are no keys are passed
// over.
func (c *Check) keys(p *pending, found map[KeyName]Found) ([]PublicKey, Status, string) {
	f, ok := found[p.Key]
	none := []PublicKey{{}}
	switch {
	case !ok || f.Temporary:
		return none, StatusTempError, "the key could not be asked for"
	case len(f.Records) == 0:
		return none, StatusPermError, "the key does not exist"
	}
	var good []PublicKey
	status, why, tried := StatusPermError, ErrNotKey.Error(), 0
	for _, text := range f.Records {
		k, err := ParseRecord(text, c.limits)
		if errors.Is(err, ErrNotKey) {
			continue
		}
		if tried++; tried > c.limits.Records {
			break
		}
		s, w := c.usable(p, k, err)
		if s == StatusPass {
			good = append(good, k)
		} else if tried == 1 {
			none, status, why = []PublicKey{k}, s, w
		}
	}
	if len(good) > 0 {
		return good, StatusPass, ""
	}
	return none, status, why
}

// usable judges a key for a signature. RFC 6376 §6.1.2.
func (c *Check) usable(p *pending, k PublicKey, err error) (Status, string) {
	switch {
	case err != nil:
		return StatusPermError, err.Error()
	case k.Revoked:
		return StatusPermError, "the key was revoked"
	case k.Algorithm != p.Algorithm:
		return StatusPermError, "the key is of another type than the signature"
	case k.Strict && p.identity != p.Key.Domain:
		return StatusPermError, "the key does not speak for subdomains"
	case k.Algorithm == RSASHA256 && (k.Bits < c.limits.MinRSABits || k.Bits > c.limits.MaxRSABits):
		return StatusPolicy, fmt.Sprintf("a key of %d bits does not count", k.Bits)
	}
	return StatusPass, ""
}

// reserve says why a signature that verifies does not count all the same.
func (c *Check) reserve(p *pending, now time.Time) (Status, string) {
	from := 0
	for _, n := range p.Names {
		if n == "from" {
			from++
		}
	}
	switch {
	case !p.Expires.IsZero() && now.After(p.Expires):
		return StatusPolicy, "the signature has expired"
	case !p.Made.IsZero() && p.Made.After(now.Add(c.limits.Skew)):
		return StatusPolicy, "the signature was made in the future"
	case p.Length >= 0 && p.Length < p.body.total:
		// RFC 6376 §8.2: anybody can add to such a message.
		return StatusPolicy, "the signature leaves out the end of the body"
	case c.fields.count("from") > from:
		// RFC 6376 §8.15: a second author was added.
		return StatusPolicy, "the signature leaves out a From field"
	}
	return StatusPass, ""
}

// unsigned returns the signature field without the value of b=. RFC 6376 §3.7.
func (p *pending) unsigned() []byte {
	out := make([]byte, 0, len(p.raw))
	out = append(out, p.raw[:p.at+p.bFrom]...)
	return append(out, p.raw[p.at+p.bTo:]...)
}

// shownValue is how many characters of b= are told, four more than RFC 6008 §4 asks for at least.
const shownValue = 12

// shortValue is as much of b= as tells it from others.
func (p *pending) shortValue() string {
	if p.bTo == 0 {
		return "" // it was not read so far
	}
	v := squeeze(string(p.raw[p.at+p.bFrom : p.at+p.bTo]))
	return v[:min(len(v), shownValue)]
}

// verifies reports whether value signs the hash of a header.
func (k PublicKey) verifies(sum, value []byte) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum, value) == nil
	case ed25519.PublicKey:
		return len(value) == ed25519.SignatureSize && ed25519.Verify(key, sum, value)
	}
	return false
}
