package query

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace"
)

func TestTheWholeStoryFromAnyEnd(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	h.deliver(l, 1, "carol@remote.test")
	id := h.deliver(l, 2, "bob@remote.test")
	h.deliver(l, 3, "carol@remote.test")
	for _, indexed := range []bool{false, true} {
		if indexed {
			sync1(t, l)
		}
		for _, text := range []string{
			id.String(), "<m2@local.test>", "m2@LOCAL.test", "Bob@Remote.Test", "<bob@remote.test>", "198.51.0.2", "c2", "198.51.0.2/32",
			"Received: from laptop by mx.local.test with ESMTPSA id " + id.String() + ";\r\n Fri, 27 Nov 2026",
			"Subject: failed\r\n\r\nFinal-Recipient: rfc822; bob@remote.test\r\nAction: failed\r\n",
			"> Message-ID:\r\n>  <m2@local.test>\r\n",
		} {
			a := h.ask(l, text)
			if got := kinds(a); got != "disconnect auth accept outcome disconnect" || a.Older != 0 {
				t.Errorf("indexed %v: %q finds %q (older %d)", indexed, text, got, a.Older)
			}
		}
		if a := h.ask(l, "alice@local.test"); len(a.Entries) != 15 {
			t.Errorf("alice: %d entries", len(a.Entries))
		}
		if a := h.ask(l, "198.51.0.0/16"); len(a.Entries) != 15 {
			t.Errorf("network: %d entries", len(a.Entries))
		}
		for _, nothing := range []string{"nobody@local.test", "192.0.2.1", testID(t, 9).String(), "c22", "198.51.0.0/31"} {
			if a := h.ask(l, nothing); len(a.Entries) != 0 && nothing != "198.51.0.0/31" {
				t.Errorf("%q finds %q", nothing, kinds(a))
			}
		}
	}
	out := fact.Timeline(h.ask(l, id.String()).Facts(), nil)
	for _, want := range []string{
		"Friday, 27 November 2026 (UTC)\n", "14:03:12 accepted " + id.String() + " account alice@local.test from <alice@local.test> to <bob@remote.test> (1.0 KB) rule submission-relay",
		"via mx.remote.test [203.0.113.9]:25 250 2.0.0 taken",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, out)
		}
	}
}

// A connection that carried thousands of messages is not the story of one.
func TestAKeptConnectionDoesNotFloodTheStory(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	ctx := context.Background()
	at := h.now()
	facts := []fact.Fact{{At: at, Kind: fact.KindDisconnect, Conn: "busy", Peer: netip.MustParseAddr("198.51.100.1")}}
	for i := range 300 {
		facts = append(facts, fact.Fact{At: at, Kind: fact.KindAccept, Conn: "busy", Queue: testID(t, i), Recipients: []string{"bob@local.test"}})
	}
	if err := l.Write(ctx, facts...); err != nil {
		t.Fatal(err)
	}
	sync1(t, l)
	if got := kinds(h.ask(l, testID(t, 7).String())); got != "disconnect accept" {
		t.Errorf("got %q", got)
	}
	if a := h.ask(l, "conn:busy"); len(a.Entries) != 301 {
		t.Errorf("the connection itself: %d entries", len(a.Entries))
	}
}

