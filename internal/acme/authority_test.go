package acme

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// authorityPeer is a certificate authority, as far as a client sees one: it verifies what is signed, looks itself whether a
// challenge is answered, and issues. RFC 8555
type authorityPeer struct {
	*httptest.Server
	challenge string // its only kind
	at        string // where it looks for the answers
	key       *ecdsa.PrivateKey

	mu      sync.Mutex
	nonces  int
	account *ecdsa.PublicKey
	thumb   string
	names   []string // of the order
	proven  map[string]string
	refuse  bool // every order
	issue   func(*x509.Certificate)
	text    string // instead of what was issued
	chain   string
	looked  []string
}

func newAuthority(t *testing.T, challenge, at string) *authorityPeer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	p := &authorityPeer{challenge: challenge, at: at, key: key, issue: func(*x509.Certificate) {}}
	p.Server = httptest.NewTLSServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *authorityPeer) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	return pool
}

func (p *authorityPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonces++
	w.Header().Set("Replay-Nonce", fmt.Sprintf("nonce%d", p.nonces))
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/directory" {
		fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce","newAccount":"%[1]s/account","newOrder":"%[1]s/order"}`, p.URL)
		return
	}
	if r.URL.Path == "/nonce" {
		return
	}
	payload, err := p.signed(r)
	if err != nil {
		problem(w, "malformed", err.Error())
		return
	}
	what, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch what {
	case "account":
		w.Header().Set("Location", p.URL+"/account/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"status":"valid"}`)
	case "order":
		p.order(w, name, payload)
	case "authz":
		p.authorization(w, name)
	case "challenge":
		p.proven[name] = "invalid"
		if err := p.look(name); err == nil {
			p.proven[name] = "valid"
		} else {
			p.looked = append(p.looked, err.Error())
		}
		fmt.Fprintf(w, `{"type":%q,"url":"%s/challenge/%s","token":%q,"status":%q}`, p.challenge, p.URL, name, tokenOf(name), p.proven[name])
	case "finalize":
		p.finalize(w, payload)
	case "certificate":
		w.Header().Set("Content-Type", "application/pem-certificate-chain")
		_, _ = io.WriteString(w, p.chain)
	}
}

func problem(w http.ResponseWriter, kind, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusForbidden)
	fmt.Fprintf(w, `{"type":"urn:ietf:params:acme:error:%s","detail":%q}`, kind, detail)
}

// signed returns the payload of a request, signed by the account or by the key that is to be one. RFC 8555 §6.2
func (p *authorityPeer) signed(r *http.Request) ([]byte, error) {
	var body struct{ Protected, Payload, Signature string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	part := func(s string) []byte { b, _ := base64.RawURLEncoding.DecodeString(s); return b }
	var head struct {
		URL string
		JWK *struct{ Crv, Kty, X, Y string }
	}
	if err := json.Unmarshal(part(body.Protected), &head); err != nil {
		return nil, err
	}
	if head.JWK != nil {
		p.account = &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(part(head.JWK.X)), Y: new(big.Int).SetBytes(part(head.JWK.Y))}
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, head.JWK.Crv, head.JWK.Kty, head.JWK.X, head.JWK.Y)) // RFC 7638 §3
		p.thumb = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	sum, sig := sha256.Sum256([]byte(body.Protected+"."+body.Payload)), part(body.Signature)
	if p.account == nil || len(sig) != 64 || head.URL != p.URL+r.URL.Path ||
		!ecdsa.Verify(p.account, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("it is not signed by the account")
	}
	return part(body.Payload), nil
}

func (p *authorityPeer) order(w http.ResponseWriter, name string, payload []byte) {
	if name == "" {
		if p.refuse {
			problem(w, "rejectedIdentifier", "no certificates today")
			return
		}
		var o struct{ Identifiers []struct{ Value string } }
		_ = json.Unmarshal(payload, &o)
		p.names, p.proven, p.chain = nil, map[string]string{}, ""
		for _, i := range o.Identifiers {
			p.names = append(p.names, i.Value)
			p.proven[i.Value] = "pending"
		}
		w.Header().Set("Location", p.URL+"/order/1")
		w.WriteHeader(http.StatusCreated)
	}
	var identifiers, authz []string
	status, certificate := "ready", ""
	for _, n := range p.names {
		identifiers = append(identifiers, fmt.Sprintf(`{"type":"dns","value":%q}`, n))
		authz = append(authz, fmt.Sprintf("%q", p.URL+"/authz/"+n))
		if p.proven[n] != "valid" {
			status = p.proven[n]
		}
	}
	if p.chain != "" {
		status, certificate = "valid", p.URL+"/certificate"
	}
	fmt.Fprintf(w, `{"status":%q,"identifiers":[%s],"authorizations":[%s],"finalize":"%s/finalize","certificate":%q}`,
		status, strings.Join(identifiers, ","), strings.Join(authz, ","), p.URL, certificate)
}

