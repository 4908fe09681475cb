package signin

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"sallyport/internal/operate"
)

// bound is a replacement of the settings that offers -PLUS.
var bound = []string{"[auth]\n", "[auth]\nmechanisms = [\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\"]\n"}

// account adds one with the password of all.
func (s *site) account(address string) {
	s.t.Helper()
	_, err := s.op.AccountAdd(s.t.Context(), operate.Self(), operate.AccountAdd{Address: address, Password: password, Role: "person"})
	must(s.t, err)
}

// decoded is the challenge of a 334.
func (c *client) decoded(reply string) string {
	c.t.Helper()
	text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(strings.TrimPrefix(reply, "334 ")))
	must(c.t, err)
	return string(text)
}

// scram speaks a whole exchange, and returns its last reply.
func (c *client) scram(mech string, talk *scram.ClientConversation) string {
	c.t.Helper()
	said, err := talk.Step("")
	must(c.t, err)
	reply := c.say("AUTH "+mech+" "+b64(said), "")
	for strings.HasPrefix(reply, "334") {
		said, err := talk.Step(c.decoded(reply))
		if err != nil {
			c.t.Fatalf("%v", err)
		}
		reply = c.say(b64(said), "")
	}
	return reply
}

func withPassword(t *testing.T, user, word string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, word, "")
	must(t, err)
	return c
}

// as is a conversation with the right password; authzid may be "".
func as(t *testing.T, user, authzid string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(user, password, authzid)
	must(t, err)
	return c
}

// exporter is the channel binding of a connection. RFC 9266.
func (c *client) exporter() scram.ChannelBinding {
	c.t.Helper()
	state := c.state()
	b, err := scram.NewTLSExporterBinding(&state)
	must(c.t, err)
	return b
}

// What is no sign-in of anybody, in the form in which it is said. Rows H02, H03, H06, H11, H19.
func TestWhatIsNoSignIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	clear := s.raw(s.addrs["submission"])
	c := &client{t: t, nc: clear, br: bufio.NewReader(clear)}
	c.expect("220")
	if hello := c.say("EHLO client.test", "250"); strings.Contains(hello, "AUTH") {
		t.Errorf("clear text is offered %q", hello)
	}
	c.say("AUTH PLAIN "+b64("\x00alice@local.test\x00"+password), "538 5.7.11")
	c.say("AUTH PLAIN "+b64("\x00alice@local.test\x00not "+password), "538 5.7.11")
	c.say("MAIL FROM:<alice@local.test>", "530")

	for name, line := range map[string]string{
		"no NUL":                   "AUTH PLAIN " + b64("alice@local.test"),
		"one NUL":                  "AUTH PLAIN " + b64("alice@local.test\x00"+password),
		"three NULs":               "AUTH PLAIN " + b64("\x00alice@local.test\x00"+password+"\x00"),
		"a NUL in the name":        "AUTH PLAIN " + b64("\x00alice\x00x@local.test\x00"+password),
		"an empty name":            "AUTH PLAIN " + b64("\x00\x00"+password),
		"an empty password":        "AUTH PLAIN " + b64("\x00alice@local.test\x00"),
		"nothing":                  "AUTH PLAIN =",
		"no base64":                "AUTH PLAIN !!!",
		"another authorization":    "AUTH PLAIN " + b64("bob@local.test\x00alice@local.test\x00"+password),
		"ANONYMOUS":                "AUTH ANONYMOUS " + b64("x"),
		"CRAM-MD5":                 "AUTH CRAM-MD5",
		"DIGEST-MD5":               "AUTH DIGEST-MD5",
		"NTLM":                     "AUTH NTLM",
		"GSSAPI":                   "AUTH GSSAPI",
		"SPA":                      "AUTH SPA",
		"OAUTHBEARER, alg none":    "AUTH OAUTHBEARER " + b64("n,a=alice@local.test,\x01auth=Bearer eyJhbGciOiJub25lIn0.e30.\x01\x01"),
		"XOAUTH2":                  "AUTH XOAUTH2 " + b64("user=alice@local.test\x01auth=Bearer x\x01\x01"),
		"-PLUS, which is not here": "AUTH SCRAM-SHA-256-PLUS " + b64("p=tls-exporter,,n=alice@local.test,r=x"),
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := s.dial("submission", nil)
			c.t = t
			got := c.say(line, "5")
			switch {
			case strings.Contains(line, "PLAIN") && (strings.HasPrefix(got, "501 5.5.2") || strings.HasPrefix(got, "535 5.7.8")):
			case !strings.Contains(line, "PLAIN") && strings.HasPrefix(got, "504 5.5.4"):
			default:
				t.Errorf("%s: %s", line, got)
			}
			c.say("MAIL FROM:<alice@local.test>", "530")
		})
	}
	mx, _ := s.dial("mx", nil)
	mx.say("AUTH PLAIN "+b64("\x00alice@local.test\x00"+password), "50")
}

