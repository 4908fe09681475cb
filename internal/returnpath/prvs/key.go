package prvs

import (
	"strconv"

	"sallyport/internal/kit/secret"
	"sallyport/internal/mail"
)

// KeyOctets is the length of the secret that a Key is made of.
const KeyOctets = secret.Octets

// ErrKey says that a secret is not fit to be a Key.
var ErrKey = secret.ErrSecret

// Key signs return paths. The zero Key signs none and accepts none. It does not print
// its secret.
type Key struct{ secret secret.Secret }

// NewKey makes a Key of 32 octets of chance; anything else is ErrKey.
func NewKey(octets []byte) (Key, error) {
	s, err := secret.New(octets)
	return Key{s}, err
}

func (k Key) isZero() bool { return k.secret.IsZero() }

// String does not tell the secret.
func (k Key) String() string { return "prvs.Key(secret)" }

// GoString does not tell the secret.
func (k Key) GoString() string { return k.String() }

// sum is the MAC of an address that may be answered until the end of a day. The whole
// day goes in, not the three digits that are written, so that nothing is valid again
// a thousand days later; and the folded address, since some relay always folds the
// case of a local-part. Each text goes in with its length.
func (k Key) sum(plain mail.Address, day int64) (out [sumOctets]byte) {
	copy(out[:], k.secret.Sum("sallyport signed return path", strconv.FormatInt(day, 10), plain.Key()))
	return out
}
