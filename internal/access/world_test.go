package access

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/oidc"
	"sallyport/internal/signin"
	"sallyport/internal/store/mem"
	"sallyport/internal/store/pebble"
)

const (
	password = "correct horse battery"
	alice    = "alice@local.test"
	bob      = "bob@local.test"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t testing.TB, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text, mail.UTF8)
	must(t, err)
	return a
}

// journal keeps the facts that are told.
type journal struct {
	mu    sync.Mutex
	facts []fact.Fact
	many  int
}

func (j *journal) Write(_ context.Context, facts ...fact.Fact) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.facts = append(j.facts, facts...)
	return nil
}
func (j *journal) Stranger(f fact.Fact) { _ = j.Write(context.Background(), f) }
func (j *journal) Many(f fact.Fact) {
	j.mu.Lock()
	j.many++
	j.mu.Unlock()
	j.Stranger(f)
}

// find returns the facts of a rule.
func (j *journal) find(rule string) (all []fact.Fact) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.facts {
		if f.Rule == rule {
			all = append(all, f)
		}
	}
	return all
}

// watcher keeps what it hears of sign-ins.
type watcher struct {
	mu   sync.Mutex
	acts []watch.Act
}

func (w *watcher) SignedIn(_ context.Context, by watch.Act) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acts = append(w.acts, by)
}

func (w *watcher) programs() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acts {
		if a.Reads && a.Program != "" {
			all = append(all, a.Program)
		}
	}
	return all
}

// world is the doors of one server over real sockets, with alice and bob.
type world struct {
	t        *testing.T
	identity *accounts.Identity
	desk     *signin.Desk
	journal  *journal
	watch    *watcher
	doors    *Doors
	boxes    *mailbox.Root
	dir      string
	config   Config
	client   *tls.Config
	at       map[Kind]string
	judge    *oidc.Judge // of access tokens; nil: nobody judges them
	broken   atomic.Bool // no mailbox can be opened
}

func newWorld(t *testing.T, change ...func(*Config, *signin.Limits)) *world {
	t.Helper()
	w := &world{t: t, journal: &journal{}, watch: &watcher{}, dir: t.TempDir(), at: map[Kind]string{}}
	log := slog.New(slog.DiscardHandler)
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	var err error
	w.identity, err = accounts.Open(t.Context(), mem.New(), accounts.Options{Limits: limits, Now: time.Now, Logger: log, Mechanisms: accounts.KnownMechanisms(), Provider: func() *oidc.Judge { return w.judge }})
	must(t, err)
	for _, a := range []string{alice, bob} {
		_, err := w.identity.Add(t.Context(), addr(t, a), password, accounts.Sending{Role: accounts.RolePerson}, nil)
		must(t, err)
	}
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	files := pki.In(filepath.Join(w.dir, "tls"))
	must(t, files.Ensure("access test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()))
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	must(t, err)
	authority, err := os.ReadFile(files.CA)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	w.client = &tls.Config{RootCAs: roots, ServerName: "mx.local.test"}
	w.config = Config{Hostname: host, TLS: &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, Limits: DefaultLimits()}
	w.config.Limits.IMAP.AuthFailureDelay, w.config.Limits.POP3.AuthFailureDelay = time.Millisecond, time.Millisecond
	desk := signin.DefaultLimits()
	for _, c := range change {
		c(&w.config, &desk)
	}
	w.desk = signin.New(signin.Options{Accounts: w.identity, Journal: w.journal, Watch: w.watch, Limits: desk, Now: time.Now, Logger: log})
	w.boxes, err = mailbox.New(mailbox.Options{
		FS: pebble.Disk(vfs.Default), Folder: func(a mail.Address) (string, bool) { return filepath.Join(w.dir, "mail", a.Key()), true },
		Hostname: host, Limits: mailbox.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: log,
	})
	must(t, err)
	w.doors = New(Options{
		Desk: w.desk, Accounts: w.identity, Journal: w.journal, Admission: door.NewAdmission(), Mailboxes: w.mailboxes,
		Memory: allowance.New(64 << 20), Now: time.Now, Logger: log,
	})
	w.use(w.config)
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		served.Wait()
		w.boxes.Close()
	})
	for _, k := range Kinds() {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		w.at[k] = ln.Addr().String()
		served.Go(func() { _ = w.doors.Serve(ctx, k, ln) })
	}
	return w
}

func (w *world) mailboxes(ctx context.Context, a mail.Address) (*mailbox.User, error) {
	if w.broken.Load() {
		return nil, errors.New("the disk fails")
	}
	return w.boxes.User(ctx, a)
}

func (w *world) use(c Config) {
	w.t.Helper()
	change, err := w.doors.Build(c, Kinds()...)
	must(w.t, err)
	change.Adopt()
}