// One name is one account, or nobody, however it is written. Row H08.
func TestNamesOfAnAccount(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.account("jürgen@local.test")
	for user, want := range map[string]string{
		"ALICE@local.test":              "alice",
		"alice@LOCAL.TEST":              "alice",
		"j\u00fcrgen@local.test":        "j\u00fcrgen",
		"ju\u0308rgen@local.test":       "", // NFD: nobody's, or the same account
		" alice@local.test":             "",
		"alice@local.test ":             "",
		"alice":                         "",
		"alice+x@local.test":            "",
		"alice@local.test.":             "",
		"\"alice\"@local.test":          "alice", // quotes change no address: RFC 5321 §4.1.2
		"alice@local.test@local.test":   "",
		"alice@local.test,bob":          "",
		"alice@l\u043ecal.test":         "",
		"alice%local.test@local.test":   "",
		"<alice@local.test>":            "",
		"alice@local.test\r\nMAIL FROM": "",
	} {
		t.Run(fmt.Sprintf("%q", user), func(t *testing.T) {
			c, _ := s.dial("submissions", nil)
			c.t = t
			got := c.say("AUTH PLAIN "+b64("\x00"+user+"\x00"+password), "")
			if want == "" && !strings.HasPrefix(got, "235") {
				if !strings.HasPrefix(got, "535") && !strings.HasPrefix(got, "501") {
					t.Error(got)
				}
				return
			}
			if want == "" {
				want = "j\u00fcrgen" // the one spelling that may be either
				if !strings.Contains(user, "u\u0308") {
					t.Fatalf("signed in: %s", got)
				}
			}
			c.say("MAIL FROM:<bob@local.test>", "553")
			c.say("MAIL FROM:<"+want+"@local.test> SMTPUTF8", "250")
		})
	}
}

