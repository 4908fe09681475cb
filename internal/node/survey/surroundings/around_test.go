package surroundings

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/kit/pki"
	"sallyport/internal/operate"
	"sallyport/internal/trust/guard"
)

const full = `hostname = "mx.local.test"
data = "data"
listen.mx = ["127.0.0.1:0"]
listen.submission = ["127.0.0.1:2587"]
listen.submissions = ["127.0.0.1:2465"]
tls.cert = "server.pem"
tls.key = "server.key"
mx.dns = ["127.0.0.1:1"]

[domain."local.test"]
deliver = "maildir"

[domain."behind.test"]
deliver = "smtps://127.0.0.1:3"

[domain."socket.test"]
deliver = "lmtp+unix:///run/lmtp.sock"

[route."a.test"]
to = "smtp://127.0.0.1:1"
user = "u"
tls = "required"
token_url = "https://127.0.0.1:1/token"
client_id = "us"
client_secret_file = "secret"

[route."b.test"]
to = "smtps://127.0.0.1:2"
user = "u"
token_url = "https://127.0.0.1:1/token"
client_id = "us"
client_secret_file = "secret"

[route."c.test"]
to = "smtp://127.0.0.1:4"
user = "u"
tls = "required"
password_file = "password"

[rspamd]
url = "http://127.0.0.1:1/"
password_file = "password"

[milter.one]
address = "tcp://127.0.0.1:1"
down = "accept"
`

func around(t *testing.T, more string) config.Config {
	t.Helper()
	dir := t.TempDir()
	if err := pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secret": "s\n", "password": "p\n", "hook": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n", "sallyport.toml": full + more} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "sallyport.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Each door, next hop, helper and endpoint of the configuration is looked at, once, as it is spoken to.
