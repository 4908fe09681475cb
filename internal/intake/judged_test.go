package intake_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/inflow"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// judge says of each message what it is told to.
type judge struct {
	watcher
	says watch.Judged
}

func (j *judge) Submitted(ctx context.Context, m watch.Submission) watch.Judged {
	j.watcher.Submitted(ctx, m)
	return j.says
}

// A message at whose end its account is contained, or that bears what is paused, or that could not
// be judged, is not taken: nothing of it is stored or counted, and its sender is told which it was.
func TestWhatTheWatchSaysHolds(t *testing.T) {
	for name, row := range map[string]struct {
		says  watch.Judged
		reply string
		rule  string
		also  string // evidence
	}{
		"contained":       {watch.Judged{Contained: true}, "550 5.7.13 sending is suspended for this account: somebody else seems to use it", "account-contained", ""},
		"a fault":         {watch.Judged{Fault: errors.New("the store is away")}, "451 4.3.0 the message could not be stored", "message-not-stored", ""},
		"a paused source": {watch.Judged{Paused: incident.Shared{Kind: incident.KindNetwork, Text: "198.51.100.0/24"}}, "451 4.7.1 mail with the network 198.51.100.0/24 is paused: strangers seem to use accounts with it; send from a network", "shared-paused", "the network 198.51.100.0/24"},
		"a paused offer":  {watch.Judged{Paused: incident.Shared{Kind: incident.KindTLS, Text: "abc"}}, "is paused: strangers seem to use accounts with it; send with a program", "shared-paused", ""},
	} {
		t.Run(name, func(t *testing.T) {
			seen := &judge{says: row.says}
			w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
			c := w.signedIn("alice@local.test")
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			r := c.data(message)
			if !strings.Contains(r.String(), row.reply) {
				t.Errorf("answered %s", r)
			}
			f := w.oneFact(row.rule)
			if paused, _ := f.Find("paused"); f.Reply != r || f.Account != "alice@local.test" || paused != row.also && row.also != "" {
				t.Errorf("the fact is %+v", f)
			}
			w.empty()
			if n := w.used("alice@local.test"); n != 0 {
				t.Errorf("%d recipients are counted", n)
			}
			// The next one is judged by itself.
			seen.says = watch.Judged{}
			c.want(c.from("<alice@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			c.want(c.data(message), 250)
		})
	}
}

// What was refused in a message that never came is told of once, however often it is given up.
func TestAMessageIsGivenUpOnce(t *testing.T) {
	seen := &watcher{}
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), watch: seen})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	c.t.Abort(t.Context())
	c.t.Abort(t.Context())
	seen.want(t, "alice@local.test: 1 of 1 refused")
}

// shows has the client show a certificate with this end, and returns the certificate.
func (w *world) shows(ends time.Time) *x509.Certificate {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: w.now.Add(-time.Hour), NotAfter: ends, KeyUsage: x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(w.t, err)
	cert, err := x509.ParseCertificate(der)
	must(w.t, err)
	state := *w.tls
	state.PeerCertificates = []*x509.Certificate{cert}
	w.tls = &state
	return cert
}

func (w *world) enrolled(cert *x509.Certificate, alone bool) {
	w.t.Helper()
	alice := addr(w.t, "alice@local.test")
	_, err := w.identity.Enroll(w.t.Context(), alice,
		accounts.Device{Name: "laptop", Certificate: cert, Scope: accounts.ScopeSend},
		func(accounts.Credential) [][]byte { return nil })
	must(w.t, err)
	_, err = w.identity.SetPolicy(w.t.Context(), alice, accounts.PolicyAny, alone, nil)
	must(w.t, err)
}

// Whoever shows the certificate of an account that chose it sends without AUTH, at the submission
// doors and under TLS; nobody else does, and nobody on port 25.
func TestACertificateAlone(t *testing.T) {
	for _, alone := range []bool{true, false} {
		w := newWorldOf(t, setup{limits: intake.DefaultLimits(), desk: signin.Limits{SessionsPerAccount: 1, ReadersPerAccount: 1, Facts: 100, ReadingFacts: 100}})
		clear := w.tls
		w.enrolled(w.shows(w.now.Add(time.Hour)), alone)
		shown := w.tls
		c := w.connect(server.KindSubmissions)
		if !alone {
			c.want(c.from("<alice@local.test>"), 530)
			continue
		}
		c.want(c.from("<bob@local.test>"), 553)
		c.want(c.from("<alice@local.test>"), 250)
		c.want(c.to("<x@remote.test>"), 250)
		c.want(c.data(message), 250)
		if w.handed[0].Account() != addr(t, "alice@local.test") {
			t.Errorf("it is %s's", w.handed[0].Account())
		}
		// One session too many is told so, and is nobody's.
		second := w.connect(server.KindSubmissions)
		second.want(second.from("<alice@local.test>"), 421)
		mx := w.connect(server.KindMX)
		mx.want(mx.from("<alice@local.test>"), 550)
		for _, state := range []*tls.ConnectionState{clear, nil} {
			w.tls = state
			c := w.connect(server.KindSubmission)
			c.want(c.from("<alice@local.test>"), 530)
		}
		w.tls = shown
	}
}

