package webhook

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/tlspolicy/policytest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// request is one that the receiver got.
type request struct {
	header http.Header
	body   []byte
	at     time.Time
}

func (r request) kind() (p payload) { _ = json.Unmarshal(r.body, &p); return p }

// String is "raised 7".
func (r request) String() string {
	p := r.kind()
	return fmt.Sprintf("%s %d", strings.TrimPrefix(p.Type, "incident."), p.Data.Number)
}

// world is a receiver, and a server's incidents.
type world struct {
	t     *testing.T
	st    *disk
	log   *incident.Log
	ca    *policytest.Authority
	url   *url.URL
	keys  [][]byte
	facts []string

	mu     sync.Mutex
	shift  time.Duration
	set    time.Duration // by how much the clock shows more
	got    []request
	answer func(http.ResponseWriter, *http.Request, request)
}

// disk is a store that may refuse changes.
type disk struct {
	store.Store
	mu   sync.Mutex
	full bool
}

func (d *disk) fill(full bool) { d.mu.Lock(); defer d.mu.Unlock(); d.full = full }

func (d *disk) Apply(ctx context.Context, tx store.Tx, how store.Durability) (rev store.Revision, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return rev, store.ErrLow
	}
	return d.Store.Apply(ctx, tx, how)
}

func newWorld(t *testing.T, leaf policytest.Leaf) *world {
	t.Helper()
	w := &world{t: t, st: &disk{Store: mem.New()}, keys: [][]byte{[]byte("0123456789abcdef0123456789abcdef")}}
	t.Cleanup(func() { w.st.Close() })
	w.log = incident.NewLog(w.st)
	var err error
	w.ca, err = policytest.NewAuthority()
	must(t, err)
	cert, err := w.ca.Issue(leaf)
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(w.serve), ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}))
	t.Cleanup(func() { server.Close() })
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	w.url, err = url.Parse("https://hooks.test:" + port + "/secret-path")
	must(t, err)
	return w
}

func (w *world) serve(out http.ResponseWriter, in *http.Request) {
	body, _ := io.ReadAll(in.Body)
	r := request{in.Header.Clone(), body, time.Now()}
	w.mu.Lock()
	w.got = append(w.got, r)
	answer := w.answer
	w.mu.Unlock()
	if answer != nil {
		answer(out, in, r)
	}
}

func (w *world) answers(fn func(http.ResponseWriter, *http.Request, request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = fn
}

func status(code int) func(http.ResponseWriter, *http.Request, request) {
	return func(out http.ResponseWriter, _ *http.Request, _ request) { out.WriteHeader(code) }
}

// all are what the receiver got, as "raised 7".
func (w *world) all() (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.got {
		all = append(all, r.String())
	}
	return all
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.shift + w.set)
}

// age is how long ago something was that was written down before the clock was set.
func (w *world) age(at time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.shift).Sub(at)
}

func quick() Limits {
	l := DefaultLimits()
	l.First, l.Most, l.Look, l.Try = 20*time.Millisecond, 160*time.Millisecond, 50*time.Millisecond, 5*time.Second
	return l
}

// hook is one that runs until the test or stop ends it.
func (w *world) hook(l Limits, adjust ...func(*Settings)) (h *Hook, stop func()) {
	w.t.Helper()
	host, err := mail.ParseDomain("mx.local.test")
	must(w.t, err)
	h = New(Options{
		Hostname: host, Log: w.log, Store: w.st, Limits: l, Now: w.time, Age: w.age, Logger: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(address)
			var d net.Dialer
			return d.DialContext(ctx, network, "127.0.0.1:"+port)
		},
		Write: func(_ context.Context, all ...fact.Fact) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, f := range all {
				w.facts = append(w.facts, f.Rule)
			}
			return nil
		},
	})
	s := Settings{URL: w.url, Keys: w.keys, Roots: w.ca.Pool()}
	for _, fn := range adjust {
		fn(&s)
	}
	h.Adjust(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	w.t.Cleanup(stop)
	return h, stop
}

func (w *world) apply(plan store.Planner) {
	w.t.Helper()
	tx, _, err := store.Tx{}.With(w.t.Context(), plan)
	must(w.t, err)
	_, err = w.st.Apply(w.t.Context(), tx, store.Durable)
	must(w.t, err)
}

func (w *world) account(n int) mail.Address {
	a, err := mail.ParseAddress(fmt.Sprintf("p%d@local.test", n), mail.ASCII)
	must(w.t, err)
	return a
}

