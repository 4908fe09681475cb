package outflow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/callout"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/reports/daily"
	"sallyport/internal/returnpath"
	"sallyport/internal/tlspolicy"
	sinks "sallyport/test/load"
)

const leaving = `[mx]
delivery = "on"
private = ["192.0.2.0/24"]
[route."remote.test"]
to = "smtp://192.0.2.7:2626"
tls = "none"
[domain."behind.test"]
deliver = "smtp://192.0.2.9:2525"
tls = "none"
`

// others are all other servers: one that takes everything, wherever somebody calls.
type others struct {
	*sinks.Sink
	// slow is how long they take to say that they have a message, and has is closed when the first comes to them.
	slow time.Duration
	has  chan struct{}

	once   sync.Once
	mu     sync.Mutex
	called []string
}

// slowConn is a connection with them.
type slowConn struct {
	net.Conn
	o   *others
	has atomic.Bool
}

// Write implements net.Conn.
func (c *slowConn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("Subject: x\r\n")) {
		c.has.Store(true)
		c.o.once.Do(func() { close(c.o.has) })
	}
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *slowConn) Read(b []byte) (int, error) {
	if c.has.Load() {
		time.Sleep(c.o.slow)
	}
	return c.Conn.Read(b)
}

func elsewhere(t *testing.T) *others {
	t.Helper()
	sink, err := sinks.NewSink(sinks.SinkOptions{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	})
	return &others{Sink: sink, has: make(chan struct{})}
}

// dial connects to them, and remembers who was called.
func (o *others) dial(ctx context.Context, network, address string) (net.Conn, error) {
	o.mu.Lock()
	o.called = append(o.called, network+" "+address)
	o.mu.Unlock()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", o.Addr())
	if err != nil || o.slow == 0 {
		return c, err
	}
	return &slowConn{Conn: c, o: o}, nil
}

// calls are those who were called, each once.
func (o *others) calls() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Clone(o.called)
	slices.Sort(all)
	return slices.Compact(all)
}

// world is one in which mail for far.test goes to 192.0.2.10, at port 2500.
func (o *others) world() settings.World {
	dns := &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 10, Host: dnsx.NameOf(domain("mx.far.test"))}}},
		Hosts:      map[string][]netip.Addr{"mx.far.test": {netip.MustParseAddr("192.0.2.10")}},
	}
	return settings.World{Resolver: dns, Dial: o.dial, MXPort: 2500}.Complete()
}

func domain(name string) mail.Domain {
	d, _ := mail.ParseDomain(name)
	return d
}

