package partner

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/store/mem"
)

const (
	password = "correct horse battery"
	alice    = "alice@local.test"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// journal keeps the facts that are told.
type journal struct {
	mu    sync.Mutex
	facts []fact.Fact
}

func (j *journal) Write(_ context.Context, facts ...fact.Fact) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.facts = append(j.facts, facts...)
	return nil
}
func (j *journal) Stranger(f fact.Fact) { _ = j.Write(context.Background(), f) }
func (j *journal) Many(f fact.Fact)     { j.Stranger(f) }

// last returns the latest fact.
func (j *journal) last() (f fact.Fact) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.facts) > 0 {
		f = j.facts[len(j.facts)-1]
	}
	return f
}

// watcher keeps what it hears of sign-ins.
type watcher struct{ acts []watch.Act }

func (w *watcher) SignedIn(_ context.Context, by watch.Act) { w.acts = append(w.acts, by) }

// world is a desk with alice, and a partner of it.
type world struct {
	t        *testing.T
	identity *accounts.Identity
	desk     *signin.Desk
	journal  *journal
	watch    *watcher
	partner  *Partner
	who      mail.Address
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, journal: &journal{}, watch: &watcher{}}
	log := slog.New(slog.DiscardHandler)
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	var err error
	w.identity, err = accounts.Open(t.Context(), mem.New(), accounts.Options{Limits: limits, Now: time.Now, Logger: log})
	must(t, err)
	w.who, err = mail.ParseAddress(alice, mail.UTF8)
	must(t, err)
	_, err = w.identity.Add(t.Context(), w.who, password, accounts.Sending{Role: accounts.RolePerson}, nil)
	must(t, err)
	w.desk = signin.New(signin.Options{Accounts: w.identity, Journal: w.journal, Watch: w.watch, Limits: signin.DefaultLimits(), Now: time.Now, Logger: log})
	w.partner = New(Options{Desk: w.desk, Journal: w.journal, Now: time.Now, Logger: log})
	return w
}

// login is one that is let in, changed.
func login(change ...func(*Login)) Login {
	l := Login{User: alice, Password: password, Remote: netip.MustParseAddr("192.0.2.7"), Service: "imap", Mechanism: "PLAIN", Secured: true}
	for _, c := range change {
		c(&l)
	}
	return l
}

// expects demands a verdict and the rule of its fact.
func (w *world) expects(what string, l Login, want Verdict, rule string) {
	w.t.Helper()
	a := w.partner.SignIn(w.t.Context(), l)
	f := w.journal.last()
	if a.Verdict != want || f.Rule != rule || (a.Account == alice) != (want == VerdictIn) || want != VerdictIn && a.Account != "" {
		w.t.Errorf("%s: %+v by %q, want %s by %q", what, a, f.Rule, want, rule)
	}
	if l.Remote.IsValid() && f.Peer != l.Remote || !strings.HasPrefix(f.Door, DoorPrefix) || f.Conn == "" {
		w.t.Errorf("%s: the fact is %+v", what, f)
	}
}

func none(accounts.Credential) [][]byte { return nil }

func (w *world) app(p accounts.AppPassword) string {
	w.t.Helper()
	_, secret, err := w.identity.AddApp(w.t.Context(), w.who, p, none)
	must(w.t, err)
	return secret
}

func (w *world) enroll(name string, scope accounts.Scope) accounts.Credential {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: alice}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(w.t, err)
	leaf, err := x509.ParseCertificate(der)
	must(w.t, err)
	c, err := w.identity.Enroll(w.t.Context(), w.who, accounts.Device{Name: name, Certificate: leaf, Scope: scope}, none)
	must(w.t, err)
	return c
}

