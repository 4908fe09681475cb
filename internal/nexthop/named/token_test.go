package named

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop/token"
	"sallyport/internal/nexthop/token/tenant"
)

// cloud is a route to a tenant, with a clock of the test's own for tokens.
type cloud struct {
	*testing.T
	*tenant.Tenant
	place  Place
	means  Means
	target *Target

	mu   sync.Mutex
	now  time.Time
	told []string
	log  strings.Builder
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	e := tenant.New(t)
	c := &cloud{T: t, Tenant: e, now: time.Now()}
	c.place = Place{
		Network: "tcp", Address: e.SMTP, Host: "127.0.0.1", TLS: mail.TLSRequired, CA: e.CA, User: tenant.User, Limits: DefaultLimits(),
		Token: token.Endpoint{URL: e.Token, CA: e.CA, Client: tenant.Client, SecretFile: file(t, tenant.Secret), Scope: "https://tenant.test/.default", Style: token.StyleBody},
	}
	sources := token.NewSources(token.Means{
		Keep: token.Keep(t.TempDir()), Limits: token.DefaultLimits(), Now: c.clock, Dial: Dialer(),
		Tell: func(_ context.Context, _ token.Endpoint, err error) { c.told = append(c.told, fmt.Sprint(err)) },
	}, nil)
	c.means = means(t)
	c.means.Tokens, c.means.Now, c.means.Logger = sources.Of, c.clock, slog.New(slog.NewTextHandler(&c.log, nil))
	c.target = reach(t, c.place, c.means)
	return c
}

func (c *cloud) clock() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *cloud) wait(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// want delivers one message and wants a reply that begins so, and no secret in any word.
func (c *cloud) want(reply string) {
	c.Helper()
	out := c.target.Deliver(c.Context(), job(c, "bob@x.test"))
	if len(out) != 1 || !strings.HasPrefix(out[0].Reply.String(), reply) {
		c.Errorf("%+v, want %s", out, reply)
	}
	for _, secret := range []string{tenant.Secret, "token-1", "token-2"} {
		if strings.Contains(fmt.Sprint(out, c.told, c.log.String()), secret) {
			c.Errorf("%q stands in %v, %v or %s", secret, out, c.told, c.log.String())
		}
	}
}

// wantUse wants so many questions for tokens, sign-ins, and messages by now.
func (c *cloud) wantUse(asked, sessions, took int) {
	c.Helper()
	if a, s, m := len(c.Asked()), c.Sessions(), len(c.Took()); a != asked || s != sessions || m != took {
		c.Errorf("asked %d times, signed in %d times, %d messages; want %d, %d, %d", a, s, m, asked, sessions, took)
	}
}

func TestATokenSignsIn(t *testing.T) {
	c := newCloud(t)
	c.want("250")
	c.want("250")
	c.wantUse(1, 1, 2)
	if got := c.Asked()[0]; got != "client_credentials https://tenant.test/.default" {
		t.Errorf("asked %q", got)
	}
	c.target.deliveries.Drop()
	c.wait(54 * time.Minute)
	c.want("250")
	c.wantUse(1, 2, 3)
	c.target.deliveries.Drop()
	c.wait(2 * time.Minute)
	c.want("250")
	c.wantUse(2, 3, 4)
}

// A token that ends in the middle of a connection costs a sign-in and no mail; one that was
// just given is not the fault, and then mail waits.
func TestATokenThatEndsInTheMiddle(t *testing.T) {
	c := newCloud(t)
	c.want("250")
	c.wait(time.Minute)
	c.Withdraw()
	c.want("250")
	c.wantUse(2, 2, 2)
	if got := strings.Join(c.Denied(), " "); got != "MAIL" {
		t.Errorf("denied at %s", got)
	}
	if took := c.Took()[1]; took.Token != "token-2" || took.Text != letter {
		t.Errorf("%+v", took)
	}
	// In between the connection was lost, so that AUTH says it.
	c.wait(time.Minute)
	c.target.deliveries.Drop()
	c.Withdraw()
	c.want("250")
	c.wantUse(3, 3, 3)
	c.Withdraw()
	c.want("454 4.7.0 the server does not hold us for signed in any more: 530 5.7.57")
	c.wantUse(3, 3, 3)
	if len(c.told) != 0 {
		t.Errorf("told %q", c.told)
	}
}

// A tenant that takes no token at all is asked for one more and no further; it is told once,
// and once when it is over.
func TestATenantThatTakesNoToken(t *testing.T) {
	for _, tells := range []bool{false, true} {
		c := newCloud(t)
		c.Set(func(e *tenant.Tenant) { e.Tells = tells })
		c.want("250")
		c.target.deliveries.Drop()
		c.wait(time.Minute)
		c.RefuseTokens(true)
		c.want("451 4.4.0 AUTH refused")
		c.wantUse(2, 1, 1)
		c.wait(time.Second)
		for range 5 {
			c.want("454 4.7.0 no token signs us in at " + c.SMTP + ": the next hop does not take the token that 127.0.0.1")
		}
		c.wantUse(2, 1, 1)
		c.wait(time.Minute)
		c.RefuseTokens(false)
		c.want("250")
		if len(c.told) != 2 || !strings.Contains(c.told[0], "does not take") || c.told[1] != "<nil>" {
			t.Errorf("told %q", c.told)
		}
	}
}

// Whatever is wrong with the endpoint, mail waits and the words say why.
func TestAnEndpointThatGivesNothing(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*cloud)
		reply string
	}{
		"wrong secret": {func(c *cloud) { check(c, os.WriteFile(c.place.Token.SecretFile, []byte("wrong"), 0o600)) }, "127.0.0.1:PORT gives no token: \"invalid_client: AADSTS7000215: Invalid client secret provided."},
		"down":         {func(c *cloud) { c.Set(func(e *tenant.Tenant) { e.Down = true }) }, "127.0.0.1:PORT gives no token: it answers 503"},
		"refused":      {func(c *cloud) { c.Set(func(e *tenant.Tenant) { e.Refuses = "unauthorized_client" }) }, "127.0.0.1:PORT gives no token: \"unauthorized_client"},
		"no secret":    {func(c *cloud) { check(c, os.Remove(c.place.Token.SecretFile)) }, "the client's secret cannot be read"},
		"wrong authority": {func(c *cloud) {
			_, c.place.Token.CA = authority(c.T)
			c.target = reach(c.T, c.place, c.means)
		}, "127.0.0.1:PORT cannot be asked for a token: \"tls: failed to verify certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			row.spoil(c)
			port := strings.TrimSuffix(strings.TrimPrefix(c.Token, "https://127.0.0.1:"), "/oauth2/v2.0/token")
			c.want("454 4.7.0 no token signs us in at " + c.SMTP + ": " + strings.ReplaceAll(row.reply, "PORT", port))
			if len(c.told) != 1 || c.Sessions() != 0 {
				t.Errorf("told %q, %d sessions", c.told, c.Sessions())
			}
		})
	}
}

