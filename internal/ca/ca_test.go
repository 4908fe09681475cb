package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a CA beside a list of what keys are worth.
type world struct {
	*CA
	t    *testing.T
	now  time.Time
	held map[[sha256.Size]byte]accounts.Holding
	dir  string

	options Options
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().Truncate(time.Second), held: map[[sha256.Size]byte]accounts.Holding{}, dir: t.TempDir()}
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	w.options = Options{
		Host: host, Keys: filepath.Join(w.dir, "keys"), Holding: func(k [sha256.Size]byte) accounts.Holding { return w.held[k] },
		Limits: DefaultLimits(), Now: func() time.Time { return w.now }, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	}
	w.CA, err = New(st, w.options)
	must(t, err)
	return w
}

// request returns a PKCS #10 in PEM that asks for more than it may have.
func request(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"bank.example"}, EmailAddresses: []string{"bob@local.test"}}, key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func (w *world) sign(days int) Signed {
	w.t.Helper()
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	must(w.t, err)
	s, err := w.Sign(w.t.Context(), Request{Account: alice, Device: "phone", Days: days, PKCS10: request(w.t)}, func(s Signed) error {
		tx, _, err := store.Tx{}.With(w.t.Context(), s.Note)
		must(w.t, err)
		_, err = w.st.Apply(w.t.Context(), tx, store.Durable)
		w.held[sha256.Sum256(s.Certificate.RawSubjectPublicKeyInfo)] = accounts.HoldingGood
		return err
	})
	must(w.t, err)
	return s
}

func (w *world) set(s Signed, h accounts.Holding) {
	w.held[sha256.Sum256(s.Certificate.RawSubjectPublicKeyInfo)] = h
}

// Of a request only the public key counts: what the certificate says we say.
func TestACertificateSaysWhatWeSay(t *testing.T) {
	w := newWorld(t)
	c := w.sign(0).Certificate
	if len(c.DNSNames) != 0 || len(c.EmailAddresses) != 1 || c.EmailAddresses[0] != "alice@local.test" || c.Subject.CommonName != "alice@local.test" || c.IsCA {
		t.Errorf("it says %v %v %v", c.Subject, c.EmailAddresses, c.DNSNames)
	}
	if !c.NotAfter.Equal(w.now.AddDate(0, 0, 365).UTC()) || c.KeyUsage != x509.KeyUsageDigitalSignature ||
		len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("until %v, for %v %v", c.NotAfter, c.KeyUsage, c.ExtKeyUsage)
	}
	all, err := w.Authorities(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(all[0].Certificate)
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err == nil {
		t.Error("it is good for a server")
	}
	info, err := os.Stat(filepath.Join(w.dir, "keys", "device-ca-1.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", info, err)
	}
}

func TestWhatIsNotSigned(t *testing.T) {
	w := newWorld(t)
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	must(t, err)
	good := request(t)
	block, _ := pem.Decode([]byte(good))
	forged := bytes.Clone(block.Bytes)
	forged[len(forged)-1] ^= 1
	weak, err := os.ReadFile("testdata/ed25519.csr")
	must(t, err)
	for name, r := range map[string]Request{
		"nothing":           {},
		"a forged request":  {PKCS10: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: forged}))},
		"a key of Ed25519":  {PKCS10: string(weak)},
		"too large":         {PKCS10: good + strings.Repeat("#", 16<<10)},
		"for no time":       {PKCS10: good, Days: -1},
		"for too long":      {PKCS10: good, Days: 1826},
		"a certificate":     {PKCS10: strings.ReplaceAll(good, "CERTIFICATE REQUEST", "CERTIFICATE")},
		"beyond its signer": {PKCS10: good, Days: 1000},
	} {
		if name == "beyond its signer" {
			w.sign(1)
			w.now = w.now.AddDate(8, 0, 0)
		}
		r.Account = alice
		if _, err := w.Sign(t.Context(), r, func(Signed) error { t.Errorf("%s was signed", name); return nil }); !errors.Is(err, ErrRequest) && !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v", name, err)
		}
		w.now = time.Now().Truncate(time.Second)
	}
	// What could not be enrolled leaves no note.
	if _, err := w.Sign(t.Context(), Request{Account: alice, PKCS10: good}, func(Signed) error { return errors.New("the disk is full") }); err == nil {
		t.Error("no error")
	}
	issued, err := w.look(t.Context(), 1)
	if err != nil || len(issued) != 1 {
		t.Errorf("noted are %v, %v", issued, err)
	}
}