// What a partner may ask opens what it opens at our own doors, and nothing else.
func TestWhoIsLetInAtAPartner(t *testing.T) {
	w := newWorld(t)
	set := func(f func(*Login)) Login { return login(f) }
	w.expects("the password", login(), VerdictIn, "signin-ok")
	w.expects("in capitals", set(func(l *Login) { l.User = "ALICE@Local.Test" }), VerdictIn, "signin-ok")
	for _, service := range Services() {
		w.expects(service, set(func(l *Login) { l.Service = service }), VerdictIn, "signin-ok")
		if f := w.journal.last(); f.Door != DoorPrefix+service || f.TLS == "" {
			t.Errorf("%s: %+v", service, f)
		}
	}
	w.expects("by LOGIN", set(func(l *Login) { l.Mechanism = "LOGIN" }), VerdictIn, "signin-ok")
	w.expects("with a certificate besides", set(func(l *Login) { l.Certificate = true }), VerdictIn, "signin-ok")
	w.expects("a wrong one besides", set(func(l *Login) { l.Certificate, l.Password = true, "wrong" }), VerdictRefused, "signin-bad-password")
	w.expects("nobody", set(func(l *Login) { l.User = "nobody@local.test" }), VerdictRefused, "signin-no-account")
	w.expects("no address", set(func(l *Login) { l.User = "alice" }), VerdictRefused, "signin-no-address")
	w.expects("no password", set(func(l *Login) { l.Password = "" }), VerdictRefused, "signin-malformed")
	w.expects("in clear text", set(func(l *Login) { l.Secured = false }), VerdictLater, "signin-clear")
	w.expects("from nowhere", set(func(l *Login) { l.Remote = netip.Addr{} }), VerdictLater, RuleAsked)
	w.expects("from everywhere", set(func(l *Login) { l.Remote = netip.IPv4Unspecified() }), VerdictLater, RuleAsked)
	for _, service := range []string{"", "smtp", "submission", "lmtp", "doveadm", "IMAP"} {
		w.expects("to "+service, set(func(l *Login) { l.Service = service }), VerdictLater, RuleAsked)
	}
	w.expects("with a NUL", set(func(l *Login) { l.User, l.Password = alice+"\x00"+password, "" }), VerdictLater, RuleAsked)
	w.expects("to receive", set(func(l *Login) { l.Password = w.app(accounts.AppPassword{Name: "in", Scope: accounts.ScopeReceive}) }), VerdictIn, "signin-ok")
	w.expects("to send alone", set(func(l *Login) { l.Password = w.app(accounts.AppPassword{Name: "out", Scope: accounts.ScopeSend}) }), VerdictRefused, "signin-scope")
	far := w.app(accounts.AppPassword{Name: "far", Scope: accounts.ScopeAll, Networks: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}})
	w.expects("from another network", set(func(l *Login) { l.Password = far }), VerdictRefused, "signin-network")
	w.expects("from its own", set(func(l *Login) { l.Password, l.Remote = far, netip.MustParseAddr("198.51.100.9") }), VerdictIn, "signin-ok")
	for range w.desk.Sessions() {
		t.Error("a session is counted of which nobody knows when it ends")
	}
	if n := len(w.watch.acts); n != 9 || !w.watch.acts[0].Reads || w.watch.acts[0].Network == "" || !strings.HasPrefix(w.watch.acts[0].Program, "checkpassword-imap PLAIN") {
		t.Errorf("who watches hears of %d sign-ins: %+v", n, w.watch.acts)
	}
	_, err := w.identity.SetPolicy(t.Context(), w.who, accounts.PolicyBoth, false, nil)
	must(t, err)
	w.expects("where a certificate must be shown to us", set(func(l *Login) { l.Certificate = true }), VerdictRefused, "signin-certificate")
	_, err = w.identity.SetPolicy(t.Context(), w.who, accounts.PolicyAny, false, nil)
	must(t, err)
	_, err = w.identity.Freeze(t.Context(), w.who, "drill", nil)
	must(t, err)
	w.expects("frozen", login(), VerdictRefused, "signin-not-active")
}

