package hijack

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/hijack"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
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

// A partner's server loses its users, and refuses whoever was written to for years. Whoever writes to them as ever goes on sending;
// somebody else's four strangers who are refused contain their account.
func TestAPartnerWithoutItsPeople(t *testing.T) {
	s, sink := prepare(t, "", "")
	remember(t, s)
	alice, bob := s.Accounts[0], s.Accounts[1]
	var people []string
	for n := range 12 {
		people = append(people, fmt.Sprintf("gone%d@remote.test", n))
	}
	acquaint(t, s, alice, people)
	start(t, s)
	sent := func(a rig.Account) (n int) {
		c := dial(t, s, "submissions", nil)
		if r := c.signIn(a.Address, a.Password); !strings.HasPrefix(r, "235") {
			t.Fatalf("%s: %q", a.Address, r)
		}
		for _, to := range people {
			if !strings.HasPrefix(c.send(a.Address, to), "250") {
				break
			}
			n++
			time.Sleep(200 * time.Millisecond) // until their server has refused
		}
		return n
	}
	if n := sent(alice); n != len(people) {
		t.Errorf("%d of %d letters to correspondents who are gone were taken:\n%s", n, len(people), cli(t, s, "incident", "ls"))
	}
	if n := sent(bob); n == len(people) {
		t.Error("nobody else is contained for them")
	}
	if n := recipients(sink); n != 0 {
		t.Errorf("%d of those who are gone have a letter", n)
	}
}

// acquaint writes what a server knows of an account that wrote to people for a month.
func acquaint(t *testing.T, s *rig.Server, a rig.Account, people []string) {
	t.Helper()
	octets, err := keyfile.Load(filepath.Join(s.Data, "keys", "hijack.key"), false, nil)
	must(t, err)
	key, err := hijack.NewKey(octets)
	must(t, err)
	address := func(text string) mail.Address {
		to, err := mail.ParseAddress(text, mail.ASCII)
		must(t, err)
		return to
	}
	who, month := key.Account(address(a.Address).Key()), octetsOf(hijack.Fingerprint(time.Now().Add(-30*24*time.Hour).UnixNano()))
	var tx store.Tx
	for _, p := range people {
		f := key.Address(address(p))
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: fmt.Appendf(nil, "hijack/pair/%s%s", octetsOf(who), octetsOf(f)), Value: month},
			store.Mutation{Key: fmt.Appendf(nil, "hijack/site/%s", octetsOf(f)), Value: month})
	}
	st, err := pebble.Open(pebble.Options{FS: vfs.Default, Dir: filepath.Join(s.Data, "store"), Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	_, err = st.Apply(t.Context(), tx, store.Durable)
	must(t, err)
	must(t, st.Close())
}

// Whoever has people on a list who left, or an address by which somebody is called no more, tries them one after the other as
// their program complains of each, and goes on sending; whoever guesses as many is contained.
func TestAListOfColleaguesWhoLeft(t *testing.T) {
	s, _ := newServer(t, "", "")
	alice, bob := s.Accounts[0], s.Accounts[1]
	var left []string
	for n := range 4 {
		left = append(left, fmt.Sprintf("left%d@local.test", n))
		_, err := s.CLI(t.Context(), "a password of somebody who leaves\n", "account", "add", left[n], "--password-stdin")
		must(t, err)
		cli(t, s, "account", "rm", left[n])
	}
	for n := range 2 {
		left = append(left, fmt.Sprintf("team%d@local.test", n))
		cli(t, s, "alias", "add", left[4+n], bob.Address)
		cli(t, s, "alias", "rm", left[4+n])
	}
	_, err := s.CLI(t.Context(), "a password of somebody who marries\n", "account", "add", "miss@local.test", "--password-stdin")
	must(t, err)
	cli(t, s, "account", "rename", "miss@local.test", "mrs@local.test")
	left = append(left, "miss@local.test")
	tried := func(a rig.Account, to string) string {
		c := dial(t, s, "submissions", nil)
		defer c.Close()
		if r := c.signIn(a.Address, a.Password); !strings.HasPrefix(r, "235") {
			return r
		}
		c.say("MAIL FROM:<" + a.Address + ">")
		r := c.say("RCPT TO:<" + to + ">")
		c.say("QUIT")
		return r
	}
	for _, to := range left {
		if r := tried(alice, to); !strings.HasPrefix(r, "550 5.1.1") {
			t.Errorf("%s: %q", to, r)
		}
	}
	if r := tried(alice, bob.Address); !strings.HasPrefix(r, "250") {
		t.Errorf("who had an old list cannot send: %q\n%s", r, cli(t, s, "incident", "ls"))
	}
	last := ""
	for n := range left {
		last = tried(bob, fmt.Sprintf("word%d@local.test", n))
	}
	if !strings.HasPrefix(last, "535") {
		t.Errorf("who guesses as many goes on: %q", last)
	}
	cli(t, s, "incident", "release", "1", "--false-alarm")
	if again := cli(t, s, "incident", "release", "1"); !strings.Contains(again, "incident 1 is released already") {
		t.Errorf("the second end of an incident says %q", again)
	}
	// Whoever alone gets the postmaster's mail is named as long as no address outside is told, which is what the doctor warns of.
	cli(t, s, "alias", "add", "postmaster@local.test", alice.Address)
	named := func() bool {
		return strings.Contains(cli(t, s, "status", "--json"), `"told_inside":"`+alice.Address+`"`)
	}
	if !named() {
		t.Errorf("whose postmaster is told inside alone is not said:\n%s", cli(t, s, "status", "--json"))
	}
	if cli(t, s, "account", "set", alice.Address, "--notify", "alice.private@remote.test"); named() {
		t.Error("who is told outside is said not to be")
	}
}
