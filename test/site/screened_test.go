package site

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
)

// A line about a recipient holds with every detail, and for whom a signed return path stands; the command that asks says the same of
// the detail.
func TestALineAboutARecipientHoldsForEveryFormOfIt(t *testing.T) {
	s := New(t, vfs.NewMem(), fmt.Sprintf(signedPaths, "tag"))
	Must(t, os.WriteFile(filepath.Join(s.Dir, "list"), []byte("exempt recipient bob+open@local.test\nrefuse recipient bob@local.test this address is closed\n"), 0o600))
	text, err := os.ReadFile(filepath.Join(s.Dir, "sallyport.toml"))
	Must(t, err)
	s.Configure(string(text) + "\n[screen]\nlist = \"list\"\n")
	n := s.Start()
	s.Populate(n.Node)
	keys, err := returnpath.ReadKeys(s.Config.KeysDir())
	Must(t, err)
	signed, err := keys.Signed.Sign(mailAddress(t, "bob@local.test"), time.Now().Add(48*time.Hour))
	Must(t, err)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	for _, from := range []string{"", "x@far.test"} {
		c.OK("250", "MAIL FROM:<%s>", from)
		for to, want := range map[string]string{
			"bob@local.test": "550 5.7.1 refused by this server's list", "BOB+x@local.test": "550 5.7.1 refused by this server's list", signed.String(): "550 5.7.1 refused by this server's list",
			"bob+open@local.test": "250", "alice+bob@local.test": "250", "both@local.test": "250",
		} {
			if r := c.Say("RCPT TO:<%s>", to); !strings.HasPrefix(r, want) {
				t.Errorf("<%s> to %s: %s, want %s", from, to, r, want)
			}
			if to == signed.String() {
				continue
			}
			a, err := operate.Direct(n.Operator()).ScreenTest(t.Context(), operate.ScreenVisitor{Client: "127.0.0.1", To: to})
			if err != nil || (a.Verdict == "take") != (want == "250") {
				t.Errorf("a test of %s: %+v, %v", to, a, err)
			}
		}
		c.OK("250", "RSET")
	}
}
