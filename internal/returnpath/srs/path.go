package srs

import (
	"crypto/hmac"
	"errors"
	"strings"
	"time"

	"sallyport/internal/mail"
)

var (
	// ErrForged says that an address is no return path of ours.
	ErrForged = errors.New("srs: the return path does not verify")
	// ErrStale says that a return path of ours is too old.
	ErrStale = errors.New("srs: the return path is too old")
)

// Ref stands for an account in a return path. The zero Ref stands for none.
type Ref [sumOctets]byte

const (
	tag0 = "srs0"
	tag1 = "srs1"
	// sealed stands where the scheme has the sender's domain.
	sealed = "sealed"
)

// Is reports whether a has the form of a rewritten address, SRS0 or SRS1, whoever
// made it. Such a local-part is no mailbox's name, whatever else may match it.
func Is(a mail.Address) bool {
	local := strings.ToLower(a.Local())
	if len(local) <= len(tag0) || local[:len(tag0)] != tag0 && local[:len(tag1)] != tag1 {
		return false
	}
	return strings.IndexByte("=-+", local[len(tag0)]) >= 0
}

// Ref returns what stands for an account in the return paths of this key.
func (k Key) Ref(account mail.Address) Ref {
	if k.isZero() || account.IsZero() {
		return Ref{}
	}
	return Ref(k.sum("forward account", account.Key()))
}

// Path returns the return path of mail that is sent on for account at now: an address
// of ASCII letters at the account's domain, the same all day. It fails with ErrKey
// without a key, with ErrForged for no account.
func (k Key) Path(account mail.Address, now time.Time) (mail.Address, error) {
	if k.isZero() {
		return mail.Address{}, ErrKey
	}
	if account.IsZero() || account.Domain().IsZero() {
		return mail.Address{}, ErrForged
	}
	ref, day := k.Ref(account), stamp(dayOf(now))
	sum := k.pathSum(day, ref, account.Domain())
	return mail.NewAddress("SRS0="+encode(sum)+"="+day+"="+sealed+"="+encode(ref), account.Domain())
}

func (k Key) pathSum(day string, ref Ref, d mail.Domain) [sumOctets]byte {
	return k.sum("forward return path", day, string(ref[:]), d.ASCII())
}

// Open returns whose return path a is: the Ref of an account of a's domain. It is
// ErrForged unless Path made a under this key, in whatever case of letters, and
// ErrStale when that was more than maxAge before now, counted in whole days.
func (k Key) Open(a mail.Address, maxAge time.Duration, now time.Time) (Ref, error) {
	parts := strings.Split(strings.ToLower(a.Local()), "=")
	if k.isZero() || len(parts) != 5 || parts[0] != tag0 || parts[3] != sealed {
		return Ref{}, ErrForged
	}
	sum, ok := decode(parts[1])
	ref, known := decode(parts[4])
	want := k.pathSum(parts[2], Ref(ref), a.Domain())
	if !ok || !known || !hmac.Equal(sum[:], want[:]) {
		return Ref{}, ErrForged
	}
	if !fresh(parts[2], maxAge, now) {
		return Ref{}, ErrStale
	}
	return Ref(ref), nil
}
