package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/dane"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/tlspolicy/policytest"
)

// shake has a client that believes roots meet a server with a certificate, over a real socket.
func shake(t *testing.T, cert tls.Certificate, roots *x509.CertPool) error {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}}).Handshake()
	}()
	c, err := net.Dial("tcp", ln.Addr().String())
	check(t, err)
	defer c.Close()
	return tls.Client(c, &tls.Config{ServerName: "mx.x.test", RootCAs: roots}).Handshake()
}

// A handshake that fails is reported as what was wrong with the certificate, and so is a chain that is
// verified by itself.
func TestWhatWasWrongWithACertificate(t *testing.T) {
	ours, err := policytest.NewAuthority()
	check(t, err)
	other, err := policytest.NewAuthority()
	check(t, err)
	for name, c := range map[string]struct {
		from *policytest.Authority
		leaf policytest.Leaf
		want string
	}{
		"right":         {ours, policytest.Leaf{Names: []string{"mx.x.test"}}, ""},
		"another name":  {ours, policytest.Leaf{Names: []string{"mx.other.test"}}, ResultHost},
		"expired":       {ours, policytest.Leaf{Names: []string{"mx.x.test"}, Expired: true}, ResultExpired},
		"not signed by": {other, policytest.Leaf{Names: []string{"mx.x.test"}}, ResultTrust},
	} {
		cert, err := c.from.Issue(c.leaf)
		check(t, err)
		var chain []*x509.Certificate
		for _, der := range cert.Certificate {
			one, err := x509.ParseCertificate(der)
			check(t, err)
			chain = append(chain, one)
		}
		for how, err := range map[string]error{"a handshake": shake(t, cert, ours.Pool()), "by itself": VerifyPKIX(chain, "mx.x.test", ours.Pool(), time.Now())} {
			got := ""
			if err != nil {
				got = ResultOf(err)
			}
			if got != c.want {
				t.Errorf("%s, %s: %q (%v)", name, how, got, err)
			}
		}
	}
	if err := VerifyPKIX(nil, "mx.x.test", ours.Pool(), time.Now()); err == nil || ResultOf(err) != ResultValidation {
		t.Errorf("no certificate at all: %v", err)
	}
	for want, err := range map[string]error{ResultHost: dane.ErrName, ResultTrust: dane.ErrNoMatch, ResultValidation: errors.New("cut off")} {
		if got := ResultOf(fmt.Errorf("while shaking hands: %w", err)); got != want {
			t.Errorf("%v: %s", err, got)
		}
	}
}

// A session is reported under the policy that decided: DANE before MTA-STS, and MTA-STS with each
// line of it.
func TestUnderWhichPolicyASessionIsReported(t *testing.T) {
	domain, err := mail.ParseDomain("x.test")
	check(t, err)
	host, err := dnsx.ParseName("mx.x.test")
	check(t, err)
	set := dane.Usable([]dnsx.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: strings.Repeat("a", 32)}})
	sts := mtasts.Found{Policy: mtasts.Policy{Mode: mtasts.ModeEnforce, MX: []mtasts.Pattern{{Name: host}}}}
	for name, c := range map[string]struct {
		facts  Facts
		kind   Kind
		policy []string
		hosts  []string
	}{
		"none": {Facts{}, KindNone, nil, nil},
		"sts":  {Facts{STS: sts}, KindSTS, []string{"version: STSv1", "mode: enforce", "mx: mx.x.test"}, []string{"mx.x.test"}},
		"dane": {Facts{STS: sts, DANE: dane.Finding{Kind: dane.KindVerify, Set: set}}, KindTLSA, []string{set.Records()[0].String()}, nil},
		// Where nobody can tell what the TLSA records are, it is still about them.
		"dane unknown": {Facts{STS: sts, DANE: dane.Finding{Kind: dane.KindUnknown}}, KindTLSA, nil, nil},
	} {
		c.facts.Domain, c.facts.Host = domain, host
		s := Describe(c.facts)
		if s.Kind != c.kind || !slices.Equal(s.Policy, c.policy) || !slices.Equal(s.Hosts, c.hosts) || s.Domain != domain || s.Host != "mx.x.test" {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
