package call_test

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, want call.Code) {
	t.Helper()
	var e *call.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("error %v, want one of code %q", err, want)
	}
}

// clients are the two ways to routes: over HTTP, as the caller of this process, and in the process.
func clients(t *testing.T, routes *call.Routes) map[string]*call.Client {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		routes.ServeHTTP(w, r.WithContext(call.WithCaller(r.Context(), call.Self())))
	}))
	server.Start()
	t.Cleanup(server.Close)
	over := call.NewClient(to(strings.TrimPrefix(server.URL, "http://")))
	t.Cleanup(over.Close)
	return map[string]*call.Client{"http": over, "direct": call.Direct(routes)}
}

// to sends requests to one address, whatever they name.
type to string

// RoundTrip implements http.RoundTripper.
func (a to) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = string(a)
	return http.DefaultTransport.RoundTrip(r)
}

type asked struct {
	Address string `json:"address"`
}

// asks posts a body as somebody.
func asks(h http.Handler, ctx context.Context, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/show", strings.NewReader(body)).WithContext(ctx))
	return w.Code, w.Body.String()
}

// An action is told who calls and what he asks, and its answer and its failure come back as they were.
func TestAnAnswerComesBack(t *testing.T) {
	errOdd := errors.New("roster: odd")
	routes := call.NewRoutes(func(err error) *call.Error {
		if errors.Is(err, errOdd) {
			return call.Of(call.CodeExists, err)
		}
		return nil
	})
	call.Answer(routes, "show", func(_ context.Context, by call.Caller, q asked) (string, error) {
		switch q.Address {
		case "odd":
			return "", fmt.Errorf("accounts: asked: %w", errOdd)
		case "full":
			return "", fmt.Errorf("spool: %w", store.ErrUnavailable)
		case "gone":
			return "", fmt.Errorf("asked: %w", call.NotFound("there is none"))
		case "broken":
			return "", errors.New("store: broken")
		}
		return by.Name() + " asks for " + q.Address, nil
	})
	for way, c := range clients(t, routes) {
		got, err := call.Do[string](t.Context(), c, "show", asked{"alice"})
		if err != nil || got != fmt.Sprintf("uid %d asks for alice", os.Geteuid()) {
			t.Errorf("%s: %q, %v", way, got, err)
		}
		for q, want := range map[string]call.Error{
			"odd":    {Code: call.CodeExists, Message: "asked: odd"},
			"full":   {Code: call.CodeUnavailable, Message: "unavailable"},
			"gone":   {Code: call.CodeNotFound, Message: "asked: there is none"},
			"broken": {Code: call.CodeInternal, Message: "broken"},
		} {
			var e *call.Error
			if _, err := call.Do[string](t.Context(), c, "show", asked{q}); !errors.As(err, &e) || *e != want {
				t.Errorf("%s: %s: %#v", way, q, err)
			}
		}
		if _, err := call.Do[string](t.Context(), c, "nothing", asked{}); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%s: what is no action: %v", way, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := call.Do[string](ended, call.Direct(routes), "show", asked{}); !errors.Is(err, context.Canceled) {
		t.Errorf("of who went away: %v", err)
	}
}

// What does not read, has a field that nobody knows, or is too large, is refused.
func TestRequestsThatDoNotReadAreRefused(t *testing.T) {
	routes := call.NewRoutes()
	call.Answer(routes, "show", func(_ context.Context, _ call.Caller, q asked) (string, error) {
		return "", call.NotFound(q.Address)
	})
	for body, want := range map[string]int{
		``:                             http.StatusBadRequest,
		`{"address":"a@local.test"`:    http.StatusBadRequest,
		`{"adress":"a@local.test"}`:    http.StatusBadRequest,
		`{"address":"a@local.test"}{}`: http.StatusBadRequest,
		`{"address":5}`:                http.StatusBadRequest,
		`{"address":"a@local.test"}`:   http.StatusNotFound,
		strings.Repeat(" ", call.MaxRequest) + `{}`: http.StatusBadRequest,
	} {
		if code, said := asks(routes, t.Context(), body); code != want {
			t.Errorf("%.40q: %d %s", body, code, said)
		}
	}
}

// Each kind of failure has the status that it always had.
func TestKindsOfFailure(t *testing.T) {
	for _, c := range []struct {
		err  *call.Error
		want int
		says string
	}{
		{call.Refused("x"), 400, `{"error":{"code":"invalid","message":"x"}}`},
		{call.NotFound("x"), 404, `{"error":{"code":"not-found","message":"x"}}`},
		{call.Exists("x"), 409, `{"error":{"code":"exists","message":"x"}}`},
		{call.Forbidden("x"), 403, `{"error":{"code":"forbidden","message":"x"}}`},
		{call.Unavailable("x"), 503, `{"error":{"code":"unavailable","message":"x"}}`},
		{call.Internal("x"), 500, `{"error":{"code":"internal","message":"x"}}`},
	} {
		routes := call.NewRoutes()
		routes.Otherwise(c.err)
		if code, said := asks(routes, t.Context(), "{}"); code != c.want || strings.TrimSpace(said) != c.says {
			t.Errorf("%d %s", code, said)
		}
	}
}

