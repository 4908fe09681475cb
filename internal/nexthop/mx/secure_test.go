package mx

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/tlspolicy/policytest"
)

// policyWorld is a signed zone with one host, whose certificate and whose domain's
// policy a test chooses.
type policyWorld struct {
	*world
	ca  *policytest.Authority
	sts mtasts.Found

	mu       sync.Mutex
	sessions []tlspolicy.Session
}

func newPolicyWorld(t *testing.T) *policyWorld {
	w := newWorld(t).zone("x.test MX 10 mx.x.test", "mx.x.test A 127.0.0.2")
	ca, err := policytest.NewAuthority()
	check(t, err)
	w.dns.Signed, w.dns.Unsigned, w.dns.TLSAs, w.dns.Aliases = true, map[string]bool{}, map[string][]dnsx.TLSA{}, map[string]string{}
	return &policyWorld{world: w, ca: ca}
}

// certificate returns the TLS of a server: "right", "wrong", "expired", "stranger",
// or "none".
func (w *policyWorld) certificate(kind string) *tls.Config {
	w.t.Helper()
	a, leaf := w.ca, policytest.Leaf{Names: []string{"mx.x.test"}}
	switch kind {
	case "none":
		return nil
	case "wrong":
		leaf.Names = []string{"mx.evil.test"}
	case "expired":
		leaf.Expired = true
	case "stranger":
		var err error
		a, err = policytest.NewAuthority()
		check(w.t, err)
	}
	cert, err := a.Issue(leaf)
	check(w.t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// tlsa publishes a record of the host: "ee" of cfg's certificate, "ta" of the
// authority, "other" of no certificate, "unusable", "fails" or "".
func (w *policyWorld) tlsa(kind string, cfg *tls.Config) {
	name := fmt.Sprintf("_%d._tcp.mx.x.test", w.port)
	spki := []byte("nobody's")
	usage := uint8(3)
	switch {
	case kind == "":
		return
	case kind == "fails":
		w.dns.Failures["TLSA "+name] = dnsx.ErrServer
		return
	case kind == "unusable":
		usage = 1
	case kind == "ta":
		usage, spki = 2, w.ca.Cert.RawSubjectPublicKeyInfo
	case kind == "ee" && cfg != nil:
		spki = cfg.Certificates[0].Leaf.RawSubjectPublicKeyInfo
	}
	sum := sha256.Sum256(spki)
	w.dns.TLSAs[name] = []dnsx.TLSA{{Usage: usage, Selector: 1, Matching: 1, Data: string(sum[:])}}
}

func (w *policyWorld) policy(mode mtasts.Mode, hosts ...string) {
	p := mtasts.Policy{Mode: mode, MaxAge: time.Hour}
	for _, h := range hosts {
		n, err := dnsx.ParseName(h)
		check(w.t, err)
		p.MX = append(p.MX, mtasts.Pattern{Name: n})
	}
	w.sts = mtasts.Found{Policy: p, ID: "7"}
}

// send delivers one message and returns its outcome and how it was reported.
func (w *policyWorld) send(demand mail.TLSDemand, change func(*Options)) (mail.Outcome, string) {
	w.t.Helper()
	o := w.options()
	o.DANE, o.Roots = true, w.ca.Pool()
	o.STS = func(context.Context, mail.Domain) mtasts.Found { return w.sts }
	o.Report = func(s tlspolicy.Session) { w.mu.Lock(); defer w.mu.Unlock(); w.sessions = append(w.sessions, s) }
	if change != nil {
		change(&o)
	}
	targets := w.targets(o)
	d, err := mail.ParseDomain("x.test")
	check(w.t, err)
	j := w.job("a@x.test")
	j.Envelope.TLS = demand
	out := targets.For(d).Deliver(w.t.Context(), j)
	w.mu.Lock()
	defer w.mu.Unlock()
	var said []string
	for _, s := range w.sessions {
		said = append(said, strings.TrimSuffix(string(s.Kind)+" "+s.Failure, " "))
		if s.Failure == "" && (s.Host != "mx.x.test" || s.Address.String() != "127.0.0.2" || !s.Sender.IsLoopback()) {
			w.t.Errorf("%+v", s)
		}
	}
	return out[0], strings.Join(said, ", ")
}

func (w *policyWorld) serveMX(cfg *tls.Config, requireTLS bool) {
	w.t.Helper()
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{w: w.world, ip: "127.0.0.2"}, nil }))
	server.Domain, server.TLSConfig, server.ErrorLog, server.EnableREQUIRETLS = "mx.test", cfg, quiet{}, requireTLS
	ln := w.listen("127.0.0.2")
	go server.Serve(ln)
	w.t.Cleanup(func() { server.Close() })
}

