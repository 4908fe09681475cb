package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// The first octet of a record. A record ends with the CRC-32C of all before it.
const (
	recordVersion = 1
	// recordApart is a record that says by the time that passes when its message came, too: the
	// clock had been set before.
	recordApart = 2
)

// apart is from which difference on the clock and the time that passes are not taken for one: they drift
// by less.
const apart = time.Minute

// The flags of a record.
const (
	flagLeased = 1 << iota
	flagUTF8
	flagJunk
	flagWarned
	flagForward
	flagKept
	flagTLSRequired
	flagTLSOptional
)

// flagsKnown has every flag.
const flagsKnown = flagLeased | flagUTF8 | flagJunk | flagWarned | flagForward | flagKept | flagTLSRequired | flagTLSOptional

const (
	// maxRecordOctets bounds an encoded entry: an update with its precondition,
	// and a notification with its body, must fit into one transaction.
	maxRecordOctets = 3 << 19
	// maxReplyText, maxRemote and maxReason bound what strangers' words may take
	// in a record, in octets.
	maxReplyText = 1024
	maxRemote    = 256
	maxReason    = 512
)

// What a record takes commonly, beside the texts of any length, and each recipient in it.
const (
	usualRecord    = 192
	usualRecipient = 64
)

// appendEntry writes e. decodeEntry reads it back exactly, but for times, which
// come back in UTC, Since, which comes back as Received where the two were never apart, and texts of
// remotes, which are cut to their bounds.
func appendEntry(b []byte, e *Entry) []byte {
	start := len(b)
	b = slices.Grow(b, usualRecord+len(e.Prefix)+len(e.grant)+len(e.MessageID)+usualRecipient*(len(e.Envelope.To)+len(e.Recipients)))
	version, isApart := byte(recordVersion), e.Since.Sub(e.Received).Abs() >= apart
	if isApart {
		version = recordApart
	}
	b = append(b, version, entryFlags(e), byte(e.place))
	b = append(b, e.ID.Bytes()...)
	b = codec.AppendTime(b, e.Received)
	b = codec.AppendTime(b, e.NextTry)
	if isApart {
		b = codec.AppendTime(b, e.Since)
	}
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = append(b, e.SHA256[:]...)
	b = binary.AppendUvarint(b, uint64(e.Attempts))
	b = binary.AppendUvarint(b, e.settled)
	b = codec.AppendText(b, cut(e.Held, maxReason))
	b = codec.AppendTime(b, e.HeldAt)
	b = codec.AppendText(b, e.Account.String())
	b = codec.AppendText(b, e.MessageID)
	b = codec.AppendText(b, string(e.Prefix))
	b = codec.AppendText(b, string(e.grant))
	b = codec.AppendText(b, e.file)
	b = appendEnvelope(b, &e.Envelope)
	b = binary.AppendUvarint(b, uint64(len(e.Recipients)))
	at := 0
	for i := range e.Recipients {
		at = find(e.Envelope.To, e.Recipients[i].Recipient, at)
		b = appendState(b, at, &e.Recipients[i])
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b[start:], crc32.MakeTable(crc32.Castagnoli)))
}

func entryFlags(e *Entry) byte {
	var f byte
	if e.leased {
		f |= flagLeased
	}
	if e.Envelope.SMTPUTF8 {
		f |= flagUTF8
	}
	if e.Junk {
		f |= flagJunk
	}
	if e.Warned {
		f |= flagWarned
	}
	switch e.Forward {
	case ForwardSent:
		f |= flagForward
	case ForwardKept:
		f |= flagForward | flagKept
	}
	return f | tlsFlags(e.Envelope.TLS)
}

func tlsFlags(d mail.TLSDemand) byte {
	switch d {
	case mail.RequireTLS:
		return flagTLSRequired
	case mail.TLSOptional:
		return flagTLSOptional
	}
	return 0
}

func appendEnvelope(b []byte, v *mail.Envelope) []byte {
	b = codec.AppendText(b, v.From.String())
	b = append(b, byte(v.Body), byte(v.Ret))
	b = codec.AppendText(b, v.EnvID)
	b = binary.AppendUvarint(b, uint64(max(v.Size, 0)))
	b = binary.AppendUvarint(b, uint64(len(v.To)))
	for i := range v.To {
		b = appendRecipient(b, &v.To[i])
	}
	return b
}

func appendRecipient(b []byte, r *mail.Recipient) []byte {
	b = codec.AppendText(b, r.Address.String())
	b = append(b, byte(r.Notify))
	b = codec.AppendText(b, r.ORcpt.Type)
	return codec.AppendText(b, r.ORcpt.Address)
}

// find returns the place of r in to counted from 1, or 0. It looks first behind
// the last place found: deliveries stand in the order of their recipients, and
// two thousand of each must not cost millions of comparisons.
func find(to []mail.Recipient, r mail.Recipient, last int) int {
	for n := range len(to) {
		i := (max(last-1, 0) + n) % len(to)
		if to[i] == r {
			return i + 1
		}
	}
	return 0
}

// appendState names the recipient by its place in the envelope, counted from 1,
// or writes it out after a 0 when it stands not there.
func appendState(b []byte, at int, r *RecipientState) []byte {
	b = binary.AppendUvarint(b, uint64(at))
	if at == 0 {
		b = appendRecipient(b, &r.Recipient)
	}
	b = append(b, byte(r.Kind), byte(r.State))
	b = codec.AppendText(b, r.Mailbox.String())
	b = codec.AppendText(b, r.Detail)
	b = binary.AppendUvarint(b, uint64(max(r.Last.Code, 0)))
	b = binary.AppendUvarint(b, uint64(r.Last.Enhanced.Class))
	b = binary.AppendUvarint(b, uint64(r.Last.Enhanced.Subject))
	b = binary.AppendUvarint(b, uint64(r.Last.Enhanced.Detail))
	b = codec.AppendText(b, cut(r.Last.Text, maxReplyText))
	b = codec.AppendTime(b, r.LastAt)
	return codec.AppendText(b, cut(r.Remote, maxRemote))
}

