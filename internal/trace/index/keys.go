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
//	t/b  bundle(15) part(2)              body of one of strangers' facts
//	t/i  field(1) term(8|16) seq(8)      index of facts -> nothing
//	t/j  field(1) term(8|16) seq(8) part(2)
//	                                     index of strangers' facts -> bundle(15)
//
// Index keys end with the place of a fact, so that one term's facts lie together, oldest
// first. Strangers' facts have an index of their own: a flood of refusals for an
// address must not stand between a reader and that address's mail.
const (
	// BodyPrefix begins the keys of strangers' bodies.
	BodyPrefix = string(store.SpaceStrangers)
	// FactPrefix begins the index of facts.
	FactPrefix = string(store.SpaceFactIndex)
	// StrangersPrefix begins the index of strangers' facts.
	StrangersPrefix = string(store.SpaceStrangersIndex)
)

const (
	// SeqOctets is how long a sequence number is in a key.
	SeqOctets    = 8
	bundleOctets = 15
	partOctets   = 2
)

// Place says where a fact stands: in the log itself, or as one part of a bundle.
type Place struct {
	Seq    uint64  // of the fact, or of the fact that stands for the bundle
	Bundle mail.ID // zero: in the log itself
	Part   uint16
}

// InBundle reports whether the place is one of strangers, in a bundle.
func (p Place) InBundle() bool { return !p.Bundle.IsZero() }

// AppendKey appends the index entry of one term of the fact at p.
func AppendKey(b []byte, t Term, p Place) []byte {
	b = AppendPrefix(b, t, p.InBundle())
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	if p.InBundle() {
		b = binary.BigEndian.AppendUint16(b, p.Part)
	}
	return b
}

// AppendPrefix appends what all index entries of one term begin with.
func AppendPrefix(b []byte, t Term, strangers bool) []byte {
	if strangers {
		b = append(b, StrangersPrefix...)
	} else {
		b = append(b, FactPrefix...)
	}
	b = append(b, t.field)
	return append(b, t.key[:t.n]...)
}

// ParsePlace reads the place at the end of an index entry.
func ParsePlace(key, value []byte, strangers bool) (Place, bool) {
	if !strangers {
		if len(key) < SeqOctets {
			return Place{}, false
		}
		return Place{Seq: binary.BigEndian.Uint64(key[len(key)-SeqOctets:])}, true
	}
	id, err := mail.IDFromBytes(value)
	if err != nil || len(key) < SeqOctets+partOctets {
		return Place{}, false
	}
	tail := key[len(key)-SeqOctets-partOctets:]
	return Place{Seq: binary.BigEndian.Uint64(tail), Bundle: id, Part: binary.BigEndian.Uint16(tail[SeqOctets:])}, true
}

// BodyKey is where the body of one of strangers' facts lies.
func BodyKey(bundle mail.ID, part uint16) []byte {
	b := append([]byte(BodyPrefix), bundle.Bytes()...)
	return binary.BigEndian.AppendUint16(b, part)
}

// ParseBodyKey reads a key that BodyKey made.
func ParseBodyKey(key []byte) (bundle mail.ID, part uint16, ok bool) {
	if len(key) != len(BodyPrefix)+bundleOctets+partOctets {
		return mail.ID{}, 0, false
	}
	id, err := mail.IDFromBytes(key[len(BodyPrefix) : len(BodyPrefix)+bundleOctets])
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