// Every policy against every kind of certificate. G17, G18: what is enforced is met
// or the message waits, and it never goes in clear; what is not enforced changes
// nothing but the report.
func TestPoliciesAgainstCertificates(t *testing.T) {
	const (
		delivered = "250"
		deferred  = "451 4.7.5"
	)
	certificates := []string{"right", "wrong", "expired", "stranger", "none"}
	for _, row := range []struct {
		policy string
		want   [5]string // by certificate
		report [5]string
	}{
		{"none", [5]string{delivered, delivered, delivered, delivered, delivered},
			[5]string{"no-policy-found", "no-policy-found", "no-policy-found", "no-policy-found", "no-policy-found starttls-not-supported"}},
		{"enforce", [5]string{delivered, deferred, deferred, deferred, deferred},
			[5]string{"sts", "sts certificate-host-mismatch", "sts certificate-expired", "sts certificate-not-trusted", "sts starttls-not-supported"}},
		{"enforce, another host", [5]string{deferred, deferred, deferred, deferred, deferred},
			[5]string{"sts validation-failure", "sts validation-failure", "sts validation-failure", "sts validation-failure", "sts validation-failure"}},
		{"testing", [5]string{delivered, delivered, delivered, delivered, delivered},
			[5]string{"sts", "sts certificate-host-mismatch", "sts certificate-expired", "sts certificate-not-trusted", "sts starttls-not-supported"}},
		{"testing, another host", [5]string{delivered, delivered, delivered, delivered, delivered},
			[5]string{"sts validation-failure", "sts certificate-host-mismatch", "sts certificate-expired", "sts certificate-not-trusted", "sts starttls-not-supported"}},
		{"mode none", [5]string{delivered, delivered, delivered, delivered, delivered},
			[5]string{"sts", "sts", "sts", "sts", "sts starttls-not-supported"}},
		{"ee", [5]string{delivered, delivered, delivered, delivered, deferred},
			[5]string{"tlsa", "tlsa", "tlsa", "tlsa", "tlsa starttls-not-supported"}},
		{"ta", [5]string{delivered, deferred, deferred, deferred, deferred},
			[5]string{"tlsa", "tlsa certificate-host-mismatch", "tlsa certificate-expired", "tlsa certificate-not-trusted", "tlsa starttls-not-supported"}},
		{"other", [5]string{deferred, deferred, deferred, deferred, deferred},
			[5]string{"tlsa certificate-not-trusted", "tlsa certificate-not-trusted", "tlsa certificate-not-trusted", "tlsa certificate-not-trusted", "tlsa starttls-not-supported"}},
		{"unusable", [5]string{delivered, delivered, delivered, delivered, deferred},
			[5]string{"tlsa", "tlsa", "tlsa", "tlsa", "tlsa starttls-not-supported"}},
		{"fails", [5]string{deferred, deferred, deferred, deferred, deferred},
			[5]string{"tlsa dnssec-invalid", "tlsa dnssec-invalid", "tlsa dnssec-invalid", "tlsa dnssec-invalid", "tlsa dnssec-invalid"}},
	} {
		for i, kind := range certificates {
			t.Run(row.policy+"/"+kind, func(t *testing.T) {
				t.Parallel()
				w := newPolicyWorld(t)
				cfg := w.certificate(kind)
				switch row.policy {
				case "enforce":
					w.policy(mtasts.ModeEnforce, "mx.x.test")
				case "enforce, another host":
					w.policy(mtasts.ModeEnforce, "mx.other.test")
				case "testing":
					w.policy(mtasts.ModeTesting, "mx.x.test")
				case "testing, another host":
					w.policy(mtasts.ModeTesting, "mx.other.test")
				case "mode none":
					w.policy(mtasts.ModeNone)
				case "none":
				default:
					w.tlsa(row.policy, cfg)
				}
				w.serveMX(cfg, false)
				out, report := w.send(mail.TLSAsUsual, nil)
				if !strings.HasPrefix(out.Reply.String(), row.want[i]) || report != row.report[i] {
					t.Errorf("%s, reported %q; want %s, %q", out.Reply, report, row.want[i], row.report[i])
				}
				if row.want[i] == deferred && (w.took["127.0.0.2 a@x.test"] > 0 || !strings.Contains(out.Reply.Text, "mx.x.test")) {
					t.Errorf("taken, or the reason names no host: %s", out.Reply)
				}
				if enforced := row.policy != "none" && row.policy != "mode none" && !strings.HasPrefix(row.policy, "testing"); row.want[i] == delivered && enforced && (out.Policy == "" || out.TLS == "") {
					t.Errorf("no evidence: %+v", out)
				}
				// A sender who does not mind gets through.
				if out, _ := w.send(mail.TLSOptional, nil); !out.Delivered() {
					t.Errorf("TLS-Required: No: %s", out.Reply)
				}
			})
		}
	}
}