// eventually waits for something that happens in the background.
func (y *yard) eventually(what string, is func() bool) {
	y.t.Helper()
	for until := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			y.t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// send queues mail of alice's.
func (y *yard) send(to ...string) {
	y.t.Helper()
	full, err := y.cfg.FullDirectory()
	if err != nil {
		y.t.Fatal(err)
	}
	if y.known, err = directory.NewSnapshot(full, []mail.Address{y.alice}); err != nil {
		y.t.Fatal(err)
	}
	s, err := daily.New(daily.Options{
		Hostname: y.cfg.Hostname, Account: y.alice, Directory: func() *directory.Snapshot { return y.known }, Active: y.data.Accounts.Active, Queue: y.data.Spool, Servers: y.o.InForce.Behind(), Handoff: y.Offer, Now: y.o.Now, Rand: y.o.Rand, Logger: y.o.Logger,
	})
	if err != nil {
		y.t.Fatal(err)
	}
	m := daily.Mail{Subject: "x", Type: "mixed", Rule: "a test", Parts: []daily.Part{{Type: "text/plain", Data: []byte("Hello.\r\n")}}}
	for _, a := range to {
		m.To = append(m.To, foldertest.Address(y.t, a))
	}
	if _, err := s.Send(y.t.Context(), m); err != nil {
		y.t.Fatal(err)
	}
}

// Mail leaves by its route, to the server behind its domain or to its exchanger, with a return path that is signed where that
// is wanted; and how its TLS fared is told.
func TestMailLeavesByItsWay(t *testing.T) {
	o := elsewhere(t)
	y := openIn(t, o.world())
	y.adopt(leaving)
	state, err := y.data.ReturnPaths.Build(returnpath.Rules{Mode: returnpath.ModeTag, Life: 14 * day, ForwardAge: day})
	if err != nil {
		t.Fatal(err)
	}
	state.Adopt()
	y.send("x@remote.test", "x@far.test", "x@behind.test")
	end := y.serve()
	defer end()
	y.eventually("everybody has it", func() bool { return o.Messages() == 3 && y.data.Spool.Stats().Entries == 0 })
	if got, want := o.calls(), []string{"tcp 192.0.2.10:2500", "tcp 192.0.2.7:2626", "tcp 192.0.2.9:2525"}; !slices.Equal(got, want) {
		t.Errorf("called are %q", got)
	}
	for _, m := range o.Kept() {
		if signed := strings.HasPrefix(m.From, "prvs="); signed == slices.Contains(m.To, "x@behind.test") {
			t.Errorf("to %q from %q", m.To, m.From)
		}
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.fared) == 0 || y.fared[0].Domain != domain("far.test") || y.fared[0].Failure != tlspolicy.ResultNoTLS {
		t.Errorf("told of TLS: %+v", y.fared)
	}
}

// What is under way when a server ends may finish, within the time that the configuration gives it.
func TestWhatIsUnderWayMayFinish(t *testing.T) {
	o := elsewhere(t)
	o.slow = 300 * time.Millisecond
	y := openIn(t, o.world())
	y.adopt(leaving)
	y.send("x@remote.test")
	end := y.serve()
	select {
	case <-o.has:
	case <-time.After(30 * time.Second):
		t.Error("nothing leaves")
	}
	if end(); y.data.Spool.Stats().Entries != 0 {
		t.Error("what was under way was cut")
	}
}

// Who is asked about recipients tells the trace what he finds.
func TestWhatServersBehindUsSayIsInTheTrace(t *testing.T) {
	o := elsewhere(t)
	y := openIn(t, o.world())
	y.adopt(leaving)
	behind, ok := foldertest.Directory(t, y.cfg, y.alice).Domain(domain("behind.test"))
	if !ok {
		t.Fatal("there is no server behind us")
	}
	if a := y.o.InForce.Behind().Ask(t.Context(), netip.Addr{}, behind, foldertest.Address(t, "x@behind.test")); a.Known != callout.Yes {
		t.Fatalf("%+v", a)
	}
	y.eventually("it is told that the server takes anybody", func() bool {
		return slices.ContainsFunc(y.told(fact.KindAlarm), func(f fact.Fact) bool { return f.Rule == callout.RuleTakesAnybody })
	})
}

// What the configuration says of exchangers, and of whom the world connects to, is what the ways are made with; other
// settings make others.
func TestExchangersAreThoseOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	files := pki.In(dir)
	if err := files.Ensure("a test", pki.Names{Hosts: []string{"mx.far.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	nobody := errors.New("nobody is called")
	var called []string
	fake := &dnsx.Fake{}
	w := settings.World{Resolver: fake, MXPort: 2500, PolicyPort: 4443, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		called = append(called, network+" "+address)
		return nil, nobody
	}}.Complete()
	cfg := load(t, text)
	cfg.MX.Delivery, cfg.MX.Private = true, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	cfg.TLSPolicy.STS, cfg.TLSPolicy.DANE, cfg.TLSPolicy.CA = true, true, files.CA
	cfg.Literals = []netip.Addr{netip.MustParseAddr("198.51.100.1")}
	o, err := wayOptions(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	e := o.Exchangers
	if !e.Delivery || !e.MTASTS || !e.DANE || e.Roots == nil || e.PolicyPort != 4443 || e.Port != 2500 || e.Hello != cfg.Hostname || !slices.Equal(e.AllowPrivate, cfg.MX.Private) || !slices.Contains(e.Own(), cfg.Literals[0]) {
		t.Errorf("%+v, own %v", e, e.Own())
	}
	if r, err := o.Resolver(); r != dnsx.Resolver(fake) || err != nil {
		t.Errorf("asked is %v, %v", r, err)
	}
	if o.Means.Hello != cfg.Hostname || o.Rand == nil {
		t.Errorf("next hops are greeted by %v", o.Means.Hello)
	}
	for what, dial := range map[string]func() error{
		"exchangers": func() error {
			_, err := e.Dial(t.Context(), netip.MustParseAddrPort("192.0.2.10:2500"))
			return err
		},
		"next hops": func() error {
			_, err := o.Means.Dial(t.Context(), "tcp", "192.0.2.10:2500")
			return err
		},
		"tokens": func() error {
			_, err := o.Tokens.Dial(t.Context(), "tcp", "192.0.2.10:2500")
			return err
		},
	} {
		if called = nil; !errors.Is(dial(), nobody) || !slices.Equal(called, []string{"tcp 192.0.2.10:2500"}) {
			t.Errorf("of %s %q are called", what, called)
		}
	}
	for what, change := range map[string]func(*config.Config){
		"delivery": func(c *config.Config) { c.MX.Delivery = false }, "private networks": func(c *config.Config) { c.MX.Private = nil }, "mta-sts": func(c *config.Config) { c.TLSPolicy.STS = false },
		"dane": func(c *config.Config) { c.TLSPolicy.DANE = false }, "authorities": func(c *config.Config) { c.TLSPolicy.CA = "" }, "literals": func(c *config.Config) { c.Literals = nil },
		"host": func(c *config.Config) { c.Hostname = domain("other.test") }, "connections": func(c *config.Config) { c.Limits.DeliveriesPerDomain++ },
	} {
		other := cfg
		change(&other)
		if is, err := exchangers(other, w); err != nil || is.Made == e.Made {
			t.Errorf("with other %s exchangers are the same: %v", what, err)
		}
	}
}

// A route has the certificate, the token and the bounds of its table, and what it has none of it does without.
func TestARouteIsThatOfItsTable(t *testing.T) {
	cfg := load(t, text)
	cfg.Routes[0].Cert, cfg.Routes[0].CertKey, cfg.Routes[0].Connections, cfg.Routes[0].Messages = "a.pem", "a.key", 3, 4
	cfg.Routes[0].Token = config.Token{URL: "https://login.test/token"}
	cfg.Callout.Entries, cfg.Callout.Connections = 4711, 5
	o, err := wayOptions(cfg, settings.World{}.Complete())
	if err != nil {
		t.Fatal(err)
	}
	p := o.Routes[0].Place
	if p.Cert != "a.pem" || p.CertKey != "a.key" || p.Limits.Connections != 3 || p.Limits.Messages != 4 || p.Token != settings.TokenEndpoint(cfg.Routes[0].Token) || o.Callouts.Entries != 4711 || o.Servers[0].Place.Limits.Questions != 5 {
		t.Errorf("%+v, %+v", p, o.Callouts)
	}
	if got := fmt.Sprint(o.Routes[0].Name, o.Servers[0].Name); got != fmt.Sprint("route.remote.test", "domain.behind.test") {
		t.Errorf("they are called %s", got)
	}
}
