package inspection

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"sallyport/internal/fact"
	"sallyport/internal/filter/flood"
	"sallyport/internal/filter/sender"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/geo/geotest"
	"sallyport/internal/screen/policy"
)

// key makes a key for a domain and puts it to use.
func (g *gatehouse) key(d mail.Domain) {
	g.t.Helper()
	changes, err := g.data.Ring.Rotate(g.t.Context(), d, nil)
	if err != nil || len(changes) == 0 {
		g.t.Fatalf("%v, %v", changes, err)
	}
	if _, err := g.data.Ring.Activate(g.t.Context(), d, "", nil); err != nil {
		g.t.Fatal(err)
	}
	for _, c := range changes {
		g.dns.Texts[c.Key.Name.Selector+"._domainkey."+d.ASCII()] = []string{c.Key.Record}
	}
}

// What is signed, by an inspector and for the server itself, is signed when the clock says.
func TestASignatureIsOfTheClock(t *testing.T) {
	g := open(t)
	alice := foldertest.Address(t, "alice@local.test")
	g.key(alice.Domain())
	h := header(t, "From: alice@local.test", "Subject: x")
	f, _ := g.look("signing", intake.Message{Door: gate.DoorSubmission, Account: alice, Header: h, Stored: h}, "Hello.\r\n")
	ours, err := g.SignOurs(alice.Domain(), h, []byte("Hello.\r\n"))
	if at := fmt.Sprintf("t=%d;", g.now.Unix()); err != nil || !strings.Contains(string(f.Fields), at) || !strings.Contains(string(ours), at) {
		t.Errorf("at %v: %s\n%s\n%v", g.now, f.Fields, ours, err)
	}
}

// A stranger's signature is looked up in the DNS, and counts until it ends by the clock.
func TestAStrangersSignatureEndsByTheClock(t *testing.T) {
	g := open(t)
	far := foldertest.Address(t, "x@far.test")
	g.key(far.Domain())
	signer := sender.Signer{
		On: func() bool { return true }, Ours: func(mail.Domain) bool { return true }, Keys: g.data.Ring.Signing,
		Lasts: func() time.Duration { return time.Hour }, Now: func() time.Time { return g.now }, Logger: g.o.Logger,
	}
	plain := header(t, "From: x@far.test", "Subject: x", "Message-ID: <1@far.test>", "Date: Mon, 23 Nov 2026 10:00:00 +0000")
	fields, err := signer.SignOurs(far.Domain(), plain, []byte("Hello.\r\n"))
	if err != nil || len(fields) == 0 {
		t.Fatalf("%s, %v", fields, err)
	}
	h, err := message.ParseHeader(append(fields, plain.Raw()...))
	if err != nil {
		t.Fatal(err)
	}
	m := intake.Message{Door: gate.DoorMX, Peer: netip.MustParseAddr("192.0.2.7"), Hello: "client.test", Envelope: mail.Envelope{From: mail.PathOf(far)}, Header: h, Stored: h}
	for _, passed := range []bool{true, false} {
		if f, _ := g.look("authentication", m, "Hello.\r\n"); strings.Contains(string(f.Fields), "dkim=pass") != passed {
			t.Errorf("at %v: %s", g.now, f.Fields)
		}
		g.now = g.now.Add(2 * time.Hour)
	}
}

// bounce is a bounce to somebody.
func (g *gatehouse) bounce(to mail.Address) intake.Message {
	g.t.Helper()
	h := header(g.t, "From: MAILER-DAEMON@far.test", "Subject: returned")
	return intake.Message{Door: gate.DoorMX, Envelope: mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{{Address: to}}}, Header: h, Stored: h}
}

// returned is a message in alice's name that was returned.
const returned = "Message-ID: <1@local.test>\r\nFrom: alice@local.test\r\n"

// That the trace does not know a message says nothing before it goes back far enough, by the clock.
func TestAYoungTraceForgesNothing(t *testing.T) {
	g := open(t)
	if err := g.data.Trace.Write(t.Context(), startedAt(g.now)); err != nil {
		t.Fatal(err)
	}
	for _, forged := range []bool{false, true} {
		f, looked := g.look("bounces", g.bounce(foldertest.Address(t, "alice@local.test")), returned)
		if !looked || (f.Rule == "bounce-forged") != forged {
			t.Errorf("at %v: %+v", g.now, f)
		}
		g.now = g.now.AddDate(0, 0, 60)
	}
}

// What was sent from here is known by the trace, and what comes back to a forward's return path answers that.
func TestABounceOfOursIsNotForged(t *testing.T) {
	g := open(t)
	alice := foldertest.Address(t, "alice@local.test")
	if err := g.data.Trace.Write(t.Context(), startedAt(g.now)); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.AddDate(0, 0, 60)
	id, err := mail.NewID(g.now, g.o.Rand)
	if err != nil {
		t.Fatal(err)
	}
	sent := fact.Accepted{At: g.now, Rule: "submission-sender", Session: fact.Session{Door: "submission", Account: alice.String()}, Message: fact.Message{Queue: id, MessageID: "<1@local.test>", Account: alice.String(), Sender: alice.String()}, Recipients: []string{"x@far.test"}, Reply: mail.R(250, "2.0.0", "ok")}
	if err := g.data.Trace.Write(t.Context(), sent.Fact()); err != nil {
		t.Fatal(err)
	}
	if err := g.data.Trace.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f, looked := g.look("bounces", g.bounce(alice), returned); !looked || f.Rule == "bounce-forged" {
		t.Errorf("of what was sent: %+v", f)
	}
	if f, looked := g.look("bounces", g.bounce(alice), strings.Replace(returned, "<1@", "<2@", 1)); !looked || f.Rule != "bounce-forged" {
		t.Errorf("of what was not: %+v", f)
	}
	g.data.ReturnPaths.Learn([]mail.Address{alice})
	path, err := g.data.ReturnPaths.Forward(alice, g.now)
	if err != nil {
		t.Fatal(err)
	}
	if f, looked := g.look("bounces", g.bounce(path), returned); looked {
		t.Errorf("to the return path of a forward: %+v", f)
	}
}

