package intake

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/smtp/server"
	"sallyport/internal/spool"
)

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A finding that breaks a rule defers the message and says which; one within all of them counts.
func TestFindingsAreMended(t *testing.T) {
	l := Limits{InspectedOctets: 10}
	field := []byte("X: abcde\r\n") // ten octets
	for name, row := range map[string]struct {
		f      Finding
		before int
		fault  string // "": it counts
	}{
		"passed":                  {f: Finding{Action: Pass}},
		"passed with a field":     {f: Finding{Action: Pass, Fields: field}},
		"one octet too many":      {f: Finding{Action: Pass, Fields: field}, before: 1, fault: "header fields of 10 octets"},
		"nothing said":            {f: Finding{}, fault: "said nothing"},
		"beyond the last":         {f: Finding{Action: Refuse + 1, Rule: "r"}, fault: "said nothing"},
		"junk":                    {f: Finding{Action: Junk, Rule: "r"}},
		"junk without a rule":     {f: Finding{Action: Junk}, fault: "names no rule"},
		"refused":                 {f: Finding{Action: Refuse, Rule: "r", Reply: mail.R(550, "5.7.1", "no")}},
		"refused for now":         {f: Finding{Action: Refuse, Rule: "r", Reply: mail.R(450, "4.7.1", "no")}, fault: "its reply is"},
		"refused without a reply": {f: Finding{Action: Refuse, Rule: "r"}, fault: "its reply is"},
		"put off":                 {f: Finding{Action: Defer, Rule: "r", Reply: mail.R(450, "4.7.1", "later")}},
		"put off without a reply": {f: Finding{Action: Defer, Rule: "r"}},
		"put off for good":        {f: Finding{Action: Defer, Rule: "r", Reply: mail.R(550, "5.7.1", "no")}, fault: "its reply is"},
		"refused with nonsense":   {f: Finding{Action: Refuse, Rule: "r", Reply: mail.R(550, "5.7.1", "no"), Fields: []byte("nonsense")}},
		"no field":                {f: Finding{Action: Pass, Fields: []byte("nonsense")}, fault: "field"},
		"an unended field":        {f: Finding{Action: Pass, Fields: []byte("X: y")}, fault: "field"},
		"the end of the header":   {f: Finding{Action: Pass, Fields: []byte("X: y\r\n\r\n")}, fault: "field"},
		"beyond ASCII":            {f: Finding{Action: Pass, Fields: []byte("X: \x80\r\n")}, fault: "not ASCII"},
		"another octet beyond":    {f: Finding{Action: Pass, Fields: []byte("X: é\r\n")}, fault: "not ASCII"},
		"the last of ASCII":       {f: Finding{Action: Pass, Fields: []byte("X: \x7f\r\n")}},
	} {
		got := l.mended("scanner", row.f, row.before)
		switch {
		case row.fault == "" && (got.Action != row.f.Action || got.Rule != row.f.Rule || string(got.Fields) != string(row.f.Fields)):
			t.Errorf("%s: %+v", name, got)
		case row.fault != "" && (got.Action != Defer || got.Rule != "inspection-failed" || got.Reply.Code != 451 || len(got.Notes) != 2 || got.Notes[0].Value != "scanner" || !strings.Contains(got.Notes[1].Value, row.fault)):
			t.Errorf("%s: %+v", name, got)
		}
		if got.Action == Defer && got.Reply.Code/100 != 4 {
			t.Errorf("%s: put off with %v", name, got.Reply)
		}
	}
	for _, a := range []Action{Pass, Junk, Hold, Defer, Refuse} {
		if !counts(Finding{Action: a}, false) || counts(Finding{Action: a}, true) != (a == Refuse) {
			t.Errorf("%v: whether it counts", a)
		}
	}
}