func tokenOf(name string) string { return "token-of-" + strings.ReplaceAll(name, ".", "-") }

func (p *authorityPeer) authorization(w http.ResponseWriter, name string) {
	fmt.Fprintf(w, `{"status":%[4]q,"identifier":{"type":"dns","value":%[2]q},"challenges":[{"type":%[3]q,"url":"%[1]s/challenge/%[2]s","token":%[5]q,"status":%[4]q}]}`,
		p.URL, name, p.challenge, p.proven[name], tokenOf(name))
}

// look asks for the answer where it is to be found.
func (p *authorityPeer) look(name string) error {
	want := tokenOf(name) + "." + p.thumb
	if p.challenge == "http-01" { // RFC 8555 §8.3
		r, err := http.NewRequest(http.MethodGet, "http://"+p.at+"/.well-known/acme-challenge/"+tokenOf(name), nil)
		if err != nil {
			return err
		}
		r.Host = name
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); err != nil || string(bytes.TrimSpace(text)) != want {
			return fmt.Errorf("%s: answered %q, %w", name, text, err)
		}
		return nil
	}
	// RFC 8737 §3
	c, err := tls.Dial("tcp", p.at, &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		return err
	}
	defer c.Close()
	state, sum := c.ConnectionState(), sha256.Sum256([]byte(want))
	leaf := state.PeerCertificates[0]
	for _, x := range leaf.Extensions {
		var octets []byte
		if _, err := asn1.Unmarshal(x.Value, &octets); x.Id.String() == "1.3.6.1.5.5.7.1.31" && x.Critical && err == nil && bytes.Equal(octets, sum[:]) &&
			state.NegotiatedProtocol == "acme-tls/1" && slices.Equal(leaf.DNSNames, []string{name}) {
			return nil
		}
	}
	return fmt.Errorf("%s: the certificate of the challenge proves nothing", name)
}

// finalize issues what the request asks for, or what the test wants instead. RFC 8555 §7.4
func (p *authorityPeer) finalize(w http.ResponseWriter, payload []byte) {
	var asked struct{ CSR string }
	_ = json.Unmarshal(payload, &asked)
	der, _ := base64.RawURLEncoding.DecodeString(asked.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || !slices.Equal(slices.Sorted(slices.Values(csr.DNSNames)), slices.Sorted(slices.Values(p.names))) {
		problem(w, "badCSR", "it is not for the names of the order")
		return
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), DNSNames: csr.DNSNames}
	p.issue(template)
	public := csr.PublicKey
	if template.PublicKey != nil {
		public = template.PublicKey
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}}, public, p.key)
	if err != nil {
		problem(w, "serverInternal", err.Error())
		return
	}
	if p.chain = p.text; p.chain == "" {
		p.chain = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}))
	}
	p.order(w, "1", nil)
}

// keeperOf is a Keeper that asks the authority and answers it at l.
func keeperOf(t *testing.T, p *authorityPeer, st store.Store, c Challenge, l net.Listener, names []mail.Domain, obtained func(tls.Certificate), failed func(error)) *Keeper {
	t.Helper()
	k, err := New(Options{
		Store: st, Directory: p.URL + "/directory", Contact: "postmaster@mx.test", Agreed: true, Roots: p.roots(), Challenge: c, Host: names[0],
		Names: func(context.Context) []mail.Domain { return names }, Listeners: []net.Listener{l}, Limits: limits, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Obtained: func(_ context.Context, cert tls.Certificate) { obtained(cert) }, Failed: func(_ context.Context, err error, _ time.Time) { failed(err) },
	})
	must(t, err)
	return k
}

func listening(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// A certificate for all names is obtained in either way from an authority that looks for itself, is stored before it is told
// of, and belongs to the key that lies beside it. When Run ends, nothing listens any more.
func TestObtain(t *testing.T) {
	for _, c := range []struct {
		name      string
		challenge Challenge
	}{{"http-01", HTTP01}, {"tls-alpn-01", TLSALPN01}} {
		t.Run(c.name, func(t *testing.T) {
			l, st, names := listening(t), mem.New(), domains(t, "mx.test", "smtp.test")
			p := newAuthority(t, c.name, l.Addr().String())
			got := make(chan error, 1)
			k := keeperOf(t, p, st, c.challenge, l, names, func(cert tls.Certificate) {
				h, ok, err := Load(t.Context(), st, names[0])
				switch {
				case err != nil || !ok || !h.serves(p.URL+"/directory", names):
					got <- fmt.Errorf("told of before it was stored: %v, %w", ok, err)
				case !bytes.Equal(h.Certificate.Certificate[0], cert.Certificate[0]) || cert.Leaf.CheckSignature(x509.ECDSAWithSHA256, cert.Leaf.RawTBSCertificate, cert.Leaf.Signature) == nil:
					got <- errors.New("it is not what the authority issued")
				default:
					got <- nil
				}
			}, func(err error) { got <- err })
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.Run(ctx) }()
			select {
			case err := <-got:
				must(t, err)
			case <-time.After(time.Minute):
				t.Fatal("no certificate within a minute")
			}
			if len(p.looked) != 0 {
				t.Errorf("the authority says %q", p.looked)
			}
			cancel()
			must(t, <-ended)
			if nc, err := net.Dial("tcp", l.Addr().String()); err == nil {
				_ = nc.Close()
				t.Error("something listens where challenges were answered")
			}
		})
	}
}

