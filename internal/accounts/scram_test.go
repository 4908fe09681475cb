package accounts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

func scramClient(t testing.TB, user, password string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// converse plays a real client against an exchange and returns the last reply.
// A success counts only if the client has verified the server as well.
func converse(t testing.TB, x *Exchange, c *scram.ClientConversation) string {
	t.Helper()
	msg, err := c.Step("")
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		challenge, done, err := x.Next(context.Background(), []byte(msg))
		if done {
			if err == nil && !c.Valid() {
				t.Error("the server let in a client that did not verify the server")
			}
			return Reply(err).String()
		}
		if msg, err = c.Step(string(challenge)); err != nil {
			return "client: " + err.Error()
		}
	}
	return "no end"
}

func (f *fixture) scram(t testing.TB, user, password string) string {
	t.Helper()
	x, err := f.Begin(MechScram, home())
	if err != nil {
		t.Fatal(err)
	}
	return converse(t, x, scramClient(t, user, password).NewConversation())
}

func TestScramWithARealClient(t *testing.T) {
	f := withAlice(t, laxLimits())
	f.add(t, "a=b@local.test", "equals, comma=password")
	f.add(t, "café@local.test", "pâte à choux")
	f.add(t, "emoji@local.test", "ne\u00a0bsp and space")
	for _, c := range []struct{ user, password, want string }{
		{"alice@local.test", alicePassword, ok235},
		{"ALICE@local.test", alicePassword, ok235},
		{"alice@local.test", "wrong", bad535},
		{"alice@local.test", "", bad535},
		{"bob@local.test", alicePassword, bad535},
		{"nobody@local.test", alicePassword, bad535},
		{"a=b@local.test", "equals, comma=password", ok235},
		{"cafe\u0301@local.test", "pa\u0302te a\u0300 choux", ok235},
		{"emoji@local.test", "ne bsp and space", ok235},
	} {
		if got := f.scram(t, c.user, c.password); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.user, c.password, got, c.want)
		}
	}
	if err := f.signIn("café@local.test", "pa\u0302te a\u0300 choux", home()); err != nil {
		t.Errorf("PLAIN with the same password in NFD: %v", err)
	}
}

// A password beyond SASLprep (an emoji) still signs in with PLAIN, and with SCRAM
// from clients that do not prepare it.
func TestScramPasswordBeyondSASLprep(t *testing.T) {
	f := fresh(t, laxLimits())
	f.add(t, "alice@local.test", "correct 🐴 battery")
	if err := f.signIn("alice@local.test", "correct 🐴 battery", home()); err != nil {
		t.Error(err)
	}
	c, _ := scram.SHA256.NewClientUnprepped("alice@local.test", "correct 🐴 battery", "")
	x, _ := f.Begin(MechScram, home())
	if got := converse(t, x, c.NewConversation()); got != ok235 {
		t.Error(got)
	}
}

func TestScramFrozen(t *testing.T) {
	f := withAlice(t, laxLimits())
	if _, err := f.Freeze(context.Background(), address(t, "alice@local.test"), "hijacked", nil); err != nil {
		t.Fatal(err)
	}
	x, _ := f.Begin(MechScram, home())
	got := converse(t, x, scramClient(t, "alice@local.test", alicePassword).NewConversation())
	if got != bad535 || x.Attempt().Rule != RuleNotActive {
		t.Errorf("%s, %+v", got, x.Attempt())
	}
}

