package inspection

import (
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/filter/sender"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/policy"
)

const screened = "[screen]\nlist = \"screen.list\"\n"

// gatehouse inspects what comes to a data folder with one account, and asks a DNS in memory.
type gatehouse struct {
	*Inspection
	t     *testing.T
	dir   string
	cfg   config.Config
	state *State
	data  *datafolder.Folder
	dns   *dnsx.Fake
	now   time.Time
	came  []sender.Observation
}

func open(t *testing.T) *gatehouse {
	t.Helper()
	g := &gatehouse{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), dns: &dnsx.Fake{Texts: map[string][]string{}}}
	g.cfg = foldertest.Load(t, g.dir, "")
	w := settings.World{Now: func() time.Time { return g.now }, Resolver: g.dns}.Complete()
	g.data = foldertest.Open(t, g.cfg, w)
	alice := foldertest.Add(t, g.data, "alice@local.test")
	dir := foldertest.Directory(t, g.cfg, alice)
	g.Inspection = New(Options{World: w, Config: func() config.Config { return g.cfg }, InForce: func() *State { return g.state }})
	g.Open(Behind{Data: g.data, Directory: func() *directory.Snapshot { return dir }, Came: func(o sender.Observation) { g.came = append(g.came, o) }})
	g.adopt("")
	return g
}

// adopt puts a configuration in force.
func (g *gatehouse) adopt(more string) {
	g.t.Helper()
	cfg := foldertest.Load(g.t, g.dir, more)
	next, err := g.Build(cfg, g.state)
	if err != nil {
		g.t.Fatal(err)
	}
	g.cfg, g.state = cfg, next
}