// What an authority says or issues that is no certificate for us is an error in words, and nothing of it is stored.
func TestNothingElseIsTaken(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	for _, c := range []struct {
		what   string
		change func(*authorityPeer)
		want   string
	}{
		{"one that has ended", func(p *authorityPeer) {
			p.issue = func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) }
		}, "has ended already"},
		{"one for fewer names", func(p *authorityPeer) { p.issue = func(x *x509.Certificate) { x.DNSNames = x.DNSNames[:1] } }, "for other names"},
		{"one for somebody else's key", func(p *authorityPeer) { p.issue = func(x *x509.Certificate) { x.PublicKey = other.Public() } }, "what the authority issued"},
		{"no certificate", func(p *authorityPeer) { p.text = "tomorrow\n" }, "what the authority issued"},
		{"no order", func(p *authorityPeer) { p.refuse = true }, "no certificates today"},
	} {
		t.Run(c.what, func(t *testing.T) {
			l, st, names := listening(t), mem.New(), domains(t, "mx.test", "smtp.test")
			p := newAuthority(t, "http-01", l.Addr().String())
			c.change(p)
			k := keeperOf(t, p, st, HTTP01, l, names, func(tls.Certificate) { t.Error("it was told of") }, func(error) {})
			ca, err := k.authority()
			must(t, err)
			defer ca.cache.Stop()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- k.answer(ctx, ca) }()
			if _, err := k.obtain(ctx, ca, names); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
			if _, ok, err := Load(t.Context(), st, names[0]); ok || err != nil {
				t.Errorf("stored: %v, %v", ok, err)
			}
			cancel()
			must(t, <-ended)
		})
	}
}

// More names than a certificate may bear are asked of nobody.
func TestNamesAreBounded(t *testing.T) {
	p := newAuthority(t, "http-01", "")
	names := domains(t, "mx.test", "smtp.test", "imap.test")
	k := keeperOf(t, p, mem.New(), HTTP01, listening(t), names, func(tls.Certificate) {}, func(error) {})
	k.o.Limits.Names = 2
	ca, err := k.authority()
	must(t, err)
	defer ca.cache.Stop()
	if _, err := k.obtain(t.Context(), ca, names); err == nil || !strings.Contains(err.Error(), "3 names are more than the 2") {
		t.Error(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nonces != 0 {
		t.Errorf("the authority was asked %d times", p.nonces)
	}
}

// Challenges in TLS are answered to who asks for them alone: nobody else gets through a handshake, and nobody gets a
// certificate for a name without a challenge.
func TestTLSIsForChallengesAlone(t *testing.T) {
	l := listening(t)
	p := newAuthority(t, "tls-alpn-01", l.Addr().String())
	k := keeperOf(t, p, mem.New(), TLSALPN01, l, domains(t, "mx.test"), func(tls.Certificate) {}, func(error) {})
	ca, err := k.authority()
	must(t, err)
	defer ca.cache.Stop()
	// Not even one that the library has.
	if _, err := ca.config.CacheUnmanagedTLSCertificate(t.Context(), issue(t, mem.New(), directory, time.Hour, domains(t, "mx.test")...), nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.answer(ctx, ca) }()
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"acme-tls/1", "http/1.1"}, {"acme-tls/1"}} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "mx.test", NextProtos: protocols, InsecureSkipVerify: true})
		if err == nil {
			_ = c.Close()
			t.Errorf("%v: got through, with %v", protocols, c.ConnectionState().PeerCertificates[0].Subject)
		}
	}
	cancel()
	must(t, <-ended)
}

// Where challenges are answered is a port of TCP: nothing else can be named to an authority.
func TestChallengesNeedTCP(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/challenges")
	must(t, err)
	defer l.Close()
	p := newAuthority(t, "http-01", "")
	k := keeperOf(t, p, mem.New(), HTTP01, l, domains(t, "mx.test"), func(tls.Certificate) {}, func(error) {})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := k.Run(ctx); err == nil || !strings.Contains(err.Error(), "no address of TCP") {
		t.Error(err)
	}
	if host, port, err := hostPort(&net.TCPAddr{IP: net.IPv6loopback, Port: 80}); host != "::1" || port != 80 || err != nil {
		t.Errorf("%s, %d, %v", host, port, err)
	}
}
