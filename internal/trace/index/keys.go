package index

import (
	"context"
	"encoding/binary"
	"net/netip"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Layout in the store.
//
//	t/b  bundle(15) part(2)                    body of one of strangers' facts
//	t/k  field(1) id(15)|hash(8) seq(8)        facts of one message or connection -> nothing
//	t/l  field(1) id(15)|hash(8) seq(8) part(2)
//	                                           the same of strangers' -> bundle(15)
//	t/m  stretch(5) field(1) term(8|16) low(3) facts of any other term -> nothing
//	t/n  stretch(5) field(1) term(8|16) low(3) part(2)
//	                                           the same of strangers' -> bundle(15)
//	t/i  field(1) term(8|16) seq(8)            facts that format 1 filed -> nothing
//	t/j  field(1) term(8|16) seq(8) part(2)    strangers' that it filed -> bundle(15)
//
// Index keys end with the place of a fact, so that one term's facts lie together, oldest
// first. Strangers' facts have an index of their own: a flood of refusals for an
// address must not stand between a reader and that address's mail.
//
// New entries lie beside what was written lately, so that a store of any size sorts them
// into a small part of itself: identifiers of ours begin with a time, and every other term
// is filed by the stretch of the log in which its fact stands.
const (
	// BodyPrefix begins the keys of strangers' bodies.
	BodyPrefix = string(store.SpaceStrangers)
	// SeqOctets is how long a sequence number is in a key.
	SeqOctets  = 8
	idOctets   = 15
	partOctets = 2
)

// Place says where a fact stands: in the log itself, or as one part of a bundle.
type Place struct {
	Seq    uint64  // of the fact, or of the fact that stands for the bundle
	Bundle mail.ID // zero: in the log itself
	Part   uint16
}

// InBundle reports whether the place is one of strangers, in a bundle.
func (p Place) InBundle() bool { return !p.Bundle.IsZero() }

// BodyKey is where the body of one of strangers' facts lies.
func BodyKey(bundle mail.ID, part uint16) []byte {
	b := append([]byte(BodyPrefix), bundle.Bytes()...)
	return binary.BigEndian.AppendUint16(b, part)
}

// ParseBodyKey reads a key that BodyKey made.
func ParseBodyKey(key []byte) (bundle mail.ID, part uint16, ok bool) {
	if len(key) != len(BodyPrefix)+idOctets+partOctets {
		return mail.ID{}, 0, false
	}
	id, err := mail.IDFromBytes(key[len(BodyPrefix) : len(BodyPrefix)+idOctets])
	return id, binary.BigEndian.Uint16(key[len(key)-partOctets:]), err == nil
}

// address16 is the form in which addresses stand in index keys: IPv4 and IPv6 in
// one ordered space.
func address16(a netip.Addr) [16]byte { return fact.PlainAddr(a).As16() }

// ScanBundle calls fn with each body of a bundle that is still kept.
func ScanBundle(ctx context.Context, st store.Store, bundle mail.ID, fn func(part uint16, body []byte) error) error {
	prefix := append([]byte(BodyPrefix), bundle.Bytes()...)
	return st.Scan(ctx, store.Prefix(prefix), func(key, value []byte) (bool, error) {
		if _, part, ok := ParseBodyKey(key); ok {
			return true, fn(part, value)
		}
		return true, nil
	})
}
