package signin

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

const password = "correct horse battery"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

// journal keeps facts by how they came.
type journal struct {
	mu                    sync.Mutex
	kept, strangers, many []fact.Fact
	fail                  error
}

func (j *journal) Write(_ context.Context, all ...fact.Fact) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kept = append(j.kept, all...)
	return j.fail
}
func (j *journal) Stranger(f fact.Fact) { j.strangers = append(j.strangers, f) }
func (j *journal) Many(f fact.Fact)     { j.many = append(j.many, f) }

type watcher struct{ acts []watch.Act }

func (w *watcher) SignedIn(_ context.Context, by watch.Act) { w.acts = append(w.acts, by) }

// guest is a connection that is played.
type guest struct {
	peer  accounts.Peer
	ended int
	known func() bool
}

func (g *guest) Peer() accounts.Peer { return g.peer }
func (g *guest) Seen(p accounts.Proof) fact.Session {
	return fact.Session{Conn: "c1", Door: "submission", Account: p.Address.String(), Peer: g.peer.Remote}
}
func (g *guest) Began() time.Time                { return time.Now() }
func (g *guest) Offer() string                   { return "offer" }
func (g *guest) Program(mechanism string) string { return "program " + mechanism }
func (g *guest) Known(still func() bool)         { g.known = still }
func (g *guest) End()                            { g.ended++ }

// world is a desk with alice and bob.
type world struct {
	*Desk
	t        *testing.T
	identity *accounts.Identity
	journal  *journal
	watch    *watcher
}

func newWorld(t *testing.T, change ...func(*Limits)) *world {
	t.Helper()
	l := accounts.DefaultLimits()
	l.HashMemory, l.HashPasses, l.ScramRounds = 64, 1, 4096
	log := slog.New(slog.DiscardHandler)
	identity, err := accounts.Open(t.Context(), mem.New(), accounts.Options{Limits: l, Now: time.Now, Logger: log, Mechanisms: accounts.KnownMechanisms()})
	must(t, err)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := identity.Add(t.Context(), addr(t, a), password, accounts.Sending{Role: accounts.RolePerson}, nil)
		must(t, err)
	}
	w := &world{t: t, identity: identity, journal: &journal{}, watch: &watcher{}}
	limits := DefaultLimits()
	for _, c := range change {
		c(&limits)
	}
	w.Desk = New(Options{Accounts: identity, Journal: w.journal, Watch: w.watch, Limits: limits, Now: time.Now, Logger: log})
	return w
}

func from(ip string, to accounts.Scope) *guest {
	return &guest{peer: accounts.Peer{Remote: netip.MustParseAddr(ip), TLS: &tls.ConnectionState{Version: tls.VersionTLS12}, For: to}}
}

// signs signs in by PLAIN.
func (w *world) signs(v *Visit, who, secret string) mail.Reply {
	w.t.Helper()
	x, err := v.Begin(accounts.MechPlain)
	must(w.t, err)
	_, done, r := x.Next(w.t.Context(), []byte("\x00"+who+"\x00"+secret))
	if !done {
		w.t.Fatal("PLAIN goes on")
	}
	return r
}

// in is a visit of somebody who signed in.
func (w *world) in(g *guest, who, secret string) *Visit {
	w.t.Helper()
	v := w.Visit(g)
	if r := w.signs(v, who, secret); r.Code != 235 {
		w.t.Fatalf("%s: %v", who, r)
	}
	return v
}

func (w *world) app(name string, a accounts.AppPassword) (string, string) {
	w.t.Helper()
	a.Name = name
	c, secret, err := w.identity.AddApp(w.t.Context(), addr(w.t, "alice@local.test"), a, func(accounts.Credential) [][]byte { return nil })
	must(w.t, err)
	return c.ID, secret
}

