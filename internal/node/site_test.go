package node

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
	"sallyport/internal/kit/pki"
	"sallyport/internal/operate"
	"sallyport/test/load"
)

const password = "correct horse battery"

// siteText is a whole configuration; sign-ins cost as little as they may, and no
// door waits.
const siteText = `hostname = "mx.local.test"
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

// the operator of every test.
var root = operate.Self()

// site is a configured folder, and the foreign domain that its route leads to.
type site struct {
	t     *testing.T
	dir   string
	cfg   config.Config
	roots *x509.CertPool
	fs    vfs.FS // of store and mailboxes; nil: the real disk
	sink  *load.Sink
	log   *slog.Logger
	// unreachable makes every connection to the foreign domain fail.
	unreachable atomic.Bool
}

func newSite(t *testing.T, fs vfs.FS, more ...string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), fs: fs, log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
	files := pki.In(filepath.Join(s.dir, "tls"))
	err := files.Ensure("node test", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	must(t, err)
	pem, err := os.ReadFile(files.CA)
	must(t, err)
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM(pem)
	text := siteText + strings.Join(more, "\n")
	if !strings.Contains(text, "[authentication]") {
		text += "\n[authentication]\ncheck = \"off\"\n" // there is no DNS to ask
	}
	s.configure(text)
	s.sink, err = load.NewSink(load.SinkOptions{Keep: true, Chunking: true, Unknown: func(r string) bool { return strings.HasPrefix(r, "dead-") }})
	must(t, err)
	t.Cleanup(func() { must(t, s.sink.Close()) })
	return s
}

// configure writes and loads the configuration.
// unwatched is a configuration in which nobody watches the accounts: what tests send, from
// new accounts to new recipients, would wait.
func unwatched(text string) string {
	if strings.Contains(text, "[hijack]") {
		return text
	}
	return text + "\n[hijack]\nmode = \"off\"\n"
}

func (s *site) configure(text string) {
	s.t.Helper()
	path := filepath.Join(s.dir, "sallyport.toml")
	must(s.t, os.WriteFile(path, []byte(unwatched(text)), 0o600))
	cfg, err := config.Load(path)
	must(s.t, err)
	s.cfg = cfg
}

func (s *site) options() Options {
	return Options{World: World{Logger: s.log, Dial: s.dial}, FS: s.fs, Version: "test"}
}

// dial leads every route to the sink.
func (s *site) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	if s.unreachable.Load() {
		return nil, errors.New("no route to host")
	}
	return (&net.Dialer{}).DialContext(ctx, network, s.sink.Addr())
}

// open opens a node that the test must close.
func (s *site) open() *Node {
	s.t.Helper()
	n, err := Open(s.t.Context(), s.cfg, s.options())
	must(s.t, err)
	return n
}

// populate makes the accounts alice and bob.
func (s *site) populate(n *Node) {
	s.t.Helper()
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := n.Operator().AccountAdd(s.t.Context(), root, operate.AccountAdd{Address: a, Password: password, Role: "person"})
		must(s.t, err)
	}
}

// running is a node that serves.
type running struct {
	*Node
	t      *testing.T
	cancel context.CancelFunc
	served chan error
	stop   sync.Once
}

// start opens a node and serves until stop, or the end of the test.
func (s *site) start() *running {
	s.t.Helper()
	return s.serve(s.open())
}

func (s *site) serve(n *Node) *running {
	s.t.Helper()
	must(s.t, n.Listen(s.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Node: n, t: s.t, cancel: cancel, served: make(chan error, 1)}
	go func() { r.served <- n.Serve(ctx) }()
	s.t.Cleanup(r.stopped)
	return r
}

// stopped stops the server; it must end cleanly.
func (r *running) stopped() {
	r.stop.Do(func() {
		r.cancel()
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

// idle waits until nothing is in the queue.
func (r *running) idle() {
	r.t.Helper()
	eventually(r.t, "the queue to be empty", func() bool { return r.data.Spool.Stats().Entries == 0 })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t testing.TB, err error) {
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

// noLeaks demands, after everything else of the test ended, that no goroutine of
// the product is left. Call it first.
func noLeaks(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		for end := time.Now().Add(5 * time.Second); len(ours()) > 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("left running:\n%s", strings.Join(ours(), "\n\n"))
			}
		}
	})
}

// clientTLS is the configuration of a client that trusts the site's authority.
func (s *site) clientTLS() *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test"}
}

// mail returns a message of about size octets that names itself, with lines that
// begin with dots.
func message(id, from string, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: <%s>\r\nTo: somebody\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s@test.invalid>\r\n%s%s\r\n\r\n", from, id, id, load.IDField, id)
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, ".%s line %d of a message that must arrive octet by octet\r\n..\r\n", id, i)
	}
	return b.String() + ".\r\nthe end of " + id + "\r\n"
}

// quiet is for tests in which errors are logged on purpose.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
