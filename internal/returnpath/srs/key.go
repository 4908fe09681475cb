package srs

import (
	"encoding/base32"
	"time"

	"sallyport/internal/kit/secret"
)

// KeyOctets is the length of the secret that a Key is made of.
const KeyOctets = secret.Octets

// sumOctets is the length of a MAC as it is written: 80 bits, which nobody guesses at
// the rate of a mail session, and which leave a local-part within its 64 octets.
const sumOctets = 10

// ErrKey says that a secret is not fit to be a Key.
var ErrKey = secret.ErrSecret

// Key authenticates return paths and marks. The zero Key makes none and accepts none.
// It does not print its secret.
type Key struct{ secret secret.Secret }

// NewKey makes a Key of 32 octets of chance; anything else is ErrKey.
func NewKey(octets []byte) (Key, error) {
	s, err := secret.New(octets)
	return Key{s}, err
}

func (k Key) isZero() bool { return k.secret.IsZero() }

// String does not tell the secret.
func (k Key) String() string { return "srs.Key(secret)" }

// GoString does not tell the secret.
func (k Key) GoString() string { return k.String() }

// sum is the MAC over texts for one purpose. Each text goes in with its length, so
// that no two lists of them are the same.
func (k Key) sum(purpose string, texts ...string) (out [sumOctets]byte) {
	copy(out[:], k.secret.Sum(append([]string{"sallyport " + purpose}, texts...)...))
	return out
}

// alphabet is base32 in lower case: some relay always folds the case of a local-part.
const alphabet = "abcdefghijklmnopqrstuvwxyz234567"

func encoding() *base32.Encoding {
	return base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)
}

func encode(b [sumOctets]byte) string { return encoding().EncodeToString(b[:]) }

// decode reads what encode wrote, and nothing else.
func decode(s string) (b [sumOctets]byte, ok bool) {
	raw, err := encoding().DecodeString(s)
	if err != nil || len(raw) != sumOctets {
		return b, false
	}
	copy(b[:], raw)
	return b, true
}

// days is how many days a stamp tells apart before it begins again.
const days = 1 << 10

// dayOf counts days since 1970, in UTC.
func dayOf(t time.Time) int64 {
	day := t.Unix() / 86400
	if t.Unix()%86400 < 0 {
		day--
	}
	return day
}

// stamp writes a day in two octets.
func stamp(day int64) string {
	n := (day%days + days) % days
	return string([]byte{alphabet[n>>5], alphabet[n&31]})
}

// age returns how many days ago a stamp was made, in 0 to 1023; false for no stamp.
func age(s string, now time.Time) (int64, bool) {
	if len(s) != 2 {
		return 0, false
	}
	var n int64
	for i := range 2 {
		v := value(s[i])
		if v < 0 {
			return 0, false
		}
		n = n<<5 | v
	}
	return ((dayOf(now)-n)%days + days) % days, true
}

func value(c byte) int64 {
	switch {
	case c >= 'a' && c <= 'z':
		return int64(c - 'a')
	case c >= '2' && c <= '7':
		return int64(c-'2') + 26
	}
	return -1
}

// fresh reports whether a stamp is at most maxAge old, counted in whole days.
func fresh(s string, maxAge time.Duration, now time.Time) bool {
	n, ok := age(s, now)
	return ok && n <= int64(maxAge/(24*time.Hour))
}
