// Package tenant plays, in tests, the mail service of an organisation's cloud: it takes mail
// from who signs in by XOAUTH2 with a token of its own authorization server, and from nobody
// else.
//
// It promises that a token which ended or was withdrawn is held against the sender at the
// next MAIL, on connections that signed in with it too; that all that was asked and taken
// can be read; and that it ends with the test.
package tenant

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// What a tenant that nobody changed knows its client by.
const (
	Client = "5a1f0c1e-client"
	Secret = "s3cret~of.the.client"
	User   = "devices@tenant.test"
)

// Message is one that the tenant took.
type Message struct {
	From, To, Text, Token string
}

// Tenant is one of them. Its fields may be changed between two uses.
type Tenant struct {
	SMTP  string // host:port, with STARTTLS
	Token string // URL of the token endpoint
	CA    string // file of the authority of both

	token *httptest.Server
	smtp  *smtp.Server

	mu        sync.Mutex
	Life      time.Duration // of the tokens that are given from now on
	Tells     bool          // a refused token is told in a challenge, as RFC 7628 has it
	Refuses   string        // error code that the endpoint answers with; "": none
	Down      bool          // the endpoint answers 503
	asked     []string      // what each request for a token was
	good      map[string]time.Time
	took      []Message
	sessions  int // sign-ins that were good
	deniedAt  []string
	refusesIt bool
}

// New starts a tenant, which ends with the test.
func New(t testing.TB) *Tenant {
	t.Helper()
	cert, ca := authority(t)
	e := &Tenant{Life: time.Hour, CA: ca, good: map[string]time.Time{}}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}}
	e.token = httptest.NewUnstartedServer(http.HandlerFunc(e.give))
	e.token.TLS, e.token.Config.ErrorLog = cfg, nil
	e.token.StartTLS()
	e.Token = e.token.URL + "/oauth2/v2.0/token"
	e.smtp = smtp.NewServer(e)
	e.smtp.Domain, e.smtp.TLSConfig, e.smtp.ErrorLog = "smtp.tenant.test", cfg, quiet{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e.SMTP = ln.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() { _ = e.smtp.Serve(ln) })
	// A server that is closed before it serves does not know of its listener yet, and would serve on.
	t.Cleanup(func() { e.token.Close(); e.smtp.Close(); ln.Close(); wg.Wait() })
	return e
}

// Set changes what the tenant does.
func (e *Tenant) Set(change func(*Tenant)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

// Withdraw ends every token that was given, on open connections too.
func (e *Tenant) Withdraw() {
	e.Set(func(e *Tenant) { clear(e.good) })
}

// RefuseTokens makes the mail service take no token, whatever the endpoint gave.
func (e *Tenant) RefuseTokens(refuse bool) { e.Set(func(e *Tenant) { e.refusesIt = refuse }) }

// Asked returns the requests for tokens so far.
func (e *Tenant) Asked() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.asked...)
}

// Took returns the messages that were taken so far.
func (e *Tenant) Took() []Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Message(nil), e.took...)
}

// Sessions returns how many sign-ins were good so far.
func (e *Tenant) Sessions() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sessions
}

// Denied returns where tokens were refused so far: "AUTH" or "MAIL".
func (e *Tenant) Denied() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.deniedAt...)
}

// give is the token endpoint. RFC 6749 §4.4.
func (e *Tenant) give(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	grant, id, secret := r.PostForm.Get("grant_type"), r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	e.asked = append(e.asked, grant+" "+r.PostForm.Get("scope"))
	w.Header().Set("Content-Type", "application/json")
	switch {
	case e.Down:
		w.WriteHeader(http.StatusServiceUnavailable)
	case e.Refuses != "" || id != Client || secret != Secret:
		w.WriteHeader(http.StatusUnauthorized)
		code := e.Refuses
		if code == "" {
			code = "invalid_client"
		}
		_ = json.NewEncoder(w).Encode(map[string]string{
			"error": code, "error_description": "AADSTS7000215: Invalid client secret provided.",
		})
	default:
		tok := fmt.Sprintf("token-%d", len(e.asked))
		e.good[tok] = time.Now().Add(e.Life)
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": tok, "token_type": "Bearer", "expires_in": int(e.Life / time.Second)})
	}
}

func (e *Tenant) takes(tok, where string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	ok := time.Now().Before(e.good[tok]) && !e.refusesIt
	if !ok {
		e.deniedAt = append(e.deniedAt, where)
	} else if where == "AUTH" {
		e.sessions++
	}
	return ok
}

// NewSession is that of go-smtp.
func (e *Tenant) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{e: e}, nil }

type session struct {
	e            *Tenant
	token        string
	from         string
	to           []string
	challenged   bool
	authenticate bool
}

func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

// Mail asks for the token of the session once more.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.authenticate || !s.e.takes(s.token, "MAIL") {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 57}, Message: "Client not authenticated to send mail."}
	}
	s.from, s.to = from, nil
	return nil
}

// Rcpt takes anybody.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data keeps the message.
func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	s.e.took = append(s.e.took, Message{From: s.from, To: strings.Join(s.to, ","), Text: string(text), Token: s.token})
	return nil
}

// AuthMechanisms offers XOAUTH2 alone.
func (s *session) AuthMechanisms() []string { return []string{"XOAUTH2"} }

// Auth returns the session itself, which judges the token.
func (s *session) Auth(string) (sasl.Server, error) { return s, nil }

func refused() error {
	return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 3}, Message: "Authentication unsuccessful"}
}

// Next reads what XOAUTH2 says.
func (s *session) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.challenged {
		return nil, true, refused()
	}
	if len(response) == 0 {
		return nil, false, nil
	}
	rest, ok := strings.CutPrefix(string(response), "user="+User+"\x01auth=Bearer ")
	tok, end := strings.CutSuffix(rest, "\x01\x01")
	if ok && end && s.e.takes(tok, "AUTH") {
		s.token, s.authenticate = tok, true
		return nil, true, nil
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.e.Tells {
		s.challenged = true
		return []byte(`{"status":"401","schemes":"bearer","scope":"https://tenant.test/smtp"}`), false, nil
	}
	return nil, true, refused()
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

// authority makes a certificate for this host, and the file to trust it by.
func authority(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tenant.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err2 := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	path := filepath.Join(t.TempDir(), "tenant-ca.pem")
	err3 := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, path
}