// certified is a next hop that knows who shows a certificate, and says whose it is.
func certified(t *testing.T, cfg *tls.Config) (port uint16, shown func() string) {
	seen := make(chan string, 1)
	cfg.ClientAuth = tls.RequestClientCert
	port = raw(t, func(_ int, nc net.Conn) {
		tc := tls.Server(nc, cfg)
		if err := tc.Handshake(); err != nil {
			seen <- err.Error()
			return
		}
		who := ""
		for _, c := range tc.ConnectionState().PeerCertificates {
			who = c.Subject.CommonName
		}
		seen <- who
		say(tc, transcript(1)...)
	})
	return port, func() string { return <-seen }
}

// A certificate is shown to the next hop, read anew for each connection, and mail waits while
// it cannot be read.
func TestACertificateSignsIn(t *testing.T) {
	cfg, ca := authority(t)
	cert := filepath.Join(t.TempDir(), "cert.pem")
	key := filepath.Join(t.TempDir(), "key.pem")
	pair := func() {
		own, path := authority(t)
		copyFile(t, path, cert)
		der, err := x509.MarshalPKCS8PrivateKey(own.Certificates[0].PrivateKey)
		check(t, err)
		check(t, os.WriteFile(key, pemKey(der), 0o600))
	}
	pair()
	port, shown := certified(t, cfg)
	p := place(port)
	p.TLS, p.CA, p.Cert, p.CertKey = mail.TLSImplicit, ca, cert, key
	target := reach(t, p, means(t))
	for range 2 {
		out := target.Deliver(t.Context(), job(t, "bob@x.test"))
		if who := shown(); out[0].Reply.Code != 250 || who != "mx.test" {
			t.Errorf("%v, %q", out, who)
		}
		target.deliveries.Drop()
		pair()
	}
	check(t, os.WriteFile(key, []byte("x"), 0o600))
	out := target.Deliver(t.Context(), job(t, "bob@x.test"))
	if got := out[0].Reply.String(); !strings.HasPrefix(got, "454 4.7.0 the certificate for 127.0.0.1") || strings.Contains(got, key) {
		t.Errorf("%s", got)
	}
}

// Nothing is shown to a server that is not proven, and nothing half given is guessed at.
func TestPlacesWithCredentialsThatAreRefused(t *testing.T) {
	c := newCloud(t)
	for name, change := range map[string]func(*Place, *Means){
		"a token without proof":       func(p *Place, _ *Means) { p.TLS = mail.TLSOpportunistic },
		"a certificate without proof": func(p *Place, _ *Means) { *p = place(1); p.Cert, p.CertKey = "c", "k" },
		"a token for nobody":          func(p *Place, _ *Means) { p.User = "" },
		"a user with nothing":         func(p *Place, _ *Means) { p.Token = token.Endpoint{} },
		"a password and a token":      func(p *Place, _ *Means) { p.PasswordFile = "f" },
		"a certificate without key":   func(p *Place, _ *Means) { p.Cert = "c" },
		"a key without certificate":   func(p *Place, _ *Means) { p.CertKey = "k" },
		"no source":                   func(_ *Place, m *Means) { m.Tokens = nil },
		"no endpoint":                 func(p *Place, _ *Means) { p.Token.URL = "http://x.test" },
	} {
		p, m := c.place, c.means
		change(&p, &m)
		if target, err := New(p, m); target != nil || err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func pemKey(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
