// Package operator has what tests of an operator's actions stand on: an Operator on real rooms over
// a store in memory, and the ways in that a server and a command have.
package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/bind/review"
	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/ca"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/gate"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/socket"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// World is an Operator with the rooms that it acts on.
type World struct {
	*operate.Operator
	Options operate.Options // what it was made of; changed by With

	Spool    *spool.Spool
	Queue    *FaultyQueue
	Log      *trace.Log
	Identity *accounts.Identity
	Ledger   *ledger.Ledger
	Roster   *roster.Roster
	Listed   *book.Book
	Findings *review.Findings
	Ended    []mail.Address // whose sessions were ended
	Bound    bind.Mode
}

// FaultyQueue is a queue that is slow or fails to hold.
type FaultyQueue struct {
	*spool.Spool
	Slow  atomic.Int64 // as a time.Duration
	Fails error
}

// Hold holds, slowly, or fails.
func (q *FaultyQueue) Hold(ctx context.Context, f spool.Filter, reason string, facts [][]byte) (int, error) {
	if q.Fails != nil {
		return 0, q.Fails
	}
	time.Sleep(time.Duration(q.Slow.Load()))
	return q.Spool.Hold(ctx, f, reason, facts)
}

// New returns a World over a store in memory.
func New(t *testing.T) *World {
	t.Helper()
	st := mem.New()
	t.Cleanup(func() { st.Close() })
	return On(t, st)
}

