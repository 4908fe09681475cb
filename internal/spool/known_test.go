package spool

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Known answers: what an older release stored reads back, so a changed layout needs
// another version.
func TestKnownEntries(t *testing.T) {
	for _, c := range []struct {
		what, stored string
		entry        *Entry
	}{
		{"an entry with everything", knownFull, fullEntry(t)},
		{"a stranger's", knownPlain, plainEntry(t)},
		{"one that came once the clock had been set", knownApart, apartEntry(t)},
	} {
		if got := hex.EncodeToString(appendEntry(nil, c.entry)); got != c.stored {
			t.Errorf("%s is stored as\n%s", c.what, got)
		}
		stored, err := hex.DecodeString(c.stored)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeEntry(c.entry.ID, stored); err != nil || !reflect.DeepEqual(back, c.entry) {
			t.Errorf("%s reads as\n%+v, %v", c.what, back, err)
		}
	}
}

func TestKnownKeys(t *testing.T) {
	e := fullEntry(t)
	parked := *e
	parked.place = placeParked
	due := *e
	due.place = placeDue
	const id = "0102030405060708090a0b0c0d0e0f"
	for what, c := range map[string][2]string{
		"an entry":      {hex.EncodeToString(entryKey(e.ID)), "7365" + id},
		"a body":        {hex.EncodeToString(bodyKey(e.ID)), "7362" + id},
		"a file":        {string(fileKey("0123456789abcdef")), "sf0123456789abcdef"},
		"a damaged one": {hex.EncodeToString(quarantineKey(e.ID)), "7378" + id},
		"a held one":    {hex.EncodeToString(indexKey(e)), "7368" + id},
		"a parked one":  {hex.EncodeToString(indexKey(&parked)), "7370" + hex.EncodeToString([]byte("alice@local.test")) + "00" + id},
		"a due one":     {hex.EncodeToString(indexKey(&due)), "736418a360e814197800" + id},
		"a held queue":  {string(accountKey(e.Account)), "saalice@local.test"},
		"the openings":  {string(key(spaceOpenings)), "sn"},
	} {
		if c[0] != c[1] {
			t.Errorf("the key of %s is %s, want %s", what, c[0], c[1])
		}
	}
	alice := hex.EncodeToString([]byte("alice@local.test"))
	for _, c := range []struct {
		stored string
		sum    summary
		former bool
	}{
		{"0201e90710" + alice + hex.EncodeToString([]byte("bob@local.test\x00carol@local.test\x00")), summary{octets: 1001, account: "alice@local.test", leased: true, mailboxes: "bob@local.test\x00carol@local.test\x00"}, false},
		{"0201e90710" + alice, summary{octets: 1001, account: "alice@local.test", leased: true}, false},
		{"02000500" + hex.EncodeToString([]byte("bob@local.test\x00")), summarise(plainEntry(t)), false},
		{"02000000", summary{}, false},
		{"0101e907" + alice, summary{octets: 1001, account: "alice@local.test", leased: true}, true},
		{"010000", summary{}, true},
	} {
		if got := hex.EncodeToString(c.sum.encode()); got != c.stored && !c.former {
			t.Errorf("%+v is stored as %s, want %s", c.sum, got, c.stored)
		}
		b, err := hex.DecodeString(c.stored)
		if err != nil {
			t.Fatal(err)
		}
		if back, ok := decodeSummary(b); !ok || back != c.sum {
			t.Errorf("%s reads as %+v", c.stored, back)
		}
		if v, ok := readSummary(b); !ok || v.former != c.former {
			t.Errorf("%s is of an older release: %v, %v", c.stored, v.former, ok)
		}
	}
}

