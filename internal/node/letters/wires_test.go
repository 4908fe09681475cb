package letters

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/ca"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/kit/pki"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// receiver is a program that is told of incidents, at hooks.local.test.
type receiver struct {
	*httptest.Server
	mu   sync.Mutex
	told []string
}

// begin begins a program whose certificate is of an authority of its own, in a folder.
func begin(t *testing.T, dir string) *receiver {
	t.Helper()
	files := pki.In(dir)
	if err := files.Ensure("a test", pki.Names{Hosts: []string{"hooks.local.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	p := &receiver{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.told = append(p.told, string(body))
	}))
	p.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	p.StartTLS()
	t.Cleanup(p.Close)
	return p
}

// dial connects to it, and to nobody else.
func (p *receiver) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != "hooks.local.test:443" {
		return nil, errors.New("there is nobody at " + address)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, p.Listener.Addr().String())
}

// hears is what it was told so far.
func (p *receiver) hears() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.told)
}

// The program of the configuration is called through the world, and told in the name of this host; it and people are told
// at once of what becomes of an incident when somebody says that there is news.
func TestNewsAreToldAtOnce(t *testing.T) {
	dir := t.TempDir()
	p := begin(t, dir)
	d := openIn(t, settings.World{Dial: p.dial}.Complete())
	authority, err := os.ReadFile(pki.In(dir).CA)
	if err != nil {
		t.Fatal(err)
	}
	d.write("ca.pem", string(authority))
	d.configure(hook + "ca = \"ca.pem\"\n")
	change, err := d.Build(d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	d.contain()
	_, end := d.run()
	defer end()
	everybody := func(n int, last string) {
		t.Helper()
		d.eventually("the program is told: "+last, func() bool {
			told := p.hears()
			return len(told) == n && strings.Contains(told[n-1], `"type":"`+last) && strings.Contains(told[n-1], `"host":"mx.local.test"`)
		})
		d.eventually("people are told: "+last, func() bool { return len(d.kept(store.SpaceNotices)) == n })
	}
	everybody(1, "incident.raised")
	if _, _, err := d.keeper().Free(t.Context(), d.alice, incident.StateReleased, "me", "it was me", true); err != nil {
		t.Fatal(err)
	}
	d.Wake()
	everybody(2, "incident.cleared")
}

// That a program is not told is in the trace.
func TestAProgramThatDoesNotAnswerIsAnAlarm(t *testing.T) {
	d := openOn(t, foldertest.NewMachine())
	d.contain()
	_, end := d.run()
	defer end()
	d.eventually("it is told that the program does not answer", func() bool {
		return slices.ContainsFunc(d.facts(fact.KindAlarm), func(f fact.Fact) bool { return f.Rule == webhook.RuleFails })
	})
}

// What goes outside is signed by the domain that it is of, and every letter names this host.
func TestALetterThatLeavesIsSigned(t *testing.T) {
	d := open(t)
	outside := d.address("alice@elsewhere.test")
	d.told = []directory.Contact{{Account: d.alice, Address: outside}}
	d.contain()
	_, end := d.run()
	defer end()
	var texts map[string]string
	d.eventually("owner, contact and administrator are written to", func() bool {
		texts = d.queued()
		return len(texts) == 3
	})
	for to, text := range texts {
		if signed := strings.Contains(text, "X-Signed: local.test\r\n"); signed != (to == outside.String()) || !strings.Contains(text, "@mx.local.test>\r\n") {
			t.Errorf("to %s: %q", to, text)
		}
	}
}

// queued are the texts of the letters that wait, by whom they are for.
func (d *desk) queued() map[string]string {
	d.t.Helper()
	all := map[string]string{}
	err := d.data.Spool.List(d.t.Context(), spool.Filter{}, func(e spool.Entry) (bool, error) {
		r, err := d.data.Spool.OpenBody(d.t.Context(), e.ID)
		if err != nil {
			return false, err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		all[e.Recipients[0].Recipient.Address.String()] = string(text)
		return true, err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// The owner of a certificate is told that it ends.
func TestWhoseCertificateEndsIsTold(t *testing.T) {
	m := foldertest.NewMachine()
	d := openOn(t, m)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := d.data.DeviceCA.Sign(t.Context(), ca.Request{Account: d.alice, Device: "phone", PKCS10: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))}, func(s ca.Signed) error {
		_, err := d.data.Accounts.Enroll(t.Context(), d.alice, accounts.Device{Name: "phone", Certificate: s.Certificate, Scope: accounts.ScopeSend, Expires: s.Certificate.NotAfter}, func(accounts.Credential) [][]byte { return nil }, s.Note)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Pass(signed.Certificate.NotAfter.Sub(m.Now()) - 5*day)
	_, end := d.run()
	defer end()
	d.eventually("the owner is told", func() bool {
		return slices.ContainsFunc(d.kept(store.SpaceExpiry), func(s string) bool { return strings.Contains(s, " owner alice@local.test ") })
	})
}

// Whose mailbox is nearly full is told while letters are written.
func TestWhoseMailboxFillsIsTold(t *testing.T) {
	d := open(t)
	d.data.Quota.Adjust(quota.Policy{Warn: 90, Clear: 80, Of: func(mail.Address) (box, all quota.Quota) {
		return quota.Quota{Octets: 1000}.Or(quota.None()), quota.None()
	}})
	u, err := d.data.Mail.User(t.Context(), d.alice)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	box, err := u.Select(t.Context(), "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	text := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("x"), 930)...)
	if _, err := box.Append(t.Context(), bytes.NewReader(text), int64(len(text)), mailbox.Flags{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	_, end := d.run()
	defer end()
	d.eventually("the owner is told", func() bool {
		return slices.ContainsFunc(d.facts(fact.KindNotify), func(f fact.Fact) bool { return f.Rule == RuleNearlyFull })
	})
}

// purse is chance until it is empty.
type purse struct{ empty atomic.Bool }

// errEmpty is that there is no chance.
var errEmpty = errors.New("no chance")

// Read implements io.Reader.
func (p *purse) Read(b []byte) (int, error) {
	if p.empty.Load() {
		return 0, errEmpty
	}
	return rand.Read(b)
}

// Letters are named by the chance of the world.
func TestLettersAreNamedByChance(t *testing.T) {
	p := &purse{}
	d := openIn(t, settings.World{Rand: p}.Complete())
	p.empty.Store(true)
	if err := d.post.Send(t.Context(), notify.Letter{Rule: "a test", To: d.alice, Subject: "x", Text: "y\n"}); !errors.Is(err, errEmpty) {
		t.Errorf("without chance: %v", err)
	}
	p.empty.Store(false)
	if err := d.post.Send(t.Context(), notify.Letter{Rule: "a test", To: d.alice, Subject: "x", Text: "y\n"}); err != nil {
		t.Errorf("with chance: %v", err)
	}
}

// Who was told that he is no contact any more is not told again when the account has another name.
func TestWhatContactsWereToldFollowsAnAccount(t *testing.T) {
	d := open(t)
	key := func(of mail.Address) []byte { return store.SpaceNotices.Key([]byte("contact/" + of.Key() + " x")) }
	smith := d.address("smith@local.test")
	if _, err := d.data.Store.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: key(d.alice), Value: []byte("told")}}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	tx, done, err := store.Tx{}.With(t.Context(), d.Moving(d.alice, smith)...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.data.Store.Apply(t.Context(), tx, store.Durable); err != nil || done(nil) != nil {
		t.Fatal(err)
	}
	if got, err := d.data.Store.Get(t.Context(), key(smith)); err != nil || string(got) != "told" {
		t.Errorf("under the next name: %q, %v", got, err)
	}
}
