package fact

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
)

func fullFact(t testing.TB) Fact {
	return Fact{
		At: testTime(), Until: testTime().Add(time.Second), Kind: KindAccept, Rule: "submission-relay",
		Conn: "c17", Queue: testID(t, 1), About: testID(t, 2), MessageID: "<a.b@local.test>",
		Account: "alice@local.test", Sender: "alice@local.test", Recipient: "bob@remote.test",
		Recipients: []string{"bob@remote.test", "bób@bücher.test"},
		Peer:       netip.MustParseAddr("192.0.2.7"), Network: netip.MustParsePrefix("192.0.2.0/24"),
		Door: "submission", Hello: "laptop", Reply: mail.R(250, "2.1.5", "first\nsecond"),
		Remote: "mx.remote.test [198.51.100.2]:25", TLS: "TLS1.3 AES_128_GCM_SHA256",
		Size: 1234, Count: 2, Text: `a "quoted" back\slash`, Bundle: testID(t, 3), Digest: "abc=", Part: 3,
		Evidence: []Pair{{"new recipients", "4 of 4"}, {"odds", "x 1,000,000"}}, Cut: 1,
	}
}

// The stored form is what older data holds and what the hashes of the tree are made of: it
// may gain keys, and may never change.
func TestTheStoredFormStays(t *testing.T) {
	const want = `{"at":"2026-11-27T14:03:12.345678Z","until":"2026-11-27T14:03:13.345678Z","kind":"accept","rule":"submission-relay",` +
		`"conn":"c17","queue":"06h1tm9tb400000000000001","about":"06h1tm9tb400000000000002","msgid":"<a.b@local.test>",` +
		`"account":"alice@local.test","sender":"alice@local.test","rcpt":"bob@remote.test","peer":"192.0.2.7","net":"192.0.2.0/24",` +
		`"door":"submission","hello":"laptop","code":250,"status":"2.1.5","reply":"first\nsecond","remote":"mx.remote.test [198.51.100.2]:25",` +
		`"tls":"TLS1.3 AES_128_GCM_SHA256","size":1234,"count":2,"text":"a \"quoted\" back\\slash","bundle":"06h1tm9tb400000000000003",` +
		`"digest":"abc=","part":3,"evidence":["new recipients","4 of 4","odds","x 1,000,000"],"rcpts":["bob@remote.test","bób@bücher.test"],"cut":1}`
	if got := string(fullFact(t).Encode()); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if f, err := Decode([]byte(want)); err != nil || !reflect.DeepEqual(f, fullFact(t)) {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFactReadsBack(t *testing.T) {
	f := fullFact(t)
	b := f.Encode()
	if !json.Valid(b) {
		t.Fatalf("not JSON: %s", b)
	}
	if _, ok := decodeCanonical(b); !ok {
		t.Errorf("the canonical reader refuses its own form: %s", b)
	}
	back, err := Decode(b)
	if err != nil || !reflect.DeepEqual(back, f) {
		t.Fatalf("%v\n got %+v\nwant %+v", err, back, f)
	}
	// Every field of a Fact must be in the full fact, so that a field which is
	// added later cannot be forgotten by the encoder.
	v := reflect.ValueOf(f)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test fact lacks %s", v.Type().Field(i).Name)
		}
	}
	if s := string((Fact{}).Encode()); s != "{}" {
		t.Errorf("the zero fact is %s", s)
	}
}

func TestPeersCannotWriteToTheTerminal(t *testing.T) {
	evil := "x\x1b[2J\r\n\x00\u202e\u2028\xff\u0085é"
	f := Fact{
		Kind: Kind(evil), Rule: evil, Conn: evil, MessageID: evil, Account: evil, Sender: evil, Recipient: evil,
		Recipients: []string{evil}, Door: evil, Hello: evil, Reply: mail.Reply{Code: 550, Text: evil},
		Remote: evil, TLS: evil, Text: evil, Digest: evil, Evidence: []Pair{{evil, evil}},
	}
	for _, s := range []string{string(f.Encode()), f.Line(), strings.ReplaceAll(Timeline([]Fact{f}, nil), "\n", "")} {
		if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("not printable at %d: %q", i, s)
		}
		if !strings.Contains(s, "é") {
			t.Errorf("a letter was escaped: %q", s)
		}
	}
	// A fact that somebody else put into the store is tamed by its reader.
	b, _ := json.Marshal(map[string]any{"kind": "refuse", "text": evil, "rcpts": []string{evil}, "unknown": []int{1}})
	got, err := Decode(b)
	if err != nil || strings.ContainsAny(got.Text+got.Recipients[0], "\x1b\r\x00\u202e") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLine(t *testing.T) {
	id := testID(t, 1)
	for _, tt := range []struct {
		fact Fact
		want string
	}{
		{Fact{At: testTime(), Kind: KindAccept, Queue: id, Sender: "alice@local.test", Recipients: []string{"bob@remote.test"}, Size: 1234, Rule: "submission-relay"},
			"14:03:12 accepted " + id.String() + " from <alice@local.test> to <bob@remote.test> (1.2 KB) rule submission-relay"},
		{Fact{At: testTime(), Kind: KindOutcome, Queue: id, Recipient: "bob@remote.test", Remote: "mx.remote.test", Reply: mail.R(250, "2.0.0", "ok\ndone")},
			"14:03:12 outcome " + id.String() + " to <bob@remote.test> via mx.remote.test 250 2.0.0 ok / done"},
		{Fact{At: testTime(), Kind: KindRefuse, Peer: netip.MustParseAddr("192.0.2.7"), Door: "mx", Sender: "<>", Recipient: "x@y.test", Reply: mail.R(550, "5.7.1", "no"), Rule: "mx-foreign"},
			"14:03:12 refused client 192.0.2.7 on mx from <> to <x@y.test> 550 5.7.1 no rule mx-foreign"},
		{Fact{At: testTime(), Until: testTime().Add(time.Minute), Kind: KindRefuse, Network: netip.MustParsePrefix("192.0.2.0/24"), Count: 40, Recipients: []string{"a@x.test", "b@x.test", "c@x.test", "d@x.test"}},
			"14:03:12 refused 40 times until 14:04:12 network 192.0.2.0/24 to <a@x.test>, <b@x.test>, <c@x.test> and 1 more"},
		{Fact{Kind: "later-kind", Text: "hm"}, "later-kind - hm"},
	} {
		if got := tt.fact.Line(); got != tt.want {
			t.Errorf("\n got %s\nwant %s", got, tt.want)
		}
	}
}

