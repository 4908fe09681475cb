package settings_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget"
	"sallyport/internal/budget/clock"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/kit/pki"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop/token"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
	"sallyport/internal/oidc"
	"sallyport/internal/returnpath"
	"sallyport/internal/trust"
)

// folder has the files that configurations name.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("a secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

const checks = `[rspamd]
url = "http://127.0.0.1:11333/"
password_file = "secret"
timeout = "3s"
max_size = "7MiB"
connections = 5
accounts = "on"
[milter.one]
address = "tcp://127.0.0.1:8891"
fields = ["Received-SPF"]
timeout = "4s"
connections = 6
down = "accept"
[milter.two]
address = "unix:///run/two.sock"
`

// Checks of content are what the configuration says; what it does not say puts mail off rather than let it by.
func TestChecks(t *testing.T) {
	dir := folder(t)
	header := message.Limits{HeaderOctets: 12345}
	o, err := settings.Checks(foldertest.Load(t, dir, checks), header)
	if err != nil || o.Hostname.ASCII() != "mx.local.test" || o.Header != header || o.Rspamd == nil || len(o.Milters) != 2 {
		t.Fatalf("%+v, %v", o, err)
	}
	r := *o.Rspamd
	if r.Network != "http" || r.Address != "127.0.0.1:11333" || r.Password != "a secret" || r.Time != 3*time.Second || r.Connections != 5 || r.Spam != filter.SpamJunk ||
		r.Scope != (filter.Scope{Accounts: true, MaxSize: 7 << 20, Down: filter.DownDefer}) {
		t.Errorf("%+v", r)
	}
	one, two := o.Milters[0], o.Milters[1]
	if one.Name != "one" || one.Address != "127.0.0.1:8891" ||
		!slices.Equal(one.Fields, []string{"Received-SPF"}) || one.Time != 4*time.Second ||
		one.Connections != 6 || one.Scope.Down != filter.DownAccept || one.Scope.Accounts {
		t.Errorf("%+v", one)
	}
	if two.Name != "two" || two.Network != "unix" || two.Address != "/run/two.sock" || two.Scope.Down != filter.DownDefer {
		t.Errorf("%+v", two)
	}
	if o, err = settings.Checks(foldertest.Load(t, dir, strings.Replace(checks, "timeout = \"3s\"", "spam = \"field\"", 1)), header); err != nil ||
		o.Rspamd.Spam != filter.SpamField {
		t.Errorf("marked alone: %+v, %v", o.Rspamd, err)
	}
	if o, err = settings.Checks(foldertest.Load(t, dir, ""), header); err != nil || o.Rspamd != nil || o.Milters != nil {
		t.Errorf("without any: %+v, %v", o, err)
	}
	plain := foldertest.Load(t, dir, "[rspamd]\nurl = \"http://127.0.0.1:11333/\"\n[milter.one]\naddress = \"tcp://127.0.0.1:8891\"\n")
	if o, err = settings.Checks(plain, header); err != nil || o.Rspamd.Time != rspamd.DefaultLimits().Time || o.Rspamd.Connections != rspamd.DefaultLimits().Connections ||
		o.Milters[0].Time != milter.DefaultLimits().Time || o.Milters[0].Connections != milter.DefaultLimits().Connections {
		t.Errorf("of bounds that nobody configured the reference tells others: %+v, %+v, %v", o.Rspamd, o.Milters, err)
	}
	cfg := foldertest.Load(t, dir, checks)
	if err := os.Remove(filepath.Join(dir, "secret")); err != nil {
		t.Fatal(err)
	}
	var f config.Fault
	if _, err = settings.Checks(cfg, header); !errors.As(err, &f) || f.Text != "rspamd.password_file" || f.Position.Line != 7 {
		t.Errorf("a password that is gone: %+v, %v", f, err)
	}
}

