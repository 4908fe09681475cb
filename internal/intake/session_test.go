package intake_test

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// changes are what can happen to an account while its session lives; each ends
// what the session may do.
func changes() map[string]func(w *world) {
	return map[string]func(w *world){
		"the account is frozen": func(w *world) {
			_, err := w.identity.Freeze(w.t.Context(), addr(w.t, "alice@local.test"), "incident", nil)
			must(w.t, err)
		},
		"the account was changed after the sign-in": func(w *world) {
			_, err := w.identity.SetSending(w.t.Context(), addr(w.t, "alice@local.test"), accounts.Sending{Role: accounts.RoleBulk}, nil)
			must(w.t, err)
		},
		"the password of the sign-in was changed or revoked": func(w *world) {
			_, err := w.identity.SetPassword(w.t.Context(), addr(w.t, "alice@local.test"), "another good password", nil)
			must(w.t, err)
		},
		"the account was removed": func(w *world) {
			must(w.t, w.identity.Remove(w.t.Context(), addr(w.t, "alice@local.test"), nil))
			w.publish("bob@local.test")
		},
	}
}

// A session knows what it was opened with: its facts name that, and it ends with it, while
// the other sessions of the account go on.
func TestSessionsEndWithTheirCredential(t *testing.T) {
	w := newWorld(t)
	alice := addr(t, "alice@local.test")
	app, secret, err := w.identity.AddApp(t.Context(), alice, accounts.AppPassword{Name: "phone", Scope: accounts.ScopeSend}, func(accounts.Credential) [][]byte { return nil })
	must(t, err)
	phone, desk := w.connect(server.KindSubmissions), w.signedIn("alice@local.test")
	phone.want(phone.signIn("alice@local.test", secret), 235)
	f := w.oneFact("signin-ok")
	if id, _ := f.Find(fact.EvidenceCredential); id != app.ID {
		t.Errorf("the sign-in names %q, want %q", id, app.ID)
	}
	if name, _ := f.Find("credential name"); name != "phone" {
		t.Errorf("the sign-in names the credential %q", name)
	}
	if n := w.desk.EndFallen(alice); n != 0 {
		t.Errorf("%d sessions ended for nothing", n)
	}
	phone.want(phone.from("<alice@local.test>"), 250)
	_, err = w.identity.Revoke(t.Context(), alice, accounts.Choice{IDs: []string{app.ID}}, func([]accounts.Credential) [][]byte { return nil })
	must(t, err)
	phone.want(phone.to("<x@remote.test>"), 530)
	if f := w.oneFact("credential-ended"); f.Evidence[len(f.Evidence)-1].Value != "the app password of the sign-in was changed or revoked" {
		t.Errorf("%+v", f.Evidence)
	}
	if n := w.desk.EndFallen(alice); n != 1 {
		t.Errorf("%d sessions ended", n)
	}
	desk.want(desk.from("<alice@local.test>"), 250)
	desk.want(desk.to("<x@remote.test>"), 250)
	reader, secret, err := w.identity.AddApp(t.Context(), alice,
		accounts.AppPassword{Name: "reader", Scope: accounts.ScopeReceive},
		func(accounts.Credential) [][]byte { return nil })
	must(t, err)
	c := w.connect(server.KindSubmissions)
	c.want(c.signIn("alice@local.test", secret), 535)
	if f := w.oneFact("signin-scope"); !strings.Contains(f.Text, reader.ID) {
		t.Errorf("%+v", f)
	}
}

// A change of the account ends its session's rights at the next decision, wherever
// the session is: nothing is stored, and the fact says why.
func TestChangedAccountEndsItsRights(t *testing.T) {
	const mailStep, rcptStep, dataStep, streamStep = 0, 1, 2, 3
	for why, change := range changes() {
		for step := mailStep; step <= streamStep; step++ {
			for _, to := range []string{"<x@remote.test>", "<bob@local.test>"} {
				t.Run(fmt.Sprintf("%s/%d/%s", why, step, to), func(t *testing.T) {
					w := newWorld(t)
					c := w.signedIn("alice@local.test")
					at := func(s int) {
						if s == step {
							change(w)
						}
					}
					at(mailStep)
					r := c.from("<alice@local.test>")
					if step > mailStep {
						c.want(r, 250)
						at(rcptStep)
						r = c.to(to)
					}
					if step > rcptStep {
						c.want(r, 250)
						at(dataStep)
						r = c.stream(io.MultiReader(strings.NewReader(message), &hook{fn: func() { at(streamStep) }}))
					}
					rule, code := "account-frozen", 550
					if account, ok := w.identity.Lookup(addr(t, "alice@local.test")); ok && account.Standing == accounts.StandingActive {
						rule, code = "credential-ended", 530 // whoever signs in anew may go on
					}
					c.want(r, code)
					f := w.oneFact(rule)
					if got, _ := f.Find("standing"); got != why || f.stranger {
						t.Errorf("the fact says %q: %+v", got, f)
					}
					w.empty()
				})
			}
		}
	}
}

