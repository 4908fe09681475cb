package watching

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/trust/guard"
)

// How accounts are watched is what the configuration says, from the start.
func TestAccountsAreWatchedAsConfiguredFromTheStart(t *testing.T) {
	p := open(t)
	cfg := foldertest.Load(t, p.dir, "[hijack]\nmode = \"observe\"\n")
	p.cfg = cfg
	w, err := Open(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	if w.Watch.Mode() != hijack.Observe || w.Watch.Settings() != settingsOf(cfg) {
		t.Errorf("%+v", w.Watch.Settings())
	}
}

// To whom accounts wrote before anybody watched them is learnt from the trace: they are no strangers.
func TestWhomAccountsWroteToIsLearnt(t *testing.T) {
	p := open(t)
	bob := foldertest.Add(t, p.data, "bob@local.test")
	long := time.Now().Add(-100 * day)
	for n := range 5 {
		id, err := mail.NewID(long, p.o.Rand)
		if err != nil {
			t.Fatal(err)
		}
		f := fact.Accepted{At: long.Add(time.Duration(n) * day), Rule: "submission-sender", Session: fact.Session{Door: "submission", Account: p.alice.String()}, Message: fact.Message{Queue: id, Sender: p.alice.String()}, Recipients: []string{"friend@far.test", bob.String()}, Reply: mail.R(250, "2.0.0", "ok")}
		if err := p.data.Trace.Write(t.Context(), f.Fact()); err != nil {
			t.Fatal(err)
		}
	}
	p.Learn(t.Context(), foldertest.Directory(t, p.cfg, p.alice, bob))
	if p.submit(p.alice, "friend@far.test").Waits {
		t.Error("to whom alice wrote is a stranger to her")
	}
	if !p.submit(p.alice, "stranger@far.test").Waits {
		t.Error("to whom alice did not write is none")
	}
}

// The devices of a network are nobody while its account may not act.
func TestANetworkIsWorthItsAccount(t *testing.T) {
	p := open(t)
	p.trustPrinters()
	device := netip.MustParseAddr("192.0.2.7")
	if !p.Networks.Counts(device, p.alice) {
		t.Fatal("a device of the network is not taken for its account")
	}
	if _, err := p.data.Accounts.Freeze(t.Context(), p.alice, "a test", nil); err != nil {
		t.Fatal(err)
	}
	if p.Networks.Counts(device, p.alice) || p.Networks.Reports()[0].State == guard.StateOpen {
		t.Errorf("an account that is frozen has devices: %+v", p.Networks.Reports())
	}
}

// What is known of accounts and networks outlives a server: who waited waits, to whom they wrote they know, and what was seen of
// clients counts.
func TestWhatIsKnownOutlivesAServer(t *testing.T) {
	p := open(t)
	p.trustPrinters()
	var to []string
	for n := range hijack.DefaultParams().Bounds.Burst + 1 {
		to = append(to, fmt.Sprintf("new%d@far.test", n))
	}
	sent := p.submit(p.alice, to...)
	if p.waiting(sent) == 0 {
		t.Fatal("nobody waits")
	}
	w, err := Open(t.Context(), p.o)
	if err != nil {
		t.Fatal(err)
	}
	p.Watchers = w
	if p.waiting(sent) == 0 {
		t.Error("who waited waits no more")
	}
	change, err := p.Build(foldertest.Load(t, p.dir, printers))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	if r := p.Networks.Reports(); len(r) != 1 || r[0].State != guard.StateOpen {
		t.Errorf("what was seen of clients is forgotten: %+v", r)
	}
}
