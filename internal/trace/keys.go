package trace

import (
	"encoding/binary"
	"net/netip"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Layout in the store. All keys of this package begin with "t/".
//
//	t/s                                  progress of the sequencer, JSON
//	t/c                                  newest signed checkpoint, a note
//	t/h  chunk(8)                        hashesPerChunk hashes of the tree, 32 octets each
//	t/b  bundle(15) part(2)              body of one of strangers' facts
//	t/q  bundle(15)                      -> seq(8) of the fact that stands for it
//	t/i  field(1) term(8|16) seq(8)      index of facts -> nothing
//	t/j  field(1) term(8|16) seq(8) part(2)
//	                                     index of strangers' facts -> bundle(15)
//
// The tree's hashes are numbered as tlog.StoredHashIndex numbers them. Index keys
// end with the place of a fact, so that one term's facts lie together, oldest
// first. Strangers' facts have an index of their own: a flood of refusals for an
// address must not stand between a reader and that address's mail.
const (
	stateKey        = "t/s"
	checkpointKey   = "t/c"
	hashPrefix      = "t/h"
	bodyPrefix      = "t/b"
	bundlePrefix    = "t/q"
	indexPrefix     = "t/i"
	strangersPrefix = "t/j"
)

const (
	seqOctets    = 8
	bundleOctets = 15
	partOctets   = 2
)

// place says where a fact stands: in the log itself, or as one part of a bundle.
type place struct {
	seq    uint64  // of the fact, or of the fact that stands for the bundle
	bundle mail.ID // zero: in the log itself
	part   uint16
}

func (p place) inBundle() bool { return !p.bundle.IsZero() }

// indexKey is the index entry of one term of the fact at p.
func indexKey(b []byte, t indexTerm, p place) []byte {
	b = appendTermPrefix(b, t, p.inBundle())
	b = binary.BigEndian.AppendUint64(b, p.seq)
	if p.inBundle() {
		b = binary.BigEndian.AppendUint16(b, p.part)
	}
	return b
}

// appendTermPrefix is what all index entries of one term begin with.
func appendTermPrefix(b []byte, t indexTerm, strangers bool) []byte {
	if strangers {
		b = append(b, strangersPrefix...)
	} else {
		b = append(b, indexPrefix...)
	}
	b = append(b, t.field)
	return append(b, t.key[:t.n]...)
}

// parsePlace reads the place at the end of an index entry.
func parsePlace(key, value []byte, strangers bool) (place, bool) {
	if !strangers {
		if len(key) < seqOctets {
			return place{}, false
		}
		return place{seq: binary.BigEndian.Uint64(key[len(key)-seqOctets:])}, true
	}
	id, err := mail.IDFromBytes(value)
	if err != nil || len(key) < seqOctets+partOctets {
		return place{}, false
	}
	tail := key[len(key)-seqOctets-partOctets:]
	return place{seq: binary.BigEndian.Uint64(tail), bundle: id, part: binary.BigEndian.Uint16(tail[seqOctets:])}, true
}

func bundleKey(bundle mail.ID) []byte { return append([]byte(bundlePrefix), bundle.Bytes()...) }

func bodyKey(bundle mail.ID, part uint16) []byte {
	b := append([]byte(bodyPrefix), bundle.Bytes()...)
	return binary.BigEndian.AppendUint16(b, part)
}

func parseBodyKey(key []byte) (bundle mail.ID, part uint16, ok bool) {
	if len(key) != len(bodyPrefix)+bundleOctets+partOctets {
		return mail.ID{}, 0, false
	}
	id, err := mail.IDFromBytes(key[len(bodyPrefix) : len(bodyPrefix)+bundleOctets])
	return id, binary.BigEndian.Uint16(key[len(key)-partOctets:]), err == nil
}

func chunkKey(n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(hashPrefix), uint64(n))
}

// address16 is the form in which addresses stand in index keys: IPv4 and IPv6 in
// one ordered space.
func address16(a netip.Addr) [16]byte { return fact.PlainAddr(a).As16() }