// Every sign-in is a fact that says who, whence and why, and who watches accounts hears of the good
// ones. A bad one is the account's where there is one, by the name that is stored, and a stranger's
// otherwise.
func TestEverySignInIsAFact(t *testing.T) {
	w := newWorld(t)
	g := from("192.0.2.7", accounts.ScopeSend)
	v := w.Visit(g)
	if !v.Anonymous() || v.Fallen() != "" {
		t.Error("somebody is there who did not sign in")
	}
	for who, code := range map[string]int{"ALICE@local.test": 535, "nobody@local.test": 535, "alice": 535} {
		if r := w.signs(v, who, "wrong"); r.Code != code {
			t.Errorf("%s: %v", who, r)
		}
	}
	if len(w.journal.many) != 1 || w.journal.many[0].Account != "alice@local.test" ||
		w.journal.many[0].Rule != "signin-bad-password" || len(w.journal.strangers) != 2 ||
		len(w.journal.kept) != 0 {
		t.Errorf("%+v", w.journal)
	}
	if v.Refused() != 3 || g.known != nil || len(w.watch.acts) != 0 {
		t.Errorf("%d refused, %v", v.Refused(), w.watch.acts)
	}
	if r := w.signs(v, "alice@local.test", password); r.Code != 235 {
		t.Fatal(r)
	}
	f := w.journal.kept[0]
	mechanism, _ := f.Find("mechanism")
	network, _ := f.Find("network")
	if len(w.journal.kept) != 1 || f.Rule != "signin-ok" || f.Account != "alice@local.test" ||
		mechanism != "PLAIN" || network != "192.0.2.0/24" || strings.Contains(f.Text, password) {
		t.Errorf("%+v", w.journal.kept)
	}
	if a := w.watch.acts; len(a) != 1 || a[0].Program != "program PLAIN" || a[0].Network != "192.0.2.0/24" || a[0].Offer != "offer" || a[0].Reads {
		t.Errorf("%+v", a)
	}
	if v.Anonymous() || g.known == nil || !g.known() {
		t.Error("the connection is not known as somebody's")
	}
	v.Identified(t.Context())
	if len(w.watch.acts) != 2 {
		t.Error("what the program says of itself is not told")
	}
	if RuleOf(errors.New("x")) != "signin-unavailable" {
		t.Error("a failure has no rule")
	}
	w.journal.fail = errors.New("full")
	w.Tell(t.Context(), addr(t, "alice@local.test"), fact.Fact{At: time.Now()}) // is logged, and ends nothing
}

// An account has so many sessions to send and so many to read, each apart, and one that leaves makes
// room. Whoever has one too many was right: it is no bad sign-in, and it counts nowhere.
func TestSessionsAreBounded(t *testing.T) {
	w := newWorld(t, func(l *Limits) { l.SessionsPerAccount, l.ReadersPerAccount = 2, 1 })
	first := w.in(from("192.0.2.7", accounts.ScopeSend), "alice@local.test", password)
	w.in(from("192.0.2.8", accounts.ScopeSend), "alice@local.test", password)
	reader := w.in(from("192.0.2.7", accounts.ScopeReceive), "alice@local.test", password)
	for _, to := range []accounts.Scope{accounts.ScopeSend, accounts.ScopeReceive} {
		v := w.Visit(from("192.0.2.9", to))
		if r := w.signs(v, "alice@local.test", password); r.Code != 421 || !v.Anonymous() {
			t.Errorf("%v: %v", to, r)
		}
		if f := w.journal.kept[len(w.journal.kept)-1]; f.Rule != "sessions-per-account" || f.Account != "alice@local.test" {
			t.Errorf("%+v", f)
		}
	}
	w.in(from("192.0.2.9", accounts.ScopeSend), "bob@local.test", password)
	count := func() (n int) {
		for range w.Sessions() {
			n++
		}
		return n
	}
	if count() != 4 {
		t.Errorf("%d sessions", count())
	}
	first.Leave()
	reader.Leave()
	w.in(from("192.0.2.9", accounts.ScopeSend), "alice@local.test", password)
	w.in(from("192.0.2.9", accounts.ScopeReceive), "alice@local.test", password).Forget()
	if count() != 3 {
		t.Errorf("%d sessions", count())
	}
	l := w.Bounds()
	l.SessionsPerAccount = 3
	w.Adjust(l)
	w.in(from("192.0.2.7", accounts.ScopeSend), "alice@local.test", password)
}

// A session ends with what it was opened with, and those that rest on something else go on.
func TestSessionsEndWithWhatTheyRestOn(t *testing.T) {
	w := newWorld(t)
	alice := addr(t, "alice@local.test")
	id, secret := w.app("phone", accounts.AppPassword{Scope: accounts.ScopeSend})
	phone, desk := from("192.0.2.7", accounts.ScopeSend), from("192.0.2.7", accounts.ScopeSend)
	v := w.in(phone, "alice@local.test", secret)
	w.in(desk, "alice@local.test", password)
	if n := w.EndFallen(alice); n != 0 || v.Fallen() != "" {
		t.Errorf("%d ended for nothing", n)
	}
	_, err := w.identity.Revoke(t.Context(), alice, accounts.Choice{IDs: []string{id}}, func([]accounts.Credential) [][]byte { return nil })
	must(t, err)
	if v.Fallen() == "" || phone.known() {
		t.Error("the session keeps its rights, or its address is still vouched for")
	}
	if n := w.EndFallen(addr(t, "ALICE@local.test")); n != 1 || phone.ended != 1 || desk.ended != 0 {
		t.Errorf("%d ended: phone %d, desk %d", n, phone.ended, desk.ended)
	}
}

// fallen says that everything has fallen.
type fallen struct{ Accounts }

func (fallen) Fallen(accounts.Proof) string { return "it fell in this moment" }