func (w *world) raise(n int) {
	w.t.Helper()
	var made incident.Incident
	w.apply(w.log.Raising(incident.Incident{Account: w.account(n), At: w.time(), Since: w.time(), Rule: "hijack", By: "the hijack detector", Reason: "4 of 4 are new"}, &made))
}

func (w *world) clear(n int) {
	w.t.Helper()
	var closed incident.Incident
	w.apply(w.log.Closing(w.account(n), incident.StateReleased, w.time(), "uid 0", "it was her", &closed))
}

// until waits for something that happens elsewhere.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: never; the receiver got %q", what, w.all())
		}
	}
}

func (w *world) wants(what string, all ...string) {
	w.t.Helper()
	w.until(what, func() bool { return slices.Equal(w.all(), all) })
}

func (w *world) idle(h *Hook) {
	w.t.Helper()
	w.until("everything is told", func() bool {
		s, err := h.State(w.t.Context())
		return err == nil && s.Waiting == 0 && s.Fault == ""
	})
}

var right = policytest.Leaf{Names: []string{"hooks.test"}}

// Each incident is told once when it is raised and once when it is over, however often
// somebody looks and the server begins anew; and a receiver verifies it by what the documentation says.
func TestEachIsToldOnce(t *testing.T) {
	w := newWorld(t, right)
	w.raise(1)
	w.clear(1) // over before anybody was to be told
	w.raise(2)
	h, stop := w.hook(quick())
	w.wants("what is open is told", "raised 2")
	w.raise(3)
	h.Wake()
	w.wants("the next is told", "raised 2", "raised 3")
	w.clear(2)
	h.Wake()
	w.idle(h)
	stop()
	h, _ = w.hook(quick())
	w.raise(4)
	w.clear(4)
	h.Wake()
	want := []string{"raised 2", "raised 3", "cleared 2", "raised 4", "cleared 4"}
	w.wants("what came while it stood", want...)
	for range 5 {
		h.Wake()
		time.Sleep(20 * time.Millisecond)
	}
	if got := w.all(); !slices.Equal(got, want) {
		t.Errorf("told again: %q", got)
	}
	p := w.got[2].kind()
	if d := p.Data; d.State != "released" || d.ClosedBy != "uid 0" || d.ClosedFor != "it was her" || d.Account != "p2@local.test" || d.Host != "mx.local.test" || p.Time.IsZero() {
		t.Errorf("%s", w.got[2].body)
	}
	if d := w.got[3].kind().Data; d.State != "open" || d.ClosedBy != "" {
		t.Errorf("raised as it is now, and not as it was: %s", w.got[3].body)
	}
	ids := map[string]bool{}
	for _, r := range w.got {
		if id := r.header.Get(headerID); ids[id] || id == "" || strings.Contains(id, ".") || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%q, %v", id, r.header)
		} else {
			ids[id] = true
		}
	}
}

// Both snippets of docs/webhook.md take what is genuine and nothing else.
func TestTheDocumentedChecksAgree(t *testing.T) {
	w := newWorld(t, right)
	w.keys = append(w.keys, []byte("another key while they are changed"))
	w.raise(1)
	w.hook(quick())
	w.until("told", func() bool { return len(w.all()) == 1 })
	r := w.got[0]
	cases := []struct {
		name   string
		key    []byte
		change func(*request)
		want   string
	}{
		{"genuine", w.keys[0], func(*request) {}, "genuine"},
		{"by the new key", w.keys[1], func(*request) {}, "genuine"},
		{"another key", []byte("none of the server's, though long"), func(*request) {}, "forged"},
		{"another body", w.keys[0], func(r *request) { r.body = append(slices.Clone(r.body), ' ') }, "forged"},
		{"another time", w.keys[0], func(r *request) { r.header.Set(headerTime, seconds(time.Now().Add(30*time.Second))) }, "forged"},
		{"another's event", w.keys[0], func(r *request) { r.header.Set(headerID, "incident-9") }, "forged"},
	}
	dir, want := t.TempDir(), ""
	for n, c := range cases {
		x := request{r.header.Clone(), r.body, r.at}
		c.change(&x)
		in := filepath.Join(dir, fmt.Sprint(n))
		must(t, os.Mkdir(in, 0o700))
		id, stamp, signature := x.header.Get(headerID), x.header.Get(headerTime), x.header.Get(headerSignature)
		fields, err := json.Marshal(map[string]string{headerID: id, headerTime: stamp, headerSignature: signature})
		must(t, err)
		for name, text := range map[string]string{
			"body.json": string(x.body), "webhook.key": "whsec_" + base64.StdEncoding.EncodeToString(c.key) + "\n", "fields.json": string(fields),
			"fields": fmt.Sprintf("ID='%s' STAMP='%s' SIGNATURE='%s'\n", id, stamp, signature),
		} {
			must(t, os.WriteFile(filepath.Join(in, name), []byte(text), 0o600))
		}
		want += c.want + "\n"
	}
	for _, c := range [][]string{
		{"python3", "-IS", "-c", snippet(t, "python") + `
import json, os
for n in sorted(os.listdir()):
    key, fields, body = (open(n + "/" + f, "rb").read() for f in ("webhook.key", "fields.json", "body.json"))
    print("genuine" if verify(key.decode().strip(), json.loads(fields), body) else "forged")
`},
		{"sh", "-euc", "for n in *; do\n(cd $n; . ./fields\n" + snippet(t, "sh") + ")\ndone"},
	} {
		command := exec.CommandContext(t.Context(), c[0], c[1:]...)
		command.Dir = dir
		if out, err := command.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("%s: %v\n%swant\n%s", c[0], err, out, want)
		}
	}
}