// Whoever holds an enrolled key whose certificate has ended is told so where he is asked to sign
// in, and nobody else is.
func TestAnEndedCertificateIsNamed(t *testing.T) {
	w := newWorld(t)
	clear := w.tls
	w.enrolled(w.shows(w.now.Add(time.Hour)), true)
	w.now = w.now.Add(2 * time.Hour)
	for _, state := range []*tls.ConnectionState{w.tls, clear, nil} {
		named := state == w.tls
		kept := w.tls
		w.tls = state
		c := w.connect(server.KindSubmission)
		r := c.from("<alice@local.test>")
		c.want(r, 530)
		if strings.Contains(r.Text, "the certificate ended on") != named {
			t.Errorf("named %v: %s", named, r)
		}
		mx := w.connect(server.KindMX)
		mx.want(mx.from("<x@far.test>"), 250)
		if r := mx.to("<y@remote.test>"); strings.Contains(r.Text, "certificate") {
			t.Errorf("on port 25: %s", r)
		}
		w.tls = kept
	}
}

// The connection of whoever signed in keeps its place, and its address is vouched for as long as
// the sign-in gives a right.
func TestWhoSignedInIsVouchedFor(t *testing.T) {
	w := newWorld(t)
	known := 0
	var still func() bool
	s, _ := w.in.Connect(t.Context(), &server.Conn{ID: "c", Kind: server.KindSubmissions, Remote: w.remote(), Started: w.now, End: func() {},
		Known: func() { known++ }, Vouch: func(f func() bool) { still = f }})
	c := &client{w: w, s: s}
	c.want(c.s.Hello(t.Context(), server.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	c.want(c.signIn("alice@local.test", "wrong"), 535)
	if known != 0 || still != nil {
		t.Error("a wrong password keeps a place")
	}
	c.want(c.signIn("alice@local.test", password), 235)
	if known != 1 || still == nil || !still() {
		t.Fatalf("known %d times, vouched for %v", known, still != nil)
	}
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "stolen", nil)
	must(t, err)
	if still() {
		t.Error("a frozen account vouches for an address")
	}
}

// How many recipients a network names is bounded for strangers, whether they exist or not, and how
// many connections it opens on port 25 alone.
func TestStrangersAreBoundedAndPeopleAreNot(t *testing.T) {
	limits := inflow.DefaultLimits()
	limits.Recipients, limits.Connections = 2, 1
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), inflow: limits})
	c := w.connect(server.KindMX)
	if s, r := w.in.Connect(t.Context(), &server.Conn{ID: "d", Kind: server.KindMX, Remote: w.remote(), Started: w.now, End: func() {}, Known: func() {}}); s != nil || r.Code/100 != 4 {
		t.Errorf("a second connection on port 25: %v", r)
	}
	w.facts()
	c.want(c.from("<x@far.test>"), 250)
	c.want(c.to("<nobody@local.test>"), 550)
	named := 1
	for _, to := range []string{"<alice@local.test>", "<bob@local.test>", "<nobody2@local.test>"} {
		if r := c.to(to); r.Code == 450 && strings.Contains(r.Text, "network-recipients") {
			break
		}
		named++
	}
	if named > 2 {
		t.Errorf("a stranger names %d recipients", named)
	}
	for range 3 {
		p := w.signedIn("alice@local.test")
		p.want(p.from("<alice@local.test>"), 250)
		for _, to := range []string{"<a@remote.test>", "<b@remote.test>", "<c@remote.test>"} {
			p.want(p.to(to), 250)
		}
		p.t.Abort(t.Context())
	}
}

// What a limit kept out is told with the limit in words, and with what was answered.
func TestWhatALimitKeptOutIsTold(t *testing.T) {
	w := newWorld(t)
	w.most.Hour = 1
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	r := c.to("<b@remote.test>")
	c.want(r, 451)
	c.t.Abort(t.Context())
	for _, f := range w.facts() {
		if f.Kind == fact.KindRefuse && (f.Reply != r || !strings.Contains(f.Text, "1 recipient")) {
			t.Errorf("%v, %q", f.Reply, f.Text)
		}
	}
}

// A refusal by an inspector tells of a stranger what was found, in one line; and fields that fit
// the bound to the octet are taken.
func TestWhatAnInspectorFound(t *testing.T) {
	no := &reader{
		name: "no",
		say:  intake.Finding{Action: intake.Refuse, Rule: "odd", Reply: mail.R(554, "5.7.1", "no"), Notes: []fact.Pair{{Name: "score", Value: "7"}, {Name: "sign", Value: "X"}}},
	}
	w, r := say(t, message, no)
	if r.Code != 554 {
		t.Fatal(r)
	}
	if f := w.oneFact("odd"); !strings.Contains(f.Text, "score: 7; sign: X") {
		t.Errorf("the fact says %q", f.Text)
	}
	for more, code := range map[int]int{0: 250, 1: 451} {
		limits := intake.DefaultLimits()
		limits.InspectTime, limits.InspectedOctets = time.Minute, 300
		field := "X-One: " + strings.Repeat("y", 300+more-len("X-One: \r\n")) + "\r\n"
		w := newWorldOf(t, setup{limits: limits, inspectors: []intake.Inspector{&reader{name: "one", say: pass(field)}}})
		c := w.connect(server.KindMX)
		c.want(c.from("<x@far.test>"), 250)
		c.want(c.to("<bob@local.test>"), 250)
		c.want(c.data(message), code)
	}
}

// A message that broke off is answered with a deferral, should anybody still listen.
func TestAMessageThatBreaksOff(t *testing.T) {
	w := newWorld(t)
	c := w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<a@remote.test>"), 250)
	c.want(c.stream(broken{io.ErrUnexpectedEOF}), 451)
	w.empty()
}
