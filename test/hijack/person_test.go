package hijack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/oidc/oidctest"
	"sallyport/internal/operate"
)

// credential is something with which a person signs in.
type credential struct {
	name  string
	kind  string // password, app, certificate or token
	scope string // send, receive, or both separated by a comma
	word  string
	shown *tls.Certificate
	used  bool // by the thief
	since bool // it was made after the thief began
}

// dead reports whether a containment ends it for good: "the credential used and all credentials
// made since its first misuse are dead on every door".
func (c credential) dead() bool { return c.used || c.since }

// phase is how far the story of an incident is.
type phase string

const (
	before    phase = "before"
	contained phase = "contained"
	killed    phase = "after a kill"
	ended     phase = "after its end"
)

// opens is the rule: before, a credential opens the doors that it is for. In a containment
// "sending stops for every credential", and "the owner's other credentials still read".
// After its end they send again, and what is dead stays so.
func (c credential) opens(door string, p phase) bool {
	fits := slices.Contains(strings.Split(c.scope, ","), map[bool]string{true: "send", false: "receive"}[sends(door)])
	switch p {
	case before:
		return fits
	case contained, killed:
		return fits && !sends(door) && !c.dead()
	}
	return fits && !c.dead()
}

// mechanisms are those by which it is shown at a door.
func (c credential) mechanisms(door string) (all []string) {
	switch {
	case c.kind == "certificate":
		all = []string{"EXTERNAL"}
		if sends(door) {
			all = append(all, "the certificate alone")
		}
	case c.kind == "token":
		all = []string{"OAUTHBEARER", "XOAUTH2"}
	default:
		all = []string{"PLAIN", "SCRAM-SHA-256"}
		if c.kind == "password" {
			all = append(all, "LOGIN", "SCRAM-SHA-256-PLUS")
		}
		if c.kind == "password" && !sends(door) {
			all = append(all, "its own")
		}
	}
	return all
}

// person is one whose account somebody else uses.
type person struct {
	address string
	typed   string // as the thief writes it
	from    net.Addr
	all     []*credential
	stolen  *credential // what the thief has
	other   *credential // to send and to read, and nobody else's
	live    []session
	door    string // of the thief
	thief   *talk
	mailbox sync.Mutex
}

// session is one that was open before the containment.
type session struct {
	*talk
	by *credential
}

func (p *person) credential(name string) *credential {
	for _, c := range p.all {
		if c.name == name {
			return c
		}
	}
	return nil
}

// gives gives a person what to sign in with: app passwords of every scope, a certificate and a token.
func (w *walk) gives(p *person, since bool) {
	w.t.Helper()
	when := map[bool]string{true: "since", false: "before"}[since]
	made := time.Now().Add(-time.Minute)
	if since {
		made = time.Now()
	}
	for _, scope := range []string{"send", "receive", "send,receive"} {
		name := "app to " + scope + " from " + when
		app, err := w.op.AppAdd(w.t.Context(), operate.AppAdd{Account: p.address, Name: name, Scope: scope})
		must(w.t, err)
		p.all = append(p.all, &credential{name: name, kind: "app", scope: scope, word: app.Password, since: since})
	}
	shown, text := certificate(w.t)
	name := "certificate from " + when
	_, err := w.op.CertEnroll(w.t.Context(), operate.CertEnroll{Account: p.address, Name: name, Certificate: text, Scope: "send,receive"})
	must(w.t, err)
	p.all = append(p.all, &credential{name: name, kind: "certificate", scope: "send,receive", shown: shown, since: since},
		&credential{name: "token from " + when, kind: "token", scope: "send,receive", since: since, word: w.provider.Token(p.address, map[string]any{"iat": made.Unix()})})
}

// certificate makes one that signs itself, and its PEM.
func certificate(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "device"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// strangers are credentials of each kind that are nobody's.
func (w *walk) strangers(p *person) []*credential {
	w.t.Helper()
	shown, _ := certificate(w.t)
	return []*credential{
		{kind: "password", word: "not the password at all"},
		{kind: "certificate", shown: shown},
	}
}

// oidcTable is the configuration that takes the provider's tokens.
func oidcTable(p *oidctest.Provider) string {
	return fmt.Sprintf("[oidc]\nissuer = %q\naudience = %q\nscope = %q\nclients = [%q]\n", p.URL, oidctest.Audience, oidctest.Scope, oidctest.Client)
}