func TestANotificationBelongsToItsMessage(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	id := h.deliver(l, 1, "bob@remote.test")
	note := testID(t, 2)
	err := l.Write(context.Background(),
		fact.Fact{At: testTime(), Kind: fact.KindNotify, Queue: note, About: id, Recipient: "alice@local.test"},
		fact.Fact{At: testTime(), Kind: fact.KindOutcome, Queue: note, Recipient: "alice@local.test", Remote: "maildir", Reply: mail.R(250, "2.0.0", "kept")})
	if err != nil {
		t.Fatal(err)
	}
	sync1(t, l)
	for _, text := range []string{id.String(), note.String()} {
		if got := kinds(h.ask(l, text)); got != "disconnect auth accept outcome disconnect notify outcome" {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestPagesGoBackWithoutGapOrOverlap(t *testing.T) {
	h := newHouse(t)
	h.limits.Hits = 7
	l := h.open()
	for i := range 20 {
		h.deliver(l, i, "bob@remote.test")
		if i == 11 {
			sync1(t, l)
		}
	}
	for _, limit := range []int{1, 3, 100} {
		q := Query{Terms: []Term{{FieldAddress, "bob@remote.test"}}, Exact: true, Limit: limit}
		var seqs []uint64
		for page := 0; page < 100; page++ {
			a, err := h.reader(l).Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range slices.Backward(a.Entries) {
				seqs = append(seqs, e.Seq)
			}
			if q.Before = a.Older; a.Older == 0 {
				break
			}
		}
		if len(seqs) != 40 || !slices.IsSortedFunc(seqs, func(a, b uint64) int { return int(b) - int(a) }) {
			t.Errorf("limit %d: %d entries %v", limit, len(seqs), seqs)
		}
	}
	// Bounds of time pass over pages that have nothing in them.
	h.add(time.Hour)
	for i := range 30 {
		h.deliver(l, 20+i, "bob@remote.test")
	}
	sync1(t, l)
	within := Query{Terms: []Term{{FieldAddress, "bob@remote.test"}}, To: testTime().Add(time.Minute), Exact: true}
	if a, err := h.reader(l).Query(context.Background(), within); err != nil || len(a.Entries) == 0 || a.Entries[0].Fact.At != testTime() {
		t.Errorf("an hour ago: %+v %v", a, err)
	}
	// A term that only meets unwanted facts leaves them to the next term.
	two := Query{Terms: []Term{{FieldQueue, testID(t, 999).String()}, {FieldConn, "c3"}}}
	if a, err := h.reader(l).Query(context.Background(), two); err != nil || a.Matched.Field != FieldConn || len(a.Entries) != 5 {
		t.Errorf("second term: %+v %v", a, err)
	}
	q := Query{Terms: []Term{{FieldAddress, "bob@remote.test"}}, To: testTime()}
	if a, err := h.reader(l).Query(context.Background(), q); err != nil || len(a.Entries) != 0 {
		t.Errorf("before it happened: %v %v", a, err)
	}
}

func TestPagesKeepBundlesWhole(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 12 {
		for net := range 3 {
			l.Stranger(fact.Fact{At: h.now(), Kind: fact.KindRefuse, Peer: netip.AddrFrom4([4]byte{192, 0, byte(net), 1}), Recipient: "bob@local.test"})
		}
		h.deliver(l, i, "bob@local.test")
		if i%4 == 0 {
			sync1(t, l)
		} else if err := l.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 2, 3, 4, 5, 100} {
		q := Query{Terms: []Term{{FieldAddress, "bob@local.test"}}, Exact: true, Limit: limit}
		seen := map[string]int{}
		for {
			a, err := h.reader(l).Query(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range a.Entries {
				seen[fmt.Sprint(e.Seq, "/", e.Part)]++
			}
			if a.Older == 0 {
				break
			}
			if q.Before != 0 && a.Older >= q.Before {
				t.Fatalf("page %d does not go back: %d", q.Before, a.Older)
			}
			q.Before = a.Older
		}
		if len(seen) != 12*3+12*2 {
			t.Errorf("limit %d: %d of 60 found", limit, len(seen))
		}
		for e, n := range seen {
			if n != 1 {
				t.Errorf("limit %d: %s shown %d times", limit, e, n)
			}
		}
	}
}

// Whatever pages an answer has, and whichever way they go, each hit stands on one of them,
// and nothing on two: not even the session in which many messages came.
func TestPagesDoNotOverlap(t *testing.T) {
	h := newHouse(t)
	h.limits.Hits = 7
	l := h.open()
	at := func(k fact.Kind, i int) fact.Fact {
		return fact.Fact{At: h.now(), Kind: k, Rule: "rule" + strconv.Itoa(i%2), Conn: "c1", Account: "alice@local.test"}
	}
	h.write(l, at(fact.KindAuth, 0))
	for i := range 20 {
		f := at(fact.KindAccept, i)
		f.Queue = testID(t, i)
		h.write(l, f)
		if i == 11 {
			sync1(t, l)
		}
	}
	h.write(l, at(fact.KindDisconnect, 1))
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{}, 22}, {Query{Kinds: []fact.Kind{fact.KindAuth}}, 1}, {Query{Rules: []string{"rule1"}}, 11},
		{Query{Kinds: []fact.Kind{fact.KindAccept, fact.KindAuth}, Rules: []string{"rule0"}}, 11}, {Query{To: testTime()}, 0},
	} {
		for _, term := range []Term{{FieldAddress, "alice@local.test"}, {FieldConn, "c1"}, {FieldAll, ""}} {
			for _, oldest := range []bool{false, true} {
				for _, limit := range []int{1, 3, 5} {
					q := c.q
					q.Terms, q.Limit, q.OldestFirst = []Term{term}, limit, oldest
					seqs := h.pages(l, q)
					sorted := slices.IsSortedFunc(seqs, func(a, b uint64) int {
						if oldest {
							return cmp.Compare(a, b)
						}
						return cmp.Compare(b, a)
					})
					if len(seqs) != c.want || !sorted || len(slices.Compact(seqs)) != c.want {
						t.Errorf("%+v: %d entries, want %d: %v", q, len(seqs), c.want, seqs)
					}
				}
			}
		}
	}
}

// pages reads all pages of a query, and returns the numbers of its entries in their order.
func (h *house) pages(l *trace.Log, q Query) (seqs []uint64) {
	for range 100 {
		a, err := h.reader(l).Query(context.Background(), q)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(a.Entries) > q.Limit {
			h.t.Errorf("%d entries on a page of %d", len(a.Entries), q.Limit)
		}
		if !q.OldestFirst {
			slices.Reverse(a.Entries)
		}
		for _, e := range a.Entries {
			seqs = append(seqs, e.Seq)
		}
		if q.Before, q.After = a.Older, a.Newer; !a.More() {
			return seqs
		}
	}
	h.t.Fatal("the pages do not end")
	return nil
}

// Who took a message knows it by a name of his own, which his answer had: that finds it, with all that became of it.
func TestByTheNameOfWhoTookIt(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for n, tt := range []struct{ said, name string }{
		{"Ok: queued as 4ZxYab1cQz", "4ZxYab1cQz"},
		{"OK id=1tHabc-0000000ABC-2xyz", "1tHabc-0000000abc-2xyz"},
		{"OK  1732963000 d2e1a72fcca58-7251a4b3f2dsi12345b3a.123 - gsmtp", "d2e1a72fcca58-7251a4b3f2dsi12345b3a.123"},
		{"<m3@local.test> [InternalId=65682041930373, Hostname=AM0PR01MB1234.eurprd01.prod.example] 1234 bytes in 0.123, 98.7 KB/sec Queued mail for delivery", "65682041930373"},
		{"4AU9x7zB012345 Message accepted for delivery", "4AU9x7zB012345"},
		{"<bob@remote.test> QmKaBcD3S2eYAgAAx+z Saved", "QmKaBcD3S2eYAgAAx+z"},
	} {
		id := testID(t, 10+n)
		err := l.Write(context.Background(),
			fact.Fact{At: h.now(), Kind: fact.KindAccept, Queue: id, Account: "alice@local.test", Sender: "alice@local.test", Recipients: []string{"bob@remote.test"}, Rule: "submission-relay"},
			fact.Fact{At: h.now(), Kind: fact.KindOutcome, Queue: id, Recipient: "bob@remote.test", Remote: "mx.remote.test [203.0.113.9]:25", Reply: mail.R(250, "2.0.0", tt.said)},
		)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // before it is in the index, and behind
			for _, asked := range []string{tt.name, "remote:" + tt.name, "250 2.0.0 " + tt.said} {
				if strings.Contains(asked, "@") && strings.Contains(asked, " ") {
					continue // who pastes an address asks for that
				}
				a := h.ask(l, asked)
				if got := kinds(a); got != "accept outcome" || a.Entries[0].Fact.Queue != id || a.Matched.Field != FieldRemote {
					t.Errorf("%s: %s by %s", asked, got, a.Matched.Field)
				}
			}
			sync1(t, l)
		}
	}
	// What is refused has no name there, and what we say ourselves is none.
	err := l.Write(context.Background(),
		fact.Fact{At: h.now(), Kind: fact.KindOutcome, Queue: testID(t, 30), Recipient: "bob@remote.test", Remote: "mx.remote.test [203.0.113.9]:25", Reply: mail.R(451, "4.7.1", "try 4refused99 later")},
		fact.Fact{At: h.now(), Kind: fact.KindOutcome, Queue: testID(t, 31), Recipient: "bob@local.test", Reply: mail.R(250, "2.0.0", "kept as 4local9999")},
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"4refused99", "4local9999", "4ZxYab1cQ"} {
		if a := h.ask(l, "remote:"+word); len(a.Entries) > 0 {
			t.Errorf("%s finds %s", word, kinds(a))
		}
	}
}

// A message is found by the envelope id that its sender gave it, as a pasted report names it, whatever is in it; and by none of another's.
func TestByTheEnvelopeID(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for n, envelope := range []string{"QQ314159", "a b+c=1", "one@two.test", "<three@four.test>"} {
		id := testID(t, 10+n)
		accepted := fact.Fact{At: h.now(), Kind: fact.KindAccept, Queue: id, Account: "alice@local.test", Sender: "alice@local.test", Recipients: []string{"bob@remote.test"}, Rule: "submission-relay"}
		err := l.Write(context.Background(), accepted.Evidenced("note", "x").Evidenced(fact.EvidenceEnvelope, envelope),
			fact.Fact{At: h.now(), Kind: fact.KindOutcome, Queue: id, Recipient: "bob@remote.test", Remote: "mx.remote.test [203.0.113.9]:25", Reply: mail.R(550, "5.1.1", "no")})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // before it is in the index, and behind
			for _, asked := range []string{"envid:" + envelope, "envid:" + strings.ToLower(envelope), "Reporting-MTA: dns; x\nOriginal-Envelope-Id: " + envelope + "\n"} {
				a := h.ask(l, asked)
				if got := kinds(a); got != "accept outcome" || a.Entries[0].Fact.Queue != id || a.Matched.Field != FieldEnvelope {
					t.Errorf("%q: %s by %s", asked, got, a.Matched.Field)
				}
			}
			sync1(t, l)
		}
	}
	for _, asked := range []string{"QQ314159", "one@two.test", "<three@four.test>"} {
		if a := h.ask(l, asked); kinds(a) != "accept outcome" || a.Matched.Field != FieldEnvelope {
			t.Errorf("%s: %s by %s", asked, kinds(a), a.Matched.Field)
		}
	}
	for _, asked := range []string{"envid:QQ31415", "envid:x"} {
		if a := h.ask(l, asked); len(a.Entries) > 0 {
			t.Errorf("%s finds %s", asked, kinds(a))
		}
	}
}
