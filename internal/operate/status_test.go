package operate_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/internal/budget"
	"sallyport/internal/budget/ledger"
	"sallyport/internal/ca/device"
	"sallyport/internal/guess"
	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
	"sallyport/test/operator"
)

func TestStatusCounts(t *testing.T) {
	w := operator.New(t)
	w.Put(t, "alice@local.test")
	c := operate.Direct(w.Operator)
	_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "bulk"})
	operator.Check(t, err)
	_, err = c.AccountFreeze(t.Context(), operate.AccountReason{Address: "alice@local.test"})
	operator.Check(t, err)
	s, err := c.Status(t.Context())
	operator.Check(t, err)
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
	h := operate.Handler(operator.New(t).Operator, 1000)
	for _, test := range []struct {
		caller operate.Caller
		want   int
	}{
		{operate.Caller{UID: 0, Known: true}, http.StatusOK},
		{operate.Caller{UID: 1000, Known: true}, http.StatusOK},
		{operate.Caller{UID: 1001, Known: true}, http.StatusForbidden},
		{operate.Caller{UID: 999, Known: true}, http.StatusForbidden}, // below the owner's
		{operate.Caller{UID: 1, Known: true}, http.StatusForbidden},
		{operate.Caller{UID: 1000}, http.StatusForbidden},
		{operate.Caller{UID: 0}, http.StatusForbidden},
		{operate.Caller{}, http.StatusForbidden},
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/status", strings.NewReader("{}"))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(call.WithCaller(r.Context(), test.caller)))
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
	h := operate.Handler(operator.New(t).Operator, 1000)
	for body, want := range map[string]int{
		``:                             http.StatusBadRequest,
		`{"address":"a@local.test"`:    http.StatusBadRequest,
		`{"adress":"a@local.test"}`:    http.StatusBadRequest,
		`{"address":"a@local.test"}{}`: http.StatusBadRequest,
		`{"address":5}`:                http.StatusBadRequest,
		`{"address":"a@local.test"}`:   http.StatusNotFound,
		strings.Repeat(" ", call.MaxRequest) + `{}`: http.StatusBadRequest,
	} {
		r := httptest.NewRequest(http.MethodPost, "/v1/account.show", strings.NewReader(body))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(call.WithCaller(r.Context(), operate.Self())))
		if w.Code != want {
			t.Errorf("%.40q: %d %s", body, w.Code, w.Body)
		}
	}
}

// Whoever has used up what it may send, or was refused lately, stands in the status.
func TestStatusNamesTheCapped(t *testing.T) {
	w := operator.New(t)
	ctx := t.Context()
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := w.AccountAdd(ctx, operate.Self(), operate.AccountAdd{Address: a, Password: "correct horse battery", Role: "person"})
		operator.Check(t, err)
	}
	c := w.Ledger.Charge(ledger.Account(operator.Address(t, "alice@local.test")))
	for range 6 {
		c.Take(1, budget.Limits{Hour: 5, Day: 9})
	}
	operator.Check(t, c.Keep(ctx, store.Durable))
	c.Done()
	s, err := w.Status(ctx, operate.Self(), struct{}{})
	operator.Check(t, err)
	if len(s.Capped) != 1 || s.Capped[0].Address != "alice@local.test" || s.Capped[0].Used.Hour != 5 || s.Capped[0].Refused.IsZero() {
		t.Errorf("capped: %+v", s.Capped)
	}
}

// The status tells of the oldest message that is not held, of the disk and of what the
// server knows of itself; what cannot be read is left out.
func TestHealth(t *testing.T) {
	w := operator.New(t)
	if s, err := w.Status(t.Context(), operate.Self(), struct{}{}); err != nil || !reflect.DeepEqual(s.Health, operate.Health{}) {
		t.Errorf("of nothing: %+v, %v", s.Health, err)
	}
	held := w.Put(t, "alice@local.test")
	time.Sleep(2 * time.Millisecond)
	began := time.Now()
	w.Put(t, "bob@local.test")
	_, err := w.QueueHold(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{IDs: []string{held.String()}}, Reason: "test"})
	operator.Check(t, err)
	ends, signs := time.Now().Add(time.Hour), &operate.ReturnPath{}
	w.With(func(o *operate.Options) {
		o.Data, o.Certificate = t.TempDir(), func() *x509.Certificate { return &x509.Certificate{NotAfter: ends} }
	})
	w.With(func(o *operate.Options) {
		o.Obtained, o.ReturnPath = func() *operate.Obtained { return &operate.Obtained{Authority: "ca"} }, func() (*operate.ReturnPath, error) { return signs, nil }
	})
	s, err := w.Status(t.Context(), operate.Self(), struct{}{})
	h := s.Health
	if err != nil || h.Oldest.Before(began.Truncate(time.Millisecond)) || h.DiskTotal == 0 || !h.CertificateExpires.Equal(ends) || h.Obtained == nil || h.ReturnPath != signs {
		t.Errorf("%+v, %v", h, err)
	}
	w.With(func(o *operate.Options) { o.DiskLow = func() bool { return true } })
	if s, err := w.Status(t.Context(), operate.Self(), struct{}{}); err != nil || h.DiskLow || !s.Health.DiskLow {
		t.Errorf("a disk that is low: %v, then %+v, %v", h.DiskLow, s.Health, err)
	}
	w.With(func(o *operate.Options) { o.Certificate = func() *x509.Certificate { return nil } })
	w.With(func(o *operate.Options) {
		o.ReturnPath = func() (*operate.ReturnPath, error) { return nil, errors.New("damaged") }
	})
	if s, err := w.Status(t.Context(), operate.Self(), struct{}{}); err != nil || !s.Health.CertificateExpires.IsZero() || s.Health.ReturnPath != nil {
		t.Errorf("%+v, %v", s.Health, err)
	}
}

