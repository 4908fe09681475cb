package watching

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/incident"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

const printers = "listen.submission = [\"127.0.0.1:0\"]\ntls.cert = \"server.pem\"\ntls.key = \"server.key\"\n[network.printers]\nfrom = [\"192.0.2.0/24\"]\naccount = \"alice@local.test\"\n"

// post is where accounts are watched, and whom it tells.
type post struct {
	*Watchers
	t      *testing.T
	dir    string
	cfg    config.Config
	data   *datafolder.Folder
	alice  mail.Address
	host   trust.Host
	blind  error // the host cannot be looked at
	ended  []mail.Address
	raised int
	logged bytes.Buffer
}

func open(t *testing.T) *post {
	t.Helper()
	return openIn(t, settings.World{})
}

// openIn opens it in a world, on a host of its own.
func openIn(t *testing.T, w settings.World) *post {
	t.Helper()
	p := &post{t: t, dir: t.TempDir(), host: trust.Host{Known: true}}
	if err := pki.In(p.dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.cfg = foldertest.Load(t, p.dir, "")
	w.Logger, w.Look = slog.New(slog.NewTextHandler(&p.logged, nil)), func() (trust.Host, error) { return p.host, p.blind }
	w = w.Complete()
	p.data = foldertest.Open(t, p.cfg, w)
	p.alice = foldertest.Add(t, p.data, "alice@local.test")
	var err error
	p.Watchers, err = Open(t.Context(), Options{
		World: w, Config: func() config.Config { return p.cfg }, Data: p.data,
		EndSessions: func(a mail.Address) int { p.ended = append(p.ended, a); return 7 },
		Raised:      func() { p.raised++ },
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What the configuration says of watching arrives.
func TestSettings(t *testing.T) {
	cfg := config.Config{}
	cfg.Hijack.Odds = 4711
	for _, mode := range hijack.Modes() {
		cfg.Hijack.Mode = mode
		if got := settingsOf(cfg); got.Mode != mode || got.Params != cfg.Hijack.Params() || got.Params == (config.Config{}).Hijack.Params() {
			t.Errorf("%v: %+v", mode, got)
		}
	}
}

// A configuration changes nothing before it is adopted, and then both how accounts and which networks are
// watched; the account of a network may write to no more than the network.
func TestAConfigurationIsAdopted(t *testing.T) {
	p := open(t)
	next := foldertest.Load(t, p.dir, printers+"[hijack]\nmode = \"observe\"\n")
	change, err := p.Build(next)
	if err != nil {
		t.Fatal(err)
	}
	change.Abandon()
	if p.Watch.Mode() != hijack.Enforce || len(p.Networks.Reports()) != 0 {
		t.Errorf("before: %v, %v", p.Watch.Mode(), p.Networks.Reports())
	}
	change.Adopt()
	r := p.Networks.Reports()
	if p.Watch.Mode() != hijack.Observe || len(r) != 1 || r[0].Name != "printers" || r[0].Account != "alice@local.test" {
		t.Errorf("after: %v, %v", p.Watch.Mode(), r)
	}
	if _, _, ok := p.Networks.Account(netip.MustParseAddr("192.0.2.7")); !ok {
		t.Error("a device of the network is nobody's")
	}
}

// Everything that is wrong is told at once, at its key: a network so wide that anybody may be in it is
// the network's, with the witness. Where this host cannot be looked at, that is left to the guard.
func TestWhatIsWrongIsToldAtItsKey(t *testing.T) {
	p := open(t)
	wrong := func(cfg config.Config) (keys []string) {
		_, err := p.Build(cfg)
		if err == nil {
			return nil
		}
		for _, f := range settings.Faults(err) {
			keys = append(keys, f.Text)
		}
		return keys
	}
	cfg := foldertest.Load(t, p.dir, printers)
	cfg.Networks[0].From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} // which no file can say
	if got := wrong(cfg); !slices.Equal(got, []string{"network.printers.from"}) {
		t.Errorf("a wide network: %q", got)
	}
	cfg.Hijack.Odds = 1
	if got := wrong(cfg); !slices.Equal(got, []string{"hijack.odds", "network.printers.from"}) {
		t.Errorf("both: %q", got)
	}
	cfg = foldertest.Load(t, p.dir, printers)
	cfg.Networks = append(cfg.Networks, cfg.Networks[0])
	if got := wrong(cfg); !slices.Equal(got, []string{"network"}) {
		t.Errorf("networks that overlap: %q", got)
	}
	p.blind = errors.New("no such file")
	if got := wrong(foldertest.Load(t, p.dir, printers)); got != nil {
		t.Errorf("where the host cannot be seen: %q", got)
	}
}

// Whoever contains an account stops it, ends its sessions and tells of it; who frees it again tells too.
func TestAnAccountIsContained(t *testing.T) {
	p := open(t)
	i, a, ended, err := p.contain(t.Context(), incident.Incident{Account: p.alice, Rule: "hijack", By: "a test", Reason: "somebody else"}, fact.Pair{Name: "seen", Value: "here"})
	if err != nil || i.Number != 1 || a.Standing == accounts.StandingActive || ended != 7 || !slices.Equal(p.ended, []mail.Address{p.alice}) || p.raised != 1 {
		t.Fatalf("%+v, %+v, %d ended: %v; %d told; %v", i, a, ended, p.ended, p.raised, err)
	}
	if why, held := p.data.Spool.AccountHeld(p.alice); !held || why != "somebody else" {
		t.Errorf("the queue is held: %v, %q", held, why)
	}
	if _, a, err = p.Incidents.Free(t.Context(), p.alice, incident.StateReleased, "me", "it was me", true); err != nil || a.Standing != accounts.StandingActive || p.raised != 2 {
		t.Errorf("%+v, told %d times, %v", a, p.raised, err)
	}
}

// What an account was found to send as since its incident began may be a thief's words, and is
// forgotten with the end of it, unless a person vouches that nothing was wrong.
func TestWhatAThiefWroteAsIsNoHabit(t *testing.T) {
	for _, vouched := range []bool{true, false} {
		p := open(t)
		boss, err := mail.ParseAddress("boss@local.test", mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		p.data.Findings.Keep(t.Context(), p.data.Findings.Used(p.alice, true, func(mail.Domain) bool { return true }, bind.Use{Where: bind.InFrom, Address: boss}))
		if _, _, _, err := p.contain(t.Context(), incident.Incident{Account: p.alice, Rule: "hijack", By: "a test", Reason: "somebody else", Since: time.Now().Add(-time.Hour)}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.data.Accounts.SetPassword(t.Context(), p.alice, "another horse", nil); err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.Incidents.Free(t.Context(), p.alice, incident.StateReleased, "me", "the end", vouched); err != nil {
			t.Fatal(err)
		}
		if n := len(p.data.Findings.List(p.alice)); n != map[bool]int{true: 1}[vouched] {
			t.Errorf("vouched %v: %d names are found", vouched, n)
		}
	}
}

// With what a message was submitted is said by the trace, as far as the account has it still; an access
// token is none of what it has, and counts all the same.
func TestWithWhatAMessageWasSubmitted(t *testing.T) {
	p := open(t)
	has, err := p.data.Accounts.Credentials(p.alice)
	if err != nil || len(has) == 0 {
		t.Fatalf("%v, %v", has, err)
	}
	for i, c := range []struct{ told, want string }{
		{"", ""}, {has[0].ID, has[0].ID}, {"gone", ""}, {has[0].ID + " gone " + accounts.TokenID, has[0].ID + " " + accounts.TokenID}, {accounts.TokenID, accounts.TokenID},
	} {
		id, err := mail.NewID(time.Now(), bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		f := fact.Accepted{
			At: time.Now(), Rule: "submission-sender",
			Message: fact.Message{Queue: id, Account: "alice@local.test"}, Recipients: []string{"x@far.test"},
			Reply: mail.R(250, "2.0.0", "ok"),
		}
		if c.told != "" {
			f.Evidence = []fact.Pair{{Name: fact.EvidenceCredential, Value: c.told}}
		}
		if err := p.data.Trace.Write(t.Context(), f.Fact()); err != nil {
			t.Fatal(err)
		}
		got, err := p.submittedWith(t.Context(), p.alice, id)
		var ids []string
		for _, one := range got.Used {
			ids = append(ids, one.ID)
		}
		if err != nil || strings.Join(ids, " ") != c.want {
			t.Errorf("%q: %q, %v", c.told, ids, err)
		}
	}
}

// The habits of accounts that nobody watched are learnt from the trace, once; where they cannot be, that is
// said, unless the server ends, and keeps nobody from mail.
func TestHabitsAreLearnt(t *testing.T) {
	p := open(t)
	dir := foldertest.Directory(t, p.cfg, p.alice)
	ended, end := context.WithCancel(t.Context())
	end()
	if p.Learn(ended, dir); strings.Contains(p.logged.String(), "without the habits") {
		t.Error("a server that ends says that it could not learn")
	}
	p.logged.Reset()
	if p.Learn(t.Context(), dir); strings.Contains(p.logged.String(), "without the habits") {
		t.Errorf("of an empty trace: %s", p.logged.String())
	}
	if err := p.data.Close(); err != nil {
		t.Fatal(err)
	}
	p.logged.Reset()
	if p.Learn(t.Context(), dir); !strings.Contains(p.logged.String(), "accounts begin without the habits that the trace tells of") {
		t.Errorf("of a store that is closed: %s", p.logged.String())
	}
}

// A network that is closed says why.
func TestANetworkWaitsForEvidence(t *testing.T) {
	p := open(t)
	change, err := p.Build(foldertest.Load(t, p.dir, printers))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	if r := p.Networks.Reports(); len(r) != 1 || r[0].State == guard.StateOpen || r[0].Why == "" {
		t.Errorf("before anybody was seen: %+v", r)
	}
}