// snippet is the code in one language that the documentation shows.
func snippet(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/webhook.md")
	must(t, err)
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, _ := strings.Cut(rest, "```")
	if !found {
		t.Fatalf("no %s in docs/webhook.md", language)
	}
	return code
}

// A receiver who fails is tried again, ever less often, with the same event; the
// failure is seen, told once, and over when he answers.
func TestFailuresAreTriedAgain(t *testing.T) {
	w := newWorld(t, right)
	w.answers(status(503))
	w.raise(1)
	h, stop := w.hook(quick())
	w.until("four tries", func() bool { return len(w.all()) >= 4 })
	for n := range 3 {
		if gap := w.got[n+1].at.Sub(w.got[n].at); gap < 20*time.Millisecond<<n {
			t.Errorf("try %d after %v", n+2, gap)
		}
	}
	s, err := h.State(t.Context())
	must(t, err)
	if s.Waiting != 1 || s.Fault != "the receiver answers 503" || s.Failed < 3 || s.Since.IsZero() || s.Next.IsZero() || s.Tried.IsZero() || s.Host != w.url.Host || s.Delivered != 0 {
		t.Errorf("%+v", s)
	}
	stop() // and a restart loses nothing
	w.answers(nil)
	h, _ = w.hook(quick())
	w.idle(h)
	if s, err = h.State(t.Context()); err != nil || s.Delivered != 1 || s.Fault != "" || !s.Next.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	id := w.got[0].header.Get(headerID)
	for _, r := range w.got {
		if r.header.Get(headerID) != id || r.String() != "raised 1" {
			t.Errorf("%s %s", r.header.Get(headerID), r)
		}
	}
	if !slices.Equal(w.facts, []string{RuleFails}) {
		t.Errorf("the trace has %q", w.facts)
	}
	w.answers(status(500))
	w.raise(2)
	h.Wake()
	w.until("it fails again", func() bool { s, _ := h.State(t.Context()); return s.Fault != "" })
	w.answers(nil)
	w.idle(h)
	w.until("the trace says both", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.Equal(w.facts, []string{RuleFails, RuleFails, RuleAnswers})
	})
}