// hook runs fn when it is read, and ends.
type hook struct{ fn func() }

func (h *hook) Read([]byte) (int, error) {
	h.fn()
	return 0, io.EOF
}

// An account that was frozen and thawed must sign in again; so must one of the same
// name that was made anew.
func TestRightsDoNotComeBack(t *testing.T) {
	w := newWorld(t)
	alice := addr(t, "alice@local.test")
	c := w.signedIn("alice@local.test")
	_, err := w.identity.Freeze(t.Context(), alice, "incident", nil)
	must(t, err)
	_, err = w.identity.Thaw(t.Context(), alice, nil)
	must(t, err)
	c.want(c.from("<alice@local.test>"), 530)
	must(t, w.identity.Remove(t.Context(), alice, nil))
	_, err = w.identity.Add(t.Context(), alice, password, accounts.Sending{Role: accounts.RolePerson}, nil)
	must(t, err)
	c.want(c.from("<alice@local.test>"), 530)
	c2 := w.signedIn("alice@local.test")
	c2.want(c2.from("<alice@local.test>"), 250)
}

// A transaction decides by the directory as it stood at MAIL; the next one by the
// new one.
func TestOneDirectoryPerTransaction(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	w.publish("alice@local.test") // bob is gone
	c.want(c.to("<bob@local.test>"), 250)
	w.publish()
	c.want(c.to("<sales@local.test>"), 250)
	c.want(c.data(message), 250)
	claim, _ := w.only()
	if len(claim.Entry.Recipients) != 2 {
		t.Errorf("recipients %+v", claim.Entry.Recipients)
	}
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<bob@local.test>"), 550)
}

// A success is the account's fact; a failure is summed up, for the account that there is, or
// as a stranger's. Neither holds a password.
func TestSignInFacts(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindSubmissions)
	for _, row := range []struct{ who, with, rule string }{
		{"ALICE@Local.test", "S3cr3t-tried", "signin-bad-password"},
		{"nobody@local.test", "S3cr3t-tried", "signin-no-account"},
		{"S3cr3t-tried", password, "signin-no-address"},
		{"", "S3cr3t-tried", "signin-malformed"},
	} {
		if r := c.signIn(row.who, row.with); r.OK() {
			t.Errorf("%s signed in", row.who)
		}
		if f := w.oneFact(row.rule); f.Kind != fact.KindAuth || f.many != (row.rule == "signin-bad-password") || f.stranger == f.many || f.many && f.Account != "alice@local.test" {
			t.Errorf("fact %+v", f)
		}
	}
	c.want(c.from("<alice@local.test>"), 530)
	w.facts()
	c.want(c.signIn("Alice@Local.Test", password), 235)
	f := w.oneFact("signin-ok")
	if mech, _ := f.Find("mechanism"); f.stranger || f.Account != "alice@local.test" && f.Account != "Alice@local.test" || mech != "PLAIN" || f.Conn == "" {
		t.Errorf("fact %+v", f)
	}
	must(t, w.trace.Flush(t.Context()))
	err := w.st.Scan(t.Context(), everything, func(k, v []byte) (bool, error) {
		if bytes.Contains(v, []byte("S3cr3t")) || bytes.Contains(v, []byte(password)) {
			t.Errorf("key %q holds a password: %s", k, v)
		}
		return true, nil
	})
	must(t, err)
	err = w.st.Facts(t.Context(), 1, w.st.FactHead()+1, func(_ uint64, b []byte) (bool, error) {
		if bytes.Contains(b, []byte("S3cr3t")) || bytes.Contains(b, []byte(password)) {
			t.Errorf("a fact holds a password: %s", b)
		}
		return true, nil
	})
	must(t, err)
	if strings.Contains(w.logged.String(), "S3cr3t") || strings.Contains(w.logged.String(), password) {
		t.Error("the log holds a password")
	}
}

