package keys

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/budget/clock"
	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

const password = "correct horse battery"

// site is a server, its folder and its clock.
type site struct {
	*node.Node
	t     *testing.T
	dir   string
	pki   pki.Files
	ahead atomic.Int64 // how far its clock is ahead
	// frozen is where its clock stands; 0: it goes.
	frozen atomic.Int64
	clock  func() time.Time     // its clock; nil: as now says
	fs     vfs.FS               // of store and mailboxes
	clocks func() clock.Reading // of its machine; nil: its clock alone
	// balanced: clients come by a balancer that says who they are.
	balanced bool
	doors    string // more of [listen]
	domain   string // more of [domain."local.test"]
	stop     func() // ends the server that runs
}

// newSite writes the configuration, with more in the middle; nothing runs yet. The file
// names has the recipients bob and carl.
func newSite(t *testing.T, more string) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), fs: vfs.NewMem()}
	s.pki = s.authority("tls")
	s.file("names", "bob\ncarl\n")
	s.configure(more)
	return s
}

// authority makes one, with a certificate for this host.
func (s *site) authority(folder string) pki.Files {
	s.t.Helper()
	files := pki.In(filepath.Join(s.dir, folder))
	must(s.t, files.Ensure("keys test", pki.Names{Hosts: []string{"mx.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()))
	return files
}

func (s *site) file(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
}

const noDelivery = "[mx]\ndelivery = \"off\"\n"

const limits = "[limits]\ngreet_delay = \"0s\"\nmin_free = \"1MiB\"\n"

const certificates = "[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n"

func (s *site) configure(more string) {
	s.t.Helper()
	s.balanced = strings.Contains(more, "[proxy]")
	if !strings.Contains(more, "[mx]") {
		more = noDelivery + more
	}
	if !strings.Contains(more, "[limits]") {
		more = limits + more
	}
	if !strings.Contains(more, "[acme]") {
		more = certificates + more
	}
	s.file("sallyport.toml", `hostname = "mx.local.test"
data = "data"
[listen]
mx = ["127.0.0.1:0"]
submission = ["127.0.0.1:0"]
`+s.doors+`[domain."local.test"]
deliver = "maildir"
`+s.domain+`[authentication]
check = "off"
`+more)
}

// now is its clock.
func (s *site) now() time.Time {
	at := time.Now()
	if frozen := s.frozen.Load(); frozen != 0 {
		at = time.Unix(0, frozen)
	}
	return at.Add(time.Duration(s.ahead.Load()))
}

// start opens the server and lets it run until the test ends.
func (s *site) start(accounts map[string]string) {
	s.t.Helper()
	cfg, err := config.Load(filepath.Join(s.dir, "sallyport.toml"))
	must(s.t, err)
	now := s.now
	if s.clock != nil {
		now = s.clock
	}
	s.Node, err = node.Open(s.t.Context(), cfg, node.Options{
		World: node.World{Now: now, Clocks: s.clocks}, FS: s.fs, Version: "test",
	})
	must(s.t, err)
	for address, role := range accounts {
		_, err := s.Operator().AccountAdd(s.t.Context(), operate.Self(), operate.AccountAdd{Address: address, Password: password, Role: role})
		must(s.t, err)
	}
	must(s.t, s.Listen(s.t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			s.t.Errorf("Serve: %v", err)
		}
		if err := s.Close(); err != nil {
			s.t.Errorf("Close: %v", err)
		}
	})
	s.t.Cleanup(s.stop)
}

// reload takes in a configuration.
func (s *site) reload(more string) {
	s.t.Helper()
	s.configure(more)
	answer, err := s.Reload(s.t.Context(), "test")
	must(s.t, err)
	if len(answer.Faults) > 0 || len(answer.Restart) > 0 {
		s.t.Fatalf("reload: %+v", answer)
	}
}

// signIn begins a session of an account at the door submission.
func (s *site) signIn(account string) (*smtp.Client, error) {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addrs().Submission[0])
	must(s.t, err)
	if s.balanced {
		_, err = io.WriteString(nc, "PROXY TCP4 198.51.100.50 192.0.2.1 4711 587\r\n")
		must(s.t, err)
	}
	c, err := smtp.NewClient(nc, "mx.local.test")
	must(s.t, err)
	s.t.Cleanup(func() { _ = c.Close() })
	must(s.t, c.Hello("client.test"))
	must(s.t, c.StartTLS(&tls.Config{RootCAs: pool(s.t, s.pki), ServerName: "mx.local.test"}))
	id, err := c.Text.Cmd("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password)))
	must(s.t, err)
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	_, _, err = c.Text.ReadResponse(235)
	return c, err
}

func pool(t *testing.T, files pki.Files) *x509.CertPool {
	t.Helper()
	text, err := os.ReadFile(files.CA)
	must(t, err)
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(text)
	return p
}

// send gives a message to one recipient and demands that it is taken.
func send(t *testing.T, c *smtp.Client, from, to string) {
	t.Helper()
	must(t, c.Mail(from))
	must(t, c.Rcpt(to))
	w, err := c.Data()
	must(t, err)
	_, err = fmt.Fprintf(w, "From: <%s>\r\nTo: <%s>\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@test.invalid>\r\n\r\nHello.\r\n", from, to, time.Now().UnixNano())
	must(t, err)
	must(t, w.Close())
}

// code is that of a refusal, 0 where there was none.
func code(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	reply, ok := err.(*textproto.Error)
	if !ok {
		t.Fatal(err)
	}
	return reply.Code
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
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
