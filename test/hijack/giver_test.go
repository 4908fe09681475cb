package hijack

import (
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"sallyport/test/load/rig"
)

// reads reports whether an app password opens the mailbox by IMAP.
func reads(t *testing.T, s *rig.Server, user, word string) bool {
	t.Helper()
	c := &client{Conn: tls.Client(connect(t, s.Listen.IMAPS[0], nil), tlsConfig(t, s))}
	defer c.Close()
	answers := make([]byte, 0, 4096)
	_, err := fmt.Fprintf(c, "a LOGIN %q %q\r\nb LOGOUT\r\n", user, word)
	must(t, err)
	for !strings.Contains(string(answers), "\r\nb ") && len(answers) < cap(answers) {
		n, err := c.Conn.Read(answers[len(answers):cap(answers)])
		answers = answers[:len(answers)+n]
		if err != nil {
			break
		}
	}
	return strings.Contains(string(answers), "\r\na OK")
}

// A thief with an app password writes to two strangers and stops; then the owner writes to somebody
// new, with another one. What decided is the owner's, and the thief loses his all the same: he
// neither reads on nor sends once the account is released. What gave no evidence reads on.
func TestAThiefWhoStopsShort(t *testing.T) {
	s, sink := newServer(t, "", "")
	ann := rig.Account{Address: "ann@local.test", Password: "a password that ann keeps"}
	_, err := s.CLI(t.Context(), ann.Password+"\n", "account", "add", ann.Address, "--password-stdin")
	must(t, err)
	word := map[string]string{}
	for _, name := range []string{"stolen", "phone", "desk"} {
		found := regexp.MustCompile(`"password":"([a-z2-9-]{27})"`).FindStringSubmatch(cli(t, s, "account", "app", "add", ann.Address, name, "--json"))
		if found == nil {
			t.Fatal("no app password was made")
		}
		word[name] = found[1]
	}
	opened := func(name string) *client {
		c := dial(t, s, "submissions", nil)
		if r := c.signIn(ann.Address, word[name]); !strings.HasPrefix(r, "235") {
			t.Fatalf("%s: %q", name, r)
		}
		return c
	}
	thief, owner := opened("stolen"), opened("phone")
	for n := range 2 {
		if r := thief.send(ann.Address, fmt.Sprintf("victim%d@far%d.test", n, n)); !strings.HasPrefix(r, "250") {
			t.Fatalf("the thief's message %d: %q", n+1, r)
		}
	}
	if r := owner.send(ann.Address, "new@elsewhere.test"); !strings.HasPrefix(r, "550 5.7.13") {
		t.Fatalf("the owner's message: %q", r)
	}
	show := cli(t, s, "incident", "show", "1")
	for _, name := range []string{"stolen", "phone"} {
		if !strings.Contains(show, "the app password "+name) || reads(t, s, ann.Address, word[name]) {
			t.Errorf("%s gave evidence, and is not revoked:\n%s", name, show)
		}
	}
	if strings.Contains(show, "the app password desk") || !reads(t, s, ann.Address, word["desk"]) {
		t.Errorf("what gave no evidence does not read on:\n%s", show)
	}
	cli(t, s, "incident", "release", "1")
	if r := dial(t, s, "submissions", nil).signIn(ann.Address, word["stolen"]); !strings.HasPrefix(r, "535 5.7.8") {
		t.Errorf("the thief signs in after the release: %q", r)
	}
	opened("desk")
	if n := recipients(sink); n != 0 {
		t.Errorf("%d recipients have a message", n)
	}
}