// What a server behind us said is told in words, and bounded.
func TestWordsOfServersBehind(t *testing.T) {
	about := address(t, "a@behind.test")
	for want, a := range map[string]callout.Answer{
		"a@behind.test is not known":                                   {},
		"a@behind.test is taken; 250 ok; says gateway":                 {Known: callout.Yes, Reply: mail.R(250, "", "ok"), Remote: "gateway"},
		"a@behind.test is refused; 550 5.1.1 who; 2s ago":              {Known: callout.No, Reply: mail.R(550, "5.1.1", "who"), Age: 1600 * time.Millisecond},
		"a@behind.test is not known; says gateway; it does not answer": {Remote: "gateway", Why: "it does not answer"},
	} {
		if got := pairOf(letter.Heard{About: about, Answer: a}); got.Name != "server behind" || got.Value != want {
			t.Errorf("%q, want %q", got.Value, want)
		}
	}
	otherwise := mail.R(550, "5.1.1", "no such user")
	for _, row := range []struct {
		r    mail.Reply
		want string
	}{
		{mail.R(550, "5.2.2", "mailbox\nfull"), "550 5.2.2 the server of this domain refuses the recipient: mailbox full"},
		{mail.R(550, "5.1.1", "who"), otherwise.String()}, {mail.R(550, "", "who"), otherwise.String()},
		{mail.R(450, "4.2.2", "full"), otherwise.String()},
		{mail.R(550, "4.2.2", "full"), otherwise.String()}, {mail.Reply{}, otherwise.String()},
	} {
		if got := refusalOf(letter.Heard{Answer: callout.Answer{Reply: row.r}}, otherwise); got.String() != row.want {
			t.Errorf("%v is told as %v", row.r, got)
		}
	}
	heard := make([]letter.Heard, 7)
	found := make([]fact.Pair, 7)
	for i := range found {
		heard[i].About, found[i].Name = about, fmt.Sprint(i)
	}
	for _, row := range [][3]int{{0, 0, 0}, {0, 3, 3}, {3, 3, 6}, {7, 7, 10}, {7, 0, 7}} {
		tx := &transaction{}
		tx.note(heard[:row[1]], found[:row[0]])
		if len(tx.said) != row[2] {
			t.Errorf("%v: %d are told", row, len(tx.said))
		}
		tx.note(nil, found)
		tx.note(nil, found)
		tx.note(heard, found)
		if len(tx.said) != maxHeard {
			t.Errorf("%v: %d are told in the end, want %d", row, len(tx.said), maxHeard)
		}
	}
}

// Of a message that servers behind us were offered and nobody took: tried again while anything
// may pass, and refused in the words of the first.
func TestWhatARefusedOfferComesTo(t *testing.T) {
	no, later, odd := mail.R(550, "5.7.1", "spam"), mail.R(451, "4.2.2", "full"), mail.R(451, "", "hm")
	for _, row := range []struct {
		replies    []mail.Reply
		rule, want string
	}{
		{[]mail.Reply{no}, "cut-through-refused", "554 5.7.1 the server of this domain says: spam"},
		{[]mail.Reply{no, later}, "cut-through-deferred", "451 4.2.2 the server of this domain says: full"},
		{[]mail.Reply{later, no}, "cut-through-deferred", "451 4.2.2 the server of this domain says: full"},
		{[]mail.Reply{no, mail.R(552, "5.2.2", "big")}, "cut-through-refused", "554 5.7.1 the server of this domain says: spam"},
		{[]mail.Reply{odd}, "cut-through-deferred", "451 4.3.0 the server of this domain says: hm"},
	} {
		var o offered
		for _, r := range row.replies {
			o.outcomes, o.deliveries = append(o.outcomes, mail.Outcome{Reply: r, Remote: "gateway"}), append(o.deliveries, spool.Delivery{Mailbox: address(t, "a@behind.test")})
		}
		e := o.refusal()
		if e.rule != row.rule || e.reply.String() != row.want || len(e.evidence) != len(row.replies) || e.Error() != row.rule+": "+row.want {
			t.Errorf("%v: %v", row.replies, e)
		}
		if want := "a@behind.test; " + row.replies[0].String() + "; says gateway"; e.evidence[0].Value != want {
			t.Errorf("evidence %q, want %q", e.evidence[0].Value, want)
		}
	}
	var many offered
	for range 12 {
		many.outcomes, many.deliveries = append(many.outcomes, mail.Outcome{}), append(many.deliveries, spool.Delivery{})
	}
	if n := len(many.pairs()); n != maxHeard {
		t.Errorf("%d are told", n)
	}
}

