package fact

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// one returns an event of each kind with every field that its type has.
func one(t testing.TB) []Event {
	at := testTime()
	saw := []Pair{{"by uid", "0"}, {"reason", "a=b c"}}
	s := Session{
		Conn: "c17", Peer: netip.MustParseAddr("192.0.2.7"), Door: "submission", Hello: "laptop", TLS: "TLS1.3 AES_128_GCM_SHA256",
		Account: "alice@local.test", Evidence: []Pair{{EvidenceBalancer, "10.0.0.1"}},
	}
	m := Message{Queue: testID(t, 1), MessageID: "<a.b@local.test>", Account: "alice@local.test", Sender: "alice+x@local.test", Size: 1234}
	own := Message{Queue: testID(t, 2), MessageID: "<n@mx.local.test>", Account: "alice@local.test", Sender: "<>", Size: 900}
	to := []string{"bob@remote.test", "carol@local.test (box@local.test)"}
	remote := "mx.remote.test [198.51.100.2]:25"
	return []Event{
		Started{at, "server", "sallyport 1.2", []Pair{{"mx", "0.0.0.0:25"}}},
		Stopped{at, "server", "sallyport 1.2", []Pair{{"mx", "0.0.0.0:25"}}},
		Reloaded{at, "configuration-reloaded", "the configuration is in force", []Pair{{"by", "uid 0"}, {"changed", "limits.message"}}},
		Recovered{at, "recovery", 3, []Pair{{"resumed", "1"}, {"held", "2"}}},
		Disconnected{at, "connection-ended", s, "quit", 2, "", nil, "", []Pair{{"refused", "1"}, {"lasted", "1.5s"}}},
		SignIn{at, "signin-password", s, mail.R(535, "5.7.8", "authentication failed"), "wrong password", []Pair{{"mechanism", "PLAIN"}, {"user", "alice"}}},
		Refused{at, "relay-denied", s, mail.R(550, "5.7.1", "relaying denied"), "m@evil.test", []string{"bob@remote.test"}, "<x@evil.test>", "RCPT TO", saw},
		Accepted{at, "submission-relay", s, m, to, mail.R(250, "2.0.0", "queued as 1"), []Pair{{"note", "a date was added"}}},
		Outcome{at, "delivered", Session{}, m, to, remote, "TLS1.2 X", mail.R(250, "2.0.0", "taken"), 1, "", []Pair{{EvidenceReturnPath, "prvs=1=alice@local.test"}}},
		Outcome{at, "deferred", s, m, to, remote, "", mail.R(451, "4.3.0", "later"), 1, "while the sender waited", nil},
		Notified{at, "notify-verified-sender", own, testID(t, 1), []string{"alice@local.test"}, []Pair{{"failed", "bob@remote.test"}}},
		Forwarded{at, "forward-onward", own, testID(t, 1), to, "", nil},
		Held{at, "dispatch-hold", s, m, "the account is frozen", saw},
		Held{at, "operator", Session{}, Message{Account: "alice@local.test"}, "the account's queue", saw},
		Released{at, "operator", Message{Account: "alice@local.test"}, "the account's queue", saw},
		Retried{at, "operator", m, saw},
		Removed{at, "operator", m, saw},
		Redirected{at, "mx-local", own, testID(t, 1), to, []Pair{{"instead of", "dan@local.test"}, {"by uid", "0"}}},
		Asked{at, "operator", m, "the headers were read", saw},
		AccountChanged{at, "operator", "alice@local.test", "frozen", saw},
		DirectoryChanged{at, "operator", "info@local.test", to, "boss@local.test", "alias added", saw},
		CalloutsForgotten{at, "operator", to, 2, "what servers behind said of recipients was forgotten: 2 answers", saw},
		KeyChanged{at, "dkim-key", "local.test", "s1._domainkey.local.test: in use", []Pair{{"selector", "s1"}, {"state", "in use"}}},
		Alarm{at, "recipients-hour", "alice@local.test has 500 recipients", s, m, to, mail.R(550, "5.1.1", "no such user"), remote, 7, saw},
		Incident{at, "hijack", "alice@local.test", 7, "incident 7 raised", s, m, saw},
		Refusals{at, 12, testID(t, 3), "abc="},
		BackedUp{at, "operator", "of everything", saw},
		Restored{at, "operator", "from a backup of 2026-11-27T14:03:12Z", saw},
		Forgotten{at, "trace-retention", 40, Pair{"facts before", "41"}},
	}
}

// What each type is stored as, and how it reads for people, are known answers: data of
// every earlier release was written so.
func TestEveryKindIsStoredAsEver(t *testing.T) {
	f, err := os.Open("testdata/kinds.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	want := bufio.NewScanner(f)
	kinds := map[Kind]bool{}
	for _, e := range one(t) {
		r := e.Fact()
		kinds[r.Kind] = true
		for _, got := range []string{string(r.Encode()), r.Line(), r.Brief()} {
			if want.Scan(); want.Text() != got {
				t.Errorf("%T\n got %s\nwant %s", e, got, want.Text())
			}
		}
		back, err := Decode(r.Encode())
		if err != nil {
			t.Fatal(err)
		}
		told := back.Event()
		if reflect.TypeOf(told) != reflect.TypeOf(e) {
			t.Errorf("%T reads back as %T", e, told)
		}
		if got := told.Fact(); !reflect.DeepEqual(got, back) {
			t.Errorf("%T\n got %+v\nwant %+v", e, got, back)
		}
	}
	if want.Scan() {
		t.Error("the file has more")
	}
	for _, k := range Kinds() {
		if !kinds[k.Kind] {
			t.Errorf("no event is of the kind %s", k.Kind)
		}
	}
}

// Every field of a type reaches the record and comes back: one that is empty in the type
// read back was given up on the way.
func TestNoFieldIsLost(t *testing.T) {
	for _, e := range one(t) {
		told := reflect.ValueOf(e.Fact().Event())
		made := reflect.ValueOf(e)
		for i := range made.NumField() {
			name := made.Type().Field(i).Name
			if name == "Session" || name == "Message" || name == "Evidence" {
				continue
			}
			if made.Field(i).IsZero() != told.Field(i).IsZero() {
				t.Errorf("%T.%s: %v came back as %v", e, name, made.Field(i), told.Field(i))
			}
		}
	}
}

func TestWhatIsNoSingleEventStaysItsRecord(t *testing.T) {
	sum := Fact{At: testTime(), Until: testTime(), Kind: KindRefuse, Count: 3}
	if e, ok := sum.Event().(Several); !ok || !reflect.DeepEqual(e.Fact(), sum) {
		t.Errorf("%#v", sum.Event())
	}
	later := Fact{At: testTime(), Kind: "of-a-later-release", Remote: "x"}
	if e, ok := later.Event().(Unknown); !ok || !reflect.DeepEqual(e.Fact(), later) {
		t.Errorf("%#v", later.Event())
	}
}

// One event makes a record of its own: evidence of a session that two events share is
// not written over by the second.
func TestEventsShareNothing(t *testing.T) {
	shared := make([]Pair, 1, 8)
	shared[0] = Pair{"a", "b"}
	s := Session{Evidence: shared}
	first := Disconnected{Session: s, Evidence: []Pair{{"first", "1"}}}.Fact()
	second := Disconnected{Session: s, Evidence: []Pair{{"second", "2"}}}.Fact()
	if got := fmt.Sprint(first.Evidence, second.Evidence); !strings.Contains(got, "first") || !strings.Contains(got, "second") {
		t.Error(got)
	}
}
