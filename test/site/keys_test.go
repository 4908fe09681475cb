package site

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/tlspolicy/policytest"
)

// A domain behind us with a list of its recipients: whole addresses, what stands before
// the @, and comments; read again at a reload.
func TestAListOfRecipients(t *testing.T) {
	s := New(t, nil)
	list := filepath.Join(s.Dir, "names")
	Must(t, os.WriteFile(list, []byte("# who is there\n\ncarl\n  dora@behind.test  \n#eve\n"), 0o600))
	text := Text + "\n[authentication]\ncheck = \"off\"\n[domain.\"behind.test\"]\ndeliver = \"smtp://127.0.0.1:1\"\nrecipients_file = \"names\"\n"
	s.Configure(text)
	n := s.Start()
	ask := func(want map[string]string) {
		t.Helper()
		c := Connect(t, n.Addrs().MX[0])
		c.OK("250", "EHLO client.test")
		c.OK("250", "MAIL FROM:<x@far.test>")
		for name, code := range want {
			if got := c.Say("RCPT TO:<%s@behind.test>", name); !strings.HasPrefix(got, code) {
				t.Errorf("%s: %q, want %s", name, got, code)
			}
		}
	}
	ask(map[string]string{"carl": "250", "dora": "250", "eve": "550", "%23eve": "550", "frank": "550"})
	Must(t, os.WriteFile(list, []byte("frank\n"), 0o600))
	ask(map[string]string{"carl": "250", "frank": "550"}) // not before a reload
	s.Reload(n)
	ask(map[string]string{"carl": "550", "frank": "250"})
	Must(t, os.WriteFile(list, []byte("frank\ntwo words\n"), 0o600))
	answer, err := n.Reload(t.Context(), "test")
	if err == nil && len(answer.Faults) == 0 {
		t.Error("a line that is no name was passed over")
	}
	ask(map[string]string{"frank": "250"})
}

// Literals that the configuration lists are ours, for the postmaster alone; so are those
// that we listen on; others are not.
func TestOwnLiterals(t *testing.T) {
	s := New(t, nil)
	s.Configure("postmaster = \"bob@local.test\"\nliterals = [\"192.0.2.7\", \"2001:db8::7\"]\n" + Text + "\n[authentication]\ncheck = \"off\"\n")
	n := s.Start()
	s.Populate(n.Node)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	c.OK("250", "MAIL FROM:<x@far.test>")
	for to, want := range map[string]string{
		"postmaster@[192.0.2.7]": "250", "postmaster@[IPv6:2001:db8::7]": "250", "abuse@[192.0.2.7]": "550", "Postmaster@[127.0.0.1]": "250",
		"alice@[192.0.2.7]": "550", "alice@[127.0.0.1]": "550", "postmaster@[192.0.2.8]": "550",
	} {
		if got := c.Say("RCPT TO:<%s>", to); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", to, got, want)
		}
	}
}

// lastAnswers returns what recipients in the queue were last answered, by their address.
func lastAnswers(t *testing.T, n *node.Node, domain string) map[string]string {
	t.Helper()
	last := map[string]string{}
	Must(t, n.Operator().QueueList(t.Context(), operate.Self(), operate.Select{Domain: domain}, func(m operate.Message) error {
		for _, r := range m.Recipients {
			last[r.Address] = r.Last
		}
		return nil
	}))
	return last
}

// With mx.delivery = "off" mail for a domain without a route waits, and goes when there
// is a route.
func TestWithoutMXDeliveryMailWaitsForARoute(t *testing.T) {
	s := New(t, nil, "[mx]", `delivery = "off"`, `private = ["127.0.0.0/8"]`)
	o := s.Options()
	o.Resolver = &dnsx.Fake{Hosts: map[string][]netip.Addr{"far.test": {netip.MustParseAddr("127.9.9.9")}}}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	s.SignIn(r, true, "alice@local.test").Send("alice@local.test", "From: alice@local.test\r\n\r\nIt waits.\r\n", "friend@far.test")
	Eventually(t, "the first attempt", func() bool { return lastAnswers(t, n, "far.test")["friend@far.test"] != "" })
	if last := lastAnswers(t, n, "far.test")["friend@far.test"]; last != "451 4.4.4 no route leads to far.test" {
		t.Errorf("the answer is %q", last)
	}
	text, err := os.ReadFile(filepath.Join(s.Dir, "sallyport.toml"))
	Must(t, err)
	s.Write(string(text) + "\n[route.\"far.test\"]\nto = \"smtp://127.0.0.1:2626\"\ntls = \"none\"\n")
	s.Reload(r)
	_, err = n.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{Domain: "far.test"}})
	Must(t, err)
	Eventually(t, "the message to leave", func() bool { return len(lastAnswers(t, n, "far.test")) == 0 })
}

// With tls_policy.mta_sts = "off" an enforced policy holds nothing back, and nobody asks
// for it.
func TestMTASTSCanBeTurnedOff(t *testing.T) {
	ca, err := policytest.NewAuthority()
	Must(t, err)
	var mode atomic.Value
	mode.Store("enforce")
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", `mta_sts = "off"`)
	o := s.Options()
	o.PolicyPort = policyHost(t, ca, &mode)
	var asked atomic.Bool
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		asked.Store(asked.Load() || address == fmt.Sprintf("127.9.9.8:%d", o.PolicyPort))
		return s.Dial(ctx, network, address)
	}
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: Name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}, "mta-sts.far.test": {netip.MustParseAddr("127.9.9.8")}},
		Texts:      map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1;"}},
	}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	id := QueueID(s.SignIn(r, true, "alice@local.test").Send("alice@local.test", "From: alice@local.test\r\n\r\nNo secret.\r\n", "friend@far.test"))
	r.Idle()
	arrived := false
	for _, m := range s.Sink.Kept() {
		arrived = arrived || strings.Contains(string(m.Octets), id)
	}
	if !arrived || asked.Load() {
		t.Errorf("it arrived: %v; the policy was asked for: %v", arrived, asked.Load())
	}
}

// Mailboxes are below maildir.root, and the data folder is made closed to others.
func TestMailboxesAreBelowTheirRoot(t *testing.T) {
	s := New(t, nil)
	s.Configure(Text + "\n[authentication]\ncheck = \"off\"\n[maildir]\nroot = \"boxes\"\n")
	n := s.Start()
	s.Populate(n.Node)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	if reply := c.Send("x@far.test", Message("rooted", "x@far.test", 100), "bob@local.test"); !strings.HasPrefix(reply, "250") {
		t.Fatal(reply)
	}
	n.Idle()
	got, err := os.ReadDir(filepath.Join(s.Dir, "boxes", "local.test", "bob", "new"))
	if err != nil || len(got) != 1 {
		t.Errorf("below the root: %v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(s.Dir, "data"))
	Must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder has mode %v", info.Mode())
	}
}