// guessedAt is what alice's account was tried with.
type guessedAt struct{ told, of int }

func (g *guessedAt) report(account string) guess.Report {
	r := guess.Report{Account: account, Wrong: 10, Refused: 200}
	for n := range 4 {
		r.Sources = append(r.Sources, guess.Source{Network: netip.MustParsePrefix(fmt.Sprintf("192.0.%d.0/24", n)), Tries: 9 - n})
	}
	return r
}

func (g *guessedAt) GuessedAt(a mail.Address) (guess.Report, bool) {
	return g.report(a.String()), a.String() == "alice@local.test"
}

func (g *guessedAt) AllGuessedAt(most int) (first []guess.Report, of int) {
	for n := range min(most, g.of) {
		first = append(first, g.report(fmt.Sprint("a", n, "@local.test")))
	}
	return first, g.of
}

func (g *guessedAt) GuessingBegun() []guess.Report {
	g.told++
	if g.told > 1 {
		return nil
	}
	return []guess.Report{g.report("alice@local.test")}
}

// An operator sees who is guessed at, in the status and at the account, and no more of them than
// he can read.
func TestGuessesAreShown(t *testing.T) {
	w := operator.New(t)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := w.AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: a, Password: "correct horse battery", Role: "person"})
		operator.Check(t, err)
	}
	show := func(a string) *guess.Report {
		v, err := w.AccountShow(t.Context(), operate.Self(), operate.AccountRef{Address: a})
		operator.Check(t, err)
		return v.Guessed
	}
	if s, err := w.Status(t.Context(), operate.Self(), struct{}{}); err != nil || s.Guessed != 0 || s.GuessedAt != nil || show("alice@local.test") != nil {
		t.Errorf("nobody knows: %+v, %v", s, err)
	}
	w.With(func(o *operate.Options) { o.Guesses = &guessedAt{of: 4096} })
	s, err := w.Status(t.Context(), operate.Self(), struct{}{})
	operator.Check(t, err)
	if s.Guessed != 4096 || len(s.GuessedAt) != 100 || s.GuessedAt[0].Account != "a0@local.test" {
		t.Errorf("%d of %d", len(s.GuessedAt), s.Guessed)
	}
	if r := show("alice@local.test"); r == nil || r.Refused != 200 {
		t.Errorf("alice: %+v", r)
	}
	if r := show("bob@local.test"); r != nil {
		t.Errorf("bob: %+v", r)
	}
}

func asRequest(t *testing.T) (device.Key, string) {
	t.Helper()
	k, err := device.NewKey(rand.Reader)
	operator.Check(t, err)
	text, err := k.Request(rand.Reader)
	operator.Check(t, err)
	return k, text
}

// operate.Status tells of certificates that end soon, unless another takes their place, and of an
// authority that cannot sign.
func TestStatusTellsOfEnds(t *testing.T) {
	w, by := operator.New(t), operate.Self()
	_, err := w.AccountAdd(t.Context(), by, operate.AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	operator.Check(t, err)
	health := func() operate.Health {
		t.Helper()
		s, err := w.Status(t.Context(), by, struct{}{})
		operator.Check(t, err)
		return s.Health
	}
	for name, days := range map[string]int{"phone": 29, "laptop": 10, "tablet": 31} {
		_, request := asRequest(t)
		_, err = w.CertIssue(t.Context(), by, operate.CertIssue{Account: "alice@local.test", Name: name, Request: request, Days: days})
		operator.Check(t, err)
	}
	if h := health(); h.Ending == nil || h.Ending.Certificates != 2 || h.Ending.First.Name != "laptop" || h.Authority != nil {
		t.Errorf("%+v, %+v", h.Ending, h.Authority)
	}
	for _, name := range []string{"phone", "laptop"} {
		_, request := asRequest(t)
		_, err = w.CertIssue(t.Context(), by, operate.CertIssue{Account: "alice@local.test", Name: name + "-2", Request: request, Replaces: name})
		operator.Check(t, err)
	}
	if h := health(); h.Ending != nil {
		t.Errorf("%+v", h.Ending)
	}
	operator.Check(t, os.Remove(w.Options.DeviceCA.KeyPath(1)))
	if h := health(); h.Authority == nil || !strings.Contains(h.Authority.KeyFault, "cert ca rollover") {
		t.Errorf("%+v", h.Authority)
	}
}

// A database that takes nothing is told of with why, and what cannot be told at present is named, while the rest is told.
func TestStatusTellsWhatItCan(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	if s, err := operate.Direct(w.Operator).Status(t.Context()); err != nil || s.Database != nil || len(s.Missing) != 0 {
		t.Errorf("of a sound one: %+v, %+v, %v", s.Database, s.Missing, err)
	}
	ails := &operate.Database{Since: time.Now(), Cause: "I/O error", Tries: 2, Last: "no"}
	w.With(func(o *operate.Options) {
		o.Database = func() *operate.Database { return ails }
		o.Notices = func(context.Context) (*notice.State, error) { return nil, errors.New("store: unavailable") }
		o.Webhook = func(context.Context) (*webhook.State, error) { return nil, errors.New("broken") }
	})
	s, err := operate.Direct(w.Operator).Status(t.Context())
	operator.Check(t, err)
	if s.Database == nil || s.Database.Cause != "I/O error" || s.Database.Tries != 2 || s.Accounts != 1 || s.Hostname != "mx.local.test" {
		t.Errorf("%+v, %+v", s.Database, s)
	}
	if len(s.Missing) != 2 || s.Missing[0].Why != "unavailable" || s.Missing[1].What != "of what the webhook was not told" {
		t.Errorf("missing: %+v", s.Missing)
	}
}