func (g *gatehouse) write(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// look has one inspector look at a message, and reports what it finds; "": it does not look.
func (g *gatehouse) look(name string, m intake.Message, body string) (intake.Finding, bool) {
	g.t.Helper()
	for _, i := range g.Inspectors() {
		if i.Name() != name {
			continue
		}
		look := i.Begin(m)
		if look == nil {
			return intake.Finding{}, false
		}
		look.Body([]byte(body))
		return look.Judge(g.t.Context(), intake.Content{Open: func() (io.Reader, error) {
			return strings.NewReader(string(m.Stored.Raw()) + body), nil
		}}), true
	}
	g.t.Fatalf("nobody is called %s", name)
	return intake.Finding{}, false
}

func header(t *testing.T, lines ...string) message.Header {
	t.Helper()
	h, err := message.ParseHeader([]byte(strings.Join(append(lines, "", ""), "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Whoever the sender is comes first, then bounces and what others say, and signing comes last: it
// covers what the others have put before the message.
func TestTheOrderOfInspectors(t *testing.T) {
	g := open(t)
	var names []string
	for _, i := range g.Inspectors() {
		names = append(names, i.Name())
	}
	want := append([]string{"authentication", "bounces", "rspamd"}, slices.Repeat([]string{"milter"}, config.MaxMilters)...)
	if want = append(want, "signing"); !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// A stranger is who the DNS says, in this server's words, and the reports are told of it; what
// becomes of him is said by the configuration in force.
func TestAStrangerIsWhoTheDNSSays(t *testing.T) {
	g := open(t)
	g.dns.Texts["bad.test"], g.dns.Texts["_dmarc.bad.test"] = []string{"v=spf1 -all"}, []string{"v=DMARC1; p=reject"}
	from, err := mail.ParseReversePath("<x@bad.test>", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	h := header(t, "From: x@bad.test", "Subject: x", "Message-ID: <1@bad.test>", "Date: Mon, 23 Nov 2026 10:00:00 +0000")
	m := intake.Message{Door: gate.DoorMX, Peer: netip.MustParseAddr("192.0.2.7"), Hello: "client.test", Envelope: mail.Envelope{From: from}, Header: h, Stored: h}
	f, looked := g.look("authentication", m, "Hello.\r\n")
	if !looked || f.Action != intake.Refuse || f.Rule != "dmarc-reject" || len(g.came) != 1 || g.came[0].DMARC.Author.ASCII() != "bad.test" {
		t.Errorf("%+v, %+v", f, g.came)
	}
	g.adopt("[authentication]\napply = \"off\"\n")
	if f, _ = g.look("authentication", m, "Hello.\r\n"); f.Action != intake.Pass || !strings.Contains(string(f.Fields), "mx.local.test;") {
		t.Errorf("where it is noted alone: %+v", f)
	}
}

// What our people send, and what the server writes itself, is signed with the key that is in use,
// of a domain of ours alone, while the configuration says so; and the published key is found where
// it is asked for.
func TestWhatIsOursIsSigned(t *testing.T) {
	g := open(t)
	alice := foldertest.Address(t, "alice@local.test")
	changes, err := g.data.Ring.Rotate(t.Context(), alice.Domain(), nil)
	if err != nil || len(changes) == 0 {
		t.Fatalf("%v, %v", changes, err)
	}
	key := changes[0].Key
	if _, err := g.data.Ring.Activate(t.Context(), alice.Domain(), key.Name.Selector, nil); err != nil {
		t.Fatal(err)
	}
	h := header(t, "From: alice@local.test", "Subject: x")
	m := intake.Message{Door: gate.DoorSubmission, Account: alice, Header: h, Stored: h}
	for _, signs := range []bool{true, false} {
		if !signs {
			g.adopt("[dkim]\nsign = \"off\"\n")
		}
		f, _ := g.look("signing", m, "Hello.\r\n")
		ours, err := g.SignOurs(alice.Domain(), h, []byte("Hello.\r\n"))
		if err != nil || strings.Contains(string(f.Fields), "d=local.test") != signs || strings.Contains(string(ours), "d=local.test") != signs {
			t.Errorf("signs: %v: %q, %q, %v", signs, f.Fields, ours, err)
		}
	}
	g.adopt("[dkim]\nlasts = \"6d\"\n")
	if f, _ := g.look("signing", m, "Hello.\r\n"); !strings.Contains(string(f.Fields), "x=") {
		t.Errorf("it lasts for ever: %s", f.Fields)
	}
	foreign := header(t, "From: alice@far.test", "Subject: x")
	if f, looked := g.look("signing", intake.Message{Door: gate.DoorSubmission, Account: alice, Header: foreign, Stored: foreign}, "x\r\n"); looked && len(f.Fields) > 0 {
		t.Errorf("a foreign author: %s", f.Fields)
	}
	found := g.Find(t.Context(), []dkim.KeyName{key.Name})
	if f := found[key.Name]; len(f.Records) != 0 {
		t.Errorf("found before it is published: %+v", f)
	}
	g.dns.Texts[key.Name.Selector+"._domainkey.local.test"] = []string{"v=DKIM1; p="}
	if f := g.Find(t.Context(), []dkim.KeyName{key.Name})[key.Name]; len(f.Records) != 1 {
		t.Errorf("found when it is published: %+v", f)
	}
}

// A bounce of what was never sent from here is looked up in the trace: of a domain whose mail all
// leaves here, and of the host itself.
func TestABounceIsLookedUp(t *testing.T) {
	g := open(t)
	to := mail.Recipient{Address: foldertest.Address(t, "alice@local.test")}
	// The trace must go back far enough before its silence says anything.
	g.now = g.now.AddDate(0, 0, -30)
	if err := g.data.Trace.Write(t.Context(), startedAt(g.now)); err != nil {
		t.Fatal(err)
	}
	g.now = g.now.AddDate(0, 0, 30)
	h := header(t, "From: MAILER-DAEMON@far.test", "Subject: returned")
	m := intake.Message{Door: gate.DoorMX, Envelope: mail.Envelope{From: mail.NullPath(), To: []mail.Recipient{to}}, Header: h, Stored: h}
	for domain, forged := range map[string]bool{"local.test": true, "mx.local.test": true, "far.test": false} {
		f, looked := g.look("bounces", m, "Message-ID: <1@"+domain+">\r\nFrom: x@"+domain+"\r\n")
		if !looked || (f.Rule == "bounce-forged") != forged {
			t.Errorf("%s: %+v", domain, f)
		}
	}
	g.adopt("[bounces]\nforged = \"junk\"\n")
	if f, _ := g.look("bounces", m, "Message-ID: <1@local.test>\r\n"); f.Action != intake.Junk {
		t.Errorf("by the next configuration: %+v", f)
	}
}

// The screen in force judges; a list is read anew with each configuration.
func TestTheScreenInForce(t *testing.T) {
	g := open(t)
	peer := netip.MustParseAddr("192.0.2.7")
	judge := func() policy.Verdict {
		return g.Judge(t.Context(), access.Visitor{Client: peer, From: mail.NullPath(), To: foldertest.Address(t, "alice@local.test")}).Verdict
	}
	if v := judge(); v != policy.Take || g.Exempts(peer) {
		t.Errorf("without a list: %v", v)
	}
	g.write("screen.list", "refuse network 192.0.2.0/24 no\n")
	g.adopt(screened)
	if v := judge(); v != policy.Refuse || g.Exempts(peer) {
		t.Errorf("refused by a line: %v", v)
	}
	g.write("screen.list", "exempt network 192.0.2.0/24\n")
	if v := judge(); v != policy.Refuse {
		t.Errorf("before the reload: %v", v)
	}
	if g.adopt(screened); !g.Exempts(peer) || judge() != policy.Take {
		t.Error("after it the line does not count")
	}
}

// As long as the same servers are asked, what they said stays known; what is wrong with a file is told
// at its key, all of it at once, and there is something to retire in any case.
func TestBuild(t *testing.T) {
	g := open(t)
	first := g.state
	if g.adopt(""); g.state.Keys != first.Keys || g.state.Checks == first.Checks {
		t.Error("the way to keys was made anew, or the checks were not")
	}
	g.write("screen.list", "refuse network 192.0.2.0/24 no\n")
	g.write("secret", "a secret\n")
	cfg := foldertest.Load(t, g.dir, screened+"[rspamd]\nurl = \"http://127.0.0.1:1/\"\npassword_file = \"secret\"\n")
	g.write("screen.list", "refuse everybody\n")
	g.write("secret", "")
	next, err := g.Build(cfg, g.state)
	if next == nil || err == nil {
		t.Fatalf("%v, %v", next, err)
	}
	next.Retire()
	(*State)(nil).Retire()
	var told []string
	for _, f := range settings.Faults(err) {
		told = append(told, f.Text)
	}
	if !slices.Equal(told, []string{"rspamd.password_file", "screen.list"}) {
		t.Errorf("told: %q, %v", told, err)
	}
	var f config.Fault
	cfg = foldertest.Load(t, g.dir, "")
	cfg.Screen.ASFile = filepath.Join(g.dir, "secret")
	if _, err := g.Build(cfg, g.state); !errors.As(err, &f) || f.Text != "screen" {
		t.Errorf("a file of places that does not read: %v", err)
	}
}

// Fields that checks of ours write are taken from whoever brings them along.
func TestReserved(t *testing.T) {
	g := open(t)
	none := g.Reserved()
	g.adopt("[rspamd]\nurl = \"http://127.0.0.1:1/\"\n")
	if got := g.Reserved(); len(got) <= len(none) {
		t.Errorf("%q, without: %q", got, none)
	}
}

func startedAt(at time.Time) fact.Fact { return fact.Started{At: at, Rule: "server"}.Fact() }