// app makes an app password of alice's.
func (w *world) app(name string, scope accounts.Scope) (id, secret string) {
	w.t.Helper()
	c, secret, err := w.identity.AddApp(w.t.Context(), addr(w.t, alice), accounts.AppPassword{Name: name, Scope: scope}, func(accounts.Credential) [][]byte { return nil })
	must(w.t, err)
	return c.ID, secret
}

// certificate enrols a device of alice's, and returns its id and what it shows.
func (w *world) certificate(name string, scope accounts.Scope) (id string, shown tls.Certificate) {
	w.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(w.t, err)
	leaf, err := x509.ParseCertificate(der)
	must(w.t, err)
	c, err := w.identity.Enroll(w.t.Context(), addr(w.t, alice), accounts.Device{Name: name, Certificate: leaf, Scope: scope}, func(accounts.Credential) [][]byte { return nil })
	must(w.t, err)
	return c.ID, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (w *world) contain(c accounts.Containment) int {
	w.t.Helper()
	_, _, err := w.identity.Contain(w.t.Context(), addr(w.t, alice), c, func([]accounts.Credential) [][]byte { return nil })
	must(w.t, err)
	return w.desk.EndFallen(addr(w.t, alice))
}

// listed waits until so many sessions are there.
func (w *world) listed(want int) {
	w.t.Helper()
	n := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		n = 0
		for range w.desk.Sessions() {
			n++
		}
		if n == want {
			return
		}
	}
	w.t.Fatalf("%d sessions are there, want %d", n, want)
}

// line is a client that speaks by lines.
type line struct {
	t    *testing.T
	kind Kind
	raw  net.Conn
	nc   net.Conn
	r    *bufio.Reader
	tag  int
}

// dial connects to a door and reads the greeting; TLS is on, where secure is.
func (w *world) dial(k Kind, secure bool, cfg *tls.Config) *line {
	w.t.Helper()
	raw, err := net.Dial("tcp", w.at[k])
	must(w.t, err)
	w.t.Cleanup(func() { raw.Close() })
	must(w.t, raw.SetDeadline(time.Now().Add(20*time.Second)))
	c := &line{t: w.t, kind: k, raw: raw, nc: raw, r: bufio.NewReader(raw)}
	if k.implicit() {
		c.secure(cfg)
	}
	if got := c.read(); !strings.HasPrefix(got, "* OK") && !strings.HasPrefix(got, "+OK") {
		c.t.Fatalf("%s greets with %q", k, got)
	}
	if secure && !k.implicit() {
		command := "STARTTLS"
		if k == KindPOP3 {
			command = "STLS"
		}
		if got := c.say("%s", command); !ok(got) {
			c.t.Fatalf("%s: %q", command, got)
		}
		c.secure(cfg)
	}
	return c
}

func (c *line) secure(cfg *tls.Config) {
	c.t.Helper()
	over := tls.Client(c.raw, cfg)
	must(c.t, over.Handshake())
	c.nc, c.r = over, bufio.NewReader(over)
}

// read returns one line; what ended the connection where there is none.
func (c *line) read() string {
	text, err := c.r.ReadString('\n')
	if err != nil {
		return "(" + err.Error() + ")"
	}
	return strings.TrimRight(text, "\r\n")
}

func ok(answer string) bool {
	return strings.HasPrefix(answer, "OK") || strings.HasPrefix(answer, "+OK")
}

// say gives a command and returns how it was answered, without the tag.
func (c *line) say(format string, args ...any) string {
	text := fmt.Sprintf(format, args...) + "\r\n"
	tag := ""
	if c.kind.protocol() == "imap" {
		c.tag++
		tag = fmt.Sprintf("a%d ", c.tag)
	}
	if _, err := c.nc.Write([]byte(tag + text)); err != nil {
		return "(" + err.Error() + ")"
	}
	for {
		got := c.read()
		if rest, is := strings.CutPrefix(got, tag); is || strings.HasPrefix(got, "(") || strings.HasPrefix(got, "+") {
			return rest
		}
	}
}

// login signs in by password.
func (c *line) login(user, password string) string {
	if c.kind.protocol() == "imap" {
		return c.say("LOGIN %s {%d+}\r\n%s", user, len(password), password)
	}
	if got := c.say("USER %s", user); !ok(got) {
		return got
	}
	return c.say("PASS %s", password)
}

// works reports whether the mailbox can be read.
func (c *line) works() bool {
	if c.kind.protocol() == "imap" {
		return ok(c.say("SELECT INBOX"))
	}
	return ok(c.say("STAT"))
}

// ends waits for the end of the session, which must come within a moment.
func (c *line) ends() (told string, within time.Duration) {
	begun := time.Now()
	for {
		got := c.read()
		if strings.HasPrefix(got, "(") {
			return told, time.Since(begun)
		}
		told += got + "\n"
	}
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }
