package spool

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// genEntry draws an entry such as the queue can hold.
func genEntry(t *rapid.T) *Entry {
	e := &Entry{
		ID:        genID(t),
		Account:   genAddress(t, "account"),
		MessageID: rapid.StringN(0, 50, 200).Draw(t, "message-id"),
		Received:  genTime(t, "received"),
		Size:      rapid.Int64Range(0, 1<<40).Draw(t, "size"),
		Attempts:  rapid.IntRange(0, 1000).Draw(t, "attempts"),
		NextTry:   genTime(t, "next"),
		settled:   rapid.Uint64().Draw(t, "settled"),
		leased:    rapid.Bool().Draw(t, "leased"),
		Junk:      rapid.Bool().Draw(t, "junk"),
		place:     place(rapid.IntRange(1, 3).Draw(t, "place")),
		Warned:    rapid.Bool().Draw(t, "warned"),
		Forward:   Forward(rapid.IntRange(0, 2).Draw(t, "forward")),
	}
	e.Since = e.Received
	if !e.Received.IsZero() && rapid.Bool().Draw(t, "apart") {
		by := time.Duration(rapid.Int64Range(int64(apart), int64(10*365*24*time.Hour)).Draw(t, "by"))
		e.Since = e.Received.Add(by)
	}
	copy(e.SHA256[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
	if p := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "prefix"); len(p) > 0 {
		e.Prefix = p
	}
	if g := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "grant"); len(g) > 0 {
		e.grant = g
	}
	if rapid.Bool().Draw(t, "file") {
		e.file = "0123456789abcdef"
	}
	if e.place == placeHeld {
		e.Held, e.HeldAt = rapid.StringN(1, 40, 200).Draw(t, "held"), genTime(t, "held at")
	}
	e.Envelope = genEnvelope(t)
	for range rapid.IntRange(0, 6).Draw(t, "deliveries") {
		e.Recipients = append(e.Recipients, genState(t, e.Envelope.To))
	}
	return e
}

func genID(t *rapid.T) mail.ID {
	id, err := mail.IDFromBytes(append(rapid.SliceOfN(rapid.Byte(), 14, 14).Draw(t, "id"), 1))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func genTime(t *rapid.T, label string) time.Time {
	n := rapid.Int64Range(0, 1<<61).Draw(t, label)
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// genAddress draws quoted, literal and international addresses too, or none.
func genAddress(t *rapid.T, label string) mail.Address {
	s := rapid.SampledFrom([]string{"", "alice@local.test", `"a b@c"@local.test`, `"\"\\"@local.test`,
		"x@[192.0.2.1]", "x@[IPv6:2001:db8::1]", "грета@xn--e1afmkfd.test", "a+b%c!d@sub.local.test"}).Draw(t, label)
	if s == "" {
		return mail.Address{}
	}
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func genRecipient(t *rapid.T) mail.Recipient {
	r := mail.Recipient{Address: genAddress(t, "recipient"), Notify: mail.Notify(rapid.IntRange(0, 15).Draw(t, "notify"))}
	if r.Address.IsZero() {
		r.Address, _ = mail.ParseAddress("bob@local.test", mail.ASCII)
	}
	if rapid.Bool().Draw(t, "orcpt") {
		r.ORcpt = mail.ORcpt{Type: "rfc822", Address: rapid.String().Draw(t, "original")}
	}
	return r
}

func genEnvelope(t *rapid.T) mail.Envelope {
	v := mail.Envelope{
		From:     mail.NullPath(),
		Body:     mail.BodyType(rapid.IntRange(0, 2).Draw(t, "body")),
		SMTPUTF8: rapid.Bool().Draw(t, "utf8"),
		TLS:      mail.TLSDemand(rapid.IntRange(0, 2).Draw(t, "tls")),
		Ret:      mail.Ret(rapid.IntRange(0, 2).Draw(t, "ret")),
		EnvID:    rapid.String().Draw(t, "envid"),
		Size:     rapid.Int64Range(0, 1<<40).Draw(t, "declared"),
	}
	if a := genAddress(t, "sender"); !a.IsZero() {
		v.From = mail.PathOf(a)
	}
	for range rapid.IntRange(0, 4).Draw(t, "recipients") {
		v.To = append(v.To, genRecipient(t))
	}
	return v
}

func genState(t *rapid.T, to []mail.Recipient) RecipientState {
	r := RecipientState{
		Delivery: Delivery{Recipient: genRecipient(t), Kind: KindOutbound},
		State:    State(rapid.IntRange(1, 3).Draw(t, "state")),
		LastAt:   genTime(t, "last at"),
		Remote:   rapid.StringN(0, 20, maxRemote).Draw(t, "remote"),
	}
	if len(to) > 0 && rapid.Bool().Draw(t, "of the envelope") {
		r.Recipient = rapid.SampledFrom(to).Draw(t, "which")
	}
	if a := genAddress(t, "mailbox"); !a.IsZero() {
		r.Kind, r.Mailbox, r.Detail = KindLocal, a, rapid.String().Draw(t, "detail")
	}
	if rapid.Bool().Draw(t, "tried") {
		r.Last = mail.R(rapid.IntRange(200, 599).Draw(t, "code"), "4.7.1", rapid.StringN(0, 50, maxReplyText).Draw(t, "text"))
	}
	return r
}

func TestEntriesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEntry(t)
		record := appendEntry(nil, e)
		got, err := decodeEntry(e.ID, record)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Fatalf("%+v\ncame back as\n%+v, %v", e, got, err)
		}
		sum, ok := decodeSummary(summarise(e).encode())
		if !ok || sum != summarise(e) {
			t.Fatalf("summary %+v came back as %+v, %v", summarise(e), sum, ok)
		}
	})
}

