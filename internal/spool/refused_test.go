package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// reseal writes the checksum of a record anew, as whoever writes to the disk can.
func reseal(record []byte) []byte {
	at := len(record) - crc32.Size
	return binary.BigEndian.AppendUint32(bytes.Clone(record[:at]), crc32.Checksum(record[:at], crc32.MakeTable(crc32.Castagnoli)))
}

// A record with a right checksum that says what no entry can be is damaged.
func TestARecordThatCannotBe(t *testing.T) {
	bob := mail.Recipient{Address: mustAddress(t, "bob@local.test")}
	base := func() *Entry {
		return &Entry{ID: mustID(t, 1), place: placeDue, Envelope: mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{bob}},
			Recipients: []RecipientState{{Delivery: Delivery{Recipient: bob, Kind: KindLocal, Mailbox: bob.Address}, State: StatePending}}}
	}
	flags := func(f byte) func([]byte) []byte {
		return func(b []byte) []byte { b[1] = f; return b }
	}
	entry := func(change func(*Entry)) func([]byte) []byte {
		return func([]byte) []byte { e := base(); change(e); return appendEntry(nil, e) }
	}
	for name, row := range map[string]struct {
		spoil func([]byte) []byte
		reads bool
	}{
		"as it was":              {flags(0), true},
		"sent on":                {flags(flagForward), true},
		"sent on and kept":       {flags(flagForward | flagKept), true},
		"kept, and not sent on":  {flags(flagKept), false},
		"TLS required":           {flags(flagTLSRequired), true},
		"TLS required, optional": {flags(flagTLSRequired | flagTLSOptional), false},
		"no place":               {entry(func(e *Entry) { e.place = placeNone }), false},
		"the last place":         {entry(func(e *Entry) { e.place = placeParked }), true},
		"a place beyond":         {entry(func(e *Entry) { e.place = placeParked + 1 }), false},
		"no id":                  {entry(func(e *Entry) { e.ID = mail.ID{} }), false},
		"the last kind":          {entry(func(e *Entry) { e.Recipients[0].Kind = KindOutbound }), true},
		"no kind":                {entry(func(e *Entry) { e.Recipients[0].Kind = KindUnknown }), false},
		"a kind beyond":          {entry(func(e *Entry) { e.Recipients[0].Kind = KindOutbound + 1 }), false},
		"the last state":         {entry(func(e *Entry) { e.Recipients[0].State = StateUntold }), true},
		"no state":               {entry(func(e *Entry) { e.Recipients[0].State = StateUnknown }), false},
		"a state beyond":         {entry(func(e *Entry) { e.Recipients[0].State = StateUntold + 1 }), false},
		"the last body type":     {entry(func(e *Entry) { e.Envelope.Body = mail.BodyBinaryMIME }), true},
		"a body type beyond":     {entry(func(e *Entry) { e.Envelope.Body = mail.BodyBinaryMIME + 1 }), false},
		"the last return":        {entry(func(e *Entry) { e.Envelope.Ret = mail.RetHeaders }), true},
		"a return beyond":        {entry(func(e *Entry) { e.Envelope.Ret = mail.RetHeaders + 1 }), false},
		"no recipient":           {entry(func(e *Entry) { e.Envelope.To[0] = mail.Recipient{} }), false},
		"a delivery to nobody":   {entry(func(e *Entry) { e.Recipients[0].Recipient = mail.Recipient{} }), false},
		"nobody at all":          {entry(func(e *Entry) { e.Envelope.To, e.Recipients = nil, nil }), true},
		"the largest attempts":   {entry(func(e *Entry) { e.Attempts = 1 << 31 }), true},
		"attempts beyond":        {entry(func(e *Entry) { e.Attempts = 1<<31 + 1 }), false},
		"the largest class":      {entry(func(e *Entry) { e.Recipients[0].Last.Enhanced.Class = math.MaxUint16 }), true},
		"the largest size":       {entry(func(e *Entry) { e.Size = 1 << 62 }), true},
		"a size beyond":          {entry(func(e *Entry) { e.Size = 1<<62 + 1 }), false},
	} {
		record := reseal(row.spoil(appendEntry(nil, base())))
		e, err := decodeEntry(base().ID, record)
		if row.reads != (err == nil) || err != nil && (e != nil || !errors.Is(err, ErrDamaged)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, {recordVersion}, {recordVersion, 1, 2, 3}, {recordVersion, 1, 2, 3, 4}} {
		if _, err := decodeEntry(base().ID, b); !errors.Is(err, ErrDamaged) {
			t.Errorf("%x reads: %v", b, err)
		}
	}
}