func knownAddress(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func knownID(t *testing.T) mail.ID {
	t.Helper()
	id, err := mail.IDFromBytes([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// fullEntry has another value than its zero in every field.
func fullEntry(t *testing.T) *Entry {
	at := time.Date(2026, 4, 5, 6, 7, 8, 9, time.UTC)
	alice := knownAddress(t, "alice@local.test")
	bob := mail.Recipient{Address: knownAddress(t, "bob+x@local.test"), Notify: mail.NotifyNever, ORcpt: mail.ORcpt{Type: "rfc822", Address: "bob+2Bx@local.test"}}
	far := mail.Recipient{Address: knownAddress(t, "v@remote.test")}
	e := &Entry{
		ID: knownID(t), Account: alice, MessageID: "<1@local.test>", Prefix: []byte("Received: x\r\n"), Received: at, Since: at, Size: 1001, Attempts: 3,
		NextTry: time.Date(2026, 4, 5, 6, 7, 8, 0, time.UTC), Held: "its end", HeldAt: at.Add(time.Hour), Junk: true, Forward: ForwardKept, Warned: true,
		grant: []byte{1, 2, 3}, file: "0123456789abcdef", place: placeHeld, leased: true, settled: 77,
		Envelope: mail.Envelope{
			From: mail.PathOf(alice), To: []mail.Recipient{bob, far}, Body: mail.Body8BitMIME, SMTPUTF8: true, Ret: mail.RetHeaders, EnvID: "e1", Size: 999, TLS: mail.RequireTLS,
		},
	}
	for i := range e.SHA256 {
		e.SHA256[i] = byte(i)
	}
	e.Recipients = []RecipientState{
		{Delivery: Delivery{Recipient: bob, Kind: KindLocal, Mailbox: knownAddress(t, "bob@local.test"), Detail: "x"}, State: StateDelivered, Last: mail.R(250, "2.1.5", "ok"), LastAt: at, Remote: "here"},
		{Delivery: Delivery{Recipient: far, Kind: KindOutbound}, State: StatePending, Last: mail.R(451, "4.7.1", "later\nstill"), LastAt: at, Remote: "mx [192.0.2.1]:25"},
		{Delivery: Delivery{Recipient: mail.Recipient{Address: knownAddress(t, "gone@remote.test")}, Kind: KindOutbound}, State: StateUntold, Last: mail.R(550, "5.1.1", "who"), LastAt: at},
	}
	return e
}

// plainEntry is a new one of a stranger.
func plainEntry(t *testing.T) *Entry {
	bob := mail.Recipient{Address: knownAddress(t, "bob@local.test")}
	at := time.Date(2026, 4, 5, 6, 7, 8, 9, time.UTC)
	return &Entry{
		ID: knownID(t), Received: at, Since: at, NextTry: at, Size: 5, place: placeDue,
		Envelope:   mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{bob}},
		Recipients: []RecipientState{{Delivery: Delivery{Recipient: bob, Kind: KindLocal, Mailbox: bob.Address}, State: StatePending}},
	}
}

// apartEntry came ten years later by the clock than by the time that passed.
func apartEntry(t *testing.T) *Entry {
	e := plainEntry(t)
	e.Received = e.Received.AddDate(10, 0, 0)
	return e
}

const (
	knownApart = "0200010102030405060708090a0b0c0d0e0f92e0a386b2b9d7843a92e0cbc182bab0a33192e0cbc182bab0a331050000000000000000000000000000000000000000000000000000000000000000000000000000000000023c3e00000000010e626f62406c6f63616c2e74657374000000010101010e626f62406c6f63616c2e74657374000000000000000081786bf6"
	knownFull  = "017f020102030405060708090a0b0c0d0e0f92e0cbc182bab0a33180e0cbc182bab0a331e907000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f034d0769747320656e6492e090cdc88bb2a33110616c696365406c6f63616c2e746573740e3c31406c6f63616c2e746573743e0d52656365697665643a20780d0a030102031030313233343536373839616263646566123c616c696365406c6f63616c2e746573743e0102026531e7070210626f622b78406c6f63616c2e74657374010672666338323212626f622b324278406c6f63616c2e746573740d764072656d6f74652e74657374000000030101020e626f62406c6f63616c2e746573740178fa01020105026f6b92e0cbc182bab0a33104686572650202010000c3030407010b6c617465720a7374696c6c92e0cbc182bab0a331116d78205b3139322e302e322e315d3a32350010676f6e654072656d6f74652e7465737400000002040000a6040501010377686f92e0cbc182bab0a3310078942a6e"
	knownPlain = "0100010102030405060708090a0b0c0d0e0f92e0cbc182bab0a33192e0cbc182bab0a331050000000000000000000000000000000000000000000000000000000000000000000000000000000000023c3e00000000010e626f62406c6f63616c2e74657374000000010101010e626f62406c6f63616c2e746573740000000000000000580b0c70"
)
