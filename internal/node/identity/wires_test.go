package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/kit/pki"
	"sallyport/internal/local/socket/sockettest"
	"sallyport/internal/node/settings"
)

// certifyAt makes the files of a certificate that begins at a time.
func (h *host) certifyAt(at time.Time) {
	h.t.Helper()
	dir := filepath.Join(h.dir, "tls")
	if err := os.RemoveAll(dir); err != nil {
		h.t.Fatal(err)
	}
	if err := pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, at); err != nil {
		h.t.Fatal(err)
	}
}

// What is in its time is so by the clock of the world, and what becomes of a certificate is told with the time that it shows.
func TestCertificatesGoByTheClock(t *testing.T) {
	h := begin(t, ofFiles)
	h.now = time.Date(2041, 2, 3, 4, 5, 6, 0, time.UTC)
	h.certifyAt(h.now)
	first := h.build()
	if w := h.Warning(); w != "" {
		t.Errorf("of a certificate that is new: %q", w)
	}
	h.certifyAt(time.Now()) // which is over by then
	var fault config.Fault
	if _, err := h.Build(t.Context(), h.cfg, h.inForce); !errors.As(err, &fault) || fault.Text != "tls.cert" {
		t.Errorf("one that is over takes the place of one that is not: %v", err)
	}
	if why := h.Reread(t.Context(), ""); why == "" || h.inForce != first {
		t.Errorf("one that is over is presented: %q", why)
	}
	h.certifyAt(h.now.Add(time.Hour))
	h.now = h.now.Add(2 * time.Hour)
	if why := h.Reread(t.Context(), ""); why != "" || h.inForce == first {
		t.Errorf("one that is good is not presented: %q", why)
	}
	if want := []string{"certificate-refused", "certificate-renewed"}; !slices.Equal(h.facts, want) || !h.at[0].Equal(h.now.Add(-2*time.Hour)) || !h.at[1].Equal(h.now) {
		t.Errorf("told: %q at %v", h.facts, h.at)
	}
}

// lines is a log that many write to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// While a server runs its certificate is looked after: files that are others are taken in, and of one that ends soon by the
// clock it is warned.
func TestACertificateIsLookedAfter(t *testing.T) {
	h := begin(t, ofFiles)
	h.certifyAt(h.now)
	first := h.build()
	h.certifyAt(h.now)
	var logged lines
	o := h.o
	o.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	end := h.Leaf().NotAfter
	o.Now = func() time.Time { return end.Add(-72 * time.Hour) }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New(o).Watch(ctx)
	}()
	presented := func() *tls.Config {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.inForce
	}
	for until := time.Now().Add(30 * time.Second); presented() == first || !logged.has("the certificate ends soon"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("presented is the former: %v; logged is %s", presented() == first, &logged.b)
			break
		}
	}
	stop()
	<-ended
}

// What a process read while it might, it presents when it may not read it any more.
func TestWhatWasReadWhileItMightBe(t *testing.T) {
	h := begin(t, ofFiles)
	o := h.o
	o.Held = Read(h.cfg)
	if o.Held == nil {
		t.Fatal("nothing is held")
	}
	if err := os.Chmod(h.cfg.TLS.Key, 0o600); err != nil {
		t.Fatal(err)
	}
	var built *tls.Config
	var err, without error
	sockettest.As(t, 65534, func() {
		_, without = h.Build(t.Context(), h.cfg, nil)
		built, err = New(o).Build(t.Context(), h.cfg, nil)
	})
	if without == nil {
		t.Error("anybody reads the key")
	}
	if err != nil || built == nil {
		t.Errorf("what is held is not presented: %v", err)
	}
}

// A name that was given an address just now is wanted at once, whatever was remembered of it.
func TestANameThatWasGivenAnAddressJustNow(t *testing.T) {
	const host = "mx.local.test. 3600 IN A 192.0.2.1"
	before, err := dnstest.NewZone(host, "mta-sts.local.test. 3600 IN A 192.0.2.9")
	if err != nil {
		t.Fatal(err)
	}
	after, err := dnstest.NewZone(host, "mta-sts.local.test. 3600 IN A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	var zone atomic.Pointer[dnstest.Zone]
	zone.Store(before)
	h := begin(t, ofFiles, policies)
	h.o.Resolver = nil
	h.cfg.MX.DNS = []netip.AddrPort{dnstest.Serve(t, func(network string, q *dns.Msg) [][]byte { return zone.Load().Play(network, q) }).Addr}
	everybody, err := settings.Resolver(h.cfg, h.o.World)
	if err != nil {
		t.Fatal(err)
	}
	policy := domain(t, "mta-sts.local.test")
	for _, name := range []dnsx.Name{dnsx.NameOf(policy), dnsx.NameOf(h.cfg.Hostname)} {
		if _, err := everybody.Addresses(t.Context(), name); err != nil && name == dnsx.NameOf(h.cfg.Hostname) {
			t.Fatal(err)
		}
	}
	zone.Store(after)
	if got := fmt.Sprint(h.Names(t.Context())); got != "[mta-sts.local.test]" {
		t.Errorf("wanted are %s", got)
	}
}
