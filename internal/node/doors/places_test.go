package doors

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/access"
	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/queue"
	"sallyport/internal/smtp/server"
	"sallyport/internal/trace/query"
)

const text = `hostname = "mx.local.test"
data = "data"
listen.mx = ["127.0.0.1:2525", "127.0.0.1:2526"]
listen.imaps = ["127.0.0.1:2993"]
listen.sendmail = "s.sock"
acme.agree = "yes"
acme.listen = ["127.0.0.1:9080"]
metrics.listen = ["127.0.0.1:9025"]
tls_policy.listen = ["127.0.0.1:9443"]
autoconfig.listen = ["127.0.0.1:9443", "127.0.0.1:9444"]
[domain."local.test"]
deliver = "maildir"
`

const small = "hostname = \"mx.local.test\"\ndata = \"data\"\nlisten.mx = [%q]\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n"

func load(t *testing.T, text string) config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func of(cfg config.Config, sockets ...Socket) *Doors {
	return New(Options{World: settings.World{}.Complete(), Config: func() config.Config { return cfg }, Sockets: sockets})
}

// A configuration says in one place where everything listens; an address that two web servers
// share is bound once.
func TestPlaces(t *testing.T) {
	cfg := load(t, text)
	var got []string
	for _, p := range places(cfg) {
		got = append(got, fmt.Sprintf("%s %s %s %v", p.Service, p.Name, strings.TrimPrefix(p.String(), filepath.Dir(cfg.File)+"/"), p.Handed))
	}
	want := []string{
		"mx listen.mx[0] 127.0.0.1:2525 true", "mx listen.mx[1] 127.0.0.1:2526 true", "imaps listen.imaps[0] 127.0.0.1:2993 true",
		"sendmail listen.sendmail s.sock false", "admin data " + strings.TrimPrefix(cfg.Socket(), filepath.Dir(cfg.File)+"/") + " false",
		"metrics metrics.listen[0] 127.0.0.1:9025 false", "https tls_policy.listen[0] 127.0.0.1:9443 true", "https autoconfig.listen[1] 127.0.0.1:9444 true",
		"acme acme.listen[0] 127.0.0.1:9080 true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := postingKinds(cfg); !slices.Equal(got, []server.Kind{server.KindMX, server.KindSendmail}) {
		t.Errorf("mail is taken at %v", got)
	}
	if got := readingKinds(cfg); !slices.Equal(got, []access.Kind{access.KindIMAPS}) {
		t.Errorf("mailboxes are read at %v", got)
	}
	if bound, err := Early(t.Context(), cfg); err != nil || len(bound) != 0 {
		t.Errorf("of ports that anybody may bind: %v, %v", bound, err)
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

// What somebody else should have opened, and did not or should not have, is a fault of its key,
// with the unit to be changed.
func TestHandedSockets(t *testing.T) {
	cfg, at := load(t, fmt.Sprintf(small, "127.0.0.1:2525")), listener(t)
	advice := func(running bool, service string) (all []string) {
		_, err := of(cfg, Socket{Service: service, Listener: at}).listen(t.Context(), cfg, running)
		for _, f := range settings.Faults(err) {
			all = append(all, f.Text+": "+f.Hint)
		}
		return all
	}
	for _, c := range []struct {
		service string
		running bool
		want    []string // of each fault
	}{
		{"mx", false, []string{"listen.mx[0]: systemd opens the listeners of this server: change ListenStream= in sallyport-mx.socket", "listen.mx: systemd opens the listeners of this server: change ListenStream="}},
		{"imap", false, []string{"listen.mx[0]: systemd opens the listeners of this server, and none of this door: systemctl enable", "listen.imap: systemd opens the listeners of this server: change"}},
		{"acme", true, []string{"listen.mx[0]: systemd opens the listeners of this server, and none of this door: systemctl stop", "acme.listen: systemd opens the listeners of this server: change"}},
	} {
		got := advice(c.running, c.service)
		if !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s, %v: %q", c.service, c.running, got)
		}
	}
	cfg = load(t, fmt.Sprintf(small, at.Addr().String()))
	if change, err := of(cfg, Socket{Service: "mx", Listener: at}).listen(t.Context(), cfg, false); change != nil || err != nil {
		t.Errorf("what was handed over as it should: %v, %v", change, err)
	}
	// The web server binds by itself where it may; below 1024 its socket is demanded.
	cfg = load(t, fmt.Sprintf(small, at.Addr().String())+"[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:9080\"]\n[autoconfig]\nlisten = [\"127.0.0.1:443\", \"127.0.0.1:9443\"]\n")
	want := []string{"autoconfig.listen[0]: systemd opens the listeners of this server, and none of this door: systemctl enable --now sallyport-https.socket",
		"acme.listen[0]: systemd opens the listeners of this server, and none of this door: systemctl enable --now sallyport-acme.socket"}
	if got := advice(false, "mx"); !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("without the socket of the web server: %q", got)
	}
	cfg = load(t, fmt.Sprintf(small, "127.0.0.1:2525"))
	if got := advice(false, "https"); len(got) != 2 || !strings.HasPrefix(got[1], "autoconfig.listen: systemd opens the listeners of this server: change ListenStream= in sallyport-https.socket") {
		t.Errorf("a socket of the web server that nothing names: %q", got)
	}
}