// A list names what has no enrolment of a live account, as openssl reads it too; its numbers
// grow; what was revoked stays so, what was frozen may come back.
func TestLists(t *testing.T) {
	w := newWorld(t)
	good, revoked, frozen, ended := w.sign(300), w.sign(0), w.sign(0), w.sign(0)
	w.set(revoked, accounts.HoldingNone)
	w.set(frozen, accounts.HoldingFrozen)
	w.set(ended, accounts.HoldingEnded)
	list := func() (*x509.RevocationList, map[string]int) {
		t.Helper()
		all, err := w.Lists(t.Context())
		must(t, err)
		must(t, all[0].Fault)
		l, err := x509.ParseRevocationList(all[0].DER)
		must(t, err)
		must(t, l.CheckSignatureFrom(all[0].Authority.Certificate))
		reasons := map[string]int{}
		for _, e := range l.RevokedCertificateEntries {
			reasons[e.SerialNumber.Text(16)] = e.ReasonCode
		}
		return l, reasons
	}
	serial := func(s Signed) string { return s.Certificate.SerialNumber.Text(16) }
	first, reasons := list()
	if len(reasons) != 3 || reasons[serial(revoked)] != 0 || reasons[serial(frozen)] != 6 || reasons[serial(ended)] != 5 {
		t.Errorf("listed are %v", reasons)
	}
	verify(t, w, first, map[string]Signed{"good": good, "revoked": revoked, "frozen": frozen})
	w.set(frozen, accounts.HoldingGood)
	w.set(revoked, accounts.HoldingGood) // enrolled again, by its key
	second, reasons := list()
	if _, listed := reasons[serial(revoked)]; len(reasons) != 2 || !listed || second.Number.Cmp(first.Number) <= 0 || !second.NextUpdate.Equal(w.now.AddDate(0, 0, 7).UTC()) {
		t.Errorf("then %v, number %v, next at %v", reasons, second.Number, second.NextUpdate)
	}
	// A clock that is set ahead makes nobody forget what was revoked.
	w.CA.o.Age = func(time.Time) time.Duration { return 0 }
	w.now = w.now.AddDate(10, 0, 0)
	if _, reasons = list(); len(reasons) != 2 {
		t.Errorf("by a clock that is ahead %v", reasons)
	}
	w.CA.o.Age = func(at time.Time) time.Duration { return w.now.Sub(at) }
	w.now = w.now.AddDate(-10, 0, 365+31)
	if _, reasons = list(); len(reasons) != 0 {
		t.Errorf("long after their ends %v", reasons)
	}
	if left, err := w.look(t.Context(), 1); err != nil || len(left) != 0 {
		t.Errorf("still known are %v, %v", left, err)
	}
}

// verify has openssl check certificates against the list.
func verify(t *testing.T, w *world, l *x509.RevocationList, all map[string]Signed) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Log("openssl is not installed")
		return
	}
	trust := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: all["good"].Authority.Certificate.Raw})
	trust = append(trust, pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: l.Raw})...)
	must(t, os.WriteFile(filepath.Join(w.dir, "trust.pem"), trust, 0o600))
	for name, s := range all {
		file := filepath.Join(w.dir, name+".pem")
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate.Raw}), 0o600))
		out, err := exec.Command(path, "verify", "-crl_check", "-x509_strict", "-purpose", "sslclient", "-CAfile", filepath.Join(w.dir, "trust.pem"), file).CombinedOutput()
		if (err == nil) != (name == "good") || name != "good" && !strings.Contains(string(out), "certificate revoked") {
			t.Errorf("openssl of the one that is %s: %v\n%s", name, err, out)
		}
	}
}

// A new authority signs beside the old one, whose list goes on; one whose key is stolen is
// named so; a lost key stops signing and nothing else.
func TestRollover(t *testing.T) {
	w := newWorld(t)
	old := w.sign(0)
	made, err := w.Rollover(t.Context(), false, nil)
	must(t, err)
	if next := w.sign(0); made.Number != 2 || next.Authority.Number != 2 {
		t.Errorf("made %d, and %d signs", made.Number, next.Authority.Number)
	}
	w.set(old, accounts.HoldingNone)
	lists, err := w.Lists(t.Context())
	if err != nil || len(lists) != 2 || lists[0].Listed != 1 || lists[1].Listed != 0 {
		t.Fatalf("%+v, %v", lists, err)
	}
	must(t, os.Remove(filepath.Join(w.dir, "keys", "device-ca-2.key")))
	alice, err := mail.ParseAddress("alice@local.test", mail.UTF8)
	must(t, err)
	if _, err := w.Sign(t.Context(), Request{Account: alice, PKCS10: request(t)}, nil); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "rollover") {
		t.Errorf("without its key: %v", err)
	}
	if err := w.KeyFault(made); !errors.Is(err, ErrNoKey) {
		t.Errorf("the fault is %v", err)
	}
	if lists, err = w.Lists(t.Context()); err != nil || lists[0].Fault != nil || !errors.Is(lists[1].Fault, ErrNoKey) {
		t.Errorf("lists without the key: %+v, %v", lists, err)
	}
	if _, err = w.Rollover(t.Context(), true, nil); err != nil {
		t.Fatal(err)
	}
	all, err := w.Authorities(t.Context())
	if err != nil || len(all) != 3 || all[0].Distrusted.IsZero() || all[1].Distrusted.IsZero() || !all[2].Distrusted.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	w.sign(0)
}