// Root and the owner act; whoever is known asks; who was refused before is told that, whoever he is.
func TestWhoMayCall(t *testing.T) {
	routes := call.NewRoutes()
	call.Answer(routes, "show", func(context.Context, call.Caller, asked) (string, error) { return "done", nil })
	acts, questions := call.Admitting(routes, 1000, call.MayAct), call.Admitting(routes, 1000, call.MayAsk)
	for _, c := range []struct {
		caller    call.Caller
		act, asks int
	}{
		{call.Caller{UID: 0, Known: true}, 200, 200},
		{call.Caller{UID: 1000, Known: true}, 200, 200},
		{call.Caller{UID: 1001, Known: true}, 403, 200},
		{call.Caller{UID: 999, Known: true}, 403, 200}, // below the owner's
		{call.Caller{UID: 1, Known: true}, 403, 200},
		{call.Caller{UID: 1000}, 403, 403},
		{call.Caller{UID: 0}, 403, 403},
		{call.Caller{}, 403, 403},
	} {
		ctx := call.WithCaller(t.Context(), c.caller)
		if code, said := asks(acts, ctx, "{}"); code != c.act {
			t.Errorf("%+v acts: %d %s", c.caller, code, said)
		}
		if code, said := asks(questions, ctx, "{}"); code != c.asks {
			t.Errorf("%+v asks: %d %s", c.caller, code, said)
		}
	}
	if code, said := asks(acts, t.Context(), "{}"); code != http.StatusForbidden {
		t.Errorf("without any caller: %d %s", code, said)
	}
	full := call.WithRefusal(call.WithCaller(t.Context(), call.Caller{Known: true}), call.Unavailable("all are at work"))
	if code, said := asks(acts, full, "{}"); code != http.StatusServiceUnavailable || !strings.Contains(said, "all are at work") {
		t.Errorf("of who was refused: %d %s", code, said)
	}
}

// TestAListingThatBreaksIsNoWholeListing lets the action fail before and in the
// middle of its items.
func TestAListingThatBreaksIsNoWholeListing(t *testing.T) {
	for _, items := range []int{0, 1, 1000} {
		routes := call.NewRoutes()
		call.Listing(routes, "numbers", func(_ context.Context, _ call.Caller, _ struct{}, fn func(int) error) error {
			for i := range items {
				if err := fn(i); err != nil {
					return err
				}
			}
			return fmt.Errorf("half-way: %w", store.ErrUnavailable)
		})
		for way, c := range clients(t, routes) {
			got := 0
			err := call.Stream(t.Context(), c, "numbers", struct{}{}, func(int) error { got++; return nil })
			wantCode(t, err, call.CodeUnavailable)
			if got != items {
				t.Errorf("%s: %d of %d items", way, got, items)
			}
		}
	}
}

// A listing that stops without its end, or holds something else, is none; a whole one is.
func TestAListingHasAnEnd(t *testing.T) {
	for said, whole := range map[string]bool{
		`{"item":1}` + "\n" + `{"item":2}` + "\n" + `{"end":true}` + "\n":  true,
		`{"item":1}` + "\n" + `{"item":2}` + "\n":                          false,
		`{"item":1}` + "\n" + `{"other":2}` + "\n" + `{"end":true}` + "\n": false,
		"": false,
	} {
		c := call.Direct(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, said) }))
		if err := call.Stream(t.Context(), c, "numbers", struct{}{}, func(int) error { return nil }); (err == nil) != whole {
			t.Errorf("%q: %v", said, err)
		}
	}
}