func TestWhatIsLookedAt(t *testing.T) {
	cfg := around(t, "")
	var got []string
	for _, l := range doctorListeners(cfg) {
		got = append(got, fmt.Sprint(l.Door, " ", l.At, " ", l.TLS))
	}
	for _, h := range doctorHops(cfg) {
		got = append(got, fmt.Sprint(h.For, " ", h.Network, " ", h.At, " ", h.TLS))
	}
	for _, h := range doctorHelpers(cfg) {
		got = append(got, fmt.Sprint(h.For, " ", h.At, " ", h.Defers, " ", h.Ask(t.Context()) != nil))
	}
	for _, k := range doctorTokens(cfg, []operate.TokenTrouble{{Routes: []string{"a.test"}, Fault: "refused"}}) {
		got = append(got, fmt.Sprint(k.For, " ", k.At, " ", k.Tries, " ", k.Waits))
	}
	want := []string{
		"mx 127.0.0.1:0 false", "submission 127.0.0.1:2587 false", "submissions 127.0.0.1:2465 true",
		"domain behind.test tcp 127.0.0.1:3 true", "domain socket.test unix /run/lmtp.sock false",
		"route a.test tcp 127.0.0.1:1 false", "route b.test tcp 127.0.0.1:2 true", "route c.test tcp 127.0.0.1:4 false",
		"rspamd 127.0.0.1:1 true true", "milter one 127.0.0.1:1 false true",
		"route a.test, b.test 127.0.0.1:1 true refused",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var names []string
	for _, d := range ourDomains(cfg, []string{"added.test", "local.test", "no name"}) {
		names = append(names, d.ASCII())
	}
	if slices.Sort(names); !slices.Equal(names, []string{"added.test", "behind.test", "local.test", "socket.test"}) {
		t.Errorf("our domains are %q", names)
	}
}

// Files that hold secrets are looked at as such, each once, and the keys that are there.
func TestFilesThatAreLookedAt(t *testing.T) {
	cfg := around(t, "[webhook]\nurl = \"https://hooks.test/\"\nkey_file = \"hook\"\n[helpers]\nsocket = \"s.sock\"\ngroup = \"root\"\n")
	for _, dir := range []string{cfg.KeysDir(), cfg.TokensDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "one"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kinds, times := map[string]string{}, map[string]int{}
	for _, f := range doctorFiles(cfg) {
		kinds[filepath.Base(f.Path)] = fmt.Sprint(f.Secret, f.OwnOnly, f.Socket, f.Later)
		times[filepath.Base(f.Path)+f.What]++
	}
	for name, want := range map[string]string{
		"data": "true true false false", "sallyport.toml": "false false false false", "store": "false false false true", "one": "true true false false",
		"server.key": "true false false false", "secret": "true false false false", "password": "true false false false", "hook": "true false false false",
		filepath.Base(cfg.Socket()): "false false true false", "s.sock": "false false true false",
	} {
		if kinds[name] != want {
			t.Errorf("%s: %q, want %q", name, kinds[name], want)
		}
	}
	if times["secreta client's secret"] != 1 {
		t.Errorf("the secret of two routes is looked at %d times", times["secreta client's secret"])
	}
}

// The certificate is that of the files, or what the authority gave, as far as a server has it.
func TestTheCertificateThatIsLookedAt(t *testing.T) {
	cfg := around(t, "")
	if c := doctorCertificate(cfg, &operate.Obtained{Fault: "x"}); c.File != cfg.TLS.Cert || c.Key != cfg.TLS.Key || c.Fault != "" || c.Policies {
		t.Errorf("of files: %+v", c)
	}
	cfg.TLS.Cert, cfg.TLS.Key = "", ""
	cfg.ACME.Directory, cfg.ACME.Agree, cfg.ACME.Names = "https://ca.test/", true, ourDomains(config.Config{}, []string{"smtp.local.test"})
	if !cfg.ACME.On() {
		t.Fatal("no authority is asked")
	}
	next := time.Unix(1, 0)
	if c := doctorCertificate(cfg, &operate.Obtained{Fault: "refused", Next: next}); c.Authority != "https://ca.test/" || c.Fault != "refused" || !c.Next.Equal(next) || !slices.Equal(c.Names, []string{"smtp.local.test"}) || c.File != "" {
		t.Errorf("of an authority: %+v", c)
	}
	if c := doctorCertificate(cfg, nil); c.Fault != "" {
		t.Errorf("without a server: %+v", c)
	}
}

// What a running server says is handed on, and everything around is looked at within its time.
func TestGather(t *testing.T) {
	zone, err := dnstest.NewZone("2.0.0.127.list.test. 60 IN A 127.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	cfg := around(t,
		"[dnsbl.\"list.test\"]\nweight = 5\n[ldap.staff]\nurls = [\"ldap://127.0.0.1:1\"]\ntls = \"off\"\nbase = \"ou=people\"\nbind_dn = \"cn=x\"\npassword_file = \"password\"\n")
	cfg.MX.DNS = []netip.AddrPort{dnstest.Serve(t, zone.Play).Addr}
	f := Gather(t.Context(), cfg, Options{
		Logger: slog.New(slog.DiscardHandler), Keys: []operate.DKIMKey{{Domain: "local.test", Selector: "s1", Name: "s1._domainkey.local.test", State: "active"}},
		Filling:  &operate.Filling{First: []quota.Filled{{Account: "alice@local.test", Share: 93}, {Domain: "local.test", Share: 91}}},
		Networks: []guard.Report{{Name: "printers", Account: "p@local.test", State: guard.StateClosed, Why: "a stranger"}, {Name: "open", State: guard.StateOpen}},
	})
	if f.Hostname != "mx.local.test" || len(f.Ports) != 2 || len(f.Behind) != 5 || len(f.Helpers) != 2 || len(f.Tokens) != 1 {
		t.Errorf("%d ports, %d hops, %d helpers, %d tokens of %s", len(f.Ports), len(f.Behind), len(f.Helpers), len(f.Tokens), f.Hostname)
	}
	if len(f.Mailboxes) != 2 || f.Mailboxes[0].Whose != "alice@local.test" || f.Mailboxes[0].Domain || !f.Mailboxes[1].Domain || f.Mailboxes[1].Share != 91 {
		t.Errorf("mailboxes %+v", f.Mailboxes)
	}
	if len(f.Networks) != 2 || !f.Networks[0].Closed || f.Networks[0].Why != "a stranger" || f.Networks[1].Closed {
		t.Errorf("networks %+v", f.Networks)
	}
	if len(f.Directories) != 1 || f.Directories[0].Name != "staff" || f.Directories[0].Error == "" || !f.Directories[0].Clear {
		t.Errorf("directories %+v", f.Directories)
	}
	var checks []string
	for _, o := range f.Others {
		checks = append(checks, o.Check)
	}
	if !slices.Contains(checks, "sender binding") || !slices.Contains(checks, "dnsbl") || !slices.Contains(checks, "dns") {
		t.Errorf("others: %q", checks)
	}
}
