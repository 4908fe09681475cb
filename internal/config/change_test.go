package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

const changeBefore = `hostname = "mx.example.org"
data = "data"
notice = "hello"
listen.mx = ["127.0.0.1:25"]
[domain."example.org"]
deliver = "maildir"
[alias]
"sales@example.org" = ["a@example.org", "b@example.org"]
[limits]
recipients = 200
`

func TestChangesNamesWhatStandsDifferently(t *testing.T) {
	before, err := Parse("a.toml", []byte(changeBefore))
	if err != nil {
		t.Fatal(err)
	}
	after, err := Parse("a.toml", []byte(`# the same, but for a few keys
hostname = "mx2.example.org"
data = "data"
listen.mx = ["127.0.0.1:25"]
[domain."example.org"]
deliver = "maildir"
postmaster = "a@example.org"
[alias]
"sales@example.org" = [
  "a@example.org",   # a comment is no change
  "b@example.org",
]
[limits]
recipients = 300
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range after.Changes(before) {
		got = append(got, c.Key)
		if (c.Restart != "") != (c.Key == "hostname") {
			t.Errorf("%s: restart %q", c.Key, c.Restart)
		}
		if (c.Position.Line == 0) != (c.Key == "notice") {
			t.Errorf("%s stands at %v", c.Key, c.Position)
		}
	}
	want := []string{"domain.example.org.postmaster", "hostname", "limits.recipients", "notice"}
	if !slices.Equal(got, want) {
		t.Errorf("changed: %v, want %v", got, want)
	}
	if same := before.Changes(before); len(same) > 0 {
		t.Errorf("nothing changed, and yet: %v", same)
	}
}

// TestKeepingHoldsEveryKeyThatNeedsARestart tries each of them: a key that says so
// keeps its value, and the function keeps no other.
func TestKeepingHoldsEveryKeyThatNeedsARestart(t *testing.T) {
	running, err := Parse("a.toml", []byte(changeBefore))
	if err != nil {
		t.Fatal(err)
	}
	next, err := Parse("a.toml", []byte(`hostname = "mx2.example.org"
data = "elsewhere"
notice = "goodbye"
listen.mx = ["127.0.0.1:25"]
listen.sendmail = "sendmail.sock"
helpers.socket = "helpers.sock"
helpers.group = "games"
checkpassword.socket = "checkpassword.sock"
checkpassword.group = "games"
checkpassword.kick = "http"
checkpassword.kick_key_file = "kick.key"
[domain."example.net"]
deliver = "maildir"
[maildir]
root = "boxes"
[trace]
origin = "other"
[acme]
agree = "yes"
listen = ["192.0.2.1:444"]
challenge = "tls-alpn-01"
contact = "hostmaster@example.net"
directory = "https://ca.example.net/"
names = ["smtp.example.net"]
ca = "ca.pem"
[tls_policy]
listen = ["192.0.2.1:443"]
[autoconfig]
listen = ["192.0.2.1:443"]
[metrics]
listen = ["192.0.2.1:9025"]
beyond_loopback = "on"
`))
	if err != nil {
		t.Fatal(err)
	}
	// One line for each key with Restart: what the configuration says of it.
	says := map[string]func(Config) string{
		"hostname":                    func(c Config) string { return c.Hostname.ASCII() },
		"data":                        func(c Config) string { return c.Data },
		"maildir.root":                func(c Config) string { return c.Maildir.Root },
		"acme.agree":                  func(c Config) string { return fmt.Sprint(c.ACME.Agree) },
		"acme.listen":                 func(c Config) string { return fmt.Sprint(c.ACME.Listen) },
		"acme.challenge":              func(c Config) string { return c.ACME.Challenge },
		"acme.contact":                func(c Config) string { return c.ACME.Contact.String() },
		"acme.directory":              func(c Config) string { return c.ACME.Directory },
		"acme.names":                  func(c Config) string { return fmt.Sprint(c.ACME.Names) },
		"acme.ca":                     func(c Config) string { return c.ACME.CA },
		"tls_policy.listen":           func(c Config) string { return fmt.Sprint(c.TLSPolicy.Listen) },
		"autoconfig.listen":           func(c Config) string { return fmt.Sprint(c.Autoconfig.Listen) },
		"listen.sendmail":             func(c Config) string { return c.Sendmail.Socket },
		"helpers.socket":              func(c Config) string { return c.Helpers.Socket },
		"helpers.group":               func(c Config) string { return c.Helpers.Group.Name },
		"checkpassword.socket":        func(c Config) string { return c.CheckPassword.Socket },
		"checkpassword.group":         func(c Config) string { return c.CheckPassword.Group.Name },
		"checkpassword.kick":          func(c Config) string { return c.CheckPassword.Kick },
		"checkpassword.kick_key_file": func(c Config) string { return c.CheckPassword.KickKeyFile },
		"metrics.listen":              func(c Config) string { return fmt.Sprint(c.Metrics.Listen) },
		"metrics.beyond_loopback":     func(c Config) string { return fmt.Sprint(c.Metrics.Beyond) },
		"trace.origin":                func(c Config) string { return c.Trace.Origin },
	}
	kept := next.Keeping(running)
	for _, k := range Keys() {
		if k.Restart == "" {
			continue
		}
		value, ok := says[k.Path]
		switch {
		case !ok:
			t.Errorf("%s needs a restart, and this test does not say how to see its value", k.Path)
		case value(next) == value(running):
			t.Errorf("%s does not differ: the test shows nothing", k.Path)
		case value(kept) != value(running):
			t.Errorf("%s is %q after a reload, want %q", k.Path, value(kept), value(running))
		}
	}
	if kept.Notice != "goodbye" || len(kept.Domains) != 1 || kept.Domains[0].Name.ASCII() != "example.net" {
		t.Errorf("what needs no restart was kept: %q %v", kept.Notice, kept.Domains)
	}
}

// TestAKeyThatWentBackNeedsNoRestart follows one key over two reloads, and one that the
// running configuration does not have.
func TestAKeyThatWentBackNeedsNoRestart(t *testing.T) {
	parse := func(hostname, more string) Config {
		t.Helper()
		c, err := Parse("a.toml", []byte(strings.Replace(changeBefore, "mx.example.org", hostname, 1)+more))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const origin = "[trace]\norigin = \"other\"\n"
	running := parse("mx.example.org", "")
	after := parse("mx2.example.org", origin).Keeping(running)
	for _, again := range []struct {
		name string
		next Config
		want []string
	}{
		{"back", parse("mx.example.org", ""), nil},
		{"still", parse("mx2.example.org", origin), []string{"hostname", "trace.origin"}},
		{"one back", parse("mx2.example.org", ""), []string{"hostname"}},
	} {
		var got []string
		for _, c := range again.next.Changes(after) {
			if c.Restart == "" {
				t.Errorf("%s: %s changed at once", again.name, c.Key)
			}
			got = append(got, c.Key)
		}
		if !slices.Equal(got, again.want) {
			t.Errorf("%s: %v, want %v", again.name, got, again.want)
		}
	}
}

// Every key that names an address says so, with where it stands.
func TestNaming(t *testing.T) {
	c, err := Parse("a.toml", []byte(`hostname = "mx.example.org"
data = "data"
listen.mx = ["127.0.0.1:25"]
postmaster = "A@Example.org"
[domain."example.org"]
deliver = "maildir"
postmaster = "a@example.org"
[alias]
"sales@example.org" = ["b@example.org", "a@example.org"]
"b2@example.org" = ["b@example.org"]
"team@example.org" = { to = ["a@example.org"], from = "anyone" }
[sendmail.users]
www-data = "a@example.org"
backup = "b@example.org"
[tls_policy]
report_account = "a@example.org"
[return_path]
exempt = ["a@example.org"]
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range c.Naming(func(a mail.Address) bool { return a.Key() == "a@example.org" }) {
		got = append(got, f.Error())
	}
	want := []string{
		"a.toml:4:14: postmaster: it names A@example.org", "a.toml:7:14: domain.example.org.postmaster: it names a@example.org",
		"a.toml:9:1: alias.sales@example.org: it names a@example.org", "a.toml:11:24: alias.team@example.org.to: it names a@example.org",
		"a.toml:13:12: sendmail.users.www-data: it names a@example.org", "a.toml:16:18: tls_policy.report_account: it names a@example.org",
		"a.toml:18:1: return_path.exempt: it names a@example.org",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

// Whoever may ask is said whole or not at all, and of a group that this host has.
func TestHelpersKeys(t *testing.T) {
	const begin = "hostname = \"mx.example.org\"\ndata = \"d\"\nlisten.mx = [\"127.0.0.1:25\"]\n[domain.\"example.net\"]\ndeliver = \"maildir\"\n[helpers]\n"
	c, err := Parse("a.toml", []byte(begin+"socket = \"s\"\ngroup = \"games\"\n"))
	if err != nil || c.Helpers.Socket != "s" || c.Helpers.Group.Name != "games" || c.Helpers.Group.ID == 0 {
		t.Errorf("%+v, %v", c.Helpers, err)
	}
	for text, want := range map[string]string{
		"socket = \"s\"\n":                            "a.toml:7:10: \"s\": it is not said who may ask there",
		"group = \"games\"\n":                         "these people have nowhere to ask",
		"socket = \"s\"\ngroup = \"no-such-group\"\n": "a.toml:8:9: \"no-such-group\": this host has no such group; groupadd --system no-such-group",
		"socket = \"s\"\ngroup = \"a:b\"\n":           "this is no group's name",
	} {
		if _, err := Parse("a.toml", []byte(begin+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A partner is said whole or not at all, and so is what ends sessions there.
func TestCheckPasswordKeys(t *testing.T) {
	const begin = "hostname = \"mx.example.org\"\ndata = \"d\"\nlisten.mx = [\"127.0.0.1:25\"]\n[domain.\"example.net\"]\ndeliver = \"maildir\"\n[checkpassword]\n"
	const asks = "socket = \"s\"\ngroup = \"games\"\n"
	c, err := Parse("a.toml", []byte(begin+asks+"kick = \"k\"\nkick_key_file = \"key\"\n"))
	if err != nil || c.CheckPassword.Socket != "s" || c.CheckPassword.Group.Name != "games" || c.CheckPassword.Kick != "k" || c.CheckPassword.KickKeyFile != "key" {
		t.Errorf("%+v, %v", c.CheckPassword, err)
	}
	for text, want := range map[string]string{
		"socket = \"s\"\n":                            "it is not said who may ask there",
		"group = \"games\"\n":                         "the other mail server has nowhere to ask",
		"socket = \"s\"\ngroup = \"no-such-group\"\n": "this host has no such group",
		asks + "kick = \"k\"\n":                       "the key to this socket is missing",
		asks + "kick_key_file = \"key\"\n":            "it is for checkpassword.kick, which is missing",
		"kick = \"k\"\nkick_key_file = \"key\"\n":     "nobody's session is ended",
	} {
		if _, err := Parse("a.toml", []byte(begin+text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "a.toml")
	if err := errors.Join(os.WriteFile(key, []byte("sesame\n"), 0o644), os.WriteFile(file, []byte(begin+asks+"kick = \"k\"\nkick_key_file = \"key\"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "others may use it too") {
		t.Errorf("an open key: %v", err)
	}
}
