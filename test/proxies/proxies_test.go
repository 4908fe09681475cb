package proxies

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/test/guide"
)

// way is one of the ways of the guide for connections to pass as they come.
type way struct {
	name  string
	front func(w *world, edit ...string) doors
	edit  []string
}

func ways() []way {
	return []way{
		{"HAProxy", haproxy, nil},
		{"HAProxy, version 1", haproxy, []string{"send-proxy-v2", "send-proxy"}},
		{"nginx stream", stream, nil},
	}
}

// People sign in, mail comes in, nothing is relayed, and the trace names the client.
func TestBehindABalancer(t *testing.T) {
	heavy(t)
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			w := serve(t)
			w.guide.EveryCommand(nil)
			w.reload(w.listed())
			d := way.front(w, way.edit...)
			const client = "127.0.3.3"
			if code, text := w.signsIn(client, d.submission, false, "alice", w.password("alice")); code != 235 {
				t.Errorf("submission: %d %s", code, text)
			}
			if code, text := w.signsIn(client, d.submissions, true, "alice", w.password("alice")); code != 235 {
				t.Errorf("submissions: %d %s", code, text)
			}
			w.mailPasses(client, d.mx)
			if got := w.count(client, "auth"); got != 2 {
				t.Errorf("the trace has %d sign-ins of the client", got)
			}
			for _, e := range w.trace(client) {
				if e.Fact.Kind == "auth" && !strings.HasPrefix(e.evidence("balancer"), "127.0.0.1:") {
					t.Errorf("the trace does not name the balancer beside the client: %v", e)
				}
			}
			if got := w.count("127.0.0.1", "accept") + w.count("127.0.0.1", "refuse") + w.count("127.0.0.1", "auth"); got != 0 {
				t.Errorf("%d facts are the balancer's", got)
			}
		})
	}
}

// nginx's mail proxy answers itself up to the first recipient.
func TestBehindNginxMail(t *testing.T) {
	heavy(t)
	w := serve(t)
	w.reload(w.listed())
	d := mailProxy(w)
	w.mailPasses("127.0.3.3", d.mx)
	if got := w.count("127.0.0.1", "accept") + w.count("127.0.0.1", "refuse"); got != 0 {
		t.Errorf("%d facts are the balancer's", got)
	}
	for _, e := range w.trace("127.0.3.3") {
		if e.Fact.Kind == "accept" && e.Fact.Hello != "mx.example.org" {
			t.Errorf("nginx hands on the client's own name %s: the guide says otherwise", e.Fact.Hello)
		}
	}
	c := w.dial("127.0.3.3", d.mx)
	c.expect("220")
	c.ask("EHLO client.test", "250")
	c.ask("MAIL FROM:<x@far.test>", "250")
	c.ask("RCPT TO:<x@elsewhere.test>", "550 5.7.1")
	c.ask("RCPT TO:<alice@local.test>", "250") // the refusal of the first ends nothing
	if got := w.recipient("127.0.3.3", d.mx, "alice@local.test", huge); !strings.HasPrefix(got, "552 5.3.4 ") {
		t.Errorf("a message that is too large: %q", got)
	}
}

// Guesses through a balancer keep out whose they are, and nobody else.
func TestGuessesCountAgainstTheClient(t *testing.T) {
	heavy(t)
	for _, way := range ways() {
		t.Run(way.name, func(t *testing.T) {
			w := serve(t)
			w.reload(w.listed())
			d := way.front(w, way.edit...)
			w.guessed("127.0.5.5", d.submissions)
			if code, text := w.signsIn("127.0.6.6", d.submissions, true, "bob", w.password("bob")); code != 235 {
				t.Errorf("another client of the balancer is kept out: %d %s", code, text)
			}
			if code, text := w.signsIn("127.0.5.6", d.submissions, true, "bob", w.password("bob")); code != 454 {
				t.Errorf("the network of the guesses is not kept out: %d %s", code, text)
			}
		})
	}
}

