// Package acmetest is a certificate authority for tests of who obtains certificates by ACME.
package acmetest

import (
	"bytes"
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
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Authority is a certificate authority, as far as a client sees one: it verifies what is signed, looks itself whether a
// challenge is answered, and issues. RFC 8555
type Authority struct {
	*httptest.Server
	// These are set before anybody asks.
	Refuse bool                    // every order
	Issue  func(*x509.Certificate) // changes what is issued
	Text   string                  // instead of what was issued

	challenge string // its only kind
	at        string // where it looks for the answers
	key       *ecdsa.PrivateKey

	mu      sync.Mutex
	nonces  int
	account *ecdsa.PublicKey
	thumb   string
	owner   Account
	names   []string // of the order
	proven  map[string]string
	chain   string
	looked  []string
}

// Account is what somebody said who wanted an account.
type Account struct {
	Contact []string `json:"contact"`
	Agreed  bool     `json:"termsOfServiceAgreed"`
}

// New starts an authority, until the test ends, that knows one kind of challenge, as RFC 8555 and RFC 8737 call it, and looks
// for the answers at an address.
func New(t testing.TB, challenge, at string) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Authority{challenge: challenge, at: at, key: key, Issue: func(*x509.Certificate) {}}
	p.Server = httptest.NewTLSServer(p)
	t.Cleanup(p.Close)
	return p
}

// Directory is where a client begins.
func (p *Authority) Directory() string { return p.URL + "/directory" }

// Roots is what a client is to trust.
func (p *Authority) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Certificate())
	return pool
}

// RootsPEM is the same as a file has it.
func (p *Authority) RootsPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw})
}

// Asked returns how many requests there were.
func (p *Authority) Asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nonces
}

// Owner returns what the last account was asked for with.
func (p *Authority) Owner() Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.owner
}

// Looked returns why challenges were not answered.
func (p *Authority) Looked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.looked)
}

// ServeHTTP implements http.Handler.
func (p *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		_ = json.Unmarshal(payload, &p.owner)
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
func (p *Authority) signed(r *http.Request) ([]byte, error) {
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
		sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":%q,"kty":%q,"x":%q,"y":%q}`, head.JWK.Crv, head.JWK.Kty, head.JWK.X, head.JWK.Y)) // the thumbprint of a JSON Web Key
		p.thumb = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	sum, sig := sha256.Sum256([]byte(body.Protected+"."+body.Payload)), part(body.Signature)
	if p.account == nil || len(sig) != 64 || head.URL != p.URL+r.URL.Path ||
		!ecdsa.Verify(p.account, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
		return nil, errors.New("it is not signed by the account")
	}
	return part(body.Payload), nil
}

func (p *Authority) order(w http.ResponseWriter, name string, payload []byte) {
	if name == "" {
		if p.Refuse {
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

func (p *Authority) authorization(w http.ResponseWriter, name string) {
	fmt.Fprintf(w, `{"status":%[4]q,"identifier":{"type":"dns","value":%[2]q},"challenges":[{"type":%[3]q,"url":"%[1]s/challenge/%[2]s","token":%[5]q,"status":%[4]q}]}`,
		p.URL, name, p.challenge, p.proven[name], tokenOf(name))
}

// look asks for the answer where it is to be found.
func (p *Authority) look(name string) error {
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
func (p *Authority) finalize(w http.ResponseWriter, payload []byte) {
	var asked struct{ CSR string }
	_ = json.Unmarshal(payload, &asked)
	der, _ := base64.RawURLEncoding.DecodeString(asked.CSR)
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil || csr.CheckSignature() != nil || !slices.Equal(slices.Sorted(slices.Values(csr.DNSNames)), slices.Sorted(slices.Values(p.names))) {
		problem(w, "badCSR", "it is not for the names of the order")
		return
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour), DNSNames: csr.DNSNames}
	p.Issue(template)
	public := csr.PublicKey
	if template.PublicKey != nil {
		public = template.PublicKey
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}}, public, p.key)
	if err != nil {
		problem(w, "serverInternal", err.Error())
		return
	}
	if p.chain = p.Text; p.chain == "" {
		p.chain = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}))
	}
	p.order(w, "1", nil)
}