// decodeEntry reads a record that must belong to id. Whatever does not verify is
// ErrDamaged.
func decodeEntry(id mail.ID, record []byte) (*Entry, error) {
	at := len(record) - crc32.Size
	if at < 1 || record[0] != recordVersion && record[0] != recordApart {
		return nil, fmt.Errorf("%w: entry %s: no record of a known version", ErrDamaged, id)
	}
	if crc32.Checksum(record[:at], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(record[at:]) {
		return nil, fmt.Errorf("%w: entry %s: the checksum does not match", ErrDamaged, id)
	}
	r := reader{codec.NewReader(record[1:at])}
	e := r.entry(record[0] == recordApart)
	switch {
	case !r.Done():
		return nil, fmt.Errorf("%w: entry %s: the record does not parse", ErrDamaged, id)
	case e.ID != id:
		return nil, fmt.Errorf("%w: entry %s: the record is of %s", ErrDamaged, id, e.ID)
	}
	return e, nil
}

func (r *reader) entry(isApart bool) *Entry {
	e := &Entry{}
	flags := r.Octet()
	e.leased = flags&flagLeased != 0
	e.Envelope.SMTPUTF8 = flags&flagUTF8 != 0
	e.Junk = flags&flagJunk != 0
	e.Warned = flags&flagWarned != 0
	switch flags & (flagForward | flagKept) {
	case flagForward:
		e.Forward = ForwardSent
	case flagForward | flagKept:
		e.Forward = ForwardKept
	case flagKept:
		r.Require(false)
	}
	e.Envelope.TLS = r.tlsDemand(flags)
	e.place = place(r.Octet())
	r.Require(flags&^flagsKnown == 0 && e.place >= placeDue && e.place <= placeParked)
	e.ID = r.id()
	e.Received, e.NextTry = r.Time(), r.Time()
	if e.Since = e.Received; isApart {
		e.Since = r.Time()
		r.Require(e.Since.Sub(e.Received).Abs() >= apart) // one record for one entry
	}
	e.Size = int64(r.Number(mostSize))
	copy(e.SHA256[:], r.Take(len(e.SHA256)))
	e.Attempts = int(r.Number(mostCount))
	e.settled = r.Number(math.MaxUint64)
	e.Held, e.HeldAt = r.Text(), r.Time()
	e.Account = r.address()
	e.MessageID = r.Text()
	e.Prefix = r.Octets()
	e.grant = r.Octets()
	e.file = r.Text()
	r.envelope(&e.Envelope)
	// A delivery takes at least one octet: a number beyond the rest is false, and
	// must not size anything.
	n := r.Number(uint64(r.Left()))
	for range n {
		e.Recipients = append(e.Recipients, r.state(&e.Envelope))
		if r.Failed() {
			return e
		}
	}
	return e
}

func (r *reader) tlsDemand(flags byte) mail.TLSDemand {
	switch flags & (flagTLSRequired | flagTLSOptional) {
	case 0:
		return mail.TLSAsUsual
	case flagTLSRequired:
		return mail.RequireTLS
	case flagTLSOptional:
		return mail.TLSOptional
	}
	r.Require(false)
	return mail.TLSAsUsual
}

// What a record of ours says at most: more is rot.
const (
	mostSize  = 1 << 62 // octets of a message, or of all that wait
	mostCount = 1 << 31 // attempts, or the code of a reply
)

func (r *reader) envelope(v *mail.Envelope) {
	v.From = r.path()
	v.Body, v.Ret = mail.BodyType(r.Octet()), mail.Ret(r.Octet())
	r.Require(v.Body <= mail.BodyBinaryMIME && v.Ret <= mail.RetHeaders)
	v.EnvID = r.Text()
	v.Size = int64(r.Number(mostSize))
	n := r.Number(uint64(r.Left()))
	for range n {
		v.To = append(v.To, r.recipient())
		if r.Failed() {
			return
		}
	}
}

func (r *reader) recipient() mail.Recipient {
	a := r.address()
	r.Require(!a.IsZero())
	n := mail.Notify(r.Octet())
	return mail.Recipient{Address: a, Notify: n, ORcpt: mail.ORcpt{Type: r.Text(), Address: r.Text()}}
}

func (r *reader) state(v *mail.Envelope) RecipientState {
	var s RecipientState
	if at := r.Number(uint64(len(v.To))); at > 0 && !r.Failed() {
		s.Recipient = v.To[at-1]
	} else {
		s.Recipient = r.recipient()
	}
	s.Kind, s.State = Kind(r.Octet()), State(r.Octet())
	r.Require(s.Kind >= KindLocal && s.Kind <= KindOutbound && s.State >= StatePending && s.State <= StateUntold)
	s.Mailbox, s.Detail = r.address(), r.Text()
	s.Last.Code = int(r.Number(mostCount))
	s.Last.Enhanced.Class = uint16(r.Number(math.MaxUint16))
	s.Last.Enhanced.Subject = uint16(r.Number(math.MaxUint16))
	s.Last.Enhanced.Detail = uint16(r.Number(math.MaxUint16))
	s.Last.Text = r.Text()
	s.LastAt = r.Time()
	s.Remote = r.Text()
	return s
}