// Row H18: the first answer for a user who does not exist looks like any other,
// is the same each time, also after a restart, and for each way to write the name.
func TestScramUnknownUser(t *testing.T) {
	f := withAlice(t, laxLimits())
	first := func(f *fixture, user string) (salt, rounds string) {
		got, _ := say(f.Identity, home(), MechScram, []byte("n,,n="+user+",r=abcdef"))
		parts := strings.Split(strings.TrimPrefix(got, "334 "), ",")
		if len(parts) != 3 || !strings.HasPrefix(parts[0], "r=abcdef") || len(parts[0]) != len("r=abcdef")+32 {
			t.Fatalf("%s: %s", user, got)
		}
		return parts[1], parts[2]
	}
	salt, rounds := first(f, "nobody@local.test")
	realSalt, realRounds := first(f, "alice@local.test")
	if len(salt) != len(realSalt) || rounds != realRounds || salt == realSalt {
		t.Errorf("nobody %s %s, alice %s %s", salt, rounds, realSalt, realRounds)
	}
	again := open(t, f.st, Options{Limits: laxLimits()})
	for _, g := range []*fixture{f, again} {
		for _, user := range []string{"nobody@local.test", "NOBODY@local.test", "Nobody@LOCAL.TEST"} {
			if s, r := first(g, user); s != salt || r != rounds {
				t.Errorf("%s: %s %s, want %s %s", user, s, r, salt, rounds)
			}
		}
		if s, _ := first(g, "nobody2@local.test"); s == salt {
			t.Error("two names share a salt")
		}
	}
}

func TestScramMessagesOutOfOrder(t *testing.T) {
	f := withAlice(t, laxLimits())
	first := "n,,n=alice@local.test,r=abc"
	for _, second := range []string{first, "", "c=biws", "c=biws,r=abc,p=!!!", "c=biws,r=abc,p=", "c=biws,r=wrong,p=AAAA", "c=eSws,r=abc,p=AAAA", "c=biws\r\n,r=abc,p=AAAA"} {
		got, _ := say(f.Identity, home(), MechScram, lines(first, second)...)
		if reply := got[strings.LastIndexByte(got, '\n')+1:]; reply != bad501 && reply != bad535 {
			t.Errorf("%q: %s", second, got)
		}
	}
	// The last response must be empty.
	x, _ := f.Begin(MechScram, home())
	c := scramClient(t, "alice@local.test", alicePassword).NewConversation()
	msg, _ := c.Step("")
	for range 2 {
		challenge, _, err := x.Next(context.Background(), []byte(msg))
		if err != nil {
			t.Fatal(err)
		}
		msg, _ = c.Step(string(challenge))
	}
	if _, done, err := x.Next(context.Background(), []byte("x")); !done || err == nil {
		t.Errorf("%v %v", done, err)
	}
	if _, ok := x.Proof(); ok {
		t.Error("signed in")
	}
}

// tlsPair is a real TLS connection on loopback.
func tlsPair(t testing.TB, version uint16) (server, client tls.ConnectionState, cert *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.local.test"},
		DNSNames: []string{"mx.local.test"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	states := make(chan tls.ConnectionState, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			close(states)
			return
		}
		defer nc.Close()
		c := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version})
		if err := c.Handshake(); err != nil {
			t.Error(err)
		}
		states <- c.ConnectionState()
	}()
	c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "mx.local.test", MaxVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return <-states, c.ConnectionState(), cert
}

func TestChannelBindingTLSExporter(t *testing.T) {
	f := withAlice(t, laxLimits())
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { testExporter(t, f, version) })
	}
}

