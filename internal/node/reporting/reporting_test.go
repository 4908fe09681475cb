package reporting

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter/sender"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/outflow"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/tlspolicy"
)

const (
	text    = "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [\"127.0.0.1:0\"]\nlimits.min_free = \"1MiB\"\n"
	ofTLS   = "[tls_policy]\nreport_account = \"alice@local.test\"\n"
	dmarcs  = "[dmarc_report]\naccount = \"alice@local.test\"\n"
	domains = "[domain.\"local.test\"]\ndeliver = \"maildir\"\n"
)

// office is a data folder with an account that may answer for reports.
type office struct {
	*Reporting
	t      *testing.T
	dir    string
	data   *datafolder.Folder
	world  settings.World
	dns    *dnsx.Fake
	now    time.Time
	handed []spool.Claim
	known  *directory.Snapshot
	ways   *ways.Ways // of the means that were made last
	// dial connects to others; nil: to nobody.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func open(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	o.begin(settings.World{Now: func() time.Time { return o.now }})
	return o
}

// begin opens it in a world.
func (o *office) begin(w settings.World) {
	t := o.t
	t.Helper()
	o.dir, o.dns = t.TempDir(), &dnsx.Fake{}
	w.Resolver, w.PolicyPort = o.dns, 4443
	w.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if o.dial == nil {
			return nil, errors.New("there is nobody at " + address)
		}
		return o.dial(ctx, network, address)
	}
	o.world = w.Complete()
	var err error
	o.data, err = datafolder.Open(t.Context(), o.configure(""), datafolder.Options{
		World: o.world, FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.data.Close(); err != nil {
			t.Error(err)
		}
	})
	alice := o.address("alice@local.test")
	if _, err := o.data.Accounts.Add(t.Context(), alice, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	o.known, err = directory.NewSnapshot(directory.Config{Hostname: alice.Domain(), Domains: []directory.Domain{{Name: alice.Domain(), Deliver: directory.DeliverMaildir}}}, []mail.Address{alice})
	if err != nil {
		t.Fatal(err)
	}
	o.Reporting = Open(Options{
		World: o.world, Data: o.data, Directory: func() *directory.Snapshot { return o.known },
		Servers: ways.Current(func() *ways.Ways { return o.ways }).Behind(),
		Sign: func(from mail.Domain, _ message.Header, _ []byte) ([]byte, error) {
			return []byte("X-Signed: " + from.ASCII() + "\r\n"), nil
		},
	})
}

func (o *office) configure(more string) config.Config {
	o.t.Helper()
	path := filepath.Join(o.dir, "sallyport.toml")
	if err := os.WriteFile(path, []byte(text+more+domains), 0o600); err != nil {
		o.t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		o.t.Fatal(err)
	}
	return cfg
}

func (o *office) address(s string) mail.Address {
	o.t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		o.t.Fatal(err)
	}
	return a
}

// means are those of a configuration.
func (o *office) means(more string) Means {
	o.t.Helper()
	cfg := o.configure(more)
	out := outflow.Open(outflow.Options{
		World: o.world, Config: func() config.Config { return cfg }, InForce: func() *ways.Ways { return nil }, Data: o.data, Directory: o.o.Directory, Fared: o.Fared,
	})
	w, err := out.Build(o.t.Context(), cfg, nil)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { w.Retire(nil) })
	o.ways = w
	return Means{Config: cfg, Resolver: o.dns, Ways: w, Handoff: func(c spool.Claim) { o.handed = append(o.handed, c) }}
}

