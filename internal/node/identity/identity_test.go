package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/store/mem"
	"sallyport/internal/tlspolicy/mtasts"
)

const (
	text = `hostname = "mx.local.test"
data = "data"
listen.mx = ["127.0.0.1:0"]
listen.submissions = ["[::]:465"]
[domain."local.test"]
deliver = "maildir"
`
	ofFiles  = "[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n"
	ofACME   = "[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:0\"]\ndirectory = \"https://127.0.0.1:1/\"\nnames = [\"smtp.local.test\"]\n"
	policies = "[tls_policy]\nlisten = [\"127.0.0.1:0\"]\nmode = \"enforce\"\n"
	programs = "[autoconfig]\nlisten = [\"127.0.0.1:0\"]\n"
)

// host is an Identity and what it is given.
type host struct {
	*Identity
	t   *testing.T
	dir string
	cfg config.Config
	now time.Time
	dns *dnsx.Fake

	mu      sync.Mutex
	inForce *tls.Config
	facts   []string
	at      []time.Time // of facts
	alone   bool        // nobody else changes what is presented
}

func begin(t *testing.T, more ...string) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir(), now: time.Now(), dns: &dnsx.Fake{}}
	h.certify()
	h.configure(more...)
	snapshot, err := directory.NewSnapshot(directory.Config{Hostname: h.cfg.Hostname, Domains: []directory.Domain{{Name: domain(t, "local.test"), Deliver: directory.DeliverMaildir}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := settings.World{Resolver: h.dns, Now: func() time.Time { return h.now }}
	h.Identity = New(Options{
		World: w.Complete(), Config: func() config.Config { return h.cfg }, Store: mem.New(), Directory: func() *directory.Snapshot { return snapshot },
		InForce: func() *tls.Config {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.inForce
		},
		Change: func(fn func()) {
			h.alone = true
			defer func() { h.alone = false }()
			fn()
		},
		Present: func(c *tls.Config) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if !h.alone {
				t.Error("it is presented while others may change it")
			}
			h.inForce = c
		},
		Record: func(_ context.Context, f fact.Fact) { h.facts, h.at = append(h.facts, f.Rule), append(h.at, f.At) },
	})
	return h
}

// certify makes the files of a certificate anew.
func (h *host) certify() {
	h.t.Helper()
	dir := filepath.Join(h.dir, "tls")
	if err := os.RemoveAll(dir); err != nil {
		h.t.Fatal(err)
	}
	if err := pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test", "mta-sts.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) configure(more ...string) {
	h.t.Helper()
	path := filepath.Join(h.dir, "sallyport.toml")
	if err := os.WriteFile(path, []byte(text+strings.Join(more, "")), 0o600); err != nil {
		h.t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.cfg = cfg
}

// build builds and presents what the configuration says.
func (h *host) build() *tls.Config {
	h.t.Helper()
	c, err := h.Build(h.t.Context(), h.cfg, h.inForce)
	if err != nil {
		h.t.Fatal(err)
	}
	h.inForce = c
	return c
}

func domain(t *testing.T, name string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The certificate is that of the files; what is wrong with them is told at their key, and a new
// pair is presented when it is read again.
func TestFiles(t *testing.T) {
	h := begin(t, ofFiles)
	if h.Leaf() != nil || h.Warning() != "" {
		t.Error("something is presented before it was built")
	}
	first := h.build()
	if leaf := h.Leaf(); leaf == nil || leaf.VerifyHostname("mx.local.test") != nil {
		t.Fatalf("the leaf is %v", leaf)
	}
	if h.build() != first {
		t.Error("the same files are another configuration")
	}
	if held := Read(h.cfg); held == nil || held.Cert != h.cfg.TLS.Cert {
		t.Errorf("held is %+v", held)
	}
	h.certify()
	if fault := h.Reread(t.Context(), ""); fault != "" || h.inForce == first || !slices.Equal(h.facts, []string{"certificate-renewed"}) {
		t.Errorf("read again: %q, %v", fault, h.facts)
	}
	if w := h.Warning(); w != "" {
		t.Errorf("of a new certificate: %q", w)
	}
	h.now = h.Leaf().NotAfter
	if w := h.Warning(); !strings.Contains(w, "expired") {
		t.Errorf("of an old certificate: %q", w)
	}
	if err := os.WriteFile(h.cfg.TLS.Cert, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	var fault config.Fault
	if _, err := h.Build(t.Context(), h.cfg, h.inForce); !errors.As(err, &fault) || fault.Text != "tls.cert" || !strings.Contains(fault.Error(), "sallyport.toml") || !strings.Contains(fault.Hint, "belong together") {
		t.Errorf("damaged: %v", err)
	}
	if Read(h.cfg) != nil {
		t.Error("damaged files are held")
	}
	if h.Obtained() != nil {
		t.Error("a certificate of files is obtained")
	}
	h.cfg.TLS.Cert, h.cfg.TLS.Key = "", ""
	if c, err := h.Build(t.Context(), h.cfg, nil); c != nil || err != nil {
		t.Errorf("without files: %v, %v", c, err)
	}
}

// Where an authority certifies, none is there at first, a running server keeps what it has, and
// an attempt that fails is told.
func TestObtained(t *testing.T) {
	h := begin(t, ofACME)
	if c := h.build(); c != nil {
		t.Errorf("before one was obtained: %v", c)
	}
	o := h.Obtained()
	if o == nil || o.Authority != "https://127.0.0.1:1/" || o.Chain != "" || o.Fault != "" {
		t.Errorf("%+v", o)
	}
	own := &tls.Config{}
	if c, err := h.Build(t.Context(), h.cfg, own); c != own || err != nil {
		t.Errorf("of a running server: %v, %v", c, err)
	}
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	at := listener(t)
	go func() { ended <- h.Obtain(ctx, []net.Listener{at}) }()
	for until := time.Now().Add(20 * time.Second); h.Obtained().Fault == "" && time.Now().Before(until); {
		time.Sleep(2 * time.Millisecond)
	}
	if o := h.Obtained(); !strings.Contains(o.Fault, "127.0.0.1:1") || !o.Next.After(h.now) {
		t.Errorf("after an attempt: %+v", o)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A certificate is to bear the names that are stated, and those hosts of policies and of settings
// that lead to where the host leads, each where they are served.
func TestNames(t *testing.T) {
	here, there := []netip.Addr{netip.MustParseAddr("192.0.2.1")}, []netip.Addr{netip.MustParseAddr("192.0.2.2")}
	for _, c := range []struct{ served, want string }{
		{"", "smtp.local.test"},
		{policies, "smtp.local.test mta-sts.local.test"},
		{programs, "smtp.local.test autoconfig.local.test"},
		{policies + programs, "smtp.local.test mta-sts.local.test autoconfig.local.test"},
	} {
		h := begin(t, ofACME, c.served)
		h.dns.Hosts = map[string][]netip.Addr{
			"mx.local.test": here, "mta-sts.local.test": here, "autoconfig.local.test": here, "autodiscover.local.test": there,
		}
		var got []string
		for _, d := range h.Names(t.Context()) {
			got = append(got, d.ASCII())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("with %q: %q", c.served, got)
		}
	}
}

// While the DNS is silent a name stays that the certificate bears, and no other comes in.
func TestNamesWhileTheDNSIsSilent(t *testing.T) {
	h := begin(t, ofFiles, policies, programs)
	h.build()
	h.dns.Failures = map[string]error{"ADDR mx.local.test": errors.New("silence")}
	if got := fmt.Sprint(h.Names(t.Context())); got != "[mta-sts.local.test]" {
		t.Errorf("names %s", got)
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { at.Close() })
	return at
}

// get asks a web server for a page of a host of ours.
func (h *host) get(at net.Listener, host, path string) (int, string) {
	h.t.Helper()
	pem, err := os.ReadFile(pki.In(filepath.Join(h.dir, "tls")).CA)
	if err != nil {
		h.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "mx.local.test"}}}
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "https://"+at.Addr().String()+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	r.Host = host
	answer, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// The web server tells the policy and the settings of domains of ours, each where it is wanted
// alone, under the certificate in force.
func TestWeb(t *testing.T) {
	const policy, setting = "/.well-known/mta-sts.txt", "/.well-known/autoconfig/mail/config-v1.1.xml"
	for _, c := range []struct {
		served            string
		policy, programme int
	}{{policies, http.StatusOK, http.StatusNotFound}, {programs, http.StatusNotFound, http.StatusOK}, {policies + programs, http.StatusOK, http.StatusOK}} {
		h := begin(t, ofFiles, c.served)
		h.build()
		ctx, end := context.WithCancel(t.Context())
		at, ended := listener(t), make(chan error, 1)
		go func() { ended <- h.ServeWeb(ctx, []net.Listener{at}) }()
		code, body := h.get(at, "mta-sts.local.test", policy)
		if code != c.policy || c.policy == http.StatusOK && !strings.Contains(body, "mx: mx.local.test") {
			t.Errorf("%q: the policy is %d %q", c.served, code, body)
		}
		code, body = h.get(at, "autoconfig.local.test", setting)
		if code != c.programme || c.programme == http.StatusOK && !strings.Contains(body, "<port>465</port>") {
			t.Errorf("%q: the settings are %d %q", c.served, code, body)
		}
		for host, path := range map[string]string{"mta-sts.other.test": policy, "autoconfig.other.test": setting} {
			if code, _ = h.get(at, host, path); code != http.StatusNotFound {
				t.Errorf("%q: %s is %d", c.served, host, code)
			}
		}
		end()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// The policy is what the configuration says at the moment.
func TestPolicy(t *testing.T) {
	h := begin(t, ofFiles, policies)
	if p := h.Policy(); p.Mode != mtasts.ModeEnforce || len(p.MX) != 1 || p.MX[0].Name.String() == "" || p.MaxAge != h.cfg.TLSPolicy.MaxAge || p.MaxAge == 0 {
		t.Errorf("%+v", p)
	}
	h.configure(ofFiles, strings.Replace(policies, "enforce", "testing", 1))
	if p := h.Policy(); p.Mode != mtasts.ModeTesting {
		t.Errorf("%+v", p)
	}
}