// Each line of the guide is there for what happens without it, as its table says.
func TestWithoutALine(t *testing.T) {
	heavy(t)
	const client = "127.0.3.3"
	closed := func(t *testing.T, w *world, d doors) {
		t.Helper()
		if got := w.banner(client, d.mx); got != "" {
			t.Errorf("the banner is %q", got)
		}
	}
	everybody := func(code string) func(*testing.T, *world, doors) {
		return func(t *testing.T, w *world, d doors) {
			t.Helper()
			for _, to := range []string{"alice@local.test", "x@elsewhere.test"} {
				if got := w.recipient(client, d.mx, to, ""); !strings.HasPrefix(got, code+" ") {
					t.Errorf("%s: %q instead of %s", to, got, code)
				}
			}
		}
	}
	none := func(w *world) string { return "" }
	for _, c := range []struct {
		name   string
		listed func(*world) string
		front  func(w *world, edit ...string) doors
		edit   []string
		shows  func(*testing.T, *world, doors)
		log    string
	}{
		{"HAProxy without send-proxy", (*world).listed, haproxy, []string{"send-proxy-v2 check check-send-proxy", ""}, closed, "no proper PROXY header"},
		{"nginx stream without proxy_protocol", (*world).listed, stream, []string{"proxy_protocol on;", ""}, closed, "no proper PROXY header"},
		{"HAProxy's check without check-send-proxy", (*world).listed, haproxy, []string{" check-send-proxy", ""}, func(t *testing.T, w *world, d doors) {
			eventually(t, "HAProxy takes the server for down", func() bool { return !w.handshakes(client, d.submissions) })
		}, "no proper PROXY header"},
		{"no [proxy]", none, haproxy, []string{"check check-send-proxy", "", "check port 25 check-send-proxy", ""}, func(t *testing.T, w *world, d doors) {
			t.Helper()
			got := w.banner(client, d.mx)
			if text := strings.TrimSpace(got); text == "" || !strings.Contains(guide.Text(t, "guides/balancer.md"), "`"+text+"`") {
				t.Errorf("the server says %q, the guide does not", got)
			}
		}, ""},
		{"neither", none, stream, []string{"proxy_protocol on;", ""}, func(t *testing.T, w *world, d doors) {
			t.Helper()
			w.guessed("127.0.5.5", d.submissions)
			if code, text := w.signsIn("127.0.6.6", d.submissions, true, "bob", w.password("bob")); code != 454 {
				t.Errorf("another network is not kept out: %d %s", code, text)
			}
			if len(w.trace("127.0.5.5")) != 0 || len(w.trace("127.0.6.6")) != 0 {
				t.Error("the trace names the clients")
			}
		}, ""},
		{"nginx mail without xclient", (*world).listed, mailProxy, []string{"xclient                  off;", ""}, everybody("500"), ""},
		{"nginx mail without xclient and proxy_pass_error_message", (*world).listed, mailProxy, []string{"xclient                  off;", "", "proxy_pass_error_message on;", ""}, everybody("451"), ""},
		{"nginx mail without proxy_protocol", (*world).listed, mailProxy, []string{"proxy_protocol           on;", ""}, everybody("451"), "no proper PROXY header"},
		{"nginx mail without proxy_pass_error_message", (*world).listed, mailProxy, []string{"proxy_pass_error_message on;", ""}, func(t *testing.T, w *world, d doors) {
			t.Helper()
			if got := w.recipient(client, d.mx, "alice@local.test", huge); !strings.HasPrefix(got, "451 ") {
				t.Errorf("a message that is too large: %q", got)
			}
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := serve(t)
			w.reload(c.listed(w))
			c.shows(t, w, c.front(w, c.edit...))
			if c.log != "" && !strings.Contains(w.LogTail(), c.log) {
				t.Errorf("the log does not say %q:\n%s", c.log, w.LogTail())
			}
			if text := guide.Text(t, "guides/balancer.md"); c.log != "" && !strings.Contains(text, "`"+c.log+"`") {
				t.Errorf("the guide does not give the words %q", c.log)
			}
		})
	}
}

// Behind nginx's mail proxy nobody can sign in: it hands passwords on in clear.
func TestNobodySignsInThroughTheMailProxy(t *testing.T) {
	heavy(t)
	w := serve(t)
	w.reload(w.listed())
	at := w.Listen.Submission[0]
	d := mailProxy(w, "Auth-Port   "+portOf(w.Listen.MX[0]), "Auth-Port   "+portOf(at), "smtp_auth                none;", "smtp_auth plain; proxy_smtp_auth on;")
	c := w.dial("127.0.3.3", d.mx)
	c.expect("220")
	c.ask("EHLO client.test", "250")
	if got := c.say("AUTH PLAIN " + plain("alice@local.test", w.password("alice"))); !strings.HasPrefix(got, "538 5.7.11 ") {
		t.Errorf("it says %q", got)
	}
}

// huge is the size of a message that the server refuses at MAIL.
const huge = " SIZE=999999999999"

// entry is what `trace --json` prints of one fact.
type entry struct {
	Fact struct {
		Kind     string   `json:"kind"`
		Peer     string   `json:"peer"`
		Hello    string   `json:"hello"`
		Evidence []string `json:"evidence"`
	} `json:"fact"`
}

func (e entry) evidence(key string) string {
	if i := slices.Index(e.Fact.Evidence, key); i >= 0 && i+1 < len(e.Fact.Evidence) {
		return e.Fact.Evidence[i+1]
	}
	return ""
}

// count says how many facts of a kind there are whose peer is a client.
func (w *world) count(client, kind string) (n int) {
	w.t.Helper()
	for _, e := range w.trace(client) {
		if e.Fact.Kind == kind && e.Fact.Peer == client {
			n++
		}
	}
	return n
}

// trace returns what is known of a client's address; nothing is a status of its own.
func (w *world) trace(address string) (all []entry) {
	w.t.Helper()
	out, _ := w.CLI(w.t.Context(), "", append(strings.Fields(w.guide.Command("sallyport trace CLIENT", "CLIENT", address))[1:], "--json")...)
	for line := range strings.Lines(out) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.t.Fatalf("the trace prints %q: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// mailPasses has a recipient of ours, who gets a message, and one outside, who is refused.
func (w *world) mailPasses(client, at string) {
	w.t.Helper()
	if got := w.recipient(client, at, "x@elsewhere.test", ""); !strings.HasPrefix(got, "550 5.7.1 ") {
		w.t.Errorf("outside: %q", got)
	}
	c := w.dial(client, at)
	c.expect("220")
	c.ask("EHLO client.test", "250")
	c.ask("MAIL FROM:<x@far.test>", "250")
	c.ask("RCPT TO:<alice@local.test>", "250")
	c.ask("DATA", "354")
	c.ask("From: x@far.test\r\nSubject: through\r\n\r\nhello\r\n.", "250")
	c.ask("QUIT", "221")
	eventually(w.t, "the trace has the message and the refusal", func() bool {
		return w.count(client, "accept") == 1 && w.count(client, "refuse") == 1
	})
}

// guessed tries wrong passwords from one client until it is kept out.
func (w *world) guessed(client, at string) {
	w.t.Helper()
	for i := range 20 {
		code, text := w.signsIn(client, at, true, "alice", fmt.Sprintf("wrong guess %d", i))
		if code == 454 {
			return
		}
		if code != 535 {
			w.t.Fatalf("a wrong password: %d %s", code, text)
		}
	}
	w.t.Fatal("20 guesses, and nobody is kept out")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}
