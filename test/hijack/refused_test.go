package hijack

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// A thief with an app password who is found by what other servers refuse loses that app
// password with the containment, and the owner's own lives on.
func TestRefusalsElsewhereRevokeTheirCredential(t *testing.T) {
	s, _ := newServer(t, "", "")
	news := rig.Account{Address: "news@local.test", Password: "a password for the newsletter"}
	_, err := s.CLI(t.Context(), news.Password+"\n", "account", "add", news.Address, "--role", "bulk", "--password-stdin")
	must(t, err)
	found := regexp.MustCompile(`"password":"([a-z2-9-]{27})"`).FindStringSubmatch(cli(t, s, "account", "app", "add", news.Address, "stolen", "--json"))
	if found == nil {
		t.Fatal("no app password was made")
	}
	secret := found[1]
	thief := dial(t, s, "submissions", nil)
	if r := thief.signIn(news.Address, secret); !strings.HasPrefix(r, "235") {
		t.Fatalf("with %q: %q", secret, r)
	}
	last := "250"
	for n := 0; n < 60 && strings.HasPrefix(last, "250"); n++ {
		last = thief.send(news.Address, fmt.Sprintf("gone%d@remote.test", n))
		time.Sleep(200 * time.Millisecond)
	}
	show := cli(t, s, "incident", "show", "1")
	if os.Getenv("SHOW") != "" {
		t.Log(show)
	}
	if !strings.Contains(show, "the app password stolen") || !strings.Contains(show, "recipients were refused") {
		t.Fatalf("the incident does not name what was used:\n%s", show)
	}
	cli(t, s, "incident", "release", "1")
	if r := dial(t, s, "submissions", nil).signIn(news.Address, secret); !strings.HasPrefix(r, "535 5.7.8") {
		t.Errorf("the thief signs in again: %q", r)
	}
	if r := dial(t, s, "submissions", nil).signIn(news.Address, news.Password); !strings.HasPrefix(r, "235") {
		t.Errorf("the owner does not sign in: %q", r)
	}
}
