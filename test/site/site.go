package site

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/load"
)

// Password is that of every account.
const Password = "correct horse battery"

// Text is a whole configuration; sign-ins cost as little as they may, and no
// door waits.
const Text = `hostname = "mx.local.test"
data = "data"

[listen]
mx = ["127.0.0.1:0"]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
imap = ["127.0.0.1:0"]
imaps = ["127.0.0.1:0"]
pop3 = ["127.0.0.1:0"]
pop3s = ["127.0.0.1:0"]

[tls]
cert = "tls/server.pem"
key = "tls/server.key"

[domain."local.test"]
deliver = "maildir"

[alias]
"both@local.test" = ["alice@local.test", "bob@local.test"]

[route."remote.test"]
to = "smtp://127.0.0.1:2626"
tls = "none"

[limits]
greet_delay = "0s"
shutdown_grace = "10s"
min_free = "1MiB"

[auth]
argon_memory = "8MiB"
argon_rounds = 1
scram_rounds = 4096

[trace]
checkpoint_every = "1s"
`

// Site is a configured folder, and the foreign domain that its route leads to.
type Site struct {
	t      *testing.T
	Dir    string        // of the configuration, and of all that it names
	Config config.Config // as it was loaded last; the next node opens with it
	roots  *x509.CertPool
	FS     vfs.FS       // of store and mailboxes; nil: the real disk
	Sink   *load.Sink   // the foreign domain
	Log    *slog.Logger // of the server; errors alone are shown
	// Unreachable makes every connection to the foreign domain fail.
	Unreachable atomic.Bool
}

// New makes a site with more at the end of Text. Its accounts are watched only if more says
// so, and nobody's mail is authenticated.
func New(t *testing.T, fs vfs.FS, more ...string) *Site {
	t.Helper()
	s := &Site{t: t, Dir: t.TempDir(), FS: fs, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
	files := pki.In(filepath.Join(s.Dir, "tls"))
	err := files.Ensure("a site",
		pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}},
		time.Now())
	Must(t, err)
	pem, err := os.ReadFile(files.CA)
	Must(t, err)
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	text := Text + strings.Join(more, "\n")
	if !strings.Contains(text, "[authentication]") {
		text += "\n[authentication]\ncheck = \"off\"\n" // there is no DNS to ask
	}
	s.Configure(text)
	s.Sink, err = load.NewSink(load.SinkOptions{Keep: true, Chunking: true, Unknown: func(r string) bool { return strings.HasPrefix(r, "dead-") }})
	Must(t, err)
	t.Cleanup(func() { Must(t, s.Sink.Close()) })
	return s
}

// unwatched is a configuration in which nobody watches the accounts: what tests send, from
// new accounts to new recipients, would wait.
func unwatched(text string) string {
	if strings.Contains(text, "[hijack]") {
		return text
	}
	return text + "\n[hijack]\nmode = \"off\"\n"
}

// Configure writes and loads the configuration.
func (s *Site) Configure(text string) {
	s.t.Helper()
	path := filepath.Join(s.Dir, "sallyport.toml")
	Must(s.t, os.WriteFile(path, []byte(unwatched(text)), 0o600))
	cfg, err := config.Load(path)
	Must(s.t, err)
	s.Config = cfg
}

// Options are those with which Open opens a node.
func (s *Site) Options() node.Options {
	return node.Options{World: node.World{Logger: s.Log, Dial: s.Dial}, FS: s.FS, Version: "test"}
}

// Dial leads every route to the sink.
func (s *Site) Dial(ctx context.Context, network, _ string) (net.Conn, error) {
	if s.Unreachable.Load() {
		return nil, errors.New("no route to host")
	}
	return (&net.Dialer{}).DialContext(ctx, network, s.Sink.Addr())
}

// Open opens a node that the test must close.
func (s *Site) Open() *node.Node {
	s.t.Helper()
	n, err := node.Open(s.t.Context(), s.Config, s.Options())
	Must(s.t, err)
	return n
}

// Populate makes the accounts alice and bob.
func (s *Site) Populate(n *node.Node) {
	s.t.Helper()
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := n.Operator().AccountAdd(s.t.Context(), operate.Self(), operate.AccountAdd{Address: a, Password: Password, Role: "person"})
		Must(s.t, err)
	}
}

// End stops serving and returns what Serve did; the folder stays open.
func (r *Running) End() error {
	r.Cancel()
	err := <-r.served
	r.served <- err
	return err
}

// Running is a node that serves.
type Running struct {
	*node.Node
	t      *testing.T
	Cancel context.CancelFunc // ends Serve, some time later
	served chan error
	stop   sync.Once
}

