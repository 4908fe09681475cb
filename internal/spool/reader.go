package spool

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
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

// The first octet of a summary.
const (
	// summaryFormer is a summary that does not say which mailboxes the entry waits for: an older release wrote it.
	summaryFormer  = 1
	summaryVersion = 2
)

// mailboxEnd stands behind each mailbox of a summary; no address has it.
const mailboxEnd = "\x00"

// summary is what an index keeps of an entry.
type summary struct {
	octets    int64  // body and prefix
	account   string // its key, "" for a stranger
	leased    bool
	mailboxes string // of ours, that it waits for, as mailboxesOf lists them
}

// summarise returns the whole summary of an entry, and outline what is counted of every one.
func summarise(e *Entry) summary {
	s := outline(e)
	s.mailboxes = mailboxesOf(e)
	return s
}

func outline(e *Entry) summary {
	return summary{octets: e.Size + int64(len(e.Prefix)), account: e.Account.Key(), leased: e.leased}
}

// keys returns the keys of the mailboxes.
func (s summary) keys() []string {
	if s.mailboxes == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s.mailboxes, mailboxEnd), mailboxEnd)
}

// names reports whether a mailbox is among them.
func (s summary) names(key string) bool { return slices.Contains(s.keys(), key) }

func (s summary) encode() []byte {
	b := make([]byte, 2, summaryHead+len(s.account)+len(s.mailboxes))
	if b[0] = summaryVersion; s.leased {
		b[1] = flagLeased
	}
	b = binary.AppendUvarint(b, uint64(s.octets))
	b = codec.AppendText(b, s.account)
	return append(b, s.mailboxes...)
}

// summaryHead is about what a summary takes beside its texts.
const summaryHead = 8

func decodeSummary(b []byte) (summary, bool) {
	v, ok := readSummary(b)
	return summary{octets: v.octets, account: string(v.account), leased: v.leased, mailboxes: string(v.mailboxes)}, ok
}

// summaryView is a summary whose texts are a part of what it was read from.
type summaryView struct {
	octets    int64
	account   []byte
	leased    bool
	mailboxes []byte
	former    bool // it does not say the mailboxes
}

// readSummary reads a summary, and makes no texts.
func readSummary(b []byte) (v summaryView, ok bool) {
	r := reader{codec.NewReader(b)}
	version, flags := r.Octet(), r.Octet()
	v.octets, v.leased, v.former = int64(r.Number(mostSize)), flags == flagLeased, version == summaryFormer
	r.Require(flags&^flagLeased == 0 && (v.former || version == summaryVersion))
	if v.former {
		v.account = r.Rest()
	} else {
		v.account = r.Take(int(r.Number(uint64(r.Left()))))
		v.mailboxes = r.Rest()
		r.Require(len(v.mailboxes) == 0 || bytes.HasSuffix(v.mailboxes, []byte(mailboxEnd)))
	}
	if r.Failed() {
		return summaryView{}, false
	}
	return v, true
}
