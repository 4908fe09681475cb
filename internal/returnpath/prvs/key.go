package prvs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"strconv"

	"sallyport/internal/mail"
)

// KeyOctets is the length of the secret that a Key is made of.
const KeyOctets = 32

// ErrKey says that a secret is not fit to be a Key.
var ErrKey = errors.New("prvs: a key takes 32 octets that are not all zero")

// Key signs return paths. The zero Key signs none and accepts none. It does not print
// its secret.
type Key struct{ secret [KeyOctets]byte }

// NewKey makes a Key of 32 octets of chance; anything else is ErrKey.
func NewKey(secret []byte) (Key, error) {
	var k Key
	if len(secret) != KeyOctets {
		return Key{}, ErrKey
	}
	copy(k.secret[:], secret)
	if k.isZero() {
		return Key{}, ErrKey
	}
	return k, nil
}

func (k Key) isZero() bool { return k == Key{} }

// String does not tell the secret.
func (k Key) String() string { return "prvs.Key(secret)" }

// GoString does not tell the secret.
func (k Key) GoString() string { return k.String() }

// sum is the MAC of an address that may be answered until the end of a day. The whole
// day goes in, not the three digits that are written, so that nothing is valid again
// a thousand days later; and the folded address, since some relay always folds the
// case of a local-part. Each text goes in with its length.
func (k Key) sum(plain mail.Address, day int64) (out [sumOctets]byte) {
	h := hmac.New(sha256.New, k.secret[:])
	for _, t := range []string{"sallyport signed return path", strconv.FormatInt(day, 10), plain.Key()} {
		h.Write(binary.AppendUvarint(nil, uint64(len(t))))
		h.Write([]byte(t))
	}
	copy(out[:], h.Sum(nil))
	return out
}