// RFC 8461 §2: MTA-STS never lets through what DANE refuses, and is not asked where
// DANE decides.
func TestDANEGoesFirst(t *testing.T) {
	for _, row := range []struct{ tlsa, certificate, host, want string }{
		{"other", "right", "mx.x.test", "451 4.7.5"},
		{"ee", "stranger", "mx.other.test", "250"},
		{"unusable", "stranger", "mx.x.test", "451 4.7.5"}, // what DANE leaves open, MTA-STS decides
		{"unusable", "right", "mx.x.test", "250"},
	} {
		w := newPolicyWorld(t)
		cfg := w.certificate(row.certificate)
		w.tlsa(row.tlsa, cfg)
		w.policy(mtasts.ModeEnforce, row.host)
		w.serveMX(cfg, false)
		if out, _ := w.send(mail.TLSAsUsual, nil); !strings.HasPrefix(out.Reply.String(), row.want) {
			t.Errorf("%+v: %s", row, out.Reply)
		}
	}
}

// RFC 7672 §2.2.1: records behind host names that could be forged count for nothing;
// nor do any without a validating resolver, or with DANE off.
func TestDANENeedsSecureNames(t *testing.T) {
	for name, change := range map[string]func(*policyWorld, *Options){
		"unsigned MX":   func(w *policyWorld, _ *Options) { w.dns.Unsigned["x.test"] = true },
		"unsigned host": func(w *policyWorld, _ *Options) { w.dns.Unsigned["mx.x.test"] = true },
		"no validation": func(w *policyWorld, _ *Options) { w.dns.Signed = false },
		"switched off":  func(_ *policyWorld, o *Options) { o.DANE = false },
	} {
		w := newPolicyWorld(t)
		w.tlsa("other", nil)
		w.serveMX(w.certificate("stranger"), false)
		if out, _ := w.send(mail.TLSAsUsual, func(o *Options) { change(w, o) }); !out.Delivered() {
			t.Errorf("%s: %s", name, out.Reply)
		}
	}
}

// A domain without MX is its own host, if it is secure that there is none.
func TestDANEOfImplicitExchanger(t *testing.T) {
	for _, signed := range []bool{true, false} {
		w := newPolicyWorld(t)
		delete(w.dns.Exchangers, "x.test")
		w.zone("x.test A 127.0.0.2")
		w.dns.Unsigned["x.test"] = !signed
		w.dns.TLSAs[fmt.Sprintf("_%d._tcp.x.test", w.port)] = []dnsx.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: strings.Repeat("x", 32)}}
		w.serveMX(w.certificate("right"), false)
		if out, _ := w.send(mail.TLSAsUsual, func(o *Options) { o.Report = nil }); out.Delivered() == signed {
			t.Errorf("signed %v: %s", signed, out.Reply)
		}
	}
}

// A certificate by DANE-TA may be for the next-hop domain, or where its alias leads.
func TestNamesForDANETA(t *testing.T) {
	for _, name := range []string{"mx.x.test", "x.test", "real.test", "mx.other.test"} {
		w := newPolicyWorld(t)
		w.dns.Aliases["x.test"] = "real.test"
		w.zone("real.test MX 10 mx.x.test")
		cert, err := w.ca.Issue(policytest.Leaf{Names: []string{name}})
		check(t, err)
		w.tlsa("ta", nil)
		w.serveMX(&tls.Config{Certificates: []tls.Certificate{cert}}, false)
		if out, _ := w.send(mail.TLSAsUsual, nil); out.Delivered() == (name == "mx.other.test") {
			t.Errorf("%s: %s", name, out.Reply)
		}
	}
}

