package spool

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"sallyport/internal/mail"
)

// reader reads a record; the first fault sticks.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) require(ok bool) { r.failed = r.failed || !ok }

func (r *reader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// number reads a number that is at most limit.
func (r *reader) number(limit uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size <= 0 || n > limit {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) text() string {
	return string(r.take(int(r.number(uint64(len(r.rest))))))
}

// octets returns a copy: records are scanned from memory that is reused.
func (r *reader) octets() []byte {
	b := r.take(int(r.number(uint64(len(r.rest)))))
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}

func (r *reader) id() mail.ID {
	id, err := mail.IDFromBytes(r.take(idOctets))
	r.require(err == nil && !id.IsZero())
	return id
}

// address reads an address; the empty text is none.
func (r *reader) address() mail.Address {
	s := r.text()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s, mail.UTF8)
	r.require(err == nil)
	return a
}

func (r *reader) path() mail.ReversePath {
	p, err := mail.ParseReversePath(r.text(), mail.UTF8)
	r.require(err == nil)
	return p
}

// time reads what appendTime wrote; 0 is the zero time.
func (r *reader) time() time.Time {
	n, size := binary.Varint(r.rest)
	if r.failed || size <= 0 {
		r.failed = true
		return time.Time{}
	}
	r.rest = r.rest[size:]
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// wall returns t as records keep it.
func wall(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Round(0).UTC()
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// cut shortens s to at most max octets at a character's border.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// summary is what an index keeps of an entry.
type summary struct {
	octets  int64  // body and prefix
	account string // its key, "" for a stranger
	leased  bool
}

func summarise(e *Entry) summary {
	return summary{octets: e.Size + int64(len(e.Prefix)), account: e.Account.Key(), leased: e.leased}
}

func (s summary) encode() []byte {
	b := []byte{recordVersion, 0}
	if s.leased {
		b[1] = flagLeased
	}
	b = binary.AppendUvarint(b, uint64(s.octets))
	return append(b, s.account...)
}

func decodeSummary(b []byte) (summary, bool) {
	r := reader{rest: b}
	v, flags := r.octet(), r.octet()
	n := r.number(1 << 62)
	ok := !r.failed && v == recordVersion && flags&^flagLeased == 0
	return summary{octets: int64(n), account: string(r.rest), leased: flags == flagLeased}, ok
}