// An attempt that ended between key and certificate is taken up.
func TestAKeyThatAnAttemptLeftIsTaken(t *testing.T) {
	w := newWorld(t)
	text, err := generateKey(rand.Reader)
	must(t, err)
	must(t, os.Mkdir(filepath.Join(w.dir, "keys"), 0o700))
	must(t, os.WriteFile(filepath.Join(w.dir, "keys", "device-ca-1.key"), text, 0o600))
	key, err := parseKey(text)
	must(t, err)
	if s := w.sign(0); !key.PublicKey.Equal(s.Authority.Certificate.PublicKey) {
		t.Error("another key was made")
	}
}

// Known answers: what an older release stored reads back.
func TestKnownRecords(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	i := Issued{Authority: 2, Serial: big.NewInt(0x1f), Account: "alice@local.test", Device: "phone", SPKI: [32]byte{1, 2}, NotAfter: at, Loss: LossFrozen, Lost: at.Add(time.Hour)}
	const stored = `{"v":1,"account":"alice@local.test","device":"phone","spki_sha256":"AQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","not_after":"2026-01-02T03:04:05Z","loss":"frozen","lost":"2026-01-02T04:04:05Z"}`
	if got, err := encodeIssued(i); err != nil || string(got) != stored {
		t.Errorf("stored as\n%s, %v", got, err)
	}
	name := issuedKey(2, i.Serial)
	if string(name) != "ca/issued/000002/1f" || string(authorityKey(2)) != "ca/authority/000002" || string(listKey(2)) != "ca/list/000002" {
		t.Errorf("the keys are %s, %s, %s", name, authorityKey(2), listKey(2))
	}
	if back, err := decodeIssued(name, []byte(stored)); err != nil || back.Serial.Cmp(i.Serial) != 0 || back.SPKI != i.SPKI || back.Loss != i.Loss || !back.Lost.Equal(i.Lost) || back.Account != i.Account || back.Device != i.Device || back.Authority != 2 {
		t.Errorf("reads as %+v, %v", back, err)
	}
	if back, err := decodeIssued(name, []byte(strings.Replace(stored, "frozen", "unheard of", 1))); err != nil || back.Loss != LossRevoked {
		t.Errorf("what is not understood reads as %+v, %v", back, err)
	}
	text, err := os.ReadFile("testdata/authority.json")
	must(t, err)
	a, err := decodeAuthority(authorityKey(1), bytes.TrimSpace(text))
	if err != nil || a.Number != 1 || a.Certificate.Subject.CommonName != "mx.local.test devices 1" || !a.Distrusted.IsZero() {
		t.Fatalf("an authority reads as %+v, %v", a, err)
	}
	if got, err := encodeAuthority(a); err != nil || !bytes.Equal(got, bytes.TrimSpace(text)) {
		t.Errorf("an authority is stored as\n%s, %v", got, err)
	}
}

// Whatever is asked, only a request with a key that signed it gets through.
func FuzzRequest(f *testing.F) {
	f.Add(request(f))
	f.Add("")
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := publicKeyOf(text, DefaultLimits())
		if err != nil && (key != nil || !errors.Is(err, ErrRequest)) {
			t.Errorf("%v with %v", key, err)
		}
	})
}

func FuzzIssued(f *testing.F) {
	f.Add([]byte("ca/issued/000001/1f"),
		[]byte(`{"v":1,"account":"a","device":"b","spki_sha256":"AQIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","not_after":"2026-01-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, key, value []byte) {
		i, err := decodeIssued(key, value)
		if err != nil {
			return
		}
		again, err := encodeIssued(i)
		must(t, err)
		if back, err := decodeIssued(issuedKey(i.Authority, i.Serial), again); err != nil || back.Loss != i.Loss || back.SPKI != i.SPKI || back.Serial.Cmp(i.Serial) != 0 {
			t.Errorf("%+v reads back as %+v, %v", i, back, err)
		}
	})
}

// A wire that is missing makes no authority, rather than one whose key lies in the folder where the program was started.
func TestNoAuthorityWithoutItsNeeds(t *testing.T) {
	for what, leave := range map[string]func(o *Options){
		"host": func(o *Options) { o.Host = mail.Domain{} }, "folder": func(o *Options) { o.Keys = "" },
		"worth": func(o *Options) { o.Holding = nil }, "bounds": func(o *Options) { o.Limits = Limits{} },
		"clock": func(o *Options) { o.Now = nil }, "chance": func(o *Options) { o.Rand = nil }, "logger": func(o *Options) { o.Logger = nil },
	} {
		w := newWorld(t)
		o := w.options
		leave(&o)
		if c, err := New(w.st, o); err == nil || c != nil {
			t.Errorf("without its %s there is an authority", what)
		}
	}
	w := newWorld(t)
	w.options.Age = nil
	if _, err := New(w.st, w.options); err != nil {
		t.Errorf("without an age: %v", err)
	}
}