// What is too large below zero is stored as nothing.
func TestNegativeNumbers(t *testing.T) {
	e := plainEntry(t)
	e.Envelope.Size, e.Recipients[0].Last.Code = -1, -1
	got, err := decodeEntry(e.ID, appendEntry(nil, e))
	if err != nil || got.Envelope.Size != 0 || got.Recipients[0].Last.Code != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The place of a recipient in the envelope is found whatever was found before, and 0
// when there is none.
func TestFind(t *testing.T) {
	var to []mail.Recipient
	for _, s := range []string{"a@far.test", "b@far.test", "a@far.test", "c@far.test"} {
		to = append(to, mail.Recipient{Address: mustAddress(t, s)})
	}
	for _, c := range []struct{ what, last, want int }{
		{0, 0, 1}, {0, 1, 1}, {0, 2, 3}, {0, 3, 3}, {0, 4, 1}, {1, 4, 2}, {3, 0, 4}, {3, 4, 4},
	} {
		if got := find(to, to[c.what], c.last); got != c.want {
			t.Errorf("%d after %d: %d, want %d", c.what, c.last, got, c.want)
		}
	}
	if got := find(to, mail.Recipient{Address: mustAddress(t, "d@far.test")}, 1); got != 0 {
		t.Errorf("a stranger is %d", got)
	}
	if got := find(nil, to[0], 3); got != 0 {
		t.Errorf("in no envelope it is %d", got)
	}
}

// Texts are cut at their bound, at a character's border, and not before.
func TestCut(t *testing.T) {
	for _, c := range []struct {
		text string
		max  int
		want string
	}{
		{"abc", 4, "abc"}, {"abc", 3, "abc"}, {"abc", 2, "ab"}, {"aé", 3, "aé"}, {"aéb", 2, "a"}, {"aéb", 3, "aé"}, {"é", 1, ""}, {"\x80\x80\x80", 2, ""}, {"abc", 0, ""},
	} {
		if got := cut(c.text, c.max); got != c.want {
			t.Errorf("%q to %d is %q, want %q", c.text, c.max, got, c.want)
		}
	}
}

// Keys tell what is in them, where they are keys.
func TestKeysTell(t *testing.T) {
	id, at := mustID(t, 3), time.Date(2026, 4, 5, 6, 7, 8, 9, time.UTC)
	due := dueKey(at, id)
	if got, ok := keyID(due); !ok || got != id || !keyTime(due).Equal(at) || keyTime(due).Location() != time.UTC {
		t.Errorf("%x is of %s at %v", due, got, keyTime(due))
	}
	if got, ok := keyID(entryKey(id)); !ok || got != id || !keyTime(entryKey(id)).IsZero() {
		t.Errorf("an entry's key is of %s", got)
	}
	if _, ok := keyID(entryKey(id)[:16]); ok {
		t.Error("a key cut short names somebody")
	}
	if _, ok := keyID(entryKey(mail.ID{})); ok {
		t.Error("the key of nobody names somebody")
	}
	if !bytes.Equal(dueKey(time.Unix(-5, 0), id), dueKey(time.Unix(0, 0), id)) {
		t.Error("times before 1970 are not the first")
	}
	for k, want := range map[string]string{
		string(parkedKey("alice@local.test", id)): "alice@local.test", "sp": "", "spx": "", "sp\x00": "",
		string(accountKey(mustAddress(t, "Alice@local.test"))): "alice@local.test",
	} {
		if got := keyAccount([]byte(k)); got != want {
			t.Errorf("%q is of %q, want %q", k, got, want)
		}
	}
	r := dueRange(at)
	if bytes.Compare(due, r.To) >= 0 || bytes.Compare(dueKey(at.Add(1), id), r.To) < 0 || bytes.Compare(dueKey(time.Unix(0, 0), mail.ID{}), r.From) < 0 {
		t.Error("what is due at a time is not what is due until it")
	}
	if r := dueRange(time.Unix(-5, 0)); bytes.Compare(dueKey(time.Unix(0, 0), id), r.To) >= 0 {
		t.Error("what is due at the beginning is never due")
	}
	if r := dueRange(time.Unix(0, math.MaxInt64)); bytes.Compare(dueKey(time.Unix(0, math.MaxInt64), id), r.To) >= 0 {
		t.Error("what is due at the end is never due")
	}
}

// A summary of another version, or with flags that are none, does not read.
func TestASummaryThatCannotBe(t *testing.T) {
	good := summary{octets: 7, account: "alice@local.test", leased: true, mailboxes: "bob@local.test\x00"}.encode()
	for name, spoil := range map[string]func([]byte) []byte{
		"another version": func(b []byte) []byte { b[0]++; return b },
		"another flag":    func(b []byte) []byte { b[1] |= flagUTF8; return b },
		"nothing":         func([]byte) []byte { return nil },
		"no number":       func(b []byte) []byte { return b[:2] },
		"no account":      func(b []byte) []byte { return b[:3] },
		"half an account": func(b []byte) []byte { return b[:10] },
		"half a mailbox":  func(b []byte) []byte { return b[:len(b)-1] },
		"no such version": func(b []byte) []byte { b[0] = 0; return b },
	} {
		if s, ok := decodeSummary(spoil(bytes.Clone(good))); ok {
			t.Errorf("%s reads as %+v", name, s)
		}
	}
	e := &Entry{Size: 5, Prefix: []byte("abc"), Account: mustAddress(t, "Alice@local.test")}
	if got := summarise(e); got != (summary{octets: 8, account: "alice@local.test"}) {
		t.Errorf("%+v", got)
	}
	// Each mailbox once, and those alone that it still waits for.
	for i, d := range []string{"Carol@local.test", "bob@local.test", "carol@local.test", "dave@local.test", "eve@far.test"} {
		r := RecipientState{Delivery: Delivery{Kind: KindLocal, Mailbox: mustAddress(t, d)}, State: StatePending}
		if i == 3 {
			r.State = StateDelivered
		}
		if i == 4 {
			r.Kind, r.Mailbox = KindOutbound, mail.Address{}
		}
		e.Recipients = append(e.Recipients, r)
	}
	if got := summarise(e); got.mailboxes != "bob@local.test\x00carol@local.test\x00" {
		t.Errorf("%+v", got)
	}
}

// A record that does not fit into a transaction is refused, and one that just fits is not.
func TestRecordsAreBounded(t *testing.T) {
	s := &Spool{}
	e := plainEntry(t)
	e.Prefix = bytes.Repeat([]byte("x"), maxRecordOctets)
	body := &Body{}
	_, _, err := s.insertion(e, body)
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("a record beyond the bound: %v", err)
	}
	over := len(appendEntry(nil, e)) - maxRecordOctets
	e.Prefix = e.Prefix[over:]
	if record, _, err := s.insertion(e, body); err != nil || len(record) != maxRecordOctets {
		t.Errorf("a record of %d octets: %v", len(record), err)
	}
	e.Prefix = append(e.Prefix, 'x')
	if _, _, err := s.insertion(e, body); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one octet more: %v", err)
	}
}