// Of bounces that answer nothing so many are let in as are readable, and as many again once time has passed by the clock.
func TestBouncesInNumbersAreHeld(t *testing.T) {
	g := open(t)
	if err := g.data.Trace.Write(t.Context(), startedAt(g.now)); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.AddDate(0, 0, 60)
	g.adopt("[bounces]\nforged = \"junk\"\n")
	held := func() bool {
		f, looked := g.look("bounces", g.bounce(foldertest.Address(t, "alice@local.test")), returned)
		if !looked || f.Action != intake.Junk && (f.Action != intake.Hold || f.Rule != flood.Rule) {
			t.Fatalf("%+v", f)
		}
		return f.Action == intake.Hold
	}
	for n := 0; !held(); n++ {
		if n > 10*flood.DefaultLimits().First {
			t.Fatal("they are never held")
		}
	}
	if g.now = g.now.Add(time.Hour); held() {
		t.Error("an hour later they are held still")
	}
}

// The screen asks the lists that the configuration names, refuses from its score on, slows for its time, knows where addresses
// belong, and counts what hits by the clock.
func TestTheScreenIsThatOfTheConfiguration(t *testing.T) {
	g := open(t)
	g.dns.Hosts = map[string][]netip.Addr{"7.2.0.192.list.test": {netip.MustParseAddr("127.0.0.2")}}
	geotest.Write(t, filepath.Join(g.dir, "as.mmdb"), 4, map[string]mmdbtype.DataType{"198.51.100.0/24": geotest.System(64500)})
	judge := func(client string) policy.Judgement {
		return g.Judge(t.Context(), access.Visitor{Client: netip.MustParseAddr(client), From: mail.NullPath(), To: foldertest.Address(t, "alice@local.test")})
	}
	g.write("screen.list", "slow network 203.0.113.0/24\nrefuse as AS64500 no\n")
	const lists = screened + "refuse_at = %d\nslow = \"7s\"\ntimeout = \"9s\"\nas_file = \"as.mmdb\"\n[dnsbl.\"list.test\"]\nweight = 6\n"
	g.adopt(fmt.Sprintf(lists, 7))
	if o := g.Screen().Options(); o.Time != 9*time.Second {
		t.Errorf("questions may take %v", o.Time)
	}
	if j := judge("192.0.2.7"); j.Verdict != policy.Take || j.Score != 6 {
		t.Errorf("below the score: %+v", j)
	}
	g.now = g.now.Add(time.Hour)
	g.adopt(fmt.Sprintf(lists, 6))
	if j := judge("192.0.2.7"); j.Verdict != policy.Refuse || j.Score != 6 {
		t.Errorf("at the score: %+v", j)
	}
	if j := judge("203.0.113.7"); j.Wait != 7*time.Second {
		t.Errorf("who is slowed: %+v", j)
	}
	if j := judge("198.51.100.7"); j.Verdict != policy.Refuse {
		t.Errorf("who is of a system that is refused: %+v", j)
	}
	hits := g.Screen().Hits()
	if last := hits[len(hits)-1]; len(hits) != 3 || last.Hits != 2 || !last.Last.Equal(g.now) || !last.Since.Equal(g.now.Add(-time.Hour)) {
		t.Errorf("counted: %+v", hits)
	}
}

// Who checks content is told the name that a client's address proves; a name that does not lead back is none, and
// whoever signs in by loopback has none.
func TestChecksAreToldTheNameOfAClient(t *testing.T) {
	g := open(t)
	told := ""
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told = strings.Join(r.Header["Hostname"], ", ")
		_, _ = io.WriteString(w, `{"action":"no action","score":1}`)
	}))
	defer web.Close()
	g.dns.Names = map[string][]string{"192.0.2.7": {"liar.test", "mx.far.test"}, "192.0.2.8": {"liar.test"}, "127.0.0.1": {"localhost.test"}}
	g.dns.Hosts = map[string][]netip.Addr{
		"mx.far.test": {netip.MustParseAddr("192.0.2.7")}, "liar.test": {netip.MustParseAddr("198.51.100.1")}, "localhost.test": {netip.MustParseAddr("127.0.0.1")},
	}
	g.adopt("[rspamd]\nurl = \"" + web.URL + "\"\n")
	h := header(t, "From: x@far.test", "Subject: x")
	for client, want := range map[string]string{"192.0.2.7": "mx.far.test", "192.0.2.8": "", "192.0.2.9": "", "127.0.0.1": ""} {
		told = "nothing"
		m := intake.Message{Door: gate.DoorMX, Peer: netip.MustParseAddr(client), Envelope: mail.Envelope{From: mail.NullPath()}, Header: h, Stored: h}
		if f, looked := g.look("rspamd", m, "Hello.\r\n"); !looked || f.Action != intake.Pass || told != want {
			t.Errorf("%s: told %q, want %q; %+v", client, told, want, f)
		}
	}
}
