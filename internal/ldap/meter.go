package ldap

import (
	"errors"
	"net"
	"sync/atomic"
)

// Why no more of an answer is read.
var (
	errParts  = errors.New("the answer has more parts than the limit allows")
	errEntry  = errors.New("an entry of the answer is larger than the limit allows")
	errValue  = errors.New("a value in the answer is larger than the limit allows")
	errNested = errors.New("the answer is nested deeper than an answer can be")
	errForm   = errors.New("the answer is no LDAP")
)

// mostNested is how many parts may lie within each other: a value lies within five (RFC 4511 §4.5.2), and each keeps a copy of all
// that it holds.
const mostNested = 8

// mostLength is the most octets in which a part tells its length: that of a part of 4 GiB.
const mostLength = 4

// metered is a connection on which answers come. Of a part of two octets the library makes some two hundred in memory; so
// the parts are counted, and measured, before it has them.
type metered struct {
	net.Conn
	meter
}

// Read reads what is within the limits.
func (m *metered) Read(p []byte) (int, error) {
	n, err := m.Conn.Read(p)
	if beyond := m.take(p[:n]); beyond != nil {
		return 0, beyond
	}
	return n, err
}

// meter follows the parts of answers as they come: each is a tag, a length, and so many octets, which are a value or parts
// again. Lengths are always told. RFC 4511 §5.1, X.690 §8.1.
type meter struct {
	limits *Limits
	left   atomic.Int64 // parts that may come yet of this answer

	at   int64             // octets of the message that were read
	ends [mostNested]int64 // where those parts end that are open, the message first
	open int

	value  int64 // octets of a value that are still to come
	tagged bool  // the tag of a part was read, and its length not yet
	holds  bool  // that part holds others
	digits int   // octets of that length that are still to come
	length int64
}

// take notes octets that came. One that breaks a limit is the last.
func (m *meter) take(p []byte) error {
	for len(p) > 0 {
		n := int64(1)
		if m.value > 0 {
			n = min(m.value, int64(len(p)))
			m.value -= n
			m.at += n
		} else if err := m.head(p[0]); err != nil {
			return err
		}
		p = p[n:]
		m.close()
	}
	return nil
}

// What a tag and a length are made of. X.690 §8.1.2, §8.1.3.
const (
	tagHolds    = 0x20 // the part holds others
	tagNumber   = 0x1f // all of these: the number of the tag follows, as with none in LDAP
	longLength  = 0x80 // so many octets follow that are the length
	lengthShift = 8
)

// head takes an octet of the tag or the length of a part.
func (m *meter) head(b byte) error {
	m.at++
	switch {
	case !m.tagged && b&tagNumber == tagNumber:
		return errForm
	case !m.tagged:
		m.tagged, m.holds, m.digits, m.length = true, b&tagHolds != 0, 0, 0
		return nil
	case m.digits > 0:
		m.length = m.length<<lengthShift | int64(b)
		m.digits--
	case b < longLength:
		m.length = int64(b)
	case b == longLength || b&^longLength > mostLength:
		return errForm
	default:
		m.digits = int(b &^ longLength)
	}
	if m.digits > 0 {
		return nil
	}
	m.tagged = false
	return m.begin()
}

// begin judges a part by its length, before anything of it has come.
func (m *meter) begin() error {
	end := m.at + m.length
	switch {
	case m.left.Add(-1) < 0:
		return errParts
	case m.open == 0 && !m.holds || m.open > 0 && end > m.ends[m.open-1]:
		return errForm
	case m.open == 0 && m.length > m.limits.EntryOctets:
		return errEntry
	case !m.holds && m.length > m.limits.ValueOctets:
		return errValue
	case !m.holds:
		m.value = m.length
		return nil
	case m.open == mostNested:
		return errNested
	}
	m.ends[m.open] = end
	m.open++
	return nil
}

// close ends the parts that are whole.
func (m *meter) close() {
	if m.tagged || m.value > 0 {
		return
	}
	for m.open > 0 && m.at >= m.ends[m.open-1] {
		m.open--
	}
	if m.open == 0 {
		m.at = 0
	}
}
