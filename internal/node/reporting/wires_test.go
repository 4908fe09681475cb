package reporting

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/auth/dmarc"
	"sallyport/internal/filter/sender"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/tlspolicy"
	"sallyport/test/load"
)

const (
	day  = 24 * time.Hour
	year = 365 * day

	both = "[mx]\ndelivery = \"on\"\nprivate = [\"192.0.2.0/24\"]\n[tls_policy]\nreport_account = \"alice@local.test\"\n" + dmarcs
)

// wanted has far.test ask for the reports of both kinds, by mail to somebody.
func (o *office) wanted(to string) {
	at := foldertest.Address(o.t, to).Domain().ASCII()
	o.dns.Change(func() {
		o.dns.Texts = map[string][]string{
			"_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:" + to}, "_dmarc.far.test": {"v=DMARC1; p=none; rua=mailto:" + to}, "far.test._report._dmarc." + at: {"v=DMARC1"},
		}
	})
}

// adopt puts a configuration in force.
func (o *office) adopt(more string) {
	o.t.Helper()
	change, err := o.Build(o.means(more))
	if err != nil {
		o.t.Fatal(err)
	}
	change.Adopt()
}

// count counts something of either kind about far.test.
func (o *office) count() {
	far := foldertest.Address(o.t, "x@far.test").Domain()
	o.Came(sender.Observation{
		Peer:  netip.MustParseAddr("192.0.2.7"),
		DMARC: dmarc.Result{Author: far, Place: dmarc.Place{Domain: far, Record: dmarc.Record{Policy: dmarc.PolicyNone, Aggregate: []string{"mailto:alice@local.test"}}}},
	})
	o.Fared(tlspolicy.Session{Domain: far, Kind: tlspolicy.KindNone, Host: "mx.far.test"})
}

// flush keeps what was counted, and send sends what is due.
func (o *office) flush() {
	o.dmarc.Flush(o.t.Context())
	o.tls.Flush(o.t.Context())
}

func (o *office) send() {
	o.dmarc.Send(o.t.Context())
	o.tls.Send(o.t.Context())
}

// Reports are tried for as long as passes, whatever the clock is set to, and no longer.
func TestReportsAreTriedForTheTimeThatPasses(t *testing.T) {
	m := foldertest.NewMachine()
	o := &office{t: t}
	o.begin(m.World(settings.World{}))
	o.adopt(both)
	silence := func(on bool) {
		o.dns.Change(func() {
			o.dns.Failures = nil
			if on {
				o.dns.Failures = map[string]error{"TXT _smtp._tls.far.test": errors.New("silence"), "TXT _dmarc.far.test": errors.New("silence")}
			}
		})
	}
	fails := func() {
		o.count()
		o.flush()
		m.Pass(day)
		silence(true)
		o.send()
	}
	m.Pass(10 * time.Hour) // until when all reports of a day were due
	o.wanted("alice@local.test")
	fails()
	o.data.Clock.Now() // the server sees what the clock shows before it is set
	m.Set(10 * year)
	o.send()
	silence(false)
	if o.send(); len(o.handed) != 2 {
		t.Errorf("after the clock was set %d reports are sent", len(o.handed))
	}
	o.handed = nil
	fails()
	m.Pass(2 * day)
	o.send()
	silence(false)
	if o.send(); len(o.handed) != 0 {
		t.Errorf("%d reports are tried for ever", len(o.handed))
	}
}