// Who has no password, is frozen or does not exist gets one answer, of the same kind of
// exchange. Rows H07, H16, H18, H20.
func TestOneAnswerForEverybody(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, who := range []string{"frozen", "app", "key"} {
		s.account(who + "@local.test")
	}
	_, err := s.op.AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "frozen@local.test", Reason: "stolen"})
	must(t, err)
	s.signsInWith("app@local.test", "app", false)
	s.signsInWith("key@local.test", "certificate", false)
	for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
		said := map[string][]string{}
		for user, word := range map[string]string{
			"bob@local.test": "not " + password, "frozen@local.test": password, "app@local.test": password, "key@local.test": password, "nobody@local.test": password,
		} {
			c, _ := s.dial("submissions", nil)
			var last string
			switch mech {
			case "PLAIN":
				last = c.say("AUTH PLAIN "+b64("\x00"+user+"\x00"+word), "535 5.7.8")
			case "LOGIN":
				c.say("AUTH LOGIN", "334")
				c.say(b64(user), "334")
				last = c.say(b64(word), "535 5.7.8")
			default:
				last = c.scram(mech, withPassword(t, user, word).NewConversation())
			}
			said[last] = append(said[last], user)
			c.say("MAIL FROM:<bob@local.test>", "530")
		}
		if len(said) != 1 {
			t.Errorf("%s: %q", mech, said)
		}
	}
	// No password is nobody's, also where an account has none that counts.
	for _, user := range []string{"frozen", "app", "key", "nobody"} {
		for _, word := range []string{"", "\x00"} {
			c, _ := s.dial("submissions", nil)
			c.say("AUTH PLAIN "+b64("\x00"+user+"@local.test\x00"+word), "501 5.5.2")
			c.say("MAIL FROM:<"+user+"@local.test>", "530")
		}
	}
	salts := map[string]string{}
	for range 2 {
		for _, user := range []string{"nobody@local.test", "nobody2@local.test", "alice@local.test", "frozen@local.test"} {
			c, _ := s.dial("submissions", nil)
			first := c.decoded(c.say("AUTH SCRAM-SHA-256 "+b64("n,,n="+user+",r=fixed"), "334"))
			_, salt, _ := strings.Cut(first, ",s=")
			if before, known := salts[user]; known && before != salt {
				t.Errorf("%s: salt and rounds %q, then %q", user, before, salt)
			}
			salts[user] = salt
			if !strings.HasSuffix(salt, ",i=4096") || len(salt) != len(salts["nobody@local.test"]) {
				t.Errorf("%s: %q tells an account from nobody", user, salt)
			}
		}
	}
	if salts["nobody@local.test"] == salts["nobody2@local.test"] {
		t.Error("one salt for all who do not exist tells them from accounts")
	}
	c, _ := s.dial("submissions", nil)
	if got := c.scram("SCRAM-SHA-256", as(t, "alice@local.test", "admin@local.test").NewConversation()); !strings.HasPrefix(got, "535") {
		t.Errorf("another authorization identity: %s", got)
	}
}

// A session guesses no more than three times, and waits longer each time. Row H23.
func TestASessionOfGuesses(t *testing.T) {
	t.Parallel()
	s := start(t)
	c, _ := s.dial("submissions", nil)
	last := time.Duration(0)
	for n := range 10 {
		began := time.Now()
		got := c.say("AUTH PLAIN "+b64(fmt.Sprintf("\x00alice@local.test\x00guess number %d", n)), "")
		took := time.Since(began)
		if strings.HasPrefix(got, "421") && n < 5 {
			return
		}
		if took < last+500*time.Millisecond {
			t.Errorf("guess %d is answered after %v, the one before after %v", n+1, took, last)
		}
		last = took
	}
	t.Error("ten guesses in one session")
}

// A response that comes octet by octet is taken; one that stalls ends with its time. Row H31.
func TestASlowSignIn(t *testing.T) {
	t.Parallel()
	s := start(t, "[limits]\n", "[limits]\ncommand_timeout = \"2s\"\n")
	c, _ := s.dial("submissions", nil)
	for _, octet := range []byte("AUTH PLAIN " + b64("\x00alice@local.test\x00"+password) + "\r\n") {
		_, err := c.nc.Write([]byte{octet}) // a TLS record of one octet
		must(t, err)
	}
	c.expect("235")
	c, _ = s.dial("submissions", nil)
	c.say("AUTH PLAIN", "334")
	began := time.Now()
	fmt.Fprint(c.nc, "AGFs")
	c.expect("421")
	if took := time.Since(began); took < time.Second || took > 20*time.Second {
		t.Errorf("the session ended after %v", took)
	}
	s.dial("submissions", nil)
}