// On returns a World over a store.
func On(t *testing.T, st store.Store) *World {
	t.Helper()
	ctx := t.Context()
	limits := accounts.DefaultLimits()
	limits.HashMemory, limits.HashPasses, limits.ScramRounds = 64, 1, 4096
	id, err := accounts.Open(ctx, st, accounts.Options{Limits: limits})
	Check(t, err)
	key, err := gate.NewKey([]byte(strings.Repeat("k", 32)))
	Check(t, err)
	queue, _, err := spool.Open(ctx, st, spool.Options{
		Key: key, Policy: sched.Default(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	Check(t, err)
	w := &World{Spool: queue, Queue: &FaultyQueue{Spool: queue}, Log: openTrace(t, st), Identity: id}
	w.Roster, err = roster.Open(ctx, st, roster.Options{Limits: roster.DefaultLimits()})
	Check(t, err)
	w.Listed = newBook(t, id, w.Roster)
	w.Ledger, err = ledger.Open(ctx, st, ledger.Options{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	Check(t, err)
	w.Findings, err = review.Open(ctx, st, review.Options{Limits: review.DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	Check(t, err)
	w.Options = operate.Options{
		People: operate.People{
			Findings: w.Findings, Binding: func() bind.Mode { return w.Bound }, Ledger: w.Ledger, Allowance: Allowance, Accounts: id, Credentials: id, DeviceCA: deviceCA(t, st, id), EndSessions: w.end,
			Incidents: incident.Keeper{Log: incident.NewLog(st), Accounts: id, Queue: queue, EndSessions: w.end, Now: time.Now},
		},
		Messages: operate.Messages{Queue: w.Queue}, Domains: operate.Domains{Book: w.Listed},
		Journal: operate.Journal{Trace: w.Log, Facts: reader(t, st, w.Log), Write: w.Log.Write}, Now: time.Now,
	}
	w.Operator = operate.New(w.Options)
	return w
}

// With makes the Operator anew, of other options.
func (w *World) With(change func(o *operate.Options)) {
	change(&w.Options)
	w.Operator = operate.New(w.Options)
}

func (w *World) end(a mail.Address) int { w.Ended = append(w.Ended, a); return 3 }

// Allowance is what a configuration would give.
func Allowance(a accounts.Account) budget.Limits {
	own := budget.Limits{Hour: a.RecipientsHour, Day: a.RecipientsDay}
	if a.Role == accounts.RoleBulk {
		return own.Or(budget.Limits{Hour: 50, Day: 90})
	}
	return own.Or(budget.Limits{Hour: 5, Day: 9})
}

func deviceCA(t *testing.T, st store.Store, id *accounts.Identity) *ca.CA {
	t.Helper()
	made, err := ca.New(st, ca.Options{
		Host: Domain(t, "mx.local.test"), Keys: t.TempDir(), Holding: id.Holding, Limits: ca.DefaultLimits(),
		Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	Check(t, err)
	return made
}

func reader(t *testing.T, st store.Store, l *trace.Log) *query.Reader {
	t.Helper()
	r, err := query.New(query.Options{Store: st, Log: l, Limits: query.DefaultLimits(), Logger: slog.New(slog.DiscardHandler)})
	Check(t, err)
	return r
}

func openTrace(t *testing.T, st store.Store) *trace.Log {
	t.Helper()
	secret, err := trace.NewKey(rand.Reader, "local.test/trace")
	Check(t, err)
	key, err := trace.ParseKey(secret)
	Check(t, err)
	l, err := trace.Open(t.Context(), st, trace.Options{Origin: "local.test/trace", Key: key, CheckpointDir: t.TempDir(), Limits: trace.DefaultLimits(),
		Now: time.Now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler)})
	Check(t, err)
	return l
}

// newBook is the book of a configuration that states one domain.
func newBook(t *testing.T, id *accounts.Identity, r *roster.Roster) *book.Book {
	t.Helper()
	stated := func(s directory.Subject) (string, bool) {
		return "conf:1:1", s == directory.Subject{Kind: directory.KindDomain, Name: "local.test"}
	}
	b := book.New(book.Options{Accounts: id, Roster: r, Serving: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)})
	ours, host := Domain(t, "local.test"), Domain(t, "mx.local.test")
	next, err := b.Build(t.Context(), book.Stated{
		Config: directory.Config{
			Hostname: host, Domains: []directory.Domain{{Name: ours, Deliver: directory.DeliverMaildir}},
			MaxExpansion: 10, MaxDepth: 3, Detail: '+', ForwardExternal: true,
		},
		Ways: map[mail.Domain]string{ours: "maildir"}, Where: stated,
		Domain: func(name mail.Domain, _ string) (directory.Domain, error) {
			return directory.Domain{Name: name, Deliver: directory.DeliverMaildir}, nil
		},
		Way: func(s string) (string, error) {
			if s != "maildir" {
				return "", errors.New("unknown: " + s)
			}
			return s, nil
		},
	}, false)
	Check(t, err)
	next.Adopt()
	return b
}

// Account makes accounts.
func (w *World) Account(t *testing.T, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		_, err := w.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: a, Password: "a long password", Role: "person"})
		Check(t, err)
	}
}

// Put queues a message of an account for bob.
func (w *World) Put(t *testing.T, account string) mail.ID {
	t.Helper()
	return w.PutTo(t, account, "bob@local.test")
}

// PutTo queues a message of an account for a mailbox.
func (w *World) PutTo(t *testing.T, account, mailbox string) mail.ID {
	t.Helper()
	id, err := mail.NewID(time.Now(), rand.Reader)
	Check(t, err)
	from, to := Address(t, account), Address(t, mailbox)
	body, err := w.Spool.NewBody(t.Context())
	Check(t, err)
	_, err = io.WriteString(body, "Subject: x\r\n\r\nhello\r\n")
	Check(t, err)
	recipient := mail.Recipient{Address: to}
	claim, err := w.Spool.Put(t.Context(), spool.Message{
		ID: id, Envelope: mail.Envelope{From: mail.PathOf(from), To: []mail.Recipient{recipient}}, Account: from,
		Deliveries: []spool.Delivery{{Recipient: recipient, Kind: spool.KindLocal, Mailbox: to}},
	}, body, nil)
	Check(t, err)
	Check(t, w.Spool.Postpone(t.Context(), claim.Token, time.Now().Add(time.Hour), nil))
	return id
}

// Story is what the trace knows about a text.
func (w *World) Story(t *testing.T, text string) string {
	t.Helper()
	a, err := w.Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: text})
	Check(t, err)
	return fact.Timeline(a.Facts(), nil)
}

// Contained is alice, contained on evidence while she has two messages in the queue, one
// of which she sent before.
func (w *World) Contained(t *testing.T) (c *operate.Client, before, after operate.Message) {
	t.Helper()
	c = operate.Direct(w.Operator)
	_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"})
	Check(t, err)
	old := w.Put(t, "alice@local.test")
	held, err := w.Identity.Credentials(Address(t, "alice@local.test"))
	Check(t, err)
	time.Sleep(2 * time.Millisecond)
	since := time.Now()
	time.Sleep(2 * time.Millisecond)
	spam := w.Put(t, "alice@local.test")
	_, _, _, err = w.Options.Incidents.Contain(t.Context(), incident.Incident{
		Account: Address(t, "ALICE@Local.Test"), Rule: "hijack", By: "the detector",
		Reason: "4 of 4 recipients never seen at this site", Since: since, Odds: 1e6,
		Evidence: []string{"4 of 4 recipients never seen at this site; normal here 3 %: odds x 1,000,000"},
		Used:     []string{held[0].ID},
		Cause:    incident.Cause{Sender: "alice@local.test", Recipients: []string{"v1@remote.test"}},
	}, fact.Pair{Name: "by", Value: "the detector"})
	Check(t, err)
	for _, m := range []struct {
		id  string
		out *operate.Message
	}{{old.String(), &before}, {spam.String(), &after}} {
		*m.out, err = c.QueueShow(t.Context(), operate.QueueRef{ID: m.id})
		Check(t, err)
	}
	return c, before, after
}

// Clients returns an Operator's two ways in: through a real socket, and in process.
func (w *World) Clients(t *testing.T) map[string]*operate.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.sock")
	w.Serve(t, path)
	dialled, err := operate.Dial(t.Context(), path)
	Check(t, err)
	t.Cleanup(dialled.Close)
	return map[string]*operate.Client{"socket": dialled, "direct": operate.Direct(w.Operator)}
}

// Serve serves the Operator at a socket until the test ends.
func (w *World) Serve(t *testing.T, path string) {
	t.Helper()
	ln, err := socket.Listen(path)
	Check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- operate.Serve(ctx, ln, w.Operator, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// Check ends a test that met an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Code is what kind of failure an error is, as a client is told; "": it is none that says so.
func Code(err error) call.Code {
	var e *call.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Code
}

// WantCode demands that an error is of a kind.
func WantCode(t *testing.T, err error, want call.Code) {
	t.Helper()
	if Code(err) != want {
		t.Errorf("error %v, want one of code %q", err, want)
	}
}

// Address parses an address.
func Address(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	Check(t, err)
	return a
}

// Domain parses a domain.
func Domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	Check(t, err)
	return d
}

// Asks calls an action of a handler as somebody, and returns the answer's code and text.
func Asks(h http.Handler, by call.Caller, action, body string) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "/v1/"+action, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(call.WithCaller(r.Context(), by)))
	return w.Code, w.Body.String()
}
