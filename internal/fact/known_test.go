package fact

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Known answers: facts are hashed as they are written, so one that an older release
// wrote must be written alike, and read by both readers. Every field has a value.
func TestKnownFact(t *testing.T) {
	f := Fact{
		At: testTime(), Until: testTime().Add(time.Hour), Kind: KindRefusals, Rule: "relay-denied", Conn: "c1",
		Queue: testID(t, 1), About: testID(t, 2), MessageID: "<1@local.test>", Account: "alice@local.test", Sender: "<>",
		Recipient: "bob@local.test", Recipients: []string{"v@remote.test", "ü@remote.test"},
		Peer: netip.MustParseAddr("2001:db8::1"), Network: netip.MustParsePrefix("192.0.2.0/24"), Door: "mx", Hello: "a \"b\" \\ \x1b[0m",
		Reply: mail.R(550, "5.7.1", "no\nand no"), Remote: "mx.remote.test [192.0.2.1]:25", TLS: "TLS 1.3", Size: 1 << 40, Count: 7, Text: "text",
		Bundle: testID(t, 3), Digest: "ZGln", Evidence: []Pair{{"new recipients", "4 of 4"}, {EvidenceBalancer, "192.0.2.9"}}, Cut: 2,
	}
	const stored = `{"at":"2026-11-27T14:03:12.345678Z","until":"2026-11-27T15:03:12.345678Z","kind":"refusals","rule":"relay-denied","conn":"c1","queue":"06h1tm9tb400000000000001","about":"06h1tm9tb400000000000002","msgid":"<1@local.test>","account":"alice@local.test","sender":"<>","rcpt":"bob@local.test","peer":"2001:db8::1","net":"192.0.2.0/24","door":"mx","hello":"a \"b\" \\ \\x1b[0m","code":550,"status":"5.7.1","reply":"no\nand no","remote":"mx.remote.test [192.0.2.1]:25","tls":"TLS 1.3","size":1099511627776,"count":7,"text":"text","bundle":"06h1tm9tb400000000000003","digest":"ZGln","evidence":["new recipients","4 of 4","balancer","192.0.2.9"],"rcpts":["v@remote.test","ü@remote.test"],"cut":2}`
	if got := string(f.Encode()); got != stored {
		t.Errorf("written as\n%s", got)
	}
	f.Hello = `a "b" \ \x1b[0m`
	if back, err := Decode([]byte(stored)); err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("read as\n%+v, %v", back, err)
	}
	// The same with a blank, which only the general reader takes.
	if back, err := Decode([]byte(" " + stored)); err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("read in general as\n%+v, %v", back, err)
	}
	if got := string(Fact{}.Encode()); got != "{}" {
		t.Errorf("no fact is written as %s", got)
	}
}