// An address in use is told at its key, with what helps in a running server; nothing stays bound.
func TestAddressInUse(t *testing.T) {
	taken := listener(t).Addr().String()
	cfg := load(t, fmt.Sprintf(small, taken))
	d := of(cfg)
	if err := d.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "sallyport.toml:3:") {
		t.Errorf("%v", err)
	}
	if len(d.Addrs().MX) != 0 || d.Listening() != nil {
		t.Errorf("bound are %+v", d.Addrs())
	}
	_, err := d.listen(t.Context(), cfg, true)
	if f := settings.Faults(err); len(f) != 1 || f[0].Text != "listen.mx[0]" || !strings.Contains(f[0].Hint, "restart") {
		t.Errorf("%v", err)
	}
	other := load(t, strings.Replace(fmt.Sprintf(small, "127.0.0.1:0"), "[domain", "listen.sendmail = \"s\"\n[domain", 1))
	d = of(other)
	d.to.Operator = func() *operate.Operator { return nil } // nobody asks
	if err := d.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := d.Addrs().MX
	if told := d.Listening(); len(at) != 1 || len(told) != 2 || told[0].Name != "mx" || told[0].Value != at[0] || told[1].Name != "sendmail" || told[1].Value != other.Sendmail.Socket {
		t.Errorf("%v, %v", at, told)
	}
	if table := d.Table(); !slices.Equal(table["mx"], at) || len(table) != 4 {
		t.Errorf("%v", table) // doors that take mail are shown where they are closed, others are not
	}
	if ln := d.Of(serviceAdmin); len(ln) != 1 {
		t.Errorf("%d sockets of the operator", len(ln))
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", at[0]); err == nil {
		c.Close()
		t.Error("still open")
	}
}

// A balancer's word of an address makes nobody a client that may do without TLS.
func TestClear(t *testing.T) {
	d := of(load(t, fmt.Sprintf(small, "127.0.0.1:0")))
	d.to.Clear = func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.7") }
	near, balancer := netip.MustParseAddrPort("192.0.2.7:1"), netip.MustParseAddrPort("192.0.2.1:1")
	for _, c := range []struct {
		remote, balancer netip.AddrPort
		want             bool
	}{
		{near, netip.AddrPort{}, true}, {netip.MustParseAddrPort("[::ffff:192.0.2.7]:1"), netip.AddrPort{}, true},
		{near, balancer, false}, {balancer, netip.AddrPort{}, false},
	} {
		if got := d.clear(server.Conn{Remote: c.remote, Balancer: c.balancer}); got != c.want {
			t.Errorf("%v by %v: %v", c.remote, c.balancer, got)
		}
	}
}