func TestOctets(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 KB", 1_500_000: "1.5 MB", 2_000_000_000: "2.0 GB"} {
		if got := Octets(n); got != want {
			t.Errorf("Octets(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestKindsAreExplainedOnce(t *testing.T) {
	seen := map[Kind]bool{}
	for _, k := range Kinds() {
		if k.Kind == "" || k.Word == "" || k.Doc == "" || seen[k.Kind] {
			t.Errorf("%+v", k)
		}
		seen[k.Kind] = true
	}
}

func TestSplitLosesNoRecipient(t *testing.T) {
	f := fullFact(t)
	f.Recipients, f.Part = nil, 0
	for i := range 2*MaxRecipients + 1 {
		f.Recipients = append(f.Recipients, strings.Repeat("x", i%7+1)+"@remote.test")
	}
	var got []string
	for i, b := range EncodeAll(f) {
		part, err := Decode(b)
		if err != nil || part.Queue != f.Queue || part.Cut != f.Cut || part.Part != i || (i > 0) != (part.Evidence == nil) {
			t.Fatalf("part %d: %v %s", i, err, b)
		}
		got = append(got, part.Recipients...)
	}
	if !reflect.DeepEqual(got, f.Recipients) {
		t.Error("recipients changed")
	}
}

func drawFact(t *rapid.T) Fact {
	text := rapid.OneOf(rapid.String(), rapid.StringN(0, 2000, 8000), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw"))
	}))
	f := Fact{
		At:   time.UnixMicro(rapid.Int64Range(-1<<52, 1<<52).Draw(t, "at")),
		Kind: Kind(text.Draw(t, "kind")), Rule: text.Draw(t, "rule"), Conn: text.Draw(t, "conn"),
		MessageID: text.Draw(t, "msgid"), Account: text.Draw(t, "account"), Sender: text.Draw(t, "sender"),
		Recipient: text.Draw(t, "rcpt"), Recipients: rapid.SliceOfN(text, 0, 120).Draw(t, "rcpts"),
		Door: text.Draw(t, "door"), Hello: text.Draw(t, "hello"),
		Reply:  mail.Reply{Code: rapid.Int().Draw(t, "code"), Enhanced: mail.Enhanced{Class: rapid.Uint16().Draw(t, "e"), Subject: 7, Detail: 1}, Text: text.Draw(t, "reply")},
		Remote: text.Draw(t, "remote"), TLS: text.Draw(t, "tls"), Size: rapid.Int64().Draw(t, "size"),
		Count: rapid.Int().Draw(t, "count"), Text: text.Draw(t, "text"), Digest: text.Draw(t, "digest"), Part: rapid.Int().Draw(t, "part"),
	}
	for _, v := range rapid.SliceOfN(text, 0, 60).Draw(t, "evidence") {
		f.Evidence = append(f.Evidence, Pair{v, v})
	}
	return f
}

func TestAnyFactIsBoundedPrintableAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFact(t)
		b := f.Encode()
		if len(b) > MaxFactOctets {
			t.Fatalf("%d octets", len(b))
		}
		if _, ok := decodeCanonical(b); !ok || !json.Valid(b) {
			t.Fatalf("not canonical: %s", b)
		}
		if strings.IndexFunc(string(b), func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Fatalf("not printable: %q", b)
		}
		g, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if again := g.Encode(); string(again) != string(b) {
			t.Fatalf("unstable:\n%s\n%s", b, again)
		}
	})
}

// Whatever Decode accepts, both readers understand alike and Encode keeps.
func FuzzDecode(f *testing.F) {
	f.Add(fullFact(f).Encode())
	f.Add([]byte(`{"at":"2026-11-27T14:03:12Z","kind":"refuse","x":{"y":[1,2]},"rcpts":["a\u202e"]}`))
	f.Add([]byte(`{"kind":"a","kind":"b","evidence":["a","b"],"evidence":["c","d"]}`))
	f.Add([]byte(`{"KIND":"a","size":1e3}`))
	f.Add([]byte(`{"reply":"a\nb","code":-1,"status":"5.7.1"}`))
	f.Add([]byte(`{,}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Decode(b)
		if err != nil {
			return
		}
		if c, ok := decodeCanonical(b); ok {
			var w wireFact
			if err := json.Unmarshal(b, &w); err != nil {
				t.Fatalf("only the canonical reader reads %q: %v", b, err)
			}
			if general, err := w.fact(); err != nil || !reflect.DeepEqual(general, c) {
				t.Fatalf("%q read differently:\n%+v\n%+v", b, c, general)
			}
		}
		first := g.Encode()
		h, err := Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		if again := h.Encode(); string(again) != string(first) {
			t.Fatalf("unstable:\n%s\n%s", first, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	f := fullFact(b)
	b.ReportAllocs()
	for b.Loop() {
		f.Encode()
	}
}

func BenchmarkDecode(b *testing.B) {
	line := fullFact(b).Encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(line); err != nil {
			b.Fatal(err)
		}
	}
}