// Nobody answers for reports unless an account does, and for those of TLS where mail goes to
// exchangers alone; an organisation that names itself nowhere is the host.
func TestWhoAnswers(t *testing.T) {
	o := open(t)
	for _, c := range []struct {
		more       string
		dmarc, tls bool
	}{
		{"", false, false}, {"[mx]\ndelivery = \"on\"\n", false, false}, {"[mx]\ndelivery = \"off\"\n" + dmarcs, true, false},
		{"[mx]\ndelivery = \"off\"\n" + ofTLS, false, false},
		{"[mx]\ndelivery = \"on\"\n" + ofTLS, false, true}, {"[mx]\ndelivery = \"on\"\n" + ofTLS + dmarcs, true, true},
	} {
		change, err := o.Build(o.means(c.more))
		if err != nil || (change.dmarc != nil) != c.dmarc || (change.tls != nil) != c.tls {
			t.Errorf("%q: %+v, %v", c.more, change, err)
			continue
		}
		if c.dmarc && change.dmarc.Organisation != "mx.local.test" || c.tls && (change.tls.Organisation != "mx.local.test" || change.tls.Post == nil) {
			t.Errorf("%q: %+v, %+v", c.more, change.dmarc, change.tls)
		}
		change.Abandon()
		change.Adopt()
	}
	m := o.means(dmarcs + "organisation = \"Local\"\ncontact = \"https://local.test/\"\ndaily = 17\nsize = \"20KiB\"\n")
	got, err := o.DMARC(m)
	if err != nil || got.Organisation != "Local" || got.Extra != "https://local.test/" || got.Daily != 17 || got.Octets != 20<<10 || got.Mail.Account() != o.address("alice@local.test") {
		t.Errorf("%+v, %v", got, err)
	}
	m.Handoff = nil
	for _, more := range []string{dmarcs, "[mx]\ndelivery = \"on\"\n" + ofTLS} {
		m.Config = o.configure(more)
		if _, err := o.Build(m); err == nil {
			t.Errorf("%q: reports that nobody takes", more)
		}
	}
}

// What came in a domain's name is counted while somebody answers for it, and told the day after, as
// mail of the account that does.
func TestReportsLeave(t *testing.T) {
	o := open(t)
	far := o.address("x@far.test").Domain()
	o.dns.Texts = map[string][]string{
		"_dmarc.far.test": {"v=DMARC1; p=none; rua=mailto:alice@local.test"}, "far.test._report._dmarc.local.test": {"v=DMARC1"},
	}
	came := func() {
		o.Came(sender.Observation{
			Peer:  netip.MustParseAddr("192.0.2.7"),
			DMARC: dmarc.Result{Author: far, Place: dmarc.Place{Domain: far, Record: dmarc.Record{Policy: dmarc.PolicyNone, Aggregate: []string{"mailto:alice@local.test"}}}},
		})
	}
	next := func() {
		o.dmarc.Flush(t.Context())
		o.now = o.now.AddDate(0, 0, 1)
		o.dmarc.Send(t.Context())
	}
	came()
	if next(); len(o.handed) != 0 {
		t.Errorf("%d reports that nobody answers for", len(o.handed))
	}
	change, err := o.Build(o.means(dmarcs))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	came()
	if next(); len(o.handed) != 1 || len(o.handed[0].Entry.Recipients) != 1 || o.handed[0].Entry.Recipients[0].Recipient.Address != o.address("alice@local.test") {
		t.Fatalf("handed on %+v", o.handed)
	}
	if got := o.handed[0].Entry.Envelope.From; got.String() == "" {
		t.Errorf("from %v", got)
	}
	if next(); len(o.handed) != 1 {
		t.Errorf("%d reports of one day", len(o.handed))
	}
}

// How the TLS of mail to a domain fared is told the day after, too.
func TestTLSReportsLeave(t *testing.T) {
	o := open(t)
	o.dns.Texts = map[string][]string{"_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:alice@local.test"}}
	change, err := o.Build(o.means("[mx]\ndelivery = \"on\"\n" + ofTLS))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	o.Fared(tlspolicy.Session{Domain: o.address("x@far.test").Domain(), Kind: tlspolicy.KindNone, Host: "mx.far.test"})
	o.tls.Flush(t.Context())
	o.now = o.now.AddDate(0, 0, 1)
	if o.tls.Send(t.Context()); len(o.handed) != 1 || o.handed[0].Entry.Recipients[0].Recipient.Address != o.address("alice@local.test") {
		t.Errorf("handed on %+v", o.handed)
	}
}

// Both kinds run until the server ends.
func TestRun(t *testing.T) {
	o := open(t)
	change, err := o.Build(o.means("[mx]\ndelivery = \"on\"\n" + ofTLS + dmarcs))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.Run(ctx)
	}()
	select {
	case <-ended:
		t.Error("it ended by itself")
	case <-time.After(50 * time.Millisecond):
	}
	end()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("it does not end")
	}
}