// No single changed bit, no cut and no addition goes unnoticed.
func TestEveryChangeOfARecordIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEntry(t)
		record := appendEntry(nil, e)
		at := rapid.IntRange(0, len(record)*8-1).Draw(t, "bit")
		bad := bytes.Clone(record)
		bad[at/8] ^= 1 << (at % 8)
		for _, r := range [][]byte{bad, record[:at/8], append(bytes.Clone(record), 0)} {
			if _, err := decodeEntry(e.ID, r); !errors.Is(err, ErrDamaged) {
				t.Fatalf("a changed record reads: %v", err)
			}
		}
	})
	e := &Entry{ID: mustID(t, 1), place: placeDue, Envelope: mail.Envelope{From: mail.NullPath()}}
	if _, err := decodeEntry(mustID(t, 2), appendEntry(nil, e)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a record under another's key reads: %v", err)
	}
}

func mustID(t testing.TB, n byte) mail.ID {
	t.Helper()
	id, err := mail.IDFromBytes(bytes.Repeat([]byte{n}, idOctets))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Strangers' words are cut at a character's border, not stored at length.
func TestStrangersWordsAreCut(t *testing.T) {
	e := &Entry{ID: mustID(t, 1), place: placeHeld, Envelope: mail.Envelope{From: mail.NullPath()}}
	e.Held = string(bytes.Repeat([]byte("é"), maxReason))
	e.Recipients = []RecipientState{{
		Delivery: Delivery{Recipient: mail.Recipient{Address: mustAddress(t, "a@far.test")}, Kind: KindOutbound}, State: StatePending,
		Last: mail.Reply{Code: 450, Text: string(bytes.Repeat([]byte("x"), 1<<20))}, Remote: string(bytes.Repeat([]byte("x"), 1<<20)),
	}}
	record := appendEntry(nil, e)
	got, err := decodeEntry(e.ID, record)
	if err != nil || len(record) > 3000 || len(got.Held) != maxReason || len(got.Recipients[0].Last.Text) != maxReplyText || len(got.Recipients[0].Remote) != maxRemote {
		t.Errorf("a record of %d octets: %v", len(record), err)
	}
	e.Held = "x" + e.Held
	if got, err := decodeEntry(e.ID, appendEntry(nil, e)); err != nil || len(got.Held) != maxReason-1 {
		t.Errorf("held %d octets, %v; want a whole last character", len(got.Held), err)
	}
}

func mustAddress(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A record with many deliveries does not take a square of comparisons.
func BenchmarkEncodeManyRecipients(b *testing.B) {
	e := &Entry{ID: mustID(b, 1), place: placeDue, Envelope: mail.Envelope{From: mail.NullPath()}}
	for i := range 2000 {
		r := mail.Recipient{Address: mustAddress(b, fmt.Sprintf("r%d@far.test", i))}
		e.Envelope.To = append(e.Envelope.To, r)
		e.Recipients = append(e.Recipients, RecipientState{Delivery: Delivery{Recipient: r, Kind: KindOutbound}, State: StatePending})
	}
	for b.Loop() {
		if len(appendEntry(nil, e)) > maxRecordOctets {
			b.Fatal("too long")
		}
	}
}

// FuzzDecodeEntry: whatever is read as an entry without complaint is written again
// and read as the same; nothing panics or takes memory beyond its input.
func FuzzDecodeEntry(f *testing.F) {
	id := mustID(f, 7)
	r := mail.Recipient{Address: mustAddress(f, "a@far.test"), Notify: mail.NotifyFailure, ORcpt: mail.ORcpt{Type: "rfc822", Address: "a@far.test"}}
	e := &Entry{ID: id, place: placeDue, Size: 5, Received: time.Unix(1, 0).UTC(), Since: time.Unix(1, 0).UTC(), Prefix: []byte("Received: x\r\n"), Envelope: mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{r}}}
	f.Add(body(appendEntry(nil, e)))
	e.Recipients = []RecipientState{{Delivery: Delivery{Recipient: r, Kind: KindOutbound}, State: StatePending, Last: mail.R(451, "4.7.1", "later")}}
	e.grant, e.file, e.leased, e.Warned, e.Forward = []byte("grant"), "0123", true, true, ForwardKept
	f.Add(body(appendEntry(nil, e)))
	e.Envelope.To = nil
	e.Held, e.HeldAt, e.place = "why", time.Unix(2, 0).UTC(), placeHeld
	f.Add(body(appendEntry(nil, e)))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 80))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{codec.NewReader(b)}
		e := r.entry(len(b)%2 == 1)
		if !r.Done() {
			return
		}
		again, err := decodeEntry(e.ID, appendEntry(nil, e))
		if err != nil {
			t.Fatalf("what was read is not written so that it reads: %v", err)
		}
		// Texts beyond their bounds are cut by the first writing, and then stay.
		third, err := decodeEntry(e.ID, appendEntry(nil, again))
		if err != nil || !reflect.DeepEqual(again, third) {
			t.Fatalf("%+v\ncame back as\n%+v, %v", again, third, err)
		}
	})
}

// body is a record without its version and its checksum, for the fuzzer would
// never find a right one.
func body(record []byte) []byte { return record[1 : len(record)-4] }

func FuzzDecodeSummary(f *testing.F) {
	f.Add(summary{octets: 10_000, account: "alice@local.test", leased: true}.encode())
	f.Add(summary{octets: 10_000, mailboxes: "alice@local.test\x00bob@local.test\x00"}.encode())
	f.Add([]byte("\x01\x01\x07alice@local.test"))
	f.Add(summary{}.encode())
	f.Add([]byte("nonsense"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, ok := decodeSummary(b)
		if !ok {
			return
		}
		if again, ok := decodeSummary(s.encode()); !ok || again != s {
			t.Fatalf("%+v came back as %+v, %v", s, again, ok)
		}
	})
}
