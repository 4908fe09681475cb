package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// provider is an authorization server.
type provider struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // what each request was, in words
	refresh string   // the refresh token that is good; it is exchanged for another one
	life    int
	say     func(w http.ResponseWriter) bool // instead of an answer
	given   atomic.Int64
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{life: 3600, refresh: "refresh-0"}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id, secret, style := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret"), "body"
	if user, password, ok := r.BasicAuth(); ok {
		id, secret, style = user, password, "header"
	}
	p.asked = append(p.asked, strings.TrimSpace(strings.Join([]string{style, r.PostForm.Get("grant_type"), r.PostForm.Get("scope"), r.PostForm.Get("refresh_token")}, " ")))
	if p.say != nil && p.say(w) {
		return
	}
	grant := r.PostForm.Get("grant_type")
	switch {
	case id != "client" || secret != "s3cret":
		refuse(w, "invalid_client", "no such client")
	case grant == "refresh_token" && r.PostForm.Get("refresh_token") != p.refresh:
		refuse(w, "invalid_grant", "that is no token of ours")
	default:
		n := p.given.Add(1)
		answer := map[string]any{"access_token": fmt.Sprintf("access-%d", n), "token_type": "Bearer", "expires_in": p.life}
		if grant == "refresh_token" {
			p.refresh = fmt.Sprintf("refresh-%d", n)
			answer["refresh_token"] = p.refresh
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func refuse(w http.ResponseWriter, code, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": text})
}

type house struct {
	*testing.T
	p   *provider
	e   Endpoint
	k   Keep
	now time.Time
	s   *Source

	told []string // what Tell was told
}

func newHouse(t *testing.T, refresh bool) *house {
	t.Helper()
	h := &house{T: t, p: newProvider(t), k: Keep(filepath.Join(t.TempDir(), "tokens")), now: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)}
	h.e = Endpoint{URL: h.p.URL + "/token", Client: "client", SecretFile: h.file("s3cret\n"), Scope: "smtp offline", Style: StyleBody}
	if refresh {
		h.e.RefreshFile = h.file("refresh-0\n")
	}
	h.open()
	return h
}

func (h *house) file(text string) string {
	path := filepath.Join(h.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	return path
}

// open makes the source anew, as after a restart.
func (h *house) open() {
	h.Helper()
	s, err := New(h.e, h.means())
	if err != nil {
		h.Fatal(err)
	}
	h.s = s
}

func (h *house) means() Means {
	return Means{Keep: h.k, Limits: DefaultLimits(), Now: func() time.Time { return h.now }, Dial: (&net.Dialer{}).DialContext, Tell: func(_ context.Context, e Endpoint, err error) {
		if e != h.e {
			h.Errorf("told of %v", e)
		}
		h.told = append(h.told, fmt.Sprint(err))
	}}
}

// wantTold wants those to have been told, each with words of the error or <nil>.
func (h *house) wantTold(words ...string) {
	h.Helper()
	ok := len(h.told) == len(words)
	for i := 0; ok && i < len(words); i++ {
		ok = strings.Contains(h.told[i], words[i])
	}
	if !ok {
		h.Errorf("told %q, want %q", h.told, words)
	}
	h.told = nil
}

func (h *house) want(token string) {
	h.Helper()
	if got, err := h.s.Token(h.Context()); err != nil || got != token {
		h.Errorf("token %q, %v; want %q", got, err, token)
	}
}

func (h *house) wantError(refused bool, text string) {
	h.Helper()
	got, err := h.s.Token(h.Context())
	var e *Error
	if got != "" || !errors.As(err, &e) || e.Refused != refused || !strings.Contains(e.Text, text) {
		h.Errorf("token %q, %+v; want %q, refused %v", got, err, text, refused)
	}
	if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "refresh-")) {
		h.Errorf("a secret stands in %q", err)
	}
}

func (h *house) wantAsked(asked ...string) {
	h.Helper()
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if got, want := strings.Join(h.p.asked, "; "), strings.Join(asked, "; "); got != want {
		h.Errorf("asked %q, want %q", got, want)
	}
	h.p.asked = nil
}