// Whoever does not answer is not asked sooner because more happens.
func TestMoreNewsDoNotHurryTheSilent(t *testing.T) {
	w := newWorld(t, right)
	w.answers(status(500))
	l := quick()
	l.First, l.Most = time.Hour, time.Hour
	w.raise(1)
	h, _ := w.hook(l)
	w.until("one try", func() bool { return len(w.all()) == 1 })
	for range 10 {
		h.Wake()
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(w.all()); n != 1 {
		t.Errorf("%d tries", n)
	}
	// Another receiver is tried at once.
	h.Adjust(Settings{URL: w.url, Keys: w.keys, Roots: w.ca.Pool(), Trust: "another"})
	w.until("the other one is tried", func() bool { return len(w.all()) == 2 })
}

// An event that the receiver refuses holds up its own incident alone, and nothing is cleared
// before it was raised.
func TestARefusedEventHoldsUpItsOwnAlone(t *testing.T) {
	w := newWorld(t, right)
	w.answers(func(out http.ResponseWriter, _ *http.Request, r request) {
		if r.kind().Data.Number == 1 {
			out.WriteHeader(400)
		}
	})
	h, _ := w.hook(quick())
	w.until("it began", func() bool { _, is, err := h.from(t.Context()); return is && err == nil })
	w.raise(1)
	w.clear(1)
	w.raise(2)
	h.Wake()
	w.until("the other one is told", func() bool { return slices.Contains(w.all(), "raised 2") })
	w.raise(3)
	h.Wake()
	w.until("and the next", func() bool { return slices.Contains(w.all(), "raised 3") })
	if slices.Contains(w.all(), "cleared 1") {
		t.Errorf("%q", w.all())
	}
	// The receiver has it a moment before that it was told is recorded here.
	w.until("two are left", func() bool {
		s, _ := h.State(t.Context())
		return s.Waiting == 2 && s.Fault == "the receiver answers 400"
	})
	// A clock that is set ahead gives nothing up.
	w.mu.Lock()
	w.set = 10 * 365 * 24 * time.Hour
	tries := len(w.got)
	w.mu.Unlock()
	w.until("three more tries", func() bool { return len(w.all()) >= tries+3 })
	if s, _ := h.State(t.Context()); s.Waiting != 2 || s.GivenUp != 0 {
		t.Errorf("by a clock that is ahead: %+v", s)
	}
	// After days it is given up, since it is over.
	w.mu.Lock()
	w.shift, w.set = 73*time.Hour, 0
	w.mu.Unlock()
	w.until("given up", func() bool { s, _ := h.State(t.Context()); return s.Waiting == 0 && s.GivenUp == 2 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.facts, RuleGivenUp) {
		t.Errorf("the trace has %q", w.facts)
	}
}

// What is open is never given up.
func TestWhatIsOpenIsTriedOn(t *testing.T) {
	w := newWorld(t, right)
	w.answers(status(500))
	w.raise(1)
	w.mu.Lock()
	w.shift = 1000 * time.Hour
	w.mu.Unlock()
	h, _ := w.hook(quick())
	w.until("three tries", func() bool { return len(w.all()) >= 3 })
	if s, _ := h.State(t.Context()); s.Waiting != 1 || s.GivenUp != 0 {
		t.Errorf("%+v", s)
	}
	w.answers(nil)
	w.idle(h)
}

// A disk that takes no mark has nobody told twice.
func TestAFullDiskTellsNobodyTwice(t *testing.T) {
	w := newWorld(t, right)
	h, _ := w.hook(quick())
	w.until("it began", func() bool { _, is, err := h.from(t.Context()); return is && err == nil })
	w.raise(1)
	w.st.fill(true)
	h.Wake()
	w.wants("told", "raised 1")
	time.Sleep(200 * time.Millisecond)
	w.wants("told once", "raised 1")
	w.st.fill(false)
	w.idle(h)
	w.wants("told once", "raised 1")
}

// Nothing is told to a server whose certificate does not verify, elsewhere, or over any
// bound; the fault says why, without the path, which may be a secret.
func TestNobodyElseIsTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		leaf   policytest.Leaf
		adjust func(*world, *Settings)
		answer func(http.ResponseWriter, *http.Request, request)
		reach  bool // the request comes
		words  string
	}{
		{name: "another name", leaf: policytest.Leaf{Names: []string{"other.test"}}, words: "certificate"},
		{name: "expired", leaf: policytest.Leaf{Names: right.Names, Expired: true}, words: "certificate"},
		{name: "another authority", leaf: right, adjust: func(w *world, s *Settings) {
			other, err := policytest.NewAuthority()
			must(w.t, err)
			s.Roots = other.Pool()
		}, words: "certificate"},
		{name: "nobody there", leaf: right, adjust: func(w *world, s *Settings) {
			u := *w.url
			u.Host = "hooks.test:1"
			s.URL = &u
		}, words: "refused"},
		{name: "redirect", leaf: right, answer: func(out http.ResponseWriter, in *http.Request, _ request) {
			http.Redirect(out, in, "/elsewhere", http.StatusTemporaryRedirect)
		}, reach: true, words: "redirects are not followed"},
		{name: "silence", leaf: right, answer: func(_ http.ResponseWriter, in *http.Request, _ request) { <-in.Context().Done() }, reach: true, words: "deadline"},
		{name: "an endless header", leaf: right, answer: func(out http.ResponseWriter, _ *http.Request, _ request) {
			for n := range 1000 {
				out.Header().Set(fmt.Sprintf("X-%d", n), strings.Repeat("x", 1000))
			}
		}, reach: true, words: "header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.leaf)
			w.answers(c.answer)
			w.raise(1)
			l := quick()
			l.First, l.Most, l.Try = time.Hour, time.Hour, 300*time.Millisecond
			h, _ := w.hook(l, func(s *Settings) {
				if c.adjust != nil {
					c.adjust(w, s)
				}
			})
			w.until("it failed", func() bool { s, _ := h.State(t.Context()); return s.Fault != "" })
			s, err := h.State(t.Context())
			must(t, err)
			if !strings.Contains(s.Fault, c.words) || strings.Contains(s.Fault, "secret-path") || s.Waiting != 1 {
				t.Errorf("%+v", s)
			}
			if n := len(w.all()); (n > 0) != c.reach || n > 1 {
				t.Errorf("the receiver got %q", w.all())
			}
		})
	}
}

