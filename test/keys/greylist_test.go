package keys

import (
	"strings"
	"testing"
	"time"
)

// screen.greylist: the first mail of whom nobody knows comes at the second try, and then all of
// his network's at once, over a restart too; whom the recipient wrote to, who is exempt and
// mail to the postmaster do not wait, and who signs in never does.
func TestGreylist(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n"+balanced+"[screen]\ngreylist = \"5m\"\nlist = \"list\"\n")
	s.file("list", "exempt network 192.0.2.0/24\n")
	s.start(map[string]string{"alice@local.test": "person", "bob@local.test": "person"})
	const later = "450 4.7.1 greylisted: this server takes the first mail of whom it does not know at the second try (screen-greylisted); try again in "
	ask := func(from, sender, to, want string) {
		t.Helper()
		if r := s.mustVisit(from).offer(sender, to, 300, true); !strings.HasPrefix(r, want) {
			t.Errorf("%s from %s to %s is told %s", sender, from, to, r)
		}
	}
	ask("198.51.100.7", "x@far.test", "alice@local.test", later+"5 minutes")
	ask("198.51.100.7", "x@far.test", "alice@local.test", later)
	ask("198.51.100.7", "x@far.test", "nobody@local.test", "550")
	ask("198.51.100.7", "x@far.test", "postmaster@local.test", "250")
	ask("192.0.2.7", "x@far.test", "alice@local.test", "250")
	c, err := s.signIn("alice@local.test")
	must(t, err)
	send(t, c, "alice@local.test", "friend@remote.test")
	send(t, c, "alice@local.test", "bob@local.test")
	ask("203.0.113.7", "friend@remote.test", "alice@local.test", "250")
	ask("203.0.113.7", "friend@remote.test", "bob@local.test", later)
	s.ahead.Add(int64(5 * time.Minute))
	s.stop()
	s.start(nil)
	ask("198.51.100.7", "y@far.test", "alice@local.test", later) // another sender, whose network is not known yet
	ask("198.51.100.200", "x@far.test", "alice@local.test", "250")
	ask("198.51.100.7", "y@far.test", "bob@local.test", "250") // now it is
	s.reload("[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n" + balanced)
	ask("203.0.113.99", "z@far.test", "bob@local.test", "250")
}