// RFC 8689 §4.2.1: a message that requires TLS goes to a host that is proven and takes
// the parameter; else it comes back at once. Only what the DNS may still tell waits.
func TestRequiredTLS(t *testing.T) {
	for _, row := range []struct {
		name, certificate, tlsa string
		mode                    mtasts.Mode
		unsigned, offers        bool
		want                    string
	}{
		{"DANE", "stranger", "ee", 0, false, true, "250"},
		{"MTA-STS", "right", "", mtasts.ModeEnforce, true, true, "250"},
		{"MTA-STS in testing names the host", "right", "", mtasts.ModeTesting, true, true, "250"},
		{"DNSSEC names the host", "right", "", 0, false, true, "250"},
		{"not offered", "right", "", 0, false, false, "550 5.7.30"},
		{"host could be forged", "right", "", 0, true, true, "550 5.7.10"},
		{"wrong certificate", "wrong", "", 0, false, true, "550 5.7.10"},
		{"wrong certificate, testing", "wrong", "", mtasts.ModeTesting, false, true, "550 5.7.10"},
		{"no TLS", "none", "", 0, false, true, "550 5.7.10"},
		{"unusable records", "stranger", "unusable", 0, false, true, "550 5.7.10"},
		{"records not found out", "right", "fails", 0, false, true, "451 4.7.5"},
	} {
		w := newPolicyWorld(t)
		cfg := w.certificate(row.certificate)
		w.tlsa(row.tlsa, cfg)
		w.dns.Unsigned["x.test"] = row.unsigned
		if row.mode != 0 {
			w.policy(row.mode, "mx.x.test")
		}
		w.serveMX(cfg, row.offers)
		out, _ := w.send(mail.RequireTLS, nil)
		if !strings.HasPrefix(out.Reply.String(), row.want) || row.want != "250" && w.took["127.0.0.2 a@x.test"] > 0 {
			t.Errorf("%s: %s, want %s", row.name, out.Reply, row.want)
		}
	}
}

// The next host is tried when one does not meet the policy.
func TestTheNextHostMeetsThePolicy(t *testing.T) {
	w := newPolicyWorld(t)
	w.zone("x.test MX 5 bad.x.test", "bad.x.test A 127.0.0.3")
	w.serve("127.0.0.3", w.certificate("none"))
	w.serveMX(w.certificate("right"), false)
	w.policy(mtasts.ModeEnforce, "mx.x.test", "bad.x.test")
	out, report := w.send(mail.TLSAsUsual, nil)
	if !out.Delivered() || report != "sts starttls-not-supported, sts" {
		t.Errorf("%s, reported %q", out.Reply, report)
	}
	if !strings.Contains(out.Policy, "MTA-STS policy of x.test (enforce, id 7)") {
		t.Errorf("%+v", out)
	}
}

// A kept connection of a message that asked for less never serves one that asks for
// more.
func TestConnectionsAreNotSharedAcrossDemands(t *testing.T) {
	w := newPolicyWorld(t)
	w.serve("127.0.0.2", w.certificate("stranger"))
	o := w.options()
	targets := w.targets(o)
	d, err := mail.ParseDomain("x.test")
	check(t, err)
	for _, row := range []struct {
		demand mail.TLSDemand
		want   int
	}{{mail.TLSAsUsual, 250}, {mail.RequireTLS, 550}, {mail.TLSOptional, 250}, {mail.TLSAsUsual, 250}} {
		j := w.job("a@x.test")
		j.Envelope.TLS = row.demand
		if out := targets.For(d).Deliver(t.Context(), j); out[0].Reply.Code != row.want {
			t.Errorf("%v: %s", row.demand, out[0].Reply)
		}
	}
	w.wantDialed("127.0.0.2", "127.0.0.2", "127.0.0.2")
}

// A policy that does not come delays its own domain alone, and no longer than it may.
func TestAPolicyThatHangsDelaysNobodyElse(t *testing.T) {
	w := newPolicyWorld(t)
	w.zone("y.test MX 10 mx.x.test")
	w.serveMX(w.certificate("right"), false)
	o := w.options()
	hanging, release := make(chan struct{}), make(chan struct{})
	o.STS = func(ctx context.Context, d mail.Domain) mtasts.Found {
		if d.ASCII() == "x.test" {
			close(hanging)
			<-release
		}
		return mtasts.Found{Err: errors.New("it does not come")}
	}
	targets := w.targets(o)
	slow := make(chan []string, 1)
	go func() { slow <- w.deliver(targets, "a@x.test") }()
	<-hanging
	w.want(w.deliver(targets, "a@y.test"), "250 2.0.0 "+w.at("mx.x.test", "127.0.0.2"))
	close(release)
	w.want(<-slow, "250 2.0.0 "+w.at("mx.x.test", "127.0.0.2"))
}
