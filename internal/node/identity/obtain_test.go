package identity

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sallyport/internal/acme/acmetest"
	"sallyport/internal/certificate"
)

// A certificate is obtained as the configuration says, from its authority with its contact, by its challenge and for its
// names; it is presented when it is there, and again at the next start.
func TestACertificateIsObtained(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			at := listener(t)
			p := acmetest.New(t, challenge, at.Addr().String())
			h := begin(t, ofACME)
			if err := os.WriteFile(filepath.Join(h.dir, "authority.pem"), p.RootsPEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			h.configure(fmt.Sprintf("[acme]\nagree = \"yes\"\ncontact = \"postmaster@local.test\"\nlisten = [\"127.0.0.1:0\"]\ndirectory = %q\nca = \"authority.pem\"\nchallenge = %q\nnames = [\"smtp.local.test\"]\n", p.Directory(), challenge))
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- h.Obtain(ctx, []net.Listener{at}) }()
			for until := time.Now().Add(30 * time.Second); h.Leaf() == nil && time.Now().Before(until); {
				time.Sleep(5 * time.Millisecond)
			}
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			leaf := h.Leaf()
			if leaf == nil {
				t.Fatalf("there is none: %+v, %q", h.Obtained(), p.Looked())
			}
			if names := slices.Sorted(slices.Values(leaf.DNSNames)); !slices.Equal(names, []string{"mx.local.test", "smtp.local.test"}) {
				t.Errorf("it is for %q", names)
			}
			if o := p.Owner(); !o.Agreed || !slices.Equal(o.Contact, []string{"mailto:postmaster@local.test"}) {
				t.Errorf("the account is %+v", o)
			}
			if o := h.Obtained(); o.Chain == "" || o.Fault != "" || o.Authority != p.Directory() {
				t.Errorf("told: %+v", o)
			}
			if !slices.Equal(h.facts, []string{"certificate-renewed"}) || !h.at[0].Equal(h.now) {
				t.Errorf("told: %q at %v", h.facts, h.at)
			}
			c, err := New(h.o).Build(t.Context(), h.cfg, nil)
			if err != nil || c == nil || !certificate.Leaf(c).Equal(leaf) {
				t.Errorf("at the next start it is another: %v", err)
			}
		})
	}
}
