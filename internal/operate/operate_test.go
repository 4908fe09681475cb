package operate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/bind/review"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/ca"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// world is an Operator on real rooms over a store in memory.
type world struct {
	*Operator
	spool    *spool.Spool
	queue    *faultyQueue
	trace    *trace.Log
	accounts *accounts.Identity
	ledger   *ledger.Ledger
	roster   *roster.Roster
	book     *book.Book
	ended    []mail.Address
	findings *review.Findings
	binding  bind.Mode
}

func newWorld(t *testing.T) *world {
	t.Helper()
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	return newWorldOn(t, st)
}

func newWorldOn(t *testing.T, st store.Store) *world {
	t.Helper()
	ctx := t.Context()
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	accounts, err := accounts.Open(ctx, st, accounts.Options{Limits: limits})
	check(t, err)
	key, err := gate.NewKey([]byte(strings.Repeat("k", 32)))
	check(t, err)
	queue, _, err := spool.Open(ctx, st, spool.Options{Key: key, Policy: sched.Default(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	w := &world{spool: queue, queue: &faultyQueue{Spool: queue}, trace: openTrace(t, st), accounts: accounts}
	w.roster, err = roster.Open(ctx, st, roster.Options{Limits: roster.DefaultLimits()})
	check(t, err)
	w.book = newBook(t, accounts, w.roster)
	w.ledger, err = ledger.Open(ctx, st, ledger.Options{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	w.findings, err = review.Open(ctx, st, review.Options{Limits: review.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	w.Operator = New(Options{Findings: w.findings, Binding: func() bind.Mode { return w.binding }, Ledger: w.ledger, Allowance: w.allowance, Accounts: accounts, Credentials: accounts, DeviceCA: deviceCA(t, st, accounts), Queue: w.queue, Trace: w.trace, Facts: reader(t, st, w.trace), Now: time.Now, Book: w.book,
		EndSessions: w.endAll, Incidents: incident.Keeper{Log: incident.NewLog(st), Accounts: accounts, Queue: queue, EndSessions: w.endAll, Now: time.Now}})
	return w
}

func deviceCA(t *testing.T, st store.Store, accounts *accounts.Identity) *ca.CA {
	t.Helper()
	host, err := mail.ParseDomain("mx.local.test")
	check(t, err)
	return ca.New(st, ca.Options{Host: host, Keys: t.TempDir(), Holding: accounts.Holding, Limits: ca.DefaultLimits(), Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
}

func (w *world) endAll(a mail.Address) int { w.ended = append(w.ended, a); return 3 }

func reader(t *testing.T, st store.Store, l *trace.Log) *query.Reader {
	t.Helper()
	r, err := query.New(query.Options{Store: st, Log: l, Limits: query.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	return r
}

func openTrace(t *testing.T, st store.Store) *trace.Log {
	t.Helper()
	secret, err := trace.NewKey(rand.Reader, "local.test/trace")
	check(t, err)
	key, err := trace.ParseKey(secret)
	check(t, err)
	l, err := trace.Open(t.Context(), st, trace.Options{Origin: "local.test/trace", Key: key, CheckpointDir: t.TempDir(), Limits: trace.DefaultLimits(),
		Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	return l
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put queues a message of an account for bob.
func (w *world) put(t *testing.T, account string) mail.ID {
	t.Helper()
	return w.putTo(t, account, "bob@local.test")
}

func (w *world) putTo(t *testing.T, account, mailbox string) mail.ID {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	check(t, err)
	from, err := mail.ParseAddress(account, mail.ASCII)
	check(t, err)
	to, err := mail.ParseAddress(mailbox, mail.ASCII)
	check(t, err)
	body, err := w.spool.NewBody(t.Context())
	check(t, err)
	_, err = io.WriteString(body, "Subject: x\r\n\r\nhello\r\n")
	check(t, err)
	recipient := mail.Recipient{Address: to}
	claim, err := w.spool.Put(t.Context(), spool.Message{
		ID: id, Envelope: mail.Envelope{From: mail.PathOf(from), To: []mail.Recipient{recipient}}, Account: from,
		Deliveries: []spool.Delivery{{Recipient: recipient, Kind: spool.KindLocal, Mailbox: to}},
	}, body, nil)
	check(t, err)
	check(t, w.spool.Postpone(t.Context(), claim.Token, time.Now().Add(time.Hour), nil))
	return id
}

// story is what the trace knows about a text.
func (w *world) story(t *testing.T, text string) string {
	t.Helper()
	a, err := w.Trace(t.Context(), Self(), TraceQuery{Text: text})
	check(t, err)
	return fact.Timeline(a.Facts(), nil)
}

func wantCode(t *testing.T, err error, want Code) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != want {
		t.Errorf("error %v, want one of code %q", err, want)
	}
}

// clients returns an Operator's two ways in: through a real socket, and in process.
func clients(t *testing.T, op *Operator) map[string]*Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	serve(t, path, op)
	dialled, err := Dial(t.Context(), path)
	check(t, err)
	t.Cleanup(dialled.Close)
	return map[string]*Client{"socket": dialled, "direct": Direct(op)}
}

func serve(t *testing.T, path string, op *Operator) {
	t.Helper()
	ln, err := Listen(path)
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, op, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// TestAccountsLiveOneLife makes every account action by both ways in.
func TestAccountsLiveOneLife(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			c, ctx := clients(t, w.Operator)[way], t.Context()
			add := AccountAdd{Address: "Alice@local.test", Password: "correct horse", Role: "person"}
			a, err := c.AccountAdd(ctx, add)
			check(t, err)
			if a.Address != "alice@local.test" || a.Standing != "active" {
				t.Errorf("added as %+v", a)
			}
			_, err = c.AccountAdd(ctx, add)
			wantCode(t, err, CodeExists)
			for _, bad := range []AccountAdd{
				{Address: "alice", Password: "correct horse", Role: "person"},
				{Address: "eve@other.test", Password: "correct horse", Role: "person"},
				{Address: "eve@local.test", Password: "correct horse", Role: "king"},
				{Address: "eve@local.test", Password: "short", Role: "person"},
				{Address: "eve@[192.0.2.1]", Password: "correct horse", Role: "person"},
			} {
				_, err = c.AccountAdd(ctx, bad)
				wantCode(t, err, CodeInvalid)
			}
			a, err = c.AccountFreeze(ctx, AccountReason{Address: "alice@local.test", Reason: "seen in a leak"})
			check(t, err)
			if a.Standing != "frozen" || a.QueueHeld != "seen in a leak" || a.SessionsEnded != 3 {
				t.Errorf("frozen as %+v", a)
			}
			a, err = c.AccountThaw(ctx, AccountRef{Address: "alice@local.test"})
			check(t, err)
			if a.Standing != "active" || a.QueueHeld != "" {
				t.Errorf("thawed as %+v", a)
			}
			_, err = c.AccountPassword(ctx, AccountPassword{Address: "alice@local.test", Password: "another horse"})
			check(t, err)
			_, err = c.AccountRemove(ctx, AccountRef{Address: "alice@local.test"})
			check(t, err)
			_, err = c.AccountShow(ctx, AccountRef{Address: "alice@local.test"})
			wantCode(t, err, CodeNotFound)
			if len(w.ended) != 3 { // freeze, password, removal
				t.Errorf("sessions ended %d times", len(w.ended))
			}
			story := w.story(t, "alice@local.test")
			for _, part := range []string{"added", "frozen", "seen in a leak", "thawed", "password changed", "removed", "by uid: " + fmt.Sprint(os.Geteuid())} {
				if !strings.Contains(story, part) {
					t.Errorf("the trace lacks %q:\n%s", part, story)
				}
			}
			if strings.Contains(story, "horse") {
				t.Errorf("the trace holds a password:\n%s", story)
			}
		})
	}
}

// TestARemovedAccountsMailIsHeld: nobody answers for it, not even a namesake.
func TestARemovedAccountsMailIsHeld(t *testing.T) {
	w := newWorld(t)
	c, ctx := Direct(w.Operator), t.Context()
	add := AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"}
	_, err := c.AccountAdd(ctx, add)
	check(t, err)
	id := w.put(t, "alice@local.test")
	_, err = c.AccountFreeze(ctx, AccountReason{Address: add.Address})
	check(t, err)
	_, err = c.AccountRemove(ctx, AccountRef{Address: add.Address})
	check(t, err)
	a, err := c.AccountAdd(ctx, add)
	check(t, err)
	m, err := c.QueueShow(ctx, QueueRef{ID: id.String()})
	check(t, err)
	if m.State != "held" || m.Reason != "its account was removed" || a.QueueHeld != "" {
		t.Errorf("message %+v, account %+v", m, a)
	}
}

// TestQueueActionsChangeWhatWasChosen makes every queue action by both ways in.
func TestQueueActionsChangeWhatWasChosen(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			c, ctx := clients(t, w.Operator)[way], t.Context()
			one, two := w.put(t, "alice@local.test"), w.put(t, "carol@local.test")
			held := func() (ids []string) {
				yes := true
				check(t, c.QueueList(ctx, Select{Held: &yes}, func(m Message) error { ids = append(ids, m.ID); return nil }))
				return ids
			}
			changed, err := c.QueueHold(ctx, QueueChange{Select: Select{Account: "alice@local.test"}, Reason: "odd", DryRun: true})
			if err != nil || changed.Count != 1 || len(held()) != 0 {
				t.Errorf("a dry run: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueHold(ctx, QueueChange{Select: Select{Account: "alice@local.test"}, Reason: "odd"})
			if err != nil || changed.Count != 1 || len(held()) != 1 || held()[0] != one.String() {
				t.Errorf("hold: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueRelease(ctx, QueueChange{Select: Select{IDs: []string{one.String(), two.String()}}})
			if err != nil || changed.Count != 1 || len(held()) != 0 {
				t.Errorf("release: %+v, %v, held %v", changed, err, held())
			}
			changed, err = c.QueueRetry(ctx, QueueChange{Select: Select{All: true}})
			if err != nil || changed.Count != 2 {
				t.Errorf("retry: %+v, %v", changed, err)
			}
			changed, err = c.QueueRemove(ctx, QueueChange{Select: Select{Sender: "carol@local.test"}, Reason: "unwanted"})
			if err != nil || changed.Count != 1 {
				t.Errorf("remove: %+v, %v", changed, err)
			}
			_, err = c.QueueShow(ctx, QueueRef{ID: two.String()})
			wantCode(t, err, CodeNotFound)
			for id, parts := range map[string][]string{one.String(): {"held", "odd", "released"}, two.String(): {"removed", "unwanted"}} {
				for _, part := range parts {
					if story := w.story(t, id); !strings.Contains(story, part) {
						t.Errorf("the trace of %s lacks %q:\n%s", id, part, story)
					}
				}
			}
		})
	}
}

func TestQueueChoicesThatMakeNoSenseAreRefused(t *testing.T) {
	w := newWorld(t)
	c := Direct(w.Operator)
	w.put(t, "alice@local.test")
	for _, s := range []Select{
		{},
		{All: true, Account: "alice@local.test"},
		{IDs: []string{"nonsense"}},
		{IDs: make([]string, MaxIDs+1)},
		{Sender: "nonsense"},
		{Domain: "no domain"},
		{All: true, Limit: -1},
		{OlderThan: -time.Hour},
	} {
		_, err := c.QueueRemove(t.Context(), QueueChange{Select: s})
		wantCode(t, err, CodeInvalid)
	}
	if n := w.spool.Stats().Entries; n != 1 {
		t.Errorf("%d messages are left", n)
	}
}

func TestStatusCounts(t *testing.T) {
	w := newWorld(t)
	w.put(t, "alice@local.test")
	c := Direct(w.Operator)
	_, err := c.AccountAdd(t.Context(), AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "bulk"})
	check(t, err)
	_, err = c.AccountFreeze(t.Context(), AccountReason{Address: "alice@local.test"})
	check(t, err)
	s, err := c.Status(t.Context())
	check(t, err)
	if s.Hostname != "mx.local.test" || len(s.Domains) != 1 || s.Accounts != 1 || s.Frozen != 1 || s.Queue.Messages != 1 || s.Trace.Facts == 0 || s.Server != nil {
		t.Errorf("status %+v", s)
	}
	r, err := c.TraceVerify(t.Context())
	if err != nil || !r.OK() {
		t.Errorf("verify %+v, %v", r, err)
	}
}

// TestOnlyRootAndTheOwnerAct asks as others, and as nobody.
func TestOnlyRootAndTheOwnerAct(t *testing.T) {
	h := Handler(newWorld(t).Operator, 1000)
	for _, test := range []struct {
		caller Caller
		want   int
	}{
		{Caller{UID: 0, Known: true}, http.StatusOK},
		{Caller{UID: 1000, Known: true}, http.StatusOK},
		{Caller{UID: 1001, Known: true}, http.StatusForbidden},
		{Caller{UID: 999, Known: true}, http.StatusForbidden}, // below the owner's
		{Caller{UID: 1, Known: true}, http.StatusForbidden},
		{Caller{UID: 1000}, http.StatusForbidden},
		{Caller{UID: 0}, http.StatusForbidden},
		{Caller{}, http.StatusForbidden},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/status", strings.NewReader("{}"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), test.caller)))
		if w.Code != test.want {
			t.Errorf("%+v: %d %s", test.caller, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/status", strings.NewReader("{}")))
	if w.Code != http.StatusForbidden {
		t.Errorf("without any caller: %d", w.Code)
	}
}

func TestRequestsThatDoNotReadAreRefused(t *testing.T) {
	h := Handler(newWorld(t).Operator, 1000)
	for body, want := range map[string]int{
		``:                                     http.StatusBadRequest,
		`{"address":"a@local.test"`:            http.StatusBadRequest,
		`{"adress":"a@local.test"}`:            http.StatusBadRequest,
		`{"address":"a@local.test"}{}`:         http.StatusBadRequest,
		`{"address":5}`:                        http.StatusBadRequest,
		`{"address":"a@local.test"}`:           http.StatusNotFound,
		strings.Repeat(" ", MaxRequest) + `{}`: http.StatusBadRequest,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/account.show", strings.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), Self())))
		if w.Code != want {
			t.Errorf("%.40q: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestTheSocketIsClosedToOthers looks at its mode, and at what stands in its way.
func TestTheSocketIsClosedToOthers(t *testing.T) {
	w := newWorld(t)
	// Deeper than the 107 octets that a socket address holds.
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	check(t, os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, "s.sock")
	_, err := Dial(t.Context(), path)
	if !errors.Is(err, ErrNoServer) {
		t.Errorf("without a server: %v", err)
	}
	// A process that was killed leaves its socket behind.
	first, err := Listen(path)
	check(t, err)
	check(t, first.(*socket).UnixListener.Close())
	_, err = Dial(t.Context(), path)
	if !errors.Is(err, ErrNoServer) {
		t.Errorf("with a dead socket: %v", err)
	}
	serve(t, path, w.Operator)
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	c, err := Dial(t.Context(), path)
	check(t, err)
	defer c.Close()
	_, err = c.Status(t.Context())
	check(t, err)

	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, []byte("precious"), 0o600))
	if _, err := Listen(file); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// TestAListingThatBreaksIsNoWholeListing lets the action fail before and in the
// middle of its items.
func TestAListingThatBreaksIsNoWholeListing(t *testing.T) {
	for _, items := range []int{0, 1, 1000} {
		mux := http.NewServeMux()
		listing(mux, "numbers", func(_ context.Context, _ Caller, _ struct{}, fn func(int) error) error {
			for i := range items {
				if err := fn(i); err != nil {
					return err
				}
			}
			return fmt.Errorf("half-way: %w", spool.ErrUnavailable)
		})
		c := &Client{&http.Client{Transport: direct{mux}}}
		got := 0
		err := stream(t.Context(), c, "numbers", struct{}{}, func(int) error { got++; return nil })
		wantCode(t, err, CodeUnavailable)
		if got != items {
			t.Errorf("%d of %d items", got, items)
		}
	}
}

// TestAReaderThatGoesAwayEndsTheListing: nothing writes into the void for ever.
func TestAReaderThatGoesAwayEndsTheListing(t *testing.T) {
	mux, ended := http.NewServeMux(), make(chan error, 1)
	listing(mux, "endless", func(_ context.Context, _ Caller, _ struct{}, fn func(int) error) error {
		for {
			if err := fn(1); err != nil {
				ended <- err
				return err
			}
		}
	})
	enough := errors.New("enough")
	c := &Client{&http.Client{Transport: direct{mux}}}
	if err := stream(t.Context(), c, "endless", struct{}{}, func(int) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the listing goes on")
	}
}
