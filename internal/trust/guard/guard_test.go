package guard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trust"
	"sallyport/internal/trust/guard"
)

// world is a host, a store and accounts of which one is the printers'.
type world struct {
	t         *testing.T
	now       time.Time
	set       time.Duration // by how much the clock shows more
	st        store.Store
	host      trust.Host
	hostFault error
	standing  accounts.Standing
	full      bool // the store takes no containment
	contained []incident.Incident
	logged    bytes.Buffer
	*guard.Guard
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), st: mem.New(), standing: accounts.StandingActive}
	w.host = trust.Host{Known: true, Own: []netip.Addr{ip("10.20.0.2")}, Gateways: []netip.Addr{ip("10.20.0.1")}}
	w.open()
	return w
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) settings() guard.Settings {
	w.t.Helper()
	table, err := trust.NewTable([]trust.Network{{Name: "printers", From: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")}, Account: address(w.t, "printers@local.test")}})
	if err != nil {
		w.t.Fatal(err)
	}
	return guard.Settings{Table: table, Balancers: []netip.Prefix{netip.MustParsePrefix("10.20.0.8/32")}, Trust: trust.DefaultLimits()}
}

func (w *world) open() {
	w.t.Helper()
	g, err := guard.Open(w.t.Context(), guard.Options{
		Store: w.st, Look: func() (trust.Host, error) { return w.host, w.hostFault },
		Account: func(a mail.Address) (accounts.Account, bool) {
			return accounts.Account{Address: a, Standing: w.standing}, w.standing != accounts.StandingUnknown
		},
		Contain: func(_ context.Context, i incident.Incident, _ ...fact.Pair) (incident.Incident, accounts.Account, int, error) {
			if w.full {
				return i, accounts.Account{}, 0, store.ErrUnavailable
			}
			w.standing, w.contained = accounts.StandingFrozen, append(w.contained, i)
			return i, accounts.Account{}, 1, nil
		},
		Limits: guard.Limits{Look: time.Millisecond, Share: 1},
		Now:    func() time.Time { return w.now.Add(w.set) }, Passed: func() time.Time { return w.now },
		Logger: slog.New(slog.NewTextHandler(&w.logged, nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.Guard = g
	g.Adjust(w.settings())
}

// public lets clients of three public networks write to port 25.
func (w *world) public() {
	for _, a := range []string{"203.0.113.1", "198.51.100.1", "192.0.2.1"} {
		w.Saw(w.t.Context(), trust.Sighting{From: ip(a), MX: true, Domain: "remote.invalid"})
	}
}

// strangers lets as many write from one address, on port 25.
func (w *world) strangers(from string, n int) {
	for i := range n {
		w.Saw(w.t.Context(), trust.Sighting{From: ip(from), MX: true, Name: "host", Domain: fmt.Sprintf("d%d.invalid", i)})
	}
}

func (w *world) trusts(a string) bool { return w.Counts(ip(a), address(w.t, "printers@local.test")) }

func (w *world) state(want guard.State) {
	w.t.Helper()
	all := w.Reports()
	if len(all) != 1 || all[0].State != want || (all[0].Why == "") != (want == guard.StateOpen) {
		w.t.Errorf("it is not %s: %+v", want, all)
	}
	if n := w.Count(); len(n) != 1 || n[want] != 1 {
		w.t.Errorf("counted are %v, want one that is %s", n, want)
	}
}

// A network counts once public clients were seen, also after a restart, and not for longer
// than they prove anything.
func TestTrustIsProven(t *testing.T) {
	w := newWorld(t)
	w.state(guard.StateWaiting)
	if w.trusts("10.20.0.7") || w.Clear(ip("10.20.0.7")) {
		t.Error("it counts without proof")
	}
	w.public()
	w.state(guard.StateOpen)
	if !w.trusts("10.20.0.7") || !w.Clear(ip("::ffff:10.20.0.7")) {
		t.Error("it does not count with proof")
	}
	for _, a := range []string{"10.20.0.1", "10.20.0.2", "10.20.0.8", "10.20.1.7", "203.0.113.1", "127.0.0.1"} {
		if w.trusts(a) || w.Clear(ip(a)) {
			t.Errorf("%s counts", a)
		}
	}
	if w.Counts(ip("10.20.0.7"), address(t, "alice@local.test")) {
		t.Error("it counts for another account")
	}
	w.open()
	if !w.trusts("10.20.0.7") {
		t.Error("a restart forgets the proof")
	}
	w.set = 10 * 365 * 24 * time.Hour
	w.public()
	w.set = 0
	if w.state(guard.StateOpen); !w.trusts("10.20.0.7") {
		t.Error("a clock that is set ahead takes the proof away")
	}
	w.now = w.now.Add(8 * 24 * time.Hour)
	w.state(guard.StateWaiting)
	if w.trusts("10.20.0.7") {
		t.Error("it counts for ever")
	}
	w.public()
	if !w.trusts("10.20.0.7") || len(w.contained) > 0 {
		t.Error("it does not count again by itself")
	}
}

// What can't be read of the past stops the start: nothing is guessed.
func TestDamagedEvidence(t *testing.T) {
	w := newWorld(t)
	w.public()
	if _, err := w.st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: []byte("trust/evidence"), Value: []byte("x")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	if _, err := guard.Open(t.Context(), guard.Options{Store: w.st}); err == nil {
		t.Error("it is opened")
	}
}

// A gateway that appears, or a host that can't be looked at, ends trust with the next look.
func TestTheHostIsLookedAt(t *testing.T) {
	w := newWorld(t)
	w.public()
	ctx, stop := context.WithCancel(t.Context())
	w.host.Gateways = append(w.host.Gateways, ip("10.20.0.7"))
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); w.trusts("10.20.0.7") && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	stop()
	<-done
	if w.trusts("10.20.0.7") || !w.trusts("10.20.0.9") {
		t.Error("a new gateway counts, or nobody else does")
	}
	w.host, w.hostFault = trust.Host{}, errors.New("no netlink here")
	w.Adjust(w.settings())
	w.state(guard.StateWaiting)
	if w.trusts("10.20.0.9") || !strings.Contains(w.Reports()[0].Why, "no netlink here") {
		t.Errorf("it counts, or does not say why: %+v", w.Reports())
	}
}

// Strangers behind a trusted address contain the account before the answer, and it stays so
// until a person lets it act.
func TestTheTripwireContains(t *testing.T) {
	w := newWorld(t)
	w.public()
	w.strangers("10.20.0.7", 2)
	w.state(guard.StateOpen)
	w.strangers("10.20.0.7", 3)
	w.state(guard.StateClosed)
	if len(w.contained) != 1 || w.contained[0].Account != address(t, "printers@local.test") ||
		w.contained[0].Rule != guard.Rule || !strings.Contains(w.contained[0].Reason, "10.20.0.7") ||
		len(w.contained[0].Seen) != 1 {
		t.Fatalf("contained: %+v", w.contained)
	}
	w.public()
	w.open()
	if w.trusts("10.20.0.7") || w.Clear(ip("10.20.0.9")) {
		t.Error("it opens by itself")
	}
	w.strangers("10.20.0.7", 9)
	if len(w.contained) != 1 {
		t.Error("what is closed is closed again")
	}
	w.standing = accounts.StandingActive // a person
	if !w.trusts("10.20.0.9") {
		t.Error("a person can't open it")
	}
	if !strings.Contains(w.logged.String(), "not trusted any more") {
		t.Error("nothing is logged")
	}
}

// Lost client addresses close every network, also where the gateway lies in none.
func TestLostAddressesContain(t *testing.T) {
	w := newWorld(t)
	w.public()
	w.strangers("10.99.0.1", 5)
	w.state(guard.StateClosed)
	if len(w.contained) != 1 || !strings.Contains(w.contained[0].Reason, "client addresses seem to be lost") {
		t.Errorf("contained: %+v", w.contained)
	}
	w = newWorld(t) // without proof nothing is open, so that nothing is to be closed
	w.strangers("10.99.0.1", 50)
	w.state(guard.StateWaiting)
	if len(w.contained) > 0 {
		t.Error("what waits is contained")
	}
}

// A store that can't write keeps nothing open, and is asked again.
func TestContainmentIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.public()
	w.full = true
	w.strangers("10.20.0.7", 3)
	if w.trusts("10.20.0.9") || len(w.contained) > 0 {
		t.Error("it is open, or contained")
	}
	w.state(guard.StateClosed)
	w.full = false
	ctx, stop := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer stop()
	w.Run(ctx)
	if len(w.contained) != 1 {
		t.Error("it was not tried again")
	}
}

// An account that does not exist, or may not act, takes nobody in.
func TestTheAccountStands(t *testing.T) {
	for _, s := range []accounts.Standing{accounts.StandingUnknown, accounts.StandingFrozen, accounts.StandingUnlisted, accounts.StandingDisputed} {
		w := newWorld(t)
		w.public()
		w.standing = s
		w.state(guard.StateClosed)
		if w.trusts("10.20.0.7") || w.Clear(ip("10.20.0.7")) {
			t.Errorf("%v: it counts", s)
		}
	}
}