// A report is signed by the domain of its account, bears the name of this host, and is of an account that may send now.
func TestAReportIsThatOfItsAccount(t *testing.T) {
	o := open(t)
	o.adopt(both)
	o.wanted("alice@local.test")
	o.count()
	o.flush()
	o.now = o.now.AddDate(0, 0, 1)
	if _, err := o.data.Accounts.Freeze(t.Context(), o.address("alice@local.test"), "a test", nil); err != nil {
		t.Fatal(err)
	}
	if o.send(); len(o.handed) != 0 {
		t.Errorf("an account that is frozen sends %d reports", len(o.handed))
	}
	if _, err := o.data.Accounts.Thaw(t.Context(), o.address("alice@local.test"), nil); err != nil {
		t.Fatal(err)
	}
	if o.send(); len(o.handed) != 2 {
		t.Fatalf("%d reports are sent", len(o.handed))
	}
	for _, c := range o.handed {
		r, err := o.data.Spool.OpenBody(t.Context(), c.Entry.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		r.Close()
		if err != nil || !strings.Contains(string(text), "X-Signed: local.test\r\n") || !strings.Contains(string(text), "@mx.local.test>\r\n") || !c.Entry.Received.Equal(o.now) {
			t.Errorf("at %v: %q, %v", c.Entry.Received, text, err)
		}
	}
}

// A server behind us is asked whether it takes who wants reports.
func TestAServerBehindUsIsAskedAboutWhoWantsReports(t *testing.T) {
	sink, err := load.NewSink(load.SinkOptions{Unknown: func(r string) bool { return strings.HasPrefix(r, "nobody@") }})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for to, want := range map[string]int{"somebody@behind.test": 2, "nobody@behind.test": 0} {
		o := open(t)
		o.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, sink.Addr())
		}
		const behind = "[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9:2525\"\ntls = \"none\"\nrecipients = \"callout\"\n"
		o.adopt(both + behind)
		o.known = foldertest.Directory(t, o.configure(both+behind), o.address("alice@local.test"))
		o.wanted(to)
		o.count()
		o.flush()
		o.now = o.now.AddDate(0, 0, 1)
		if o.send(); len(o.handed) != want {
			t.Errorf("to %s go %d reports", to, len(o.handed))
		}
	}
}

// A report about TLS goes to the web server that a domain names, at the port of the world, by the rule for exchangers and with
// the authorities of the configuration.
func TestAReportIsHandedToAWebServer(t *testing.T) {
	o := open(t)
	files := pki.In(o.dir)
	if err := files.Ensure("a test", pki.Names{Hosts: []string{"reports.far.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Host == "reports.far.test" && r.URL.Path == "/tls" && r.Header.Get("Content-Type") == "application/tlsrpt+gzip" {
			taken.Add(1)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.StartTLS()
	defer server.Close()
	var mu sync.Mutex
	var called []string
	o.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		called = append(called, address)
		mu.Unlock()
		var d net.Dialer
		return d.DialContext(ctx, network, server.Listener.Addr().String())
	}
	o.dns.Hosts = map[string][]netip.Addr{"reports.far.test": {netip.MustParseAddr("192.0.2.20")}}
	o.adopt(strings.Replace(both, "[tls_policy]\n", "[tls_policy]\nca = \""+files.CA+"\"\n", 1))
	o.dns.Change(func() {
		o.dns.Texts = map[string][]string{"_smtp._tls.far.test": {"v=TLSRPTv1; rua=https://reports.far.test/tls"}}
	})
	o.count()
	o.flush()
	o.now = o.now.AddDate(0, 0, 1)
	o.tls.Send(t.Context())
	mu.Lock()
	defer mu.Unlock()
	if taken.Load() != 1 || !slices.Equal(called, []string{"192.0.2.20:4443"}) {
		t.Errorf("%d reports are taken, at %q", taken.Load(), called)
	}
}

// What was counted outlives a server that ends, of either kind.
func TestWhatWasCountedIsKeptAtTheEnd(t *testing.T) {
	o := open(t)
	o.adopt(both)
	o.wanted("alice@local.test")
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.Run(ctx)
	}()
	o.count()
	end()
	<-ended
	again := Open(o.o)
	change, err := again.Build(o.means(both))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	o.Reporting, o.now = again, o.now.AddDate(0, 0, 1)
	if o.send(); len(o.handed) != 2 {
		t.Errorf("%d reports are sent", len(o.handed))
	}
}

// purse is chance until it is empty.
type purse struct{ empty atomic.Bool }

// Read implements io.Reader.
func (p *purse) Read(b []byte) (int, error) {
	if p.empty.Load() {
		return 0, errors.New("no chance")
	}
	return rand.Read(b)
}

// Reports are named by the chance of the world.
func TestReportsAreNamedByChance(t *testing.T) {
	p := &purse{}
	o := &office{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	o.begin(settings.World{Now: func() time.Time { return o.now }, Rand: p})
	o.adopt(both)
	o.wanted("alice@local.test")
	o.count()
	o.flush()
	o.now = o.now.AddDate(0, 0, 1)
	for _, empty := range []bool{true, false} {
		p.empty.Store(empty)
		if o.send(); (len(o.handed) == 0) != empty {
			t.Errorf("no chance: %v; %d reports are sent", empty, len(o.handed))
		}
	}
}