// A certificate that the partner checked opens the account that it names, while that has one which
// is to read.
func TestCertificatesThatAPartnerChecked(t *testing.T) {
	w := newWorld(t)
	by := func(change ...func(*Login)) Login {
		return login(append([]func(*Login){func(l *Login) { l.Password, l.Mechanism, l.Certificate = "", "EXTERNAL", true }}, change...)...)
	}
	w.expects("without any", by(), VerdictRefused, "signin-certificate")
	w.enroll("scanner", accounts.ScopeSend)
	w.expects("with one to send", by(), VerdictRefused, "signin-scope")
	laptop := w.enroll("laptop", accounts.ScopeReceive)
	w.expects("with one", by(), VerdictIn, "signin-ok")
	if id, _ := w.journal.last().Find(fact.EvidenceCredential); id != laptop.ID {
		t.Errorf("the fact names %q", id)
	}
	w.expects("unchecked", by(func(l *Login) { l.Certificate = false }), VerdictLater, "signin-mechanism")
	w.expects("in clear text", by(func(l *Login) { l.Secured = false }), VerdictLater, "signin-clear")
	w.expects("of nobody", by(func(l *Login) { l.User = "nobody@local.test" }), VerdictRefused, "signin-no-account")
	w.expects("of no address", by(func(l *Login) { l.User = "laptop" }), VerdictRefused, "signin-no-address")
	phone := w.enroll("phone", accounts.ScopeAll)
	w.expects("with two", by(), VerdictIn, "signin-ok")
	if id, found := w.journal.last().Find(fact.EvidenceCredential); found {
		t.Errorf("nobody knows which it was, and the fact names %q", id)
	}
	for _, c := range []accounts.Credential{laptop, phone} {
		_, err := w.identity.Revoke(t.Context(), w.who, accounts.Choice{IDs: []string{c.ID}}, func([]accounts.Credential) [][]byte { return nil })
		must(t, err)
	}
	w.expects("revoked", by(), VerdictRefused, "signin-scope")
	w.enroll("again", accounts.ScopeReceive)
	_, err := w.identity.SetPolicy(t.Context(), w.who, accounts.PolicyPassword, false, nil)
	must(t, err)
	w.expects("where passwords count", by(), VerdictRefused, "signin-policy")
	_, err = w.identity.SetPolicy(t.Context(), w.who, accounts.PolicyCertificate, false, nil)
	must(t, err)
	w.expects("where certificates count", by(), VerdictIn, "signin-ok")
	w.expects("and no password", login(), VerdictRefused, "signin-policy")
	_, err = w.identity.Freeze(t.Context(), w.who, "drill", nil)
	must(t, err)
	w.expects("frozen", by(), VerdictRefused, "signin-not-active")
}

// Guesses are counted by the address of the client, at the partner as everywhere.
func TestGuessesAtAPartner(t *testing.T) {
	w := newWorld(t)
	home := login(func(l *Login) { l.Remote = netip.MustParseAddr("198.51.100.9") })
	w.expects("at home", home, VerdictIn, "signin-ok")
	limited := false
	for n := 0; n < 100 && !limited; n++ {
		a := w.partner.SignIn(t.Context(), login(func(l *Login) { l.Password += strings.Repeat("x", n+1) }))
		limited = a.Verdict == VerdictLater
	}
	if !limited {
		t.Fatal("nobody is ever limited")
	}
	if a := w.partner.SignIn(t.Context(), login()); a.Verdict != VerdictLater {
		t.Errorf("the right password from the network that guesses: %+v", a)
	}
	if a := w.partner.SignIn(t.Context(), home); a.Verdict != VerdictIn {
		t.Errorf("the right password from another: %+v", a)
	}
}

// Whatever the answer of a sign-in is: without a clear yes for an account nobody is let in.
func TestEveryReplyHasAVerdict(t *testing.T) {
	who, err := mail.ParseAddress(alice, mail.UTF8)
	must(t, err)
	for code := range 1000 {
		a := answerTo(mail.Reply{Code: code}, who, "")
		if (a.Verdict == VerdictIn) != (code == 235) || a.Verdict == "" {
			t.Errorf("%d: %+v", code, a)
		}
	}
	if a := answerTo(mail.Reply{Code: 235}, mail.Address{}, ""); a.Verdict != VerdictLater {
		t.Errorf("235 for nobody: %+v", a)
	}
}