// Who could bind and was not offered it, or binds to another connection, is refused. Rows H13, H14.
func TestBindingAndDowngrade(t *testing.T) {
	t.Parallel()
	s := start(t, bound...)
	c, _ := s.dial("submissions", nil)
	if !c.offers("SCRAM-SHA-256-PLUS") {
		t.Fatalf("offered %q", c.hello)
	}
	if got := c.scram("SCRAM-SHA-256-PLUS", as(t, "alice@local.test", "").NewConversationWithChannelBinding(c.exporter())); !strings.HasPrefix(got, "235") {
		t.Errorf("bound: %s", got)
	}
	c, _ = s.dial("submissions", nil)
	if got := c.scram("SCRAM-SHA-256", as(t, "alice@local.test", "").NewConversation()); !strings.HasPrefix(got, "235") {
		t.Errorf("cannot bind: %s", got)
	}
	c, _ = s.dial("submissions", nil)
	if got := c.scram("SCRAM-SHA-256", as(t, "alice@local.test", "").NewConversationAdvertisingChannelBinding()); !strings.HasPrefix(got, "535") {
		t.Errorf("could bind and was told that we cannot: %s", got)
	}
	other, _ := s.dial("submissions", nil)
	c, _ = s.dial("submissions", nil)
	if got := c.scram("SCRAM-SHA-256-PLUS", as(t, "alice@local.test", "").NewConversationWithChannelBinding(other.exporter())); !strings.HasPrefix(got, "535") {
		t.Errorf("bound to another connection: %s", got)
	}
	for _, first := range []string{"n,,n=alice@local.test,r=x", "y,,n=alice@local.test,r=x", "p=tls-unique,,n=alice@local.test,r=x", "p=,,n=alice@local.test,r=x"} {
		c, _ = s.dial("submissions", nil)
		c.say("AUTH SCRAM-SHA-256-PLUS "+b64(first), "5")
	}
	c, _ = s.dial("submissions", nil)
	c.say("AUTH SCRAM-SHA-256 "+b64("p=tls-exporter,,n=alice@local.test,r=x"), "5")
}

// swaks and gsasl sign in with what they are given, and with nothing else.
func TestRealDialogues(t *testing.T) {
	t.Parallel()
	s := start(t, bound...)
	ca := filepath.Join(s.dir, "tls", "ca.pem")
	run := func(name string, args ...string) string {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skip(name + " is not installed")
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Stdout, cmd.Stderr = &out, &out
		_ = cmd.Run()
		return out.String()
	}
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		for word, want := range map[string]string{password: "235", "not " + password: "535"} {
			out := run("swaks", "--server", s.addrs["submissions"], "--tls-on-connect", "--quit-after",
				"AUTH", "--auth", mech, "--auth-user", "alice@local.test", "--auth-password", word)
			if !strings.Contains(out, want) {
				t.Errorf("swaks %s: %s", mech, out)
			}
		}
	}
	for _, mech := range []string{"CRAM-MD5", "DIGEST-MD5", "NTLM"} {
		if out := run("swaks", "--server", s.addrs["submissions"], "--tls-on-connect", "--quit-after", "AUTH", "--auth", mech, "--auth-user", "alice@local.test", "--auth-password", password); strings.Contains(out, "235 ") {
			t.Errorf("swaks %s: %s", mech, out)
		}
	}
	for mech, want := range map[string]string{"SCRAM-SHA-256-PLUS": "235", "SCRAM-SHA-256": "235"} {
		args := []string{
			"--smtp", "--mechanism", mech, "--authentication-id", "alice@local.test", "--authorization-id",
			"", "--password", password, "--x509-ca-file", ca, "--connect", s.addrs["submission"],
		}
		if mech == "SCRAM-SHA-256" {
			// Told to use it where -PLUS is offered, gsasl takes that for a downgrade itself.
			if out := run("gsasl", args...); strings.Contains(out, "235 ") {
				t.Errorf("gsasl: %s", out)
			}
			args = append(args, "--no-cb")
		}
		if out := run("gsasl", args...); !strings.Contains(out, want) {
			t.Errorf("gsasl %s: %s", mech, out)
		}
	}
}
