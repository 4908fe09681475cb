package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"

	"github.com/google/go-cmp/cmp"
)

// minimal is the least that is a configuration.
const minimal = `hostname = "mx.local.test"
data = "data"
[listen]
mx = ["127.0.0.1:2525"]
[domain."local.test"]
deliver = "maildir"
`

func mustParse(t *testing.T, text string) Config {
	t.Helper()
	c, err := Parse("/etc/sallyport/sallyport.toml", []byte(text))
	if err != nil {
		t.Fatalf("refused:\n%v", err)
	}
	return c
}

func address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestEveryKeyOfAFullFileIsRead(t *testing.T) {
	text, err := os.ReadFile("testdata/good/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(text))
	equal := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s = %v, want %v", what, got, want)
		}
	}
	equal("hostname", c.Hostname.ASCII(), "mx.local.test")
	equal("data", c.Data, "/etc/sallyport/data")
	equal("postmaster", c.Postmaster, address(t, "alice@local.test"))
	equal("notice", c.Notice, "no spam please")
	equal("detail", c.Detail, byte('-'))
	equal("literals, with those listened on", len(c.Literals), 4)
	equal("listen.mx", len(c.Listen.MX), 2)
	equal("listen.mx[1]", c.Listen.MX[1], netip.MustParseAddrPort("[::1]:2525"))
	equal("listen.submission", c.Listen.Submission[0], netip.MustParseAddrPort("127.0.0.1:2587"))
	equal("tls.cert", c.TLS.Cert, "/etc/sallyport/server.pem")
	equal("domain 0", c.Domains[0], Domain{
		Name: c.Domains[0].Name, Deliver: Delivery{Kind: directory.DeliverMaildir},
		Postmaster: address(t, "bob@local.test"), Recipients: directory.RecipientsAccounts,
	})
	equal("domain 1", c.Domains[1].Name.ASCII(), "xn--bcher-kva.test")
	equal("alias 0", c.Aliases[0].Targets[1], address(t, "team@local.test"))
	equal("alias 1", c.Aliases[1].Targets[0], address(t, "bob@local.test"))
	equal("who writes to alias 1", c.Aliases[1].Posting, directory.PostingAnyone)
	equal("where alias 1 stands", c.Aliases[1].At.Line, 26)
	equal("catch-all", c.Aliases[2].CatchAll.ASCII()+" "+c.Aliases[2].Address.String(), "local.test ")
	equal("group", c.Aliases[3].Address, address(t, "Board@local.test"))
	equal("who writes to the group", c.Aliases[3].Posting, directory.PostingMembers)
	equal("members of the group", len(c.Aliases[3].Targets), 2)
	equal("route 0", fmt.Sprint(c.Routes[0]), fmt.Sprint(Route{
		Route:       directory.Route{Domain: c.Routes[0].Domain, Host: "127.0.0.1", Port: 2626, TLS: mail.TLSOpportunistic},
		Connections: 20, Messages: 100,
	}))
	equal("route *", fmt.Sprint(c.Routes[1]), fmt.Sprint(Route{Others: []Hop{{"second.example.net", 465, true}}, Route: directory.Route{Host: "smart.example.net", Port: 465, TLS: mail.TLSImplicit, User: "sallyport",
		PasswordFile: "/etc/sallyport/password"}, Connections: 5, Messages: 100}))
	equal("message_size", c.Limits.MessageSize, int64(10e6))
	equal("recipients", c.Limits.Recipients, 200)
	equal("command_timeout", c.Limits.CommandTimeout, 4*time.Minute+30*time.Second)
	equal("a limit not given", c.Limits.JunkCommands, 100)
	equal("retry.first", c.Retry.First, 30*time.Second)
	equal("retry.factor", c.Retry.Factor, 1.5)
	equal("retry.expire", c.Retry.Expire, 36*time.Hour)
	equal("trace.keep", c.Trace.Keep, 364*24*time.Hour)
	equal("trace.origin", c.Trace.Origin, "mx.local.test/sallyport")
	equal("maildir.root", c.Maildir.Root, "/etc/sallyport/data/mail")
	equal("position of a list's item", c.At("listen.mx[1]").String(), "/etc/sallyport/sallyport.toml:9:34")
	equal("position of a table", c.At("domain.local.test").String(), "/etc/sallyport/sallyport.toml:17:9")
	equal("position of a key not given", c.At("tls.unknown").String(), "/etc/sallyport/sallyport.toml")
}

func TestDefaultsAreThoseOfTheKeyTable(t *testing.T) {
	c := mustParse(t, minimal)
	if c.Detail != '+' || c.Limits.MessageSize != 50<<20 || c.Retry.Expire != 5*24*time.Hour || c.Auth.ArgonMemory != 19<<20 {
		t.Errorf("defaults: detail %q, message_size %d, expire %v, argon %d", c.Detail, c.Limits.MessageSize, c.Retry.Expire, c.Auth.ArgonMemory)
	}
	if len(c.Listen.Submission)+len(c.Routes)+len(c.Aliases) != 0 || len(c.Literals) != 1 || c.TLS != (TLS{}) {
		t.Errorf("something is open that nobody opened: %+v", c)
	}
}

// TestBadConfigurations shows each broken file of testdata/bad the message that
// it deserves; go test -update rewrites them, and the difference is to be read.
func TestBadConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d broken configurations, want 20 at least (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".toml"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse("sallyport.toml", text)
			if err == nil {
				t.Fatal("it was taken")
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".want", err.Error()+"\n")
			for _, f := range err.(Faults) {
				if f.Message == "" || f.Hint == "" || f.Position.File != "sallyport.toml" {
					t.Errorf("a fault without place, message or what to do: %+v", f)
				}
			}
		})
	}
}

// golden compares got with a file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}