// Start opens a node and serves until Stopped, or the end of the test.
func (s *Site) Start() *Running {
	s.t.Helper()
	return s.Serve(s.Open())
}

// Serve has an open node listen and serve until Stopped, or the end of the test.
func (s *Site) Serve(n *node.Node) *Running {
	s.t.Helper()
	Must(s.t, n.Listen(s.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	r := &Running{Node: n, t: s.t, Cancel: cancel, served: make(chan error, 1)}
	go func() { r.served <- n.Serve(ctx) }()
	s.t.Cleanup(r.Stopped)
	return r
}

// Stopped stops the server; it must end cleanly.
func (r *Running) Stopped() {
	r.stop.Do(func() {
		r.Cancel()
		select {
		case err := <-r.served:
			if err != nil {
				r.t.Errorf("Serve ended with: %v", err)
			}
		case <-time.After(30 * time.Second):
			r.t.Fatalf("Serve does not end\n%s", stacks())
		}
		if err := r.Close(); err != nil {
			r.t.Errorf("Close: %v", err)
		}
	})
}

// Queue is the queue in figures.
func (r *Running) Queue() operate.QueueStats {
	r.t.Helper()
	status, err := r.Operator().Status(r.t.Context(), operate.Self(), struct{}{})
	Must(r.t, err)
	return status.Queue
}

// Idle waits until nothing is in the queue.
func (r *Running) Idle() {
	r.t.Helper()
	Eventually(r.t, "the queue to be empty", func() bool { return r.Queue().Messages == 0 })
}

// Eventually waits until something is so, or fails the test.
func Eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// Must fails the test if there is an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// ours returns the goroutines that run the product or its database.
func ours() []string {
	var found []string
	for _, g := range strings.Split(stacks(), "\n\n") {
		if strings.Contains(g, "testing.tRunner") || strings.Contains(g, "testing.(*M)") {
			continue
		}
		if strings.Contains(g, "sallyport/internal/") || strings.Contains(g, "cockroachdb/pebble") {
			found = append(found, g)
		}
	}
	return found
}

// NoLeaks demands, after everything else of the test ended, that no goroutine of
// the product is left. Call it first.
func NoLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); len(ours()) > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("left running:\n%s", strings.Join(ours(), "\n\n"))
			}
		}
	})
}

// ClientTLS is the configuration of a client that trusts the site's authority.
func (s *Site) ClientTLS() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test"}
}

// Message returns a message of about size octets that names itself, with lines that
// begin with dots.
func Message(id, from string, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b,
		"From: <%s>\r\nTo: somebody\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@test.invalid>\r\n%s%s\r\n\r\n",
		from, id, id, load.IDField, id)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, ".%s line %d of a message that must arrive octet by octet\r\n..\r\n", id, i)
	}
	return b.String() + ".\r\nthe end of " + id + "\r\n"
}

// Quiet is for tests in which errors are logged on purpose.
func Quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Restart starts a node on the folder of one that has ended.
func (s *Site) Restart(n *Running) *Running {
	s.t.Helper()
	n.Stopped()
	return s.Start()
}

// Write replaces the configuration file, and nothing else.
func (s *Site) Write(text string) {
	s.t.Helper()
	Must(s.t, os.WriteFile(filepath.Join(s.Dir, "sallyport.toml"), []byte(unwatched(text)), 0o600))
}

// Reload reloads a configuration that is right.
func (s *Site) Reload(n *Running) {
	s.t.Helper()
	answer, err := n.Reload(s.t.Context(), "test")
	Must(s.t, err)
	for _, f := range answer.Faults {
		s.t.Fatalf("not reloaded: %s\n%s", f.Line(), f.Excerpt)
	}
}

// Certificate makes a certificate of another CA in a folder of the site.
func (s *Site) Certificate(dir string) pki.Files {
	s.t.Helper()
	files := pki.In(filepath.Join(s.Dir, dir))
	Must(s.t,
		files.Ensure(dir, pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	return files
}

// Facts returns the facts of a kind, in their order.
func (r *Running) Facts(kind fact.Kind) (all []fact.Fact) {
	r.t.Helper()
	answer, err := r.Operator().Trace(r.t.Context(), operate.Self(), operate.TraceQuery{Kinds: []fact.Kind{kind}, OldestFirst: true})
	Must(r.t, err)
	for _, e := range answer.Entries {
		all = append(all, e.Fact)
	}
	return all
}

// Name is the name of a host.
func Name(t *testing.T, s string) dnsx.Name {
	t.Helper()
	d, err := mail.ParseDomain(s)
	Must(t, err)
	return dnsx.NameOf(d)
}
