package access

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/oidc"
	"sallyport/internal/oidc/oidctest"
)

// lines gives a command and returns the lines that come before its end.
func (c *line) lines(command string) (all []string) {
	c.t.Helper()
	end := "."
	if c.kind.protocol() == "imap" {
		c.tag++
		end = fmt.Sprintf("a%d OK", c.tag)
		command = fmt.Sprintf("a%d %s", c.tag, command)
	}
	fmt.Fprintf(c.nc, "%s\r\n", command)
	for {
		got := c.read()
		switch {
		case strings.HasPrefix(got, "("):
			c.t.Fatal(command, got)
		case strings.HasPrefix(got, end):
			return all
		}
		all = append(all, got)
	}
}

// token signs in by a token. Whoever is refused by OAUTHBEARER is told why in a challenge, and says that
// he has read it. RFC 7628 §3.2.2
func (c *line) token(mechanism, response string) string {
	got := c.sasl(mechanism, response)
	if !strings.HasPrefix(got, "+ ") {
		return got
	}
	fmt.Fprint(c.nc, "AQ==\r\n")
	return strings.TrimPrefix(c.read(), fmt.Sprintf("a%d ", c.tag))
}

// readScope is that of tokens with which a mailbox is read.
const readScope = "imap.read"

// A token that is to read opens every reading door by both mechanisms, one that is to send none;
// its sessions end with it, and where nobody judges tokens no door offers them.
func TestTokensAtEveryReadingDoor(t *testing.T) {
	w := newWorld(t)
	offers := func(k Kind) bool {
		c := w.dial(k, true, w.client)
		if k.protocol() == "pop3" {
			return strings.Contains(strings.Join(c.lines("CAPA"), " "), "OAUTHBEARER")
		}
		return strings.Contains(strings.Join(c.lines("CAPABILITY"), " "), "AUTH=OAUTHBEARER AUTH=XOAUTH2")
	}
	for _, k := range Kinds() {
		if offers(k) {
			t.Errorf("%s offers tokens without a provider", k)
		}
	}
	p := oidctest.New(t, time.Now)
	var err error
	w.judge, err = oidc.New(oidc.Provider{Issuer: p.URL, Audience: oidctest.Audience, Scope: oidctest.Scope, ReadScope: readScope, Clients: []string{oidctest.Client}, Claim: "email"},
		oidc.Means{Limits: oidc.DefaultLimits(), Now: time.Now, Dial: (&net.Dialer{}).DialContext})
	must(t, err)
	scoped := func(scope string, of string, more map[string]any) string {
		claims := map[string]any{"scope": scope, "scp": nil}
		for name, value := range more {
			claims[name] = value
		}
		return p.Token(of, claims)
	}
	reads, sends := scoped(readScope, alice, nil), scoped(oidctest.Scope, alice, nil)
	both, other := scoped(oidctest.Scope+" "+readScope, alice, nil), scoped(readScope, bob, nil)
	strange := p.Strange(alice, "k9")
	says := map[string]func(token string) string{
		accounts.MechBearer:  func(token string) string { return "n,a=" + alice + ",\x01auth=Bearer " + token + "\x01\x01" },
		accounts.MechXOAuth2: func(token string) string { return "user=" + alice + "\x01auth=Bearer " + token + "\x01\x01" },
	}
	for _, k := range Kinds() {
		if !offers(k) {
			t.Errorf("%s does not offer tokens", k)
		}
		for mechanism, response := range says {
			for what, token := range map[string]string{"to read": reads, "for both": both, "to send": sends, "of somebody else": other, "of no provider": strange, "none": "x"} {
				c := w.dial(k, true, w.client)
				got, want := c.token(mechanism, response(token)), what == "to read" || what == "for both"
				if ok(got) != want {
					t.Errorf("%s by %s with one %s: %q", k, mechanism, what, got)
				}
				if c.works() != want {
					t.Errorf("%s by %s with one %s: the mailbox is open: %v", k, mechanism, what, !want)
				}
				if want && k.protocol() == "pop3" { // one session has the mailbox at a time
					c.say("QUIT")
					c.ends()
				}
			}
		}
	}
	brief := w.dial(KindIMAPS, true, w.client)
	if got := brief.sasl(accounts.MechBearer, says[accounts.MechBearer](scoped(readScope, alice, map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()}))); !ok(got) {
		t.Fatal(got)
	}
	if told, took := brief.ends(); took > 8*time.Second || !strings.Contains(told, "* BYE") {
		t.Errorf("the end of the token: %q after %s", told, took)
	}
}

// What an account's programs are not offered is not there for them, and for all others it is; who
// is signed in is told by the end of the session.
func TestExtensionsThatAnAccountIsNotOffered(t *testing.T) {
	w := newWorld(t)
	enters := func(user string) (*line, string) {
		c := w.dial(KindIMAPS, true, w.client)
		if got := c.login(user, password); !ok(got) {
			t.Fatalf("%s: %q", user, got)
		}
		return c, " " + strings.Join(c.lines("CAPABILITY"), " ") + " "
	}
	before, all := enters(alice)
	if !strings.Contains(all, " CONDSTORE ") || !strings.Contains(all, " IDLE ") {
		t.Fatal(all)
	}
	_, err := w.identity.SetWithout(t.Context(), addr(t, alice), "CONDSTORE,IDLE", nil)
	must(t, err)
	if n := w.desk.EndFallen(addr(t, alice)); n != 1 {
		t.Errorf("%d sessions end", n)
	}
	if told, took := before.ends(); took > time.Second || !strings.Contains(told, "* BYE") {
		t.Errorf("%q after %s", told, took)
	}
	c, some := enters(alice)
	for _, name := range []string{"CONDSTORE", "QRESYNC", "IDLE"} { // QRESYNC rests on CONDSTORE
		if strings.Contains(some, " "+name+" ") {
			t.Errorf("%s is offered: %s", name, some)
		}
	}
	if got := c.say("IDLE"); !strings.Contains(got, "BAD") {
		t.Errorf("IDLE: %q", got)
	}
	if _, others := enters(bob); !strings.Contains(others, " CONDSTORE ") || !strings.Contains(others, " IDLE ") {
		t.Errorf("others: %s", others)
	}
	_, err = w.identity.SetWithout(t.Context(), addr(t, alice), "", nil)
	must(t, err)
	if _, again := enters(alice); again != all {
		t.Errorf("again: %s\nwant %s", again, all)
	}
}
