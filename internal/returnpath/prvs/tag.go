package prvs

import (
	"crypto/hmac"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/mail"
)

const (
	// ReturnTime is how long after its last attempt a message may still come back: the
	// other side tries its bounce for five days, RFC 5321 §4.5.4.1, and may have kept
	// the message for a while before it gave up.
	ReturnTime = 7 * 24 * time.Hour
	// MaxLife is the longest that a signed return path lasts. It lies far below the
	// thousand days after which three digits begin again.
	MaxLife = 60 * 24 * time.Hour
	// Grace is how long return paths are signed before a bounce may be asked for its
	// signature: until then it may answer mail that left without one.
	Grace = 14 * 24 * time.Hour
)

const (
	tag       = "prvs="
	keyNumber = '0'
	sumOctets = 3
	valOctets = 1 + 3 + 2*sumOctets // KDDDSSSSSS
	cycle     = 1000                // days that three digits tell apart
)

var (
	// ErrForged says that an address is no return path that this key signed.
	ErrForged = errors.New("prvs: the signature does not verify")
	// ErrStale says that the signature is ours, and has ended.
	ErrStale = errors.New("prvs: the signature has ended")
	// ErrUnfit says that an address cannot be signed.
	ErrUnfit = errors.New("prvs: this address takes no signature")
)

// Is reports whether a has the form of a signed return path, whoever made it. Such a
// local-part is no mailbox's name, whatever else may match it.
func Is(a mail.Address) bool {
	_, _, ok := cut(a.Local())
	return ok
}

// cut parts a local-part of the form prvs=KDDDSSSSSS=LOCAL.
func cut(local string) (val, plain string, ok bool) {
	const head = len(tag) + valOctets
	if len(local) < head+2 || !strings.EqualFold(local[:len(tag)], tag) || local[head] != '=' {
		return "", "", false
	}
	for _, c := range []byte(local[len(tag):head]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "", "", false
		}
	}
	return local[len(tag):head], local[head+1:], true
}

// Fits reports whether Sign can sign an address: one with a domain that is not signed
// yet, and whose local-part and path leave room. RFC 5321 §4.5.3.1.1, §4.5.3.1.3.
func Fits(a mail.Address) bool {
	_, err := tagged(a, strings.Repeat("0", valOctets))
	return err == nil
}

// tagged writes a with a tag before it.
func tagged(a mail.Address, val string) (mail.Address, error) {
	if a.Domain().IsZero() || Is(a) {
		return mail.Address{}, ErrUnfit
	}
	out, err := a.WithLocal(tag + val + "=" + a.Local())
	if err != nil || len(out.String())-len(out.Domain().ASCII())-1 > mail.SureLocalPartOctets {
		return mail.Address{}, ErrUnfit
	}
	return out, nil
}

// End returns until when the return path of a message that leaves now lasts: for life
// from when the message was received, so that all attempts of one bear the same, by
// which greylisting knows it again; or, where less than ReturnTime would be left of
// that, as of a message that was held, for life from now.
func End(received, now time.Time, life time.Duration) time.Time {
	if end := received.Add(life); !now.Before(received) && end.Sub(now) >= ReturnTime {
		return end
	}
	return now.Add(life)
}

// Sign returns the return path for mail from a, which lasts to the end of a day. It is
// ErrKey without a key, and ErrUnfit for an address that does not fit.
func (k Key) Sign(a mail.Address, end time.Time) (mail.Address, error) {
	if k.isZero() {
		return mail.Address{}, ErrKey
	}
	day := dayOf(end)
	sum := k.sum(a, day)
	return tagged(a, fmt.Sprintf("%c%03d%x", keyNumber, mod(day), sum))
}

// Open returns the address that was signed, and the beginning of the last day of the
// signature. It is ErrForged unless Sign made a under this key, in whatever case of
// letters. It is ErrStale for an end that lies before today, up to what three digits
// tell; plain and end are then told all the same. An end more than MaxLife ahead was
// never signed.
func (k Key) Open(a mail.Address, now time.Time) (plain mail.Address, end time.Time, err error) {
	val, local, ok := cut(a.Local())
	if k.isZero() || !ok || a.Domain().IsZero() || val[0] != keyNumber {
		return mail.Address{}, time.Time{}, ErrForged
	}
	plain, err = a.WithLocal(local)
	if err != nil || Is(plain) {
		return mail.Address{}, time.Time{}, ErrForged
	}
	written, ok := number(val[1:4])
	sum, err := hex.DecodeString(strings.ToLower(val[4:]))
	if !ok || err != nil {
		return mail.Address{}, time.Time{}, ErrForged
	}
	today := dayOf(now)
	day := today + mod(written-today)
	stale := day-today > int64(MaxLife/(24*time.Hour))
	if stale {
		day -= cycle
	}
	want := k.sum(plain, day)
	switch {
	case !hmac.Equal(sum, want[:]):
		return mail.Address{}, time.Time{}, ErrForged
	case stale:
		return plain, dayBegin(day), ErrStale
	}
	return plain, dayBegin(day), nil
}

func number(s string) (n int64, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// dayOf counts days since 1970, in UTC.
func dayOf(t time.Time) int64 {
	day := t.Unix() / 86400
	if t.Unix()%86400 < 0 {
		day--
	}
	return day
}

func dayBegin(day int64) time.Time { return time.Unix(day*86400, 0).UTC() }

func mod(day int64) int64 { return (day%cycle + cycle) % cycle }
