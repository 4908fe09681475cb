package doors

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/smtp/server"
)

// A connection that brings mail is counted with all others, and takes of the one memory; who comes before there is a
// certificate is told to wait for one only if one is to come.
func TestWhatAConnectionMeets(t *testing.T) {
	plain := load(t, fmt.Sprintf(small, "127.0.0.1:0"))
	obtains := load(t, fmt.Sprintf(small, "127.0.0.1:0")+"[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:9080\"]\n")
	near := netip.MustParseAddr("192.0.2.7")
	d := of(plain)
	d.to.Intake, d.to.Clear = &intake.Intake{}, func(a netip.Addr) bool { return a == near }
	for _, c := range []struct {
		cfg     config.Config
		secured *tls.Config
		awaits  bool
	}{{plain, nil, false}, {obtains, nil, true}, {obtains, &tls.Config{}, false}} {
		if brings, reads := d.serverConfig(c.cfg, c.secured).Awaiting, d.accessConfig(c.cfg, c.secured).Awaiting; brings != c.awaits || reads != c.awaits {
			t.Errorf("who brings mail awaits a certificate: %v; who reads: %v; want %v", brings, reads, c.awaits)
		}
	}
	c := d.serverConfig(plain, nil)
	if c.Admission != d.admission || c.Memory != d.memory {
		t.Error("connections are not counted together")
	}
	if c.Clear == nil || !c.Clear(server.Conn{Remote: netip.AddrPortFrom(near, 1)}) || c.Clear(server.Conn{Remote: netip.MustParseAddrPort("192.0.2.8:1")}) {
		t.Error("it is not asked who may hand in mail in clear text")
	}
	if c.Unserved == nil || c.UserID == nil || c.Unoffered == nil {
		t.Error("nobody hears of who is not served")
	}
}

// Sockets are known by the key that names them.
func TestSocketsHaveTheNamesOfTheirKeys(t *testing.T) {
	own, err := user.LookupGroupId(fmt.Sprint(os.Getegid()))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range places(load(t, fmt.Sprintf(small, "127.0.0.1:0")+fmt.Sprintf("[helpers]\nsocket = \"h\"\ngroup = %q\n[checkpassword]\nsocket = \"c\"\ngroup = %q\n", own.Name, own.Name))) {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"listen.mx[0]", "data", "helpers.socket", "checkpassword.socket"}) {
		t.Errorf("%q", names)
	}
}

// opened opens the data folder of a configuration, and returns what happens there.
func opened(t *testing.T, cfg config.Config) (f *datafolder.Folder, told func() []fact.Fact) {
	t.Helper()
	var all []fact.Fact
	f, err := datafolder.Open(t.Context(), cfg, datafolder.Options{
		World: settings.World{}.Complete(), FS: vfs.Default, Version: "test", Overlap: func() time.Duration { return time.Hour },
		Find:    func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found { return nil },
		Observe: func(f fact.Fact) { all = append(all, f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Trace.Run(running) }()
	return f, func() []fact.Fact { stop(); <-ended; return all }
}

// Who comes to the sendmail command's socket and is not served is told of, each by the rule for it.
func TestWhoIsNotServedAtTheSocket(t *testing.T) {
	cfg := load(t, fmt.Sprintf(small, "127.0.0.1:0"))
	d := of(cfg)
	data, told := opened(t, cfg)
	d.to.Data = data
	me := uint32(os.Geteuid())
	d.unserved(localdoor.Unserved{Why: localdoor.EndNobody})
	d.unserved(localdoor.Unserved{UID: me, Known: true, Why: localdoor.EndCrowded, Reply: mail.R(421, "4.3.2", "too many at once")})
	d.unserved(localdoor.Unserved{UID: me, Known: true, Why: localdoor.EndLong})
	who, all := intake.LocalUser{Name: localdoor.NameOf(me)}.Who(me), told()
	for rule, want := range map[string][]string{
		intake.RuleLocalUserUnknown: {localdoor.EndNobody},
		door.RuleConnectionsCrowded: {"too many at once", who},
		fact.RuleConnectionEnded:    {localdoor.EndLong, who},
	} {
		i := slices.IndexFunc(all, func(f fact.Fact) bool { return f.Rule == rule && f.Door == "sendmail" })
		if i < 0 {
			t.Errorf("nothing is told by %s, of %+v", rule, all)
			continue
		}
		for _, text := range want {
			if got := fmt.Sprintf("%+v", all[i]); !strings.Contains(got, text) {
				t.Errorf("%s: %q is not in %s", rule, text, got)
			}
		}
	}
}

// A user of this host sends as the account of the same name in the domain that the configuration gives.
func TestAUserSendsAsTheAccountOfHisName(t *testing.T) {
	me := uint32(os.Geteuid())
	named, err := mail.ParseAddress(localdoor.NameOf(me)+"@local.test", mail.ASCII)
	if err != nil {
		t.Skipf("this user has no such name: %v", err)
	}
	cfg := load(t, fmt.Sprintf(small, "127.0.0.1:0")+"[sendmail]\ndomain = \"local.test\"\n")
	d := of(cfg)
	d.to.Data, _ = opened(t, cfg)
	if u := d.LocalUser(me); !u.Account.IsZero() {
		t.Errorf("without such an account: %+v", u)
	}
	if _, err := d.to.Data.Accounts.Add(t.Context(), named, "a long password", accounts.Sending{Role: accounts.RolePerson}, nil); err != nil {
		t.Fatal(err)
	}
	if u := d.LocalUser(me); u.Account != named || u.Name != localdoor.NameOf(me) {
		t.Errorf("with one: %+v", u)
	}
}