// Mailboxes are read of domains that are kept here, and of no others; a user of the host sends as
// the account of his name where there is one.
func TestWhoseMailIsHere(t *testing.T) {
	cfg := load(t, fmt.Sprintf(small, "127.0.0.1:0")+"[sendmail.users]\n4711 = \"alice@local.test\"\n")
	d := of(cfg)
	data, err := datafolder.Open(t.Context(), cfg, datafolder.Options{
		World: settings.World{}.Complete(), FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find: func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	var here, behind mail.Address
	for at, name := range map[*mail.Address]string{&here: "alice@local.test", &behind: "bob@behind.test"} {
		if *at, err = mail.ParseAddress(name, mail.ASCII); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := data.Accounts.Add(t.Context(), here, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	snapshot, err := directory.NewSnapshot(directory.Config{Hostname: cfg.Hostname, Domains: []directory.Domain{{Name: here.Domain(), Deliver: directory.DeliverMaildir}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.to.Data, d.to.Directory = data, func() *directory.Snapshot { return snapshot }
	if u, err := d.mailboxes(t.Context(), here); err != nil || u == nil {
		t.Errorf("of an account here: %v", err)
	}
	if u, err := d.mailboxes(t.Context(), behind); !errors.Is(err, errNotHere) || u != nil {
		t.Errorf("of an account elsewhere: %v", err)
	}
	if u := d.LocalUser(4711); u.Account != here || u.Why != "" {
		t.Errorf("a user with an account: %+v", u)
	}
	if u := d.LocalUser(4712); !u.Account.IsZero() || u.Why == "" {
		t.Errorf("a user without: %+v", u)
	}
	d.to.Operator = func() *operate.Operator { return nil } // nobody asks
	asksForTheQueue(t, d)
	// What readers hold counts together with what the other doors hold.
	if d.readingOptions(d.to).Memory != d.Memory() {
		t.Error("what readers hold is not counted")
	}
}

// asksForTheQueue looks at what other users of the host are answered about the queue: of their account's mail they learn, of
// nobody's nothing, which is told with who asked.
func asksForTheQueue(t *testing.T, d *Doors) {
	t.Helper()
	q := d.ownQueue()
	if a, why := q.Account(4711); a.String() != "alice@local.test" || why != "" {
		t.Errorf("a user with an account sees the mail of %q, %s", a, why)
	}
	if a, why := q.Account(4712); !a.IsZero() || why == "" {
		t.Errorf("a user without sees the mail of %q, %s", a, why)
	}
	if err := q.List(t.Context(), 4712, io.Discard); err == nil {
		t.Error("a user without an account is answered")
	}
	if err := q.Retry(t.Context(), 0xfff0, io.Discard); err == nil {
		t.Error("anybody has the queue tried again")
	}
	q.Refused(0, "as-root")
	answer, err := d.to.Data.Facts.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAll}}, Kinds: []fact.Kind{fact.KindRefuse}})
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]string{}
	for _, e := range answer.Entries {
		told[e.Fact.Rule] = e.Fact.Door + ": " + e.Fact.Text
	}
	want := map[string]string{queue.RuleNoQueue: "sendmail: uid 4712", queue.RuleNotOperator: "sendmail: uid 65520", "as-root": "sendmail: root (uid 0)"}
	if !maps.Equal(told, want) {
		t.Errorf("told are %q", told)
	}
}

// An address that this process bound while it might is used, and not bound a second time, which would fail.
func TestWhatWasBoundEarlyIsUsed(t *testing.T) {
	at := listener(t)
	cfg := load(t, fmt.Sprintf(small, at.Addr().String()))
	d := New(Options{World: settings.World{}.Complete(), Config: func() config.Config { return cfg }, Early: []Socket{{Service: "mx", Listener: at}}})
	defer d.Close()
	if err := d.Listen(t.Context()); err != nil || !slices.Equal(d.Addrs().MX, []string{at.Addr().String()}) {
		t.Errorf("%v, %v", d.Addrs().MX, err)
	}
}