// What comes slowly is seen as it comes.
func TestASlowListingIsSeenAsItComes(t *testing.T) {
	routes, seen := call.NewRoutes(), make(chan int)
	call.Listing(routes, "slow", func(ctx context.Context, _ call.Caller, _ struct{}, fn func(int) error) error {
		time.Sleep(call.TellEvery + 10*time.Millisecond)
		if err := fn(1); err != nil {
			return err
		}
		select { // until it was seen, the listing goes on
		case <-seen:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for way, c := range clients(t, routes) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := call.Stream(ctx, c, "slow", struct{}{}, func(n int) error { seen <- n; return nil }); err != nil {
			t.Errorf("%s: %v", way, err)
		}
		cancel()
	}
}

// TestAReaderThatGoesAwayEndsTheListing: nothing writes into the void for ever.
func TestAReaderThatGoesAwayEndsTheListing(t *testing.T) {
	routes, ended := call.NewRoutes(), make(chan error, 1)
	call.Listing(routes, "endless", func(_ context.Context, _ call.Caller, _ struct{}, fn func(int) error) error {
		for {
			if err := fn(1); err != nil {
				ended <- err
				return err
			}
		}
	})
	enough := errors.New("enough")
	if err := call.Stream(t.Context(), call.Direct(routes), "endless", struct{}{}, func(int) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the listing goes on")
	}
}

// archived serves an archive of two members whose action then ends as it is told to.
func archived(end error, before bool) *call.Routes {
	routes := call.NewRoutes()
	call.Archiving(routes, "copy", func(_ context.Context, _ call.Caller, q asked, out *call.Archive) error {
		if before {
			return end
		}
		err := errors.Join(out.Head("of "+q.Address), out.Small("one", 1), out.Small("two", 2))
		return errors.Join(err, out.End(end))
	})
	return routes
}

// An archive has a head, its members and an end; what breaks says why, before the head or at the end, and
// what just stops is no archive.
func TestAnArchiveHasAnEnd(t *testing.T) {
	read := func(c *call.Client) (head string, members []string, err error) {
		a, err := call.Arrive(t.Context(), c, "copy", asked{"alice"}, "copy", &head)
		if err != nil {
			return head, nil, err
		}
		defer a.Close()
		err = a.Each(func(h *tar.Header, content io.Reader) error {
			b, err := io.ReadAll(content)
			members = append(members, h.Name+string(b))
			return err
		})
		return head, members, err
	}
	for way, c := range clients(t, archived(nil, false)) {
		if head, members, err := read(c); err != nil || head != "of alice" || !slices.Equal(members, []string{"one1", "two2"}) {
			t.Errorf("%s: %q, %q, %v", way, head, members, err)
		}
	}
	broken := fmt.Errorf("store: %w", store.ErrUnavailable)
	for _, before := range []bool{true, false} {
		for way, c := range clients(t, archived(broken, before)) {
			head, members, err := read(c)
			wantCode(t, err, call.CodeUnavailable)
			if before == (head != "") || before == (len(members) == 2) {
				t.Errorf("%s: %q, %q came before %v", way, head, members, err)
			}
		}
	}
	for name, answer := range map[string]func(w io.Writer){
		"is no copy": func(w io.Writer) { _, _ = io.WriteString(w, "hello") },
		"begins with": func(w io.Writer) {
			out := tar.NewWriter(w)
			_ = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "other"})
			_ = out.Close()
		},
		"ended early": func(w io.Writer) {
			out := tar.NewWriter(w)
			_ = out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "head", Size: 2})
			_, _ = io.WriteString(out, `""`)
			_ = out.Close()
		},
	} {
		c := call.Direct(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		if _, _, err := read(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An action may read its request by itself.
func TestARequestOfAnyLengthIsTaken(t *testing.T) {
	routes := call.NewRoutes()
	call.Taking(routes, "add", func(_ context.Context, _ call.Caller, body io.Reader) (int64, error) {
		n, err := io.Copy(io.Discard, body)
		if n == 1 {
			return 0, call.Unread(errors.New("too short"))
		}
		return n, err
	})
	for way, c := range clients(t, routes) {
		if n, err := call.Give[int64](t.Context(), c, "add", strings.NewReader(strings.Repeat("x", 2*call.MaxRequest))); err != nil || n != 2*call.MaxRequest {
			t.Errorf("%s: %d, %v", way, n, err)
		}
		_, err := call.Give[int64](t.Context(), c, "add", strings.NewReader("x"))
		wantCode(t, err, call.CodeInvalid)
	}
}

// What a request names must read, and an account's name is folded as its mailbox is.
func TestWhatARequestNames(t *testing.T) {
	if a, err := call.ParseAccount("Alice@LOCAL.test"); err != nil || a.String() != "alice@local.test" {
		t.Errorf("%v, %v", a, err)
	}
	for _, bad := range []string{"", "alice", "alice@[192.0.2.1]", "a b@local.test"} {
		_, err := call.ParseAccount(bad)
		wantCode(t, err, call.CodeInvalid)
	}
	if a, err := call.ParseAddress("Alice@local.test"); err != nil || a.Local() != "Alice" {
		t.Errorf("%v, %v", a, err)
	}
	_, err := call.ParseAddress("alice")
	wantCode(t, err, call.CodeInvalid)
	for _, text := range []string{"alice@local.test", "<alice@local.test>"} {
		if p, err := call.ParsePath(text); err != nil || p.String() != "<alice@local.test>" {
			t.Errorf("%v, %v", p, err)
		}
	}
	if p, err := call.ParsePath("<>"); err != nil || p.String() != "<>" {
		t.Errorf("%v, %v", p, err)
	}
	if d, err := call.ParseDomain("LOCAL.test"); err != nil || d.String() != "local.test" {
		t.Errorf("%v, %v", d, err)
	}
	_, err = call.ParseDomain("a..b")
	wantCode(t, err, call.CodeInvalid)
	if got := call.Texts([]mail.Domain{}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// The fact of a change says who made it, and what else there is of it.
func TestAChangeSaysWhoMadeIt(t *testing.T) {
	a, err := call.ParseAccount("alice@local.test")
	check(t, err)
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	f := call.AccountChanged(at, call.Caller{UID: 4711, Known: true}, a, "frozen", call.Because("a leak"), call.Note("times", "2"))
	want := []fact.Pair{{Name: "by uid", Value: "4711"}, {Name: "reason", Value: "a leak"}, {Name: "times", Value: "2"}}
	if f.Account != "alice@local.test" || f.Text != "frozen" || f.Rule != fact.RuleOperator || !f.At.Equal(at) || !slices.Equal(f.Evidence, want) {
		t.Errorf("%+v", f)
	}
}
