package intake_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/intake"
	"sallyport/internal/mail"
	smtpserver "sallyport/internal/smtp/server"
	"sallyport/internal/trust"
)

// networks takes every client for bob's devices, while why is empty.
type networks struct {
	account mail.Address
	why     string
	asked   []netip.Addr
	saw     []trust.Sighting
}

func (n *networks) Account(a netip.Addr) (trust.Network, string, bool) {
	n.asked = append(n.asked, a)
	return trust.Network{Name: "printers", Account: n.account}, n.why, true
}

func (n *networks) Saw(_ context.Context, s trust.Sighting) { n.saw = append(n.saw, s) }

func newNetworkWorld(t *testing.T) (*world, *networks) {
	n := &networks{account: addr(t, "bob@local.test")}
	return newWorldOf(t, setup{limits: intake.DefaultLimits(), networks: n}), n
}

// A client of a network that counts is its account with a sender of the account, at the
// submission doors, in clear text too; each other sender is asked to sign in, and mx knows no network.
func TestNetworkSignsIn(t *testing.T) {
	w, n := newNetworkWorld(t)
	for _, kind := range []smtpserver.Kind{smtpserver.KindSubmission, smtpserver.KindSubmissions} {
		for _, clear := range []bool{false, true} {
			secured := w.tls
			if clear {
				w.tls = nil
			}
			c := w.connect(kind)
			w.tls = secured
			w.facts()
			c.want(c.from("<bob@local.test>"), 250)
			if f := w.facts(); len(f) != 1 || f[0].Rule != "signin-network" || f[0].Account != "bob@local.test" || f[0].stranger {
				t.Errorf("the facts of the sign-in: %+v", f)
			}
			c.want(c.to("<x@remote.test>"), 250)
			c.want(c.data("From: bob@local.test\r\n\r\nscanned\r\n"), 250)
			if c := w.handed[len(w.handed)-1]; c.Account() != addr(t, "bob@local.test") {
				t.Errorf("it is %s's", c.Account())
			}
			c.want(c.from("<bob@local.test>"), 250)
			c.want(c.to("<x@remote.test>"), 250)
			c.want(c.data("From: alice@local.test\r\n\r\nforged\r\n"), 550)
			c.want(c.from("<alice@local.test>"), 553)
			c.s.Close(t.Context(), smtpserver.EndQuit)
		}
	}
	for _, from := range []string{"<alice@local.test>", "<x@remote.test>", "<>"} {
		c := w.connect(smtpserver.KindSubmission)
		c.want(c.from(from), 530)
	}
	asked := len(n.asked)
	c := w.connect(smtpserver.KindMX)
	c.want(c.from("<bob@local.test>"), 550)
	c.want(c.from("<x@remote.test>"), 250)
	c.want(c.to("<x@remote.test>"), 550)
	if len(n.asked) != asked {
		t.Error("port 25 asks for a network")
	}
}

// Trust that ends is missed at the next command, also by who is in the middle of a message,
// and by nobody who signed in.
func TestNetworkThatDoesNotCount(t *testing.T) {
	w, n := newNetworkWorld(t)
	signed := w.signedIn("alice@local.test")
	signed.want(signed.from("<alice@local.test>"), 250)
	early, late := w.connect(smtpserver.KindSubmission), w.connect(smtpserver.KindSubmission)
	early.want(early.from("<bob@local.test>"), 250)
	early.want(early.to("<x@remote.test>"), 250)
	late.want(late.from("<bob@local.test>"), 250)
	late.want(late.to("<x@remote.test>"), 250)
	n.why = "a gateway came"
	early.want(early.to("<y@remote.test>"), 550)
	late.want(late.data("From: bob@local.test\r\n\r\nlate\r\n"), 550)
	late.want(late.from("<bob@local.test>"), 550)
	fresh := w.connect(smtpserver.KindSubmission)
	fresh.want(fresh.from("<bob@local.test>"), 530)
	signed.want(signed.to("<x@remote.test>"), 250)
	signed.want(signed.data("From: alice@local.test\r\n\r\nhello\r\n"), 250)
	n.why, n.account = "", addr(t, "carol@local.test") // there is no such account
	fresh.want(fresh.from("<carol@local.test>"), 530)
}

// Nobody of whom a balancer speaks is of a network, and neither is it told.
func TestNetworkBehindABalancer(t *testing.T) {
	w, n := newNetworkWorld(t)
	s, _ := w.in.Connect(t.Context(), &smtpserver.Conn{
		ID: "b", Kind: smtpserver.KindSubmission, Remote: netip.MustParseAddrPort("10.20.0.7:1"),
		Balancer: netip.MustParseAddrPort("10.0.0.1:1"), Started: w.now, End: func() {}, Known: func() {},
	})
	c := &client{w: w, s: s}
	c.want(s.Hello(t.Context(), smtpserver.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	c.want(c.from("<bob@local.test>"), 530)
	if len(n.asked)+len(n.saw) > 0 {
		t.Errorf("asked %v, told %v", n.asked, n.saw)
	}
}

// A new EHLO forgets the network, so that its client may sign in.
func TestNetworkIsForgotten(t *testing.T) {
	w, _ := newNetworkWorld(t)
	c := w.connect(smtpserver.KindSubmission)
	c.want(c.from("<bob@local.test>"), 250)
	c.t.Abort(t.Context())
	c.want(c.signIn("alice@local.test", password), 503)
	c.want(c.s.Hello(t.Context(), smtpserver.Hello{Name: "client.test", Extended: true, TLS: w.tls}), 250)
	c.want(c.signIn("alice@local.test", password), 235)
	c.want(c.from("<alice@local.test>"), 250)
}

// Whoever guards networks is told what clients do that did not sign in: names, domains that are not
// ours, accounts that they fail at.
func TestNetworksAreTold(t *testing.T) {
	w, n := newNetworkWorld(t)
	n.why = "not now"
	c := w.connect(smtpserver.KindMX)
	c.want(c.from("<x@remote.test>"), 250)
	c = w.connect(smtpserver.KindSubmission)
	c.want(c.from("<bob@local.test>"), 530)
	c.want(c.signIn("alice@local.test", "wrong"), 535)
	c = w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	var said []string
	for _, s := range n.saw {
		if s.From != netip.MustParseAddr("198.51.100.7") || s.Name != "client.test" {
			t.Errorf("told of %+v", s)
		}
		said = append(said, map[bool]string{true: "mx", false: "submission"}[s.MX]+" "+s.Domain+" "+s.Account)
	}
	if want := []string{"mx remote.test ", "submission  ", "submission  alice@local.test"}; !slices.Equal(said, want) {
		t.Errorf("told of %q", strings.Join(said, ", "))
	}
}
