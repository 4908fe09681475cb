package mail

import (
	"encoding/binary"
	"io"
	"strings"
	"time"
)

// ID is a queue identifier: unique, safe as a file name, and ordered by the time
// of its making (milliseconds, then chance). The zero ID is none.
type ID struct{ b [idOctets]byte }

const idOctets = 15

// Its text is made of groups: so many octets are so many characters.
const (
	groupOctets  = 5
	groupLetters = 8
)

// IDLength is the number of characters of an ID's text.
const IDLength = 24

// NewID makes an ID from the time of acceptance and nine octets of chance; rnd is
// crypto/rand.Reader in a server.
func NewID(now time.Time, rnd io.Reader) (ID, error) {
	var id ID
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(id.b[:6], ms[2:])
	if _, err := io.ReadFull(rnd, id.b[6:]); err != nil {
		return ID{}, err
	}
	return id, nil
}

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != IDLength {
		return ID{}, syntaxError("queue id", s, "it is not 24 characters long")
	}
	for i := range idOctets / groupOctets {
		var v uint64
		for _, c := range []byte(s[i*groupLetters : (i+1)*groupLetters]) {
			d := strings.IndexByte(idAlphabet, c)
			if d < 0 {
				return ID{}, syntaxError("queue id", s, "it holds characters that no queue id has")
			}
			v = v<<5 | uint64(d)
		}
		for j := range groupOctets {
			id.b[i*groupOctets+j] = byte(v >> (32 - 8*j))
		}
	}
	return id, nil
}

// IDFromBytes restores an ID from the octets that Bytes returned.
func IDFromBytes(b []byte) (ID, error) {
	var id ID
	if len(b) != idOctets {
		return ID{}, syntaxError("queue id", string(b), "it has the wrong length")
	}
	copy(id.b[:], b)
	return id, nil
}

// Bytes returns the octets of the ID, which sort as the ID does.
func (id ID) Bytes() []byte {
	// A slice of constant size stays on the stack of a caller that only copies it into a key.
	b := make([]byte, idOctets)
	copy(b, id.b[:])
	return b
}

// String returns 24 characters of lower-case base 32 that sort as the ID does.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	var text [IDLength]byte
	for i := range idOctets / groupOctets {
		var v uint64
		for _, c := range id.b[i*groupOctets : (i+1)*groupOctets] {
			v = v<<8 | uint64(c)
		}
		for j := range groupLetters {
			text[i*groupLetters+j] = idAlphabet[v>>(35-5*j)&31]
		}
	}
	return string(text[:])
}

// Time returns the time of making, to the millisecond.
func (id ID) Time() time.Time {
	var ms [8]byte
	copy(ms[2:], id.b[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// IsZero reports whether there is no ID.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes String.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses with ParseID; the empty text is the zero ID.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	v, err := ParseID(string(b))
	*id = v
	return err
}

// idAlphabet has digits before letters, so that texts sort as octets do, and
// leaves out i, l, o and u, which people misread.
const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
