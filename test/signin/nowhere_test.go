package signin

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// A TLS session that began at one door, where mail is sent, read or comes in, resumes at no other
// of the server.
func TestATicketIsForItsDoorAlone(t *testing.T) {
	t.Parallel()
	s := start(t, "[listen]\n", "[listen]\nimap = [\"127.0.0.1:0\"]\nimaps = [\"127.0.0.1:0\"]\npop3 = [\"127.0.0.1:0\"]\npop3s = [\"127.0.0.1:0\"]\n")
	a := s.node.Addrs()
	doors := map[string]string{
		"mx": a.MX[0], "submission": a.Submission[0], "submissions": a.Submissions[0], "imap": a.IMAP[0],
		"imaps": a.IMAPS[0], "pop3": a.POP3[0], "pop3s": a.POP3S[0],
	}
	resumes := func(door string, cfg *tls.Config) bool {
		raw := s.raw(doors[door])
		br := bufio.NewReader(raw)
		say := map[string][]string{"mx": {"EHLO x", "STARTTLS"}, "submission": {"EHLO x", "STARTTLS"}, "imap": {"a STARTTLS"}, "pop3": {"STLS"}}[door]
		if say != nil {
			read(t, br)
		}
		for _, line := range say {
			fmt.Fprintf(raw, "%s\r\n", line)
			read(t, br)
		}
		nc := tls.Client(raw, cfg)
		fmt.Fprintf(nc, "%s\r\n", map[bool]string{true: "QUIT", false: "a LOGOUT"}[!strings.HasPrefix(door, "imap")])
		read(t, bufio.NewReader(nc)) // a ticket comes before it
		return nc.ConnectionState().DidResume
	}
	names := slices.Sorted(maps.Keys(doors))
	for _, first := range names {
		for _, second := range names {
			cfg := &tls.Config{RootCAs: s.roots, ServerName: "mx.local.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
			resumes(first, cfg)
			if got := resumes(second, cfg); got != (first == second) {
				t.Errorf("a ticket of %s resumes at %s: %v", first, second, got)
			}
		}
	}
}

// read reads one reply, of SMTP with all its lines.
func read(t *testing.T, br *bufio.Reader) {
	t.Helper()
	for {
		line, err := br.ReadString('\n')
		must(t, err)
		if len(line) < 4 || line[3] != '-' {
			return
		}
	}
}

// told is all that a server logs and records.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *told) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// Whatever is typed where a password belongs or does not, by every mechanism, right, wrong and
// broken: no reply, no line of the log at its most talkative and no fact of the trace holds any of
// it, also not in base64.
func TestWhatIsTypedIsNowhere(t *testing.T) {
	t.Parallel()
	all := &told{}
	s := startWith(t, node.Options{
		World:  node.World{Logger: slog.New(slog.NewTextHandler(all, &slog.HandlerOptions{Level: slog.LevelDebug - 8}))},
		Events: func(f fact.Fact) { _ = json.NewEncoder(all).Encode(f) },
	})
	const wrong = "zebra-quagga-okapi"
	app, err := s.op.AppAdd(t.Context(), operate.Self(), operate.AppAdd{Account: "bob@local.test", Name: "scanner", Scope: "send"})
	must(t, err)
	secrets := []string{password, wrong, app.Password}
	dialogues := map[string][]string{}
	for n, word := range secrets {
		plain := b64("\x00bob@local.test\x00" + word)
		for name, lines := range map[string][]string{
			"PLAIN": {"AUTH PLAIN " + plain}, "PLAIN after 334": {"AUTH PLAIN", plain}, "LOGIN": {"AUTH LOGIN", b64("bob@local.test"), b64(word)},
			"as the user": {"AUTH LOGIN", b64(word), b64("x")}, "as the user of PLAIN": {"AUTH PLAIN " + b64("\x00"+word+"\x00x")},
			"as another identity": {"AUTH PLAIN " + b64(word+"\x00bob@local.test\x00"+word)}, "two NULs too many": {"AUTH PLAIN " + b64("\x00bob@local.test\x00"+word+"\x00\x00")},
			"no base64": {"AUTH PLAIN " + word + "!"}, "no mechanism": {"AUTH " + strings.ToUpper(plain) + " " + plain}, "as a command": {plain, word},
			"of a token": {"AUTH XOAUTH2 " + b64("user=bob@local.test\x01auth=Bearer "+word+"\x01\x01")}, "EXTERNAL": {"AUTH EXTERNAL " + b64(word)},
			"cancelled": {"AUTH LOGIN", b64("bob@local.test"), "*", word},
		} {
			dialogues[fmt.Sprint(name, " ", n)] = lines
		}
	}
	var replies strings.Builder
	talks := map[string]*client{}
	for name := range dialogues {
		talks[name], _ = s.dial("submissions", nil)
	}
	for n := range 4 { // all of them side by side, since each refusal takes a second
		for name, lines := range dialogues {
			if n < len(lines) {
				fmt.Fprintf(talks[name].nc, "%s\r\n", lines[n])
			}
		}
		for name, lines := range dialogues {
			if n < len(lines) {
				replies.WriteString(talks[name].expect(""))
			}
		}
	}
	for _, c := range talks {
		c.nc.Close()
	}
	for _, word := range secrets[:2] {
		c, _ := s.dial("submission", nil)
		replies.WriteString(c.scram("SCRAM-SHA-256", withPassword(t, "bob@local.test", word).NewConversation()))
		c.nc.Close()
	}
	text := all.all(func(text string) bool {
		return strings.Count(text, "signin-bad-password") >= 2 && strings.Count(text, "signin-ok") >= 6 && strings.Count(text, "signin-malformed") >= 3
	})
	if len(text) < 10_000 || !strings.Contains(text, "signin-ok") || !strings.Contains(text, "signin-bad-password") {
		t.Errorf("that is not all: %s", text)
	}
	for what, said := range map[string]string{"log or trace": text, "replies": replies.String()} {
		for _, word := range secrets {
			for _, form := range []string{word, strings.TrimRight(b64(word), "="), strings.TrimRight(b64("\x00bob@local.test\x00"+word), "=")} {
				if at := strings.Index(strings.ToLower(said), strings.ToLower(form)); at >= 0 {
					t.Errorf("in %s: %s", what, said[max(0, at-300):min(len(said), at+300)])
				}
			}
		}
	}
}

// all returns what was told when enough of it is there, and a moment later: facts come behind what
// they are about.
func (w *told) all(enough func(string) bool) (text string) {
	for begun := time.Now(); time.Since(begun) < 20*time.Second && !enough(text); time.Sleep(10 * time.Millisecond) {
		w.mu.Lock()
		text = w.text.String()
		w.mu.Unlock()
	}
	time.Sleep(300 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