func TestATokenIsRenewedBeforeItEnds(t *testing.T) {
	h := newHouse(t, false)
	h.want("access-1")
	h.now = h.now.Add(54 * time.Minute)
	h.want("access-1")
	h.wantAsked("body client_credentials smtp offline")
	h.now = h.now.Add(2 * time.Minute)
	h.want("access-2")
	h.wantAsked("body client_credentials smtp offline")
	// One that does not say when it ends has the life of our own bound.
	h.p.life = 0
	h.now = h.now.Add(time.Hour)
	h.want("access-3")
	h.now = h.now.Add(7 * time.Minute)
	h.want("access-3")
	h.now = h.now.Add(2 * time.Minute)
	h.want("access-4")
}

func TestTheClientSignsInAsItIsToldTo(t *testing.T) {
	h := newHouse(t, false)
	h.e.Style, h.e.Scope = StyleHeader, ""
	h.open()
	h.want("access-1")
	h.wantAsked("header client_credentials")
}

// The secret is read for each token; what cannot be had is asked for again only after a
// while, and a token that is still good is used meanwhile.
func TestFailures(t *testing.T) {
	h := newHouse(t, false)
	h.want("access-1")
	secret := h.e.SecretFile
	if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(56 * time.Minute)
	h.want("access-1")
	h.want("access-1")
	h.wantAsked("body client_credentials smtp offline", "body client_credentials smtp offline")
	h.wantTold("invalid_client")
	if at, failing := h.s.Trouble(); !failing || at.At != h.e || !at.Since.Equal(h.now) {
		t.Errorf("its trouble is %+v", at)
	}
	h.now = h.now.Add(5 * time.Minute)
	h.wantError(true, "invalid_client: no such client")
	h.wantError(true, "gives no token")
	h.wantAsked("body client_credentials smtp offline")
	h.now = h.now.Add(time.Minute)
	if err := os.WriteFile(secret, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.want("access-2")
	h.wantTold("<nil>")
	if at, failing := h.s.Trouble(); failing {
		t.Errorf("its trouble is %+v", at)
	}
	h.p.Close()
	h.now = h.now.Add(2 * time.Hour)
	h.wantError(false, "cannot be asked for a token")
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(time.Minute)
	h.wantError(false, "the client's secret cannot be read")
}

// Whatever a server answers, there is an error in our words or a token that fits on a line.
func TestOddAnswers(t *testing.T) {
	for name, row := range map[string]struct {
		say     func(w http.ResponseWriter)
		refused bool
		text    string
	}{
		"nothing":         {func(w http.ResponseWriter) {}, false, "that can be read"},
		"500":             {func(w http.ResponseWriter) { w.WriteHeader(500) }, false, "it answers 500"},
		"401":             {func(w http.ResponseWriter) { w.WriteHeader(401) }, true, "it answers 401"},
		"elsewhere":       {func(w http.ResponseWriter) { w.Header().Set("Location", "/x"); w.WriteHeader(307) }, false, "redirected"},
		"no token":        {func(w http.ResponseWriter) { fmt.Fprint(w, `{"token_type":"Bearer"}`) }, false, "that can be read"},
		"an error in 200": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"error":"slow_down"}`) }, true, "slow_down"},
		"a broken line":   {func(w http.ResponseWriter) { fmt.Fprint(w, `{"access_token":"a\u0001b"}`) }, false, "cannot be used"},
		"far too long":    {func(w http.ResponseWriter) { fmt.Fprintf(w, `{"access_token":%q}`, strings.Repeat("a", 9000)) }, false, "cannot be used"},
		"it says it back": {func(w http.ResponseWriter) { w.WriteHeader(400); fmt.Fprint(w, "client_secret=s3cret is wrong") }, true, "it answers 400"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, false)
			h.p.say = func(w http.ResponseWriter) bool {
				w.Header().Set("Content-Type", "application/json")
				row.say(w)
				return true
			}
			h.wantError(row.refused, row.text)
		})
	}
}

// A refresh token that was given in exchange is kept before it is needed: after a restart
// the last one is used. One that the administrator wrote anew outranks it.
func TestRefreshTokensAreKept(t *testing.T) {
	h := newHouse(t, true)
	h.want("access-1")
	h.wantAsked("body refresh_token  refresh-0")
	h.open()
	h.want("access-2")
	h.wantAsked("body refresh_token  refresh-1")
	if err := os.WriteFile(h.e.RefreshFile, []byte("other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.p.refresh = "other"
	h.open()
	h.want("access-3")
	h.wantAsked("body refresh_token  other")
	// What was kept is worth nothing any more, as after a folder came out of a backup.
	h.p.refresh = "other"
	h.open()
	h.want("access-4")
	h.wantAsked("body refresh_token  refresh-3", "body refresh_token  other")
	h.p.refresh = "gone"
	h.open()
	h.wantError(true, "invalid_grant")
	h.wantAsked("body refresh_token  refresh-4", "body refresh_token  other")
}

// A refresh token that cannot be kept is told at once: the next start would be without.
func TestARefreshTokenThatCannotBeKept(t *testing.T) {
	h := newHouse(t, true)
	h.k = Keep(h.file("in the way"))
	h.open()
	h.wantError(false, "cannot be read")
	h.k = "/proc/tokens"
	h.open()
	h.wantError(false, "cannot be kept")
}

// The form of a kept refresh token: known answer.
func TestKeptForm(t *testing.T) {
	k := Keep(filepath.Join(t.TempDir(), "tokens"))
	e := Endpoint{URL: "https://login.example/token", Client: "client", Scope: "smtp"}
	if err := k.save(e, "first", "second"); err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(k.path(e)); name != "cbca08111dabc037a1aafaf79d95a4b6" {
		t.Errorf("its name is %s", name)
	}
	path := k.path(e)
	b, err := os.ReadFile(path)
	if want := "sallyport refresh token 1\na7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e\nsecond\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v", b, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, text := range []string{"", "x", keptForm, keptForm + origin("first"), keptForm + origin("first") + "\n\n", keptForm + origin("else") + "\nsecond\n", keptForm + origin("first") + "\na b\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := k.load(e, "first"); got != "" || err != nil {
			t.Errorf("%q holds %q, %v", text, got, err)
		}
	}
}

// Many deliveries at once ask once.
func TestManyAskOnce(t *testing.T) {
	h := newHouse(t, false)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { h.want("access-1") })
	}
	wg.Wait()
	h.wantAsked("body client_credentials smtp offline")
}

// A token that the next hop does not take is replaced once; a new one that it does not take
// either is told, and nobody asks again for a while.
func TestRefusedByTheNextHop(t *testing.T) {
	h := newHouse(t, false)
	h.want("access-1")
	h.s.Took(h.Context(), "access-1")
	if h.s.Refused(h.Context(), "access-1") {
		t.Error("one that was taken a moment ago is no reason for another one")
	}
	h.want("access-1")
	h.now = h.now.Add(time.Minute)
	if !h.s.Refused(h.Context(), "access-1") {
		t.Error("one that was good once is worth another one")
	}
	h.want("access-2")
	if !h.s.Refused(h.Context(), "access-1") {
		t.Error("there is another one already")
	}
	h.wantTold()
	if h.s.Refused(h.Context(), "access-2") {
		t.Error("another one would be no better")
	}
	if h.s.Refused(h.Context(), "access-2") || h.s.Refused(h.Context(), "access-1") {
		t.Error("nobody is asked for a while")
	}
	h.wantError(true, "the next hop does not take the token")
	h.wantTold("the next hop does not take the token")
	h.wantAsked("body client_credentials smtp offline", "body client_credentials smtp offline")
	h.now = h.now.Add(time.Minute)
	h.want("access-3")
	if _, failing := h.s.Trouble(); !failing {
		t.Error("that a token was given does not say that it is taken")
	}
	h.s.Took(h.Context(), "access-2")
	h.wantTold()
	h.s.Took(h.Context(), "access-3")
	h.wantTold("<nil>")
}

// That an old token is still taken says nothing of the endpoint, which gives no new one.
func TestAnOldTokenHidesNoTrouble(t *testing.T) {
	h := newHouse(t, false)
	h.want("access-1")
	h.p.Close()
	h.now = h.now.Add(56 * time.Minute)
	h.want("access-1")
	h.s.Took(h.Context(), "access-1")
	h.wantTold("cannot be asked")
	if _, failing := h.s.Trouble(); !failing {
		t.Error("the trouble is forgotten")
	}
}

// Whoever waits for another one's question gives up when his own time is over.
func TestWaitingForATokenEnds(t *testing.T) {
	h := newHouse(t, false)
	h.s.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := h.s.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	<-h.s.turn
	cancelled, stop := context.WithCancel(t.Context())
	stop()
	if _, err := h.s.Token(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	h.wantTold()
	h.want("access-1")
}

// One endpoint has one source, which outlives the configuration that named it.
func TestSources(t *testing.T) {
	h := newHouse(t, false)
	first := NewSources(h.means(), nil)
	a, err := first.Of(h.e)
	if b, _ := first.Of(h.e); err != nil || a != b {
		t.Errorf("%v, %v, %v", a, b, err)
	}
	other := h.e
	other.Scope = "else"
	if b, err := first.Of(other); err != nil || a == b {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := first.Of(Endpoint{}); err == nil {
		t.Error("none has a source")
	}
	h.p.Close()
	if _, err := a.Token(h.Context()); err == nil || len(first.Troubles()) != 1 {
		t.Errorf("%v, %v", err, first.Troubles())
	}
	second := NewSources(h.means(), first)
	if len(second.Troubles()) != 0 {
		t.Error("what is configured no more is in trouble")
	}
	if b, err := second.Of(h.e); err != nil || a != b || len(second.Troubles()) != 1 {
		t.Errorf("%v, %v", b, err)
	}
	var none *Sources
	if none.Troubles() != nil {
		t.Error("none has troubles")
	}
}

func TestEndpointsThatAreRefused(t *testing.T) {
	good := Endpoint{URL: "https://login.example/token", Client: "c", SecretFile: "f", Style: StyleBody}
	for name, change := range map[string]func(*Endpoint){
		"clear text":   func(e *Endpoint) { e.URL = "http://login.example/token" },
		"a user":       func(e *Endpoint) { e.URL = "https://u@login.example/token" },
		"no host":      func(e *Endpoint) { e.URL = "https:///token" },
		"no URL":       func(e *Endpoint) { e.URL = "" },
		"no client":    func(e *Endpoint) { e.Client = "" },
		"no secret":    func(e *Endpoint) { e.SecretFile = "" },
		"no style":     func(e *Endpoint) { e.Style = 0 },
		"no authority": func(e *Endpoint) { e.CA = "/nowhere" },
	} {
		e := good
		change(&e)
		if _, err := New(e, newHouse(t, false).means()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, change := range map[string]func(*Means){
		"no bounds": func(m *Means) { m.Limits = Limits{} }, "no folder": func(m *Means) { m.Keep = "" }, "no clock": func(m *Means) { m.Now = nil },
		"no dialer": func(m *Means) { m.Dial = nil }, "nobody is told": func(m *Means) { m.Tell = nil },
	} {
		m := newHouse(t, false).means()
		change(&m)
		if _, err := New(good, m); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := New(good, newHouse(t, false).means()); err != nil {
		t.Error(err)
	}
}

// Whether an endpoint is there is known without a token being used up.
func TestReach(t *testing.T) {
	h := newHouse(t, true)
	if err := h.s.Reach(t.Context()); err != nil {
		t.Error(err)
	}
	h.wantAsked()
	h.p.Close()
	if err := h.s.Reach(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be asked") {
		t.Errorf("%v", err)
	}
}

// A token that had ended is replaced, however young it was.
func TestAShortTokenThatEnded(t *testing.T) {
	h := newHouse(t, false)
	h.p.life = 10
	h.want("access-1")
	h.s.Took(h.Context(), "access-1")
	h.now = h.now.Add(9 * time.Second)
	if !h.s.Refused(h.Context(), "access-1") {
		t.Error("it is time for another one")
	}
	h.want("access-2")
}