func testExporter(t *testing.T, f *fixture, version uint16) {
	server, client, _ := tlsPair(t, version)
	p := Peer{Remote: home().Remote, TLS: &server, For: ScopeSend}
	if !f.ChannelBinding(&server) {
		t.Fatal("nothing to bind to")
	}
	binding, err := scram.NewTLSExporterBinding(&client)
	if err != nil {
		t.Fatal(err)
	}
	c := scramClient(t, "alice@local.test", alicePassword)
	play := func(mech string, conv *scram.ClientConversation) (string, Rule) {
		x, err := f.Begin(mech, p)
		if err != nil {
			t.Fatal(err)
		}
		return converse(t, x, conv), x.Attempt().Rule
	}
	expect := func(what, got string, rule Rule, want string, wantRule Rule) {
		t.Helper()
		if got != want || rule != wantRule {
			t.Errorf("%s: %s by %s, want %s by %s", what, got, rule, want, wantRule)
		}
	}
	got, rule := play(MechScramPlus, c.NewConversationWithChannelBinding(binding))
	expect("bound", got, rule, ok235, RuleSignedIn)
	got, rule = play(MechScram, c.NewConversation())
	expect("a client that cannot bind", got, rule, ok235, RuleSignedIn)
	// Row H13: somebody hid -PLUS from a client that can bind.
	got, rule = play(MechScram, c.NewConversationAdvertisingChannelBinding())
	expect("downgrade", got, rule, bad535, RuleDowngrade)
	// Row H14: the client's TLS ends at somebody else.
	_, other, _ := tlsPair(t, version)
	foreign, err := scram.NewTLSExporterBinding(&other)
	if err != nil {
		t.Fatal(err)
	}
	got, rule = play(MechScramPlus, c.NewConversationWithChannelBinding(foreign))
	expect("another connection's binding", got, rule, bad535, RuleBinding)
	got, rule = play(MechScramPlus, c.NewConversation())
	expect("-PLUS without binding", got, rule, bad535, RuleBinding)
	got, rule = play(MechScram, c.NewConversationWithChannelBinding(binding))
	expect("binding without -PLUS", got, rule, bad535, RuleBinding)
	got, rule = play(MechScramPlus, c.NewConversationWithChannelBinding(scram.NewTLSUniqueBinding([]byte("x"))))
	expect("tls-unique", got, rule, bad535, RuleBinding)
}

func TestChannelBindingServerEndPoint(t *testing.T) {
	server, client, cert := tlsPair(t, tls.VersionTLS12)
	f := withAlice(t, laxLimits())
	g := open(t, f.st, Options{Limits: laxLimits()})
	p := Peer{Remote: home().Remote, TLS: &server, Certificate: cert, For: ScopeSend}
	binding, err := scram.NewTLSServerEndpointBinding(&client)
	if err != nil {
		t.Fatal(err)
	}
	c := scramClient(t, "alice@local.test", alicePassword)
	x, err := g.Begin(MechScramPlus, p)
	if err != nil {
		t.Fatal(err)
	}
	if got := converse(t, x, c.NewConversationWithChannelBinding(binding)); got != ok235 {
		t.Error(got)
	}
	x, _ = g.Begin(MechScram, p)
	if got := converse(t, x, c.NewConversationAdvertisingChannelBinding()); got != bad535 {
		t.Errorf("downgrade: %s", got)
	}
	_, other, _ := tlsPair(t, tls.VersionTLS12)
	foreign, _ := scram.NewTLSServerEndpointBinding(&other)
	x, _ = g.Begin(MechScramPlus, p)
	if got := converse(t, x, c.NewConversationWithChannelBinding(foreign)); got != bad535 {
		t.Errorf("another server's certificate: %s", got)
	}
	// Without -PLUS on offer the flag "y" is honest.
	for name, h := range map[string]*fixture{"nothing to bind to": f, "not enabled": open(t, f.st, Options{Limits: laxLimits(), Mechanisms: []string{MechScram}})} {
		q := p
		if h == f {
			q = home()
		}
		x, _ = h.Begin(MechScram, q)
		if got := converse(t, x, c.NewConversationAdvertisingChannelBinding()); got != ok235 {
			t.Errorf("%s, an honest y: %s", name, got)
		}
	}
	// A server that does not know its certificate does not guess.
	x, _ = f.Begin(MechScramPlus, Peer{Remote: p.Remote, TLS: p.TLS, For: ScopeSend})
	if got := converse(t, x, c.NewConversationWithChannelBinding(binding)); got != bad535 {
		t.Errorf("a certificate that is not known: %s", got)
	}
}

func exporterState(t testing.TB) tls.ConnectionState {
	t.Helper()
	server, _, _ := tlsPair(t, tls.VersionTLS13)
	return server
}
