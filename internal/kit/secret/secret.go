// Package secret holds a key of 32 octets, and authenticates texts with it. Rooms make their own
// kinds of keys of it, so that none is taken for another.
package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Octets is the length of a secret.
const Octets = 32

// ErrSecret says that octets are no secret.
var ErrSecret = errors.New("a key takes 32 octets that are not all zero")

// Secret is 32 octets of chance. The zero Secret is none: who is given one makes and
// accepts nothing. It never prints itself.
type Secret struct{ octets [Octets]byte }

// New makes a Secret of 32 octets that are not all zero; anything else is ErrSecret.
func New(octets []byte) (Secret, error) {
	var s Secret
	if len(octets) != Octets {
		return Secret{}, ErrSecret
	}
	copy(s.octets[:], octets)
	if s.IsZero() {
		return Secret{}, ErrSecret
	}
	return s, nil
}

// IsZero reports whether it is no secret.
func (s Secret) IsZero() bool { return s == Secret{} }

// Hash returns an HMAC-SHA-256 under the secret. RFC 2104.
func (s Secret) Hash() hash.Hash { return hmac.New(sha256.New, s.octets[:]) }

// Sum is the HMAC-SHA-256 of a list of texts. Each goes in with its length, so that no
// two lists of them are the same; the first says what the MAC is for.
func (s Secret) Sum(texts ...string) []byte {
	h := s.Hash()
	for _, t := range texts {
		h.Write(binary.AppendUvarint(nil, uint64(len(t))))
		h.Write([]byte(t))
	}
	return h.Sum(nil)
}

// Format implements fmt.Formatter, by which no verb shows the octets.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "(secret)") }