// What falls between the proof and the count of the session, so that nobody ends it, ends there.
func TestAFallWhileSigningIn(t *testing.T) {
	w := newWorld(t)
	w.Desk = New(Options{Accounts: fallen{w.identity}, Journal: w.journal, Limits: DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	g := from("192.0.2.7", accounts.ScopeSend)
	w.in(g, "alice@local.test", password)
	if g.ended != 1 {
		t.Errorf("ended %d times", g.ended)
	}
}

// A session ends with the time of its credential, though it idles; one that left does not.
func TestSessionsEndWithTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, secret := w.app("guest", accounts.AppPassword{Scope: accounts.ScopeAll, Expires: time.Now().Add(time.Hour)})
		stays, left, other := from("192.0.2.7", accounts.ScopeReceive), from("192.0.2.7", accounts.ScopeSend), from("192.0.2.7", accounts.ScopeSend)
		v := w.in(stays, "alice@local.test", secret)
		w.in(left, "alice@local.test", secret).Leave()
		w.in(other, "alice@local.test", password)
		time.Sleep(59 * time.Minute)
		if stays.ended != 0 || v.Fallen() != "" {
			t.Error("it ends too soon")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if stays.ended != 1 || left.ended != 0 || other.ended != 0 || v.Fallen() == "" {
			t.Errorf("ended: %d, %d, %d", stays.ended, left.ended, other.ended)
		}
	})
}

// An account has so many facts of its own within an hour, and the rest is summed up; those who read have
// a bound of their own, so that a phone hides no sign-in that sends.
func TestFactsOfOneAccountAreBounded(t *testing.T) {
	w := newWorld(t, func(l *Limits) { l.Facts, l.ReadingFacts = 8, 4 })
	alice, bob := addr(t, "alice@local.test"), addr(t, "bob@local.test")
	now := time.Now()
	for range 50 {
		w.TellReading(t.Context(), alice, fact.Fact{At: now})
	}
	read := len(w.journal.kept)
	for range 50 {
		w.Tell(t.Context(), alice, fact.Fact{At: now})
	}
	sent := len(w.journal.kept) - read
	if read == 0 || read > 4 || sent == 0 || sent > 8 || len(w.journal.many) != 100-read-sent {
		t.Errorf("%d of readers, %d of senders, %d summed up", read, sent, len(w.journal.many))
	}
	w.Tell(t.Context(), bob, fact.Fact{At: now})
	if len(w.journal.kept) != read+sent+1 {
		t.Error("one account hides another's facts")
	}
	// A clock that is set back gives no more, and closes nothing for longer than an hour.
	w.Tell(t.Context(), alice, fact.Fact{At: now.Add(-1000 * time.Hour)})
	w.Tell(t.Context(), alice, fact.Fact{At: now.Add(time.Hour)})
	if len(w.journal.kept) < read+sent+2 {
		t.Error("nothing fits an hour later")
	}
	before := len(w.journal.kept)
	w.Adjust(Limits{Facts: 1000, ReadingFacts: 1})
	for range 50 {
		w.Tell(t.Context(), alice, fact.Fact{At: now.Add(3 * time.Hour)})
	}
	if len(w.journal.kept) != before+50 {
		t.Errorf("%d fit after the bound was raised", len(w.journal.kept)-before)
	}
	if len(w.noise.by) > 2 {
		t.Errorf("%d accounts are remembered", len(w.noise.by))
	}
}

// A user of this host and a client of a network are there without a sign-in of theirs, and are
// counted like everybody.
func TestWhoIsThereWithoutASignIn(t *testing.T) {
	w := newWorld(t, func(l *Limits) { l.SessionsPerAccount = 1 })
	account, ok := w.identity.Lookup(addr(t, "alice@local.test"))
	if !ok {
		t.Fatal("no alice")
	}
	v := w.Visit(from("127.0.0.1", accounts.ScopeSend))
	if !v.Local(accounts.LocalProof(account)) || v.Anonymous() {
		t.Error("alice is not let in")
	}
	other := w.Visit(from("192.0.2.7", accounts.ScopeSend))
	in := mail.R(250, "2.1.0", "sender ok")
	if r := other.Network(t.Context(), accounts.NetworkProof(account), "it is proven", in); r.Code != 421 || !other.Anonymous() {
		t.Errorf("a session too many: %v", r)
	}
	v.Leave()
	if r := other.Network(t.Context(), accounts.NetworkProof(account), "it is proven", in); r != (mail.Reply{}) || other.Anonymous() {
		t.Errorf("%v", r)
	}
	if f := w.journal.kept[len(w.journal.kept)-1]; f.Rule != "signin-network" || f.Text != "it is proven" {
		t.Errorf("%+v", f)
	}
	other.Forget()
	if !other.Anonymous() {
		t.Error("the session is alice's still")
	}
	if r := other.Unasked(t.Context(), in); r != (mail.Reply{}) || !other.Anonymous() {
		t.Errorf("nobody showed a certificate: %v", r)
	}
}