const people = `listen.submission = ["127.0.0.1:0"]
tls.cert = "server.pem"
tls.key = "server.key"
[ldap.staff]
urls = ["ldaps://one.test", "ldap://two.test:3890"]
ca = "ca.pem"
bind_dn = "cn=reader"
password_file = "secret"
base = "ou=people"
filter = "(mail=*)"
address = "mailPrimary"
aliases = ["proxyAddresses"]
entry = "objectGUID"
groups = "isMemberOf"
senders = ["cn=senders,dc=test", "cn=both,dc=test"]
receivers = ["cn=Senders,dc=test", "cn=both,dc=test"]
every = "7m"
timeout = "2s"
connections = 3
entries = 99
[ldap.plain]
urls = ["ldap://127.0.0.1"]
tls = "off"
base = "ou=others"
bind_dn = "cn=reader"
password_file = "secret"
[domain."staff.test"]
deliver = "maildir"
ldap = "staff"
accounts = "ldap"
[domain."behind.test"]
deliver = "smtp://192.0.2.9"
ldap = "staff"
recipients = "ldap"
`

// What is taken from a directory is what the configuration says, for the domains that name it: accounts for some, and
// who exists for others. A group that two keys spell in two ways is known to each by its own.
func TestDirectories(t *testing.T) {
	dir := folder(t)
	cfg := foldertest.Load(t, dir, people)
	all, err := settings.Directories(cfg)
	if err != nil || len(all) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	slices.SortFunc(all, func(a, b roll.Source) int { return strings.Compare(b.Name, a.Name) })
	s, o := all[0], all[0].Options
	if s.Name != "staff" || s.Every != 7*time.Minute || fmt.Sprint(s.Accounts) != "[staff.test]" ||
		fmt.Sprint(s.Recipients) != "[behind.test]" || fmt.Sprint(o.Domains) != "[staff.test]" {
		t.Errorf("%+v", s)
	}
	if want := []ldap.Server{{Host: "one.test", Port: 636, Security: ldap.SecurityTLS}, {Host: "two.test", Port: 3890, Security: ldap.SecurityStart}}; !slices.Equal(o.Servers, want) {
		t.Errorf("servers %+v", o.Servers)
	}
	if o.User.String() != "cn=reader" || o.Password != "a secret" || o.CA == nil ||
		o.Base.String() != "ou=people" || fmt.Sprint(o.Filter) != "(mail=*)" ||
		fmt.Sprintf("%s %s %s", o.Address, o.Aliases, o.Entry) != "mailPrimary [proxyAddresses] objectGUID" {
		t.Errorf("%+v", o)
	}
	if fmt.Sprint(o.Group) != "isMemberOf" ||
		!slices.Equal(o.Groups, []string{"cn=Senders,dc=test", "cn=both,dc=test", "cn=senders,dc=test"}) ||
		len(s.Senders) != 2 || len(s.Receivers) != 2 {
		t.Errorf("groups %q of %q; %q send, %q receive", o.Groups, o.Group, s.Senders, s.Receivers)
	}
	if o.Limits != (ldap.Limits{Timeout: 2 * time.Second, Connections: 3, Entries: 99}) {
		t.Errorf("%+v", o.Limits)
	}
	plain := all[1]
	if plain.Options.Servers[0].Security != ldap.SecurityNone || fmt.Sprint(plain.Options.Group) != "" ||
		plain.Options.CA != nil || len(plain.Accounts)+len(plain.Recipients) != 0 {
		t.Errorf("%+v", plain)
	}
	for _, name := range []string{"ca.pem", "secret"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err = settings.Directories(cfg)
	var told []string
	for _, f := range settings.Faults(err) {
		told = append(told, f.Text)
	}
	if slices.Sort(told); !slices.Equal(told, []string{"ldap.plain.password_file", "ldap.staff.ca"}) {
		t.Errorf("told: %q", told)
	}
}

// SCRAM is not offered where accounts come from a directory, unless the configuration names it.
func TestMechanisms(t *testing.T) {
	dir := folder(t)
	cfg := foldertest.Load(t, dir, people)
	if got := settings.Mechanisms(cfg); slices.Contains(got, accounts.MechScram) || len(got) != len(accounts.DefaultMechanisms())-1 {
		t.Errorf("with a directory: %q", got)
	}
	cfg.Auth.Mechanisms = []string{accounts.MechScram}
	if got := settings.Mechanisms(cfg); !slices.Equal(got, []string{accounts.MechScram}) {
		t.Errorf("where it is named: %q", got)
	}
	if got := settings.Mechanisms(foldertest.Load(t, dir, "")); got != nil {
		t.Errorf("without a directory nothing is said, and got %q", got)
	}
}

// What is stated of the directory can be found again in the file, and read back as a command writes it.
func TestStated(t *testing.T) {
	cfg := foldertest.Load(t, folder(t), "[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9\"\n")
	st, err := settings.Stated(cfg)
	if err != nil || len(st.Config.Domains) != 2 {
		t.Fatalf("%+v, %v", st.Config, err)
	}
	behind := cfg.Domains[0].Name
	if got := st.Ways[behind]; got != "smtp://192.0.2.9:25" {
		t.Errorf("the way of %s is %q", behind.ASCII(), got)
	}
	if at, ok := st.Where(directory.Subject{Kind: directory.KindDomain, Name: "behind.test"}); !ok || !strings.Contains(at, "sallyport.toml:5:") {
		t.Errorf("it stands at %q, %v", at, ok)
	}
	if _, ok := st.Where(directory.Subject{Kind: directory.KindDomain, Name: "elsewhere.test"}); ok {
		t.Error("what is stated nowhere stands somewhere")
	}
	for text, want := range map[string]string{"maildir": "maildir", "smtp://192.0.2.9": "smtp://192.0.2.9:25", "nowhere": ""} {
		if got, err := st.Way(text); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// Every fault that an error joins is found, however deep, with what it says of itself.
func TestFaults(t *testing.T) {
	cfg := foldertest.Load(t, folder(t), "")
	entries := directory.Faults{{Text: "one entry"}, {Text: "another"}}
	all := errors.Join(cfg.Fault("hostname", "a", "h"),
		errors.Join(fmt.Errorf("within: %w", cfg.Fault("data", "b", "")), config.Faults{{Message: "c"}, {Message: "d"}}),
		entries, errors.New(" e\n"))
	var got []string
	for _, f := range settings.Faults(all) {
		got = append(got, strings.TrimSpace(f.Text+" "+f.Message+" "+f.Hint))
	}
	if want := []string{"hostname a h", "data b", "c", "d", "one entry", "another", "e"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if f := settings.Faults(all)[0]; !strings.HasSuffix(f.Position, "sallyport.toml:1:12") {
		t.Errorf("%+v", f)
	}
	// Each is asked about its own kind alone, and leaves the others as they are.
	seen := 0
	err := settings.Each(all, func(f config.Fault) error { seen++; return fmt.Errorf("placed %s", f.Text) })
	if seen != 1 || !strings.Contains(err.Error(), "placed hostname") || !strings.Contains(err.Error(), "within: ") {
		t.Errorf("%d: %v", seen, err)
	}
}

// Names of addresses in the file are told, a line each.
func TestNaming(t *testing.T) {
	cfg := foldertest.Load(t, folder(t), "[alias]\n\"sales@local.test\" = [\"alice@local.test\"]\n")
	alice := foldertest.Address(t, "alice@local.test")
	got := settings.Naming(cfg, func(a mail.Address) bool { return a == alice })
	if len(got) != 1 || !strings.Contains(got[0], "sallyport.toml:6:") || !strings.Contains(got[0], "alice@local.test") {
		t.Errorf("%q", got)
	}
	if got := settings.Naming(cfg, func(mail.Address) bool { return false }); got != nil {
		t.Errorf("of nobody: %q", got)
	}
}

// Whoever is in a network that a proxy speaks for is no device; networks that overlap are an error.
func TestNetworks(t *testing.T) {
	cfg := foldertest.Load(t, folder(t),
		"listen.submission = [\"127.0.0.1:0\"]\ntls.cert = \"server.pem\"\ntls.key = \"server.key\"\n[network.printers]\nfrom = [\"192.0.2.0/24\"]\naccount = \"alice@local.test\"\n")
	s, err := settings.Networks(cfg)
	if n, ok := s.Table.Of(netip.MustParseAddr("192.0.2.7")); err != nil || !ok || n.Name != "printers" || s.Trust != trust.DefaultLimits() {
		t.Fatalf("%+v, %v, %v", n, ok, err)
	}
	r, err := settings.ProveNetworks(cfg, s, trust.Host{Known: true})
	if err != nil || r.Addresses == 0 || r.Witness != nil {
		t.Errorf("%+v, %v", r, err)
	}
	cfg.Networks[0].From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if s, err = settings.Networks(cfg); err != nil {
		t.Fatal(err)
	}
	var f config.Fault
	if _, err := settings.ProveNetworks(cfg, s, trust.Host{Known: true}); !errors.As(err, &f) || f.Text != "network.printers.from" || !strings.HasPrefix(f.Message, "this is open: ") {
		t.Errorf("a wide network: %v", err)
	}
	cfg.Networks = append(cfg.Networks, cfg.Networks[0])
	if _, err := settings.Networks(cfg); err == nil {
		t.Error("networks overlap")
	}
	most := settings.Allowing(func() config.Config { return cfg })
	if got := most(accounts.Account{Address: foldertest.Address(t, "alice@local.test"), Role: accounts.RolePerson}); got.Hour != 20 || got.Day != 100 {
		t.Errorf("the account of the network may write to %+v", got)
	}
}

// Who gets another person's address may send what a person may.
func TestWhatIsAdopted(t *testing.T) {
	cfg := foldertest.Load(t, folder(t), "[budget]\nperson_hour = 20\nperson_day = 100\n")
	var got budget.Limits
	adopt := settings.Adopting(cfg, func(_ context.Context, l accounts.Listing, _ func(mail.Address, string) [][]byte) (accounts.Adopted, error) {
		got = l.Person
		return accounts.Adopted{Added: 7}, nil
	})
	if done, err := adopt(t.Context(), accounts.Listing{}, nil); err != nil || done.Added != 7 || got.Hour != 20 || got.Day != 100 {
		t.Errorf("%+v, %v; a person may send %+v", done, err, got)
	}
}

// Whose tokens sign in, and where those come from with which we sign in, are what the configuration says.
func TestTokens(t *testing.T) {
	dir := folder(t)
	const give = "user = \"u\"\ntls = \"required\"\ntoken_url = \"https://login.test/token\"\ntoken_ca = \"ca.pem\"\nclient_id = \"us\"\nclient_secret_file = \"secret\"\ntoken_scope = \"smtp\"\n"
	cfg := foldertest.Load(t, dir, "[oidc]\nissuer = \"https://login.test\"\nca = \"ca.pem\"\naudience = \"mail\"\nscope = \"smtp\"\nread_scope = \"imap\"\nclients = [\"thunderbird\"]\nclaim = \"upn\"\nask_as = \"us\"\nask_secret_file = \"secret\"\n"+
		"[route.\"a.test\"]\nto = \"smtp://192.0.2.7\"\n"+give+"[route.\"b.test\"]\nto = \"smtp://192.0.2.8\"\n"+give+"[route.\"c.test\"]\nto = \"smtp://192.0.2.9\"\n"+give+"token_auth = \"header\"\n[route.\"d.test\"]\nto = \"smtp://192.0.2.9\"\ntls = \"none\"\n")
	p, ok := settings.Provider(cfg)
	want := oidc.Provider{
		Issuer: "https://login.test", CA: filepath.Join(dir, "ca.pem"), Audience: "mail", Scope: "smtp",
		ReadScope: "imap", Clients: []string{"thunderbird"}, Claim: "upn", Introspect: "us",
		SecretFile: filepath.Join(dir, "secret"),
	}
	if !ok || !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, %v", p, ok)
	}
	if _, ok := settings.Provider(foldertest.Load(t, dir, "")); ok {
		t.Error("somebody's tokens sign in, whom nobody named")
	}
	cfg = foldertest.Load(t, dir,
		"[route.\"a.test\"]\nto = \"smtp://192.0.2.7\"\n"+give+"[route.\"b.test\"]\nto = \"smtp://192.0.2.8\"\n"+give+"[route.\"c.test\"]\nto = \"smtp://192.0.2.9\"\n"+give+"token_auth = \"header\"\n[route.\"d.test\"]\nto = \"smtp://192.0.2.9\"\ntls = \"none\"\n")
	var got []token.Endpoint
	for _, r := range cfg.Routes {
		got = append(got, settings.TokenEndpoint(r.Token))
	}
	body := token.Endpoint{
		URL: "https://login.test/token", CA: filepath.Join(dir, "ca.pem"), Client: "us",
		SecretFile: filepath.Join(dir, "secret"), Scope: "smtp", Style: token.StyleBody,
	}
	header := body
	header.Style = token.StyleHeader
	if !slices.Equal(got, []token.Endpoint{body, body, header, {}}) {
		t.Errorf("%+v", got)
	}
	if names := settings.RoutesOf(cfg, body); !slices.Equal(names, []string{"a.test", "b.test"}) {
		t.Errorf("it signs in at %q", names)
	}
	w := settings.World{}.Complete()
	if m := settings.TokenMeans(cfg, w); string(m.Keep) != cfg.TokensDir() || m.Limits != token.DefaultLimits() || m.Dial == nil {
		t.Errorf("%+v", m)
	}
	if m := settings.ProviderMeans(w); m.Limits != oidc.DefaultLimits() || m.Dial == nil || m.Now == nil {
		t.Errorf("%+v", m)
	}
}

// Return paths are signed as the configuration says; without a word of it they are not.
func TestReturnRules(t *testing.T) {
	dir := folder(t)
	for sign, mode := range map[string]returnpath.Mode{"off": returnpath.ModeOff, "tag": returnpath.ModeTag, "require": returnpath.ModeRequire} {
		r := settings.ReturnRules(foldertest.Load(t, dir, "[return_path]\nsign = \""+sign+"\"\nage = \"19d\"\nexempt = [\"List@local.test\"]\n[forward]\nreturn_age = \"11d\"\n"))
		if r.Mode != mode || r.Life != 19*24*time.Hour || r.ForwardAge != 11*24*time.Hour ||
			!r.Exempt[foldertest.Address(t, "list@local.test").Key()] || len(r.Exempt) != 1 ||
			r.Detail != '+' {
			t.Errorf("%s: %+v", sign, r)
		}
	}
}

// What is given of the world stays, and what is not is the real one.
func TestTheWorldIsCompleted(t *testing.T) {
	w := settings.World{}.Complete()
	if w.Logger == nil || w.Clocks == nil || w.Rand != rand.Reader || w.MXPort != 25 || w.PolicyPort != 443 || w.Look == nil || w.Dial == nil || time.Since(w.Now()) > time.Hour {
		t.Errorf("%+v", w)
	}
	at, chance, look := time.Unix(1, 0), bytes.NewReader(nil), errors.New("no host")
	given := settings.World{
		Now: func() time.Time { return at }, Rand: chance, MXPort: 26, PolicyPort: 444,
		Look: func() (trust.Host, error) { return trust.Host{}, look },
	}.Complete()
	if _, err := given.Look(); given.Clocks() != (clock.Reading{Wall: at}) || given.Rand != chance || given.MXPort != 26 || given.PolicyPort != 444 || err != look {
		t.Errorf("%+v", given)
	}
	fake := &dnsx.Fake{}
	cfg := foldertest.Load(t, folder(t), "[mx]\ndns = [\"127.0.0.1:1\"]\n")
	if r, err := settings.Resolver(cfg, settings.World{Resolver: fake}); r != dnsx.Resolver(fake) || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	r, err := settings.Resolver(cfg, given)
	if err != nil || r == nil {
		t.Fatalf("%v, %v", r, err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := r.TXT(ended, dnsx.Name{}); err == nil {
		t.Error("who is asked answered after the end")
	}
}
