package gate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"sallyport/internal/kit/codec"
	"sallyport/internal/kit/secret"
	"sallyport/internal/mail"
)

// KeyOctets is the length of the secret that a Key is made of.
const KeyOctets = secret.Octets

var (
	// ErrKey says that a secret is not fit to be a Key.
	ErrKey = secret.ErrSecret
	// ErrSeal says that a sealed grant was not written by Seal under this Key, or
	// was changed since.
	ErrSeal = errors.New("gate: the grant does not verify")
)

// Key authenticates stored grants. The zero Key seals nothing and restores
// nothing. It does not print its secret.
type Key struct{ secret secret.Secret }

// NewKey makes a Key of 32 octets of chance; anything else is ErrKey.
func NewKey(octets []byte) (Key, error) {
	s, err := secret.New(octets)
	return Key{s}, err
}

// String does not tell the secret.
func (k Key) String() string { return "gate.Key(secret)" }

// GoString does not tell the secret.
func (k Key) GoString() string { return k.String() }

// The first octet of every sealed grant says what it is; it is under the MAC.
const (
	sealOfAccount = 1 // an account answers for the message
	sealOfNotice  = 2 // it is a notice about the account
	sealOfReport  = 3 // an account answers for it, and the server wrote it as a report
)

// sealOf is the first octet of a kind, and kindOf the kind of a first octet; false: of none.
func sealOf(k kind) byte {
	switch k {
	case kindOfNotice:
		return sealOfNotice
	case kindOfReport:
		return sealOfReport
	}
	return sealOfAccount
}

func kindOf(seal byte) (kind, bool) {
	switch seal {
	case sealOfAccount:
		return kindOfAccount, true
	case sealOfNotice:
		return kindOfNotice, true
	case sealOfReport:
		return kindOfReport, true
	}
	return 0, false
}

// Seal writes the grant with a MAC (HMAC-SHA-256). Equal grants give equal texts.
// A zero Grant or a zero Key gives nil, which Restore refuses.
func (g Grant) Seal(k Key) []byte {
	if g.IsZero() || k.secret.IsZero() {
		return nil
	}
	b := []byte{sealOf(g.kind)}
	b = append(b, g.tx.Bytes()...)
	b = codec.AppendText(b, g.account.String())
	b = codec.AppendText(b, g.sender.String())
	b = binary.AppendUvarint(b, uint64(len(g.recipients)))
	for _, r := range g.recipients {
		b = codec.AppendText(b, r.String())
	}
	return append(b, k.mac(b)...)
}

// Restore returns the grant that Seal wrote under the same Key. Everything else,
// down to one changed bit, is ErrSeal. The MAC is compared in constant time and
// before anything is read.
func Restore(k Key, sealed []byte) (Grant, error) {
	at := len(sealed) - sha256.Size
	if k.secret.IsZero() || at <= 0 || !hmac.Equal(sealed[at:], k.mac(sealed[:at])) {
		return Grant{}, ErrSeal
	}
	r := sealReader{codec.NewReader(sealed[:at])}
	g := r.grant()
	if !r.Done() || g.IsZero() || g.account.IsZero() || g.sender.IsZero() {
		return Grant{}, ErrSeal
	}
	return g, nil
}

func (k Key) mac(text []byte) []byte {
	h := k.secret.Hash()
	// The purpose keeps a MAC made under this key for anything else from passing
	// as a grant.
	h.Write([]byte("sallyport grant\x00"))
	h.Write(text)
	return h.Sum(nil)
}

// sealReader reads a sealed grant.
type sealReader struct{ codec.Reader }

func (r *sealReader) grant() Grant {
	var g Grant
	known := false
	g.kind, known = kindOf(r.Octet())
	r.Require(known)
	g.tx = r.id()
	g.account = r.address()
	g.sender = r.sender()
	r.Require(g.kind != kindOfNotice || g.sender.IsNull())
	r.Require(g.kind != kindOfReport || !g.sender.IsNull())
	// Each recipient takes at least one octet: a number beyond the rest is false,
	// and must not size anything.
	n := r.Number(uint64(min(MaxGrantRecipients, r.Left())))
	g.recipients = make([]mail.Address, 0, n)
	for range n {
		g.recipients = append(g.recipients, r.address())
	}
	r.Require(slices.IsSortedFunc(g.recipients, compareAddress))
	return g
}

func (r *sealReader) id() mail.ID {
	id, err := mail.IDFromBytes(r.Take(len(mail.ID{}.Bytes())))
	r.Require(err == nil)
	return id
}

func (r *sealReader) address() mail.Address {
	text := r.Text()
	a, err := mail.ParseAddress(text, mail.UTF8)
	// Only the form that Seal writes is a Grant's: one text for each.
	r.Require(err == nil && a.String() == text)
	return a
}

func (r *sealReader) sender() mail.ReversePath {
	text := r.Text()
	p, err := mail.ParseReversePath(text, mail.UTF8)
	r.Require(err == nil && p.String() == text)
	return p
}
