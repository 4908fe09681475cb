package site

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/directory/explain"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
)

// explainedSite has one of everything that an address can be, with return paths that are signed since
// long enough for bounces without a signature to be refused.
func explainedSite(t *testing.T) (*Site, *Running) {
	s := New(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "require"), `[forward]
external = "on"
[domain."caught.test"]
deliver = "maildir"
[alias."@caught.test"]
to = ["bob@local.test"]
[alias."staff@local.test"]
to = ["alice@local.test", "bob@local.test"]
from = "accounts"
[alias."board@local.test"]
to = ["bob@local.test"]
from = "members"
`)
	opened := s.Open() // makes the keys
	Must(t, opened.Close())
	s.FS = vfs.NewMem()
	s.began(30)
	n := s.Start()
	s.Populate(n.Node)
	addAccount(t, n.Node, "dora@local.test")
	op := operate.Direct(n.Operator())
	_, err := op.AccountSignIn(t.Context(), operate.AccountSignIn{Address: "dora@local.test", Policy: "certificate"})
	Must(t, err)
	_, err = op.ForwardAdd(t.Context(), operate.ForwardAdd{Account: "alice@local.test", Targets: []string{"alice@remote.test"}, Keep: true})
	Must(t, err)
	return s, n
}

// paths are return paths of both forms: good ones, old ones, and what only looks like one.
func (s *Site) paths() (all []string) {
	s.t.Helper()
	keys, err := returnpath.ReadKeys(s.Config.KeysDir())
	Must(s.t, err)
	alice, nobody := mailAddress(s.t, "alice@local.test"), mailAddress(s.t, "gone@local.test")
	for _, p := range []struct {
		of  string
		ago time.Duration
	}{{"alice@local.test", 0}, {"alice@local.test", 400 * 24 * time.Hour}, {"gone@local.test", 0}} {
		a, err := keys.Forward.Path(mailAddress(s.t, p.of), time.Now().Add(-p.ago))
		Must(s.t, err)
		all = append(all, a.String())
	}
	for _, end := range []time.Duration{48 * time.Hour, -48 * time.Hour} {
		a, err := keys.Signed.Sign(alice, time.Now().Add(end))
		Must(s.t, err)
		b, err := keys.Signed.Sign(nobody, time.Now().Add(end))
		Must(s.t, err)
		all = append(all, a.String(), b.String())
	}
	return append(all, "SRS0=AAAA=BB=remote.test=victim@local.test", "SRS0=x@caught.test", "prvs=0123abcdef=alice@local.test", "prvs=0123abcdef=victim@caught.test")
}

// What check explains is what the server says at its doors, of every kind of sender and recipient and
// of whoever signs in.
func TestWhatIsExplainedIsSaid(t *testing.T) {
	s, n := explainedSite(t)
	stored, tried := operate.Direct(n.Operator()), 0
	recipients := append(s.paths(), "alice@local.test", "ALICE+x@local.test", "sales@local.test", "all@local.test", "staff@local.test", "board@local.test", "nobody@local.test",
		"x@caught.test", "postmaster@local.test", "abuse@local.test", "x@remote.test", "x@else.test", "a%b@local.test", "x@[198.51.100.1]", "x@[127.0.0.1]", "postmaster@[127.0.0.1]")
	for _, who := range []struct {
		door, account string
		senders       []string
		recipients    []string
	}{
		{"mx", "", []string{"", "x@far.test"}, recipients}, {"mx", "", []string{"alice@local.test", "x@caught.test"}, recipients[:2]},
		{"submission", "alice@local.test", []string{"", "alice@local.test", "sales@local.test"}, recipients}, {"submission", "alice@local.test", []string{"bob@local.test", "x@far.test"}, recipients[:2]},
		{"submission", "", []string{"", "alice@local.test"}, recipients[:2]}, {"submission", "dora@local.test", []string{"dora@local.test"}, recipients[:2]},
	} {
		var c *Client
		for _, from := range who.senders {
			for _, to := range who.recipients {
				asked := "door=" + who.door + " auth=" + who.account + " from=<" + from + "> to=" + to
				q, err := explain.Parse(asked)
				Must(t, err)
				a, err := survey.Explain(t.Context(), s.Config, stored, q)
				Must(t, err)
				said := ""
				for range 2 { // the server hangs up on who was refused often
					if c == nil {
						c = s.knock(n, who.door, who.account)
					}
					if said = c.decides(from, to); said != "" && !strings.HasPrefix(said, "421") {
						break
					}
					c = nil
				}
				if tried++; said != a.Reply {
					t.Errorf("%s: explained %s, said %s", asked, a.Reply, said)
				}
			}
		}
	}
	t.Logf("%d transactions", tried)
}

// knock opens a session at a door, signed in where the server lets that account in by its password.
func (s *Site) knock(n *Running, door, account string) *Client {
	s.t.Helper()
	if door == "mx" {
		c := Connect(s.t, n.Addrs().MX[0])
		c.OK("250", "EHLO client.test")
		return c
	}
	c := ConnectTLS(s.t, n.Addrs().Submissions[0], s.ClientTLS())
	c.OK("250", "EHLO client.test")
	if account != "" {
		if r := c.Say("%s", Plain(account)); !strings.HasPrefix(r, "235") && !strings.HasPrefix(r, "535") {
			s.t.Fatalf("%s: %s", account, r)
		}
	}
	return c
}

// decides begins a transaction, and returns the reply that decides it.
func (c *Client) decides(from, to string) string {
	r := c.Say("MAIL FROM:<%s>", from)
	if strings.HasPrefix(r, "250") {
		r = c.Say("RCPT TO:<%s>", to)
	}
	if c.Say("RSET") == "" && !strings.HasPrefix(r, "421") {
		return ""
	}
	return r
}
