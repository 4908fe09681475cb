package hijack

import (
	"iter"
	"time"

	"sallyport/internal/kit/secret"
	"sallyport/internal/mail"
)

// Fingerprint stands for an account or an address: 64 bits under a key of the site, so
// that a store of them tells nobody who writes to whom, and nobody can choose an address
// that is taken for another. 0 is nobody.
type Fingerprint uint64

// Key makes fingerprints. The zero Key makes none: whatever it is given is nobody. It
// does not print its secret.
type Key struct{ secret secret.Secret }

// KeyOctets is the length of the secret that a Key is made of.
const KeyOctets = secret.Octets

// NewKey makes a Key of 32 octets of chance.
func NewKey(octets []byte) (Key, error) {
	s, err := secret.New(octets)
	return Key{s}, err
}

// String does not tell the secret.
func (k Key) String() string { return "hijack.Key(secret)" }

// GoString does not tell the secret.
func (k Key) GoString() string { return k.String() }

// Address is the fingerprint of an address that is no account of ours. Addresses that
// differ in the case of letters alone are the same.
func (k Key) Address(a mail.Address) Fingerprint { return k.sum("address", a.Key()) }

// Account is the fingerprint of an account, by its id: whatever address of it was
// written to, it is the same correspondent.
func (k Key) Account(id string) Fingerprint { return k.sum("account", id) }

// Text is the fingerprint of anything else that accounts have in common: what names its
// kind ("network", "tls", "body").
func (k Key) Text(what, text string) Fingerprint { return k.sum("shared "+what, text) }

func (k Key) sum(what, text string) Fingerprint {
	if k.secret.IsZero() {
		return 0
	}
	var f uint64
	for _, b := range k.secret.Sum("sallyport hijack "+what, text)[:8] {
		f = f<<8 | uint64(b)
	}
	return Fingerprint(max(f, 1))
}

// Settled is how old an acquaintance must be to count: what a thief writes today makes
// nobody known to the account today.
const Settled = 24 * time.Hour

// Book answers who corresponds with whom. Accounts are in it by Key.Account, everybody
// else by Key.Address.
type Book interface {
	// Since tells since when one knows the other.
	Since(one, other Fingerprint) (time.Time, bool)
	// Site tells when somebody of the site first wrote to who.
	Site(who Fingerprint) (time.Time, bool)
	// Known yields everybody that who knows, and since when, always in the same order.
	Known(who Fingerprint) iter.Seq2[Fingerprint, time.Time]
}

// searched is how many acquaintances of a recipient are looked at for one in common, so
// that the busiest recipient costs no more than others.
const searched = 256

// Classify counts what the recipients of a message are to an account. A recipient that is
// named twice counts once.
func Classify(b Book, account Fingerprint, to []Fingerprint, at time.Time, p Params) Recipients {
	out := Recipients{Acquainted: acquainted(b, account, at, p.Acquainted)}
	var seen map[Fingerprint]bool
	if len(to) > 1 {
		seen = make(map[Fingerprint]bool, len(to))
	}
	for _, who := range to {
		if seen[who] || who == account {
			continue
		}
		if seen != nil {
			seen[who] = true
		}
		since, known := b.Since(account, who)
		if known {
			if at.Sub(since) >= Settled {
				out.Known++
			} else {
				out.Recent++
			}
			continue
		}
		if out.Acquainted && !inCommon(b, account, who, at) {
			out.Strangers++
		}
		if since, ok := b.Site(who); ok && at.Sub(since) >= Settled {
			out.NewToAccount++
		} else {
			out.NewToSite++
		}
	}
	return out
}

// acquainted reports whether an account has enough correspondents.
func acquainted(b Book, account Fingerprint, at time.Time, enough int) bool {
	n := 0
	for _, since := range b.Known(account) {
		if at.Sub(since) >= Settled {
			n++
		}
		if n >= enough {
			return true
		}
	}
	return n >= enough
}

// inCommon reports whether somebody that who knows is known to the account.
func inCommon(b Book, account, who Fingerprint, at time.Time) bool {
	n := 0
	for third := range b.Known(who) {
		if since, ok := b.Since(account, third); ok && at.Sub(since) >= Settled {
			return true
		}
		if n++; n >= searched {
			break
		}
	}
	return false
}

// Lesson is one thing that a Book is to record: since when one knows the other. Where the
// book has an earlier time, that stays.
type Lesson struct {
	One, Other Fingerprint
	Since      time.Time
	// Site: the other was written to from this site.
	Site bool
}

// Wrote returns what a Book learns from a message that an account submitted. Whoever was
// written to knows the account from then on, and may answer at once.
func Wrote(account Fingerprint, to []Fingerprint, at time.Time) []Lesson {
	out := make([]Lesson, 0, 2*len(to))
	for _, who := range to {
		if who == account || who == 0 {
			continue
		}
		out = append(out,
			Lesson{One: account, Other: who, Since: at, Site: true},
			Lesson{One: who, Other: account, Since: at.Add(-Settled)})
	}
	return out
}

// Heard returns what a Book learns from a message that came in for an account from
// somebody who proved to be the sender (a DMARC pass): who wrote first is known to the
// account. Nothing else follows from it, since strangers choose whom they write to.
func Heard(account, from Fingerprint, at time.Time) []Lesson {
	if account == from || from == 0 || account == 0 {
		return nil
	}
	return []Lesson{{One: account, Other: from, Since: at.Add(-Settled)}}
}
