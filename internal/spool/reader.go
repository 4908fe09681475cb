package spool

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// reader reads a record: what is stored of the vocabulary of mail.
type reader struct{ codec.Reader }

func (r *reader) id() mail.ID {
	id, err := mail.IDFromBytes(r.Take(idOctets))
	r.Require(err == nil && !id.IsZero())
	return id
}

// address reads an address; the empty text is none.
func (r *reader) address() mail.Address {
	s := r.Text()
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s, mail.UTF8)
	r.Require(err == nil)
	return a
}

func (r *reader) path() mail.ReversePath {
	p, err := mail.ParseReversePath(r.Text(), mail.UTF8)
	r.Require(err == nil)
	return p
}

// wall returns t as records keep it.
func wall(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Round(0).UTC()
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
	sum, account, ok := readSummary(b)
	sum.account = string(account)
	return sum, ok
}

// readSummary reads a summary without the account, which it returns as it stands in b.
func readSummary(b []byte) (sum summary, account []byte, ok bool) {
	r := reader{codec.NewReader(b)}
	v, flags := r.Octet(), r.Octet()
	n, account := r.Number(mostSize), r.Rest()
	ok = !r.Failed() && v == recordVersion && flags&^flagLeased == 0
	return summary{octets: int64(n), leased: flags == flagLeased}, account, ok
}