// A mechanism that cannot begin is refused with one fact.
func TestAuthWithoutTLS(t *testing.T) {
	w := newWorld(t)
	c := w.connect(server.KindSubmission)
	c.want(c.s.Hello(t.Context(), server.Hello{Name: "client.test", Extended: true}), 250)
	c.want(c.signIn("alice@local.test", password), 538)
	if f := w.oneFact("signin-clear"); !f.stranger {
		t.Errorf("fact %+v", f)
	}
	sasl, r := w.connect(server.KindSubmission).s.Auth(t.Context(), "CRAM-MD5")
	if sasl != nil || r.Code != 504 {
		t.Errorf("CRAM-MD5: %v", r)
	}
	w.oneFact("signin-mechanism")
}

// An account has a bounded number of sessions; one that ends makes room, and all
// of them can be ended at once, however the account's name is written.
func TestSessionsOfAnAccount(t *testing.T) {
	l := signin.DefaultLimits()
	l.SessionsPerAccount = 2
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), desk: l})
	first := w.signedIn("alice@local.test")
	w.signedIn("ALICE@local.test")
	third := w.connect(server.KindSubmissions)
	third.want(third.signIn("alice@local.test", password), 421)
	if f := w.oneFact("sessions-per-account"); f.stranger || f.Account == "" {
		t.Errorf("the credentials were right, but the fact is %+v", f)
	}
	third.want(third.from("<alice@local.test>"), 530)
	bob := w.signedIn("bob@local.test")
	first.s.Close(t.Context(), server.EndQuit)
	w.signedIn("alice@local.test")
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
	must(t, err)
	if n := w.desk.EndFallen(addr(t, "aLiCe@local.test")); n != 2 || len(w.ended) != 2 {
		t.Errorf("%d sessions ended, %v told", n, w.ended)
	}
	bob.want(bob.from("<bob@local.test>"), 250)
	if n := w.desk.EndFallen(addr(t, "carol@local.test")); n != 0 {
		t.Errorf("%d sessions of nobody", n)
	}
}

// The end of a connection is one fact that sums it up: a stranger's without mail is
// aggregated, any other is kept.
func TestCloseFacts(t *testing.T) {
	for _, row := range []struct {
		name     string
		as       string
		messages int
		stranger bool
	}{
		{"stranger without mail", "", 0, true},
		{"stranger with mail", "", 2, false},
		{"account without mail", "bob@local.test", 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.open(server.KindMX, row.as)
			for range row.messages {
				c.want(c.from("<x@far.test>"), 250)
				c.want(c.to("<nobody@local.test>"), 550)
				c.want(c.to("<bob@local.test>"), 250)
				c.want(c.data(message), 250)
			}
			w.now = w.now.Add(1500 * time.Millisecond)
			w.facts()
			c.s.Close(t.Context(), server.EndTimeout)
			f := w.oneFact("connection-ended")
			lasted, _ := f.Find("lasted")
			refused, _ := f.Find("refused")
			if f.Kind != fact.KindDisconnect || f.stranger != row.stranger || f.Count != row.messages ||
				f.Text != "timeout" || lasted != "1.5s" || refused != fmt.Sprint(row.messages) ||
				f.Account != row.as {
				t.Errorf("fact %+v", f)
			}
		})
	}
}

// A sign-in vouches for the client's address for as long as it gives a right: no longer than
// its account may send.
func TestASignInVouchesForItsAddress(t *testing.T) {
	w := newWorld(t)
	var still []func() bool
	s, _ := w.in.Connect(t.Context(), &server.Conn{
		ID: "v", Kind: server.KindSubmissions, Remote: netip.MustParseAddrPort("198.51.100.7:4711"), Started: w.now,
		End: func() {}, Known: func() {}, Vouch: func(f func() bool) { still = append(still, f) },
	})
	c := &client{w: w, s: s}
	c.want(c.s.Hello(t.Context(), server.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	c.want(c.signIn("alice@local.test", "a wrong password"), 535)
	if len(still) != 0 {
		t.Fatal("a wrong password vouches")
	}
	c.want(c.signIn("alice@local.test", password), 235)
	if len(still) != 1 || !still[0]() {
		t.Fatalf("%d sign-ins vouch", len(still))
	}
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
	must(t, err)
	if still[0]() {
		t.Error("the account is frozen, and its sign-in vouches")
	}
}