// Every reason for which a message is not stored has an answer and a rule of its own; what nobody
// knows passes by itself.
func TestWhyAMessageIsNotStored(t *testing.T) {
	for err, want := range map[error]string{
		letter.ErrGrants: "grants-do-not-join 451", spool.ErrFull: "queue-full 452", spool.ErrTooLarge: "message-too-large 552", spool.ErrLow: "storage-unavailable 452",
		spool.ErrHeld: "account-queue-held 450", errors.New("who knows"): "message-not-stored 451",
	} {
		rule, r := notStored(fmt.Errorf("put: %w", err))
		if got := fmt.Sprint(rule, " ", r.Code); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
	for err, want := range map[error]string{
		message.ErrHeaderTooLarge: "header-too-large 552", message.ErrTooManyFields: "header-too-large 552",
		message.ErrNoRoom: RuleMemory + " 452", message.ErrLineEnding: "header-line-ending 554",
	} {
		refused, ok := errors.AsType[*errRefused](headerError(fmt.Errorf("header: %w", err)))
		if !ok || fmt.Sprint(refused.rule, " ", refused.reply.Code) != want {
			t.Errorf("%v: %v, want %s", err, refused, want)
		}
	}
	if err := headerError(errConnection); err != errConnection {
		t.Errorf("an error of the connection becomes %v", err)
	}
}

// A program is told apart by the first name of its host without digits, by how it signs in, and by
// its TLS.
func TestHowAProgramIsCalled(t *testing.T) {
	state := &tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_128_GCM_SHA256}
	for _, row := range []struct {
		hello string
		state *tls.ConnectionState
		want  string
	}{
		{"Laptop09.example.org", nil, "laptop PLAIN"}, {"laptop0", nil, "laptop PLAIN"}, {"[192.0.2.1]", nil, "an address PLAIN"}, {"a/:b", nil, "a/:b PLAIN"},
		{"laptop", state, "laptop PLAIN TLS 1.3 TLS_AES_128_GCM_SHA256"},
	} {
		if got := program(row.hello, "PLAIN", row.state); got != row.want {
			t.Errorf("%s: %q, want %q", row.hello, got, row.want)
		}
	}
}

// Only the domain of a sender that is somebody else's is one.
func TestForeignDomains(t *testing.T) {
	far := mail.PathOf(address(t, "x@far.test"))
	for _, row := range []struct {
		o    gate.Ownership
		from mail.ReversePath
		want string
	}{{gate.OwnershipForeign, far, "far.test"}, {gate.OwnershipOwned, far, ""}, {gate.OwnershipForeign, mail.NullPath(), ""}, {gate.OwnershipNull, mail.NullPath(), ""}} {
		if got := foreignDomain(row.o, row.from); got != row.want {
			t.Errorf("%+v: %q", row, got)
		}
	}
}

// Each kind of door is one of the gate's, and has its name.
func TestDoors(t *testing.T) {
	for k, want := range map[server.Kind]string{server.KindMX: "mx", server.KindSubmission: "submission", server.KindSubmissions: "submissions", server.KindSendmail: "sendmail", 99: "unknown"} {
		if got := doorName(k); got != want {
			t.Errorf("%v is called %s", k, got)
		}
	}
	for k, want := range map[server.Kind]gate.Door{server.KindMX: gate.DoorMX, server.KindSubmission: gate.DoorSubmission, server.KindSubmissions: gate.DoorSubmission, server.KindSendmail: gate.DoorSendmail, 99: gate.DoorUnknown} {
		if got := door(k); got != want {
			t.Errorf("%v is %v", k, got)
		}
	}
}

// What a recipient and a header section take of memory grows with all that is in them.
func TestWhatIsTakenOfMemory(t *testing.T) {
	r := mail.Recipient{Address: address(t, "a@b.test"), ORcpt: mail.ORcpt{Address: "12345"}}
	ways := []spool.Delivery{{Mailbox: address(t, "c@d.test")}, {}}
	if got, want := recipientCost(r, ways), int64(512+4*8+5+(512+2*8)+512); got != want {
		t.Errorf("a recipient takes %d, want %d", got, want)
	}
	h, err := message.ParseHeader([]byte("A: b\r\nC: d\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := headerCost(h), int64(3*12+2*128); got != want {
		t.Errorf("a header section takes %d, want %d", got, want)
	}
}

// A message is lent to its inspectors until it is judged, and never after.
func TestAMessageIsLent(t *testing.T) {
	asked := 0
	l := lease{open: (&bodyOf{&asked}).open}
	if _, err := l.reader(); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	l.end()
	if _, err := l.reader(); !errors.Is(err, errJudged) || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// An inspector for whom there is no place is not asked, and says so.
func TestInspectionsAreCrowded(t *testing.T) {
	in := New(Options{Limits: DefaultLimits(), Memory: allowance.New(1 << 20)})
	tx := &transaction{s: &session{in: in}, hold: in.Memory.Hold(false), limit: DefaultLimits()}
	for range cap(in.inspecting) {
		in.inspecting <- struct{}{}
	}
	f := tx.ask(context.Background(), look{name: "scanner"}, Content{})
	if f.Action != Defer || f.Rule != "inspection-crowded" || len(f.Notes) != 1 || f.Notes[0].Value != "scanner" {
		t.Errorf("%+v", f)
	}
}

type bodyOf struct{ asked *int }

func (b *bodyOf) open() (io.Reader, error) {
	*b.asked++
	return strings.NewReader(""), nil
}