// An endless body of an answer of 200 is cut, and is an answer.
func TestAnEndlessAnswerIsCut(t *testing.T) {
	w := newWorld(t, right)
	w.answers(func(out http.ResponseWriter, _ *http.Request, _ request) {
		for {
			if _, err := out.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	w.raise(1)
	h, _ := w.hook(quick())
	w.idle(h)
}

// Nobody is told while nobody is named, and what ended meanwhile is not told later.
func TestOffTellsNobody(t *testing.T) {
	w := newWorld(t, right)
	h, _ := w.hook(quick())
	w.raise(1)
	h.Wake()
	w.wants("told", "raised 1")
	h.Adjust(Settings{})
	w.until("it ended", func() bool { _, is, err := h.from(t.Context()); return !is && err == nil })
	if s, err := h.State(t.Context()); s != nil || err != nil {
		t.Errorf("%+v, %v", s, err)
	}
	w.raise(2)
	w.clear(2)
	w.raise(3)
	h.Wake()
	time.Sleep(100 * time.Millisecond)
	h.Adjust(Settings{URL: w.url, Keys: w.keys, Roots: w.ca.Pool()})
	w.wants("what is open", "raised 1", "raised 3")
}

// Waking waits for nobody, whatever the receiver does.
func TestWakingNeverWaits(t *testing.T) {
	w := newWorld(t, right)
	w.answers(func(_ http.ResponseWriter, in *http.Request, _ request) { <-in.Context().Done() })
	w.raise(1)
	h, _ := w.hook(quick())
	w.until("it hangs", func() bool { return len(w.all()) == 1 })
	began := time.Now()
	for range 10000 {
		h.Wake()
	}
	if _, err := h.State(t.Context()); err != nil || time.Since(began) > time.Second {
		t.Errorf("%v, %v", time.Since(began), err)
	}
}

// The body keeps its bound, and says that it was cut.
func TestABodyKeepsItsBound(t *testing.T) {
	host, err := mail.ParseDomain("mx.local.test")
	must(t, err)
	long := strings.Repeat("\"\\<é", 250)
	i := incident.Incident{Number: 7, Rule: "hijack", Reason: long, By: long, Credential: long, ClosedFor: long, State: incident.StateReleased}
	for n := range 64 {
		i.Evidence = append(i.Evidence, fmt.Sprint(n, long))
		i.Revoked = append(i.Revoked, long)
		i.Seen = append(i.Seen, incident.Origin{Program: long})
	}
	i.Cause.Recipients = slices.Repeat([]string{"x@remote.test"}, 1000)
	b, err := event{i, cleared}.body(host, DefaultLimits().Body)
	var p payload
	if err = errors.Join(err, json.Unmarshal(b, &p)); err != nil || len(b) > 64<<10 || !p.Data.Cut || len(p.Data.Evidence) == 0 || !strings.HasPrefix(p.Data.Evidence[0], "0") || p.Data.Recipients != 1000 || strings.Contains(string(b), "x@remote.test") {
		t.Errorf("%d octets, %v", len(b), err)
	}
	i = incident.Incident{Number: 7, Reason: "short"}
	if b, err = (event{i, raised}).body(host, DefaultLimits().Body); err != nil || strings.Contains(string(b), "cut") {
		t.Errorf("%s, %v", b, err)
	}
}

func TestBackoff(t *testing.T) {
	var all []string
	for n := 1; n <= 10; n++ {
		all = append(all, backoff(DefaultLimits(), n).String())
	}
	if got := strings.Join(all, " "); got != "5s 10s 20s 40s 1m20s 2m40s 5m20s 10m0s 10m0s 10m0s" {
		t.Error(got)
	}
}
