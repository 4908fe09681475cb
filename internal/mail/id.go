package mail

import (
	"encoding/base32"
	"encoding/binary"
	"io"
	"time"
)

// ID is a queue identifier: unique, safe as a file name, and ordered by the time
// of its making (milliseconds, then chance). The zero ID is none.
type ID struct{ b [idOctets]byte }

const idOctets = 15

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
	if n, err := idEncoding().Decode(id.b[:], []byte(s)); err != nil || n != idOctets {
		return ID{}, syntaxError("queue id", s, "it holds characters that no queue id has")
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
func (id ID) Bytes() []byte { return append([]byte(nil), id.b[:]...) }

// String returns 24 characters of lower-case base 32 that sort as the ID does.
func (id ID) String() string {
	if id.IsZero() {
		return ""
	}
	return idEncoding().EncodeToString(id.b[:])
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

// idEncoding is base 32 with digits before letters, so that texts sort as octets
// do, and without the letters i, l, o and u that people misread.
func idEncoding() *base32.Encoding {
	return base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
}
