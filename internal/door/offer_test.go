package door

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
)

// offers connects with a configuration and returns what the server makes of the offer.
func offers(t *testing.T, serve, c *tls.Config) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	offer := make(chan string, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			offer <- ""
			return
		}
		defer raw.Close()
		seen := &helloConn{Conn: raw}
		over := tls.Server(seen, serve)
		_, _ = over.Read(make([]byte, 1))
		offer <- seen.offer
	}()
	d := tls.Dialer{Config: c}
	over, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = over.Write([]byte("x"))
	got := <-offer
	_, _ = over.Read(make([]byte, 1)) // takes in the ticket
	over.Close()
	return got
}

// What a program offers is the same each time, whichever name it asks for and whether it
// resumes a session; another library, or other settings, are told apart.
func TestOffersTellProgramsApart(t *testing.T) {
	files := pki.In(t.TempDir())
	if err := files.Ensure("test", pki.Names{Hosts: []string{"mx.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	serve := TLS{}.Of(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, true).Own()
	base := func() *tls.Config { return &tls.Config{InsecureSkipVerify: true, ServerName: "mx.test"} }
	first := offers(t, serve, base())
	if !strings.HasPrefix(first, "304-") || len(first) != len("304-")+2*offerDigest {
		t.Fatalf("%q", first)
	}
	for what, change := range map[string]func(c *tls.Config){
		"the same again": func(*tls.Config) {},
		"another name":   func(c *tls.Config) { c.ServerName = "other.test" },
		"no name":        func(c *tls.Config) { c.ServerName = "" },
		"a protocol":     func(c *tls.Config) { c.NextProtos = []string{"smtp"} },
	} {
		c := base()
		change(c)
		if got := offers(t, serve, c); got != first {
			t.Errorf("%s: %q, and first %q", what, got, first)
		}
	}
	resumes := base()
	resumes.ClientSessionCache = tls.NewLRUClientSessionCache(2)
	again := offers(t, serve, resumes)
	if resumed := offers(t, serve, resumes); resumed != again || again != first {
		t.Errorf("%q, then %q", again, resumed)
	}
	for what, change := range map[string]func(c *tls.Config){
		"an older version": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
		"other curves":     func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
	} {
		c := base()
		change(c)
		if got := offers(t, serve, c); got == first || got == "" {
			t.Errorf("%s is not told apart: %q", what, got)
		}
	}
}

// The order of what some programs shuffle, and values that mean nothing, change nothing.
func TestOffersAreStable(t *testing.T) {
	a := &tls.ClientHelloInfo{
		CipherSuites: []uint16{1, 2, 0x1a1a}, Extensions: []uint16{10, 11, 43, 0xfafa},
		SupportedVersions: []uint16{0x2a2a, 0x304, 0x303}, SupportedCurves: []tls.CurveID{0x3a3a, 29, 23},
	}
	b := &tls.ClientHelloInfo{
		CipherSuites: []uint16{0x0a0a, 2, 1}, Extensions: []uint16{11, 43, 10, 21, 0, 41},
		SupportedVersions: []uint16{0x304, 0x303}, SupportedCurves: []tls.CurveID{29, 23},
	}
	if x, y := offerOf(a), offerOf(b); x != y {
		t.Errorf("%q and %q", x, y)
	}
	b.SupportedCurves = []tls.CurveID{23, 29}
	if offerOf(a) == offerOf(b) {
		t.Error("the order of curves says what is preferred")
	}
	if got := offerOf(&tls.ClientHelloInfo{}); !strings.HasPrefix(got, "0-") {
		t.Errorf("nothing is offered: %q", got)
	}
}
