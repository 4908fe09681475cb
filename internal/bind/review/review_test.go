package review

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

var epoch = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

// site is findings over a store, with a clock.
type site struct {
	*Findings
	t   *testing.T
	st  store.Store
	now time.Time
}

func open(t *testing.T, st store.Store, l Limits) *site {
	t.Helper()
	s := &site{t: t, st: st, now: epoch}
	var err error
	s.Findings, err = Open(t.Context(), st, Options{Limits: l, Now: func() time.Time { return s.now }, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

func ours(d mail.Domain) bool { return d.ASCII() == "local.test" }

// use has an account use a name in From, and writes what becomes durable with that.
func (s *site) use(account, name string, taken bool) (written int) {
	s.t.Helper()
	all := s.Used(addr(s.t, account), taken, ours, bind.Use{Where: bind.InFrom, Address: addr(s.t, name)})
	s.Keep(s.t.Context(), all)
	return len(all)
}

func (s *site) words() (all []string) {
	for _, f := range s.List(mail.Address{}) {
		all = append(all, fmt.Sprintf("%s %q %s %d %d %s %s", f.Account, f.Name, f.Where, f.Taken, f.Refused, f.First.Sub(epoch), f.Last.Sub(epoch)))
	}
	return all
}

func (s *site) want(what string, want ...string) {
	s.t.Helper()
	if got := s.words(); !reflect.DeepEqual(got, want) {
		s.t.Errorf("%s:\n%q, want\n%q", what, got, want)
	}
}

// Names are counted by account and place, ours whole and others by their domain, and what was
// written is there after a restart.
func TestFindingsAreCountedAndKept(t *testing.T) {
	st := mem.New()
	s := open(t, st, DefaultLimits())
	s.use("bob@local.test", "info@local.test", true)
	s.now = s.now.Add(time.Hour)
	s.use("bob@local.test", "INFO@local.test", true)
	s.use("alice@local.test", "x@bank.test", false)
	s.now = s.now.Add(time.Hour)
	s.use("alice@local.test", "y@bank.test", false)
	s.use("alice@local.test", "z@[192.0.2.1]", false)
	m := s.Used(addr(t, "bob@local.test"), true, ours, bind.Use{Where: bind.InEnvelope, Address: addr(t, "info@local.test")},
		bind.Use{Where: bind.InFrom, Address: addr(t, "info@local.test")}, bind.Use{Where: bind.InFrom, Address: addr(t, "Info@local.test")})
	if len(m) != 2 {
		t.Errorf("%d mutations of one message", len(m))
	}
	s.Keep(t.Context(), m)
	want := []string{
		`alice@local.test "@an address literal" From 0 1 2h0m0s 2h0m0s`,
		`alice@local.test "@bank.test" From 0 2 1h0m0s 2h0m0s`,
		`bob@local.test "info@local.test" envelope 1 0 2h0m0s 2h0m0s`,
		`bob@local.test "info@local.test" From 3 0 0s 2h0m0s`,
	}
	s.want("at once", want...)
	open(t, st, DefaultLimits()).want("after a restart", want...)
	if got := s.List(addr(t, "BOB@local.test")); len(got) != 2 {
		t.Errorf("of bob: %+v", got)
	}
}

// However many names there are: each account keeps so many, all together so many, and what
// there was no room for is counted together.
func TestFindingsAreBounded(t *testing.T) {
	s := open(t, mem.New(), Limits{PerAccount: 3, All: 5, Write: time.Minute})
	for i := range 10 {
		s.use("alice@local.test", fmt.Sprintf("n%d@local.test", i), true)
	}
	s.want("one account", `alice@local.test "" nowhere 7 0 0s 0s`, `alice@local.test "n0@local.test" From 1 0 0s 0s`,
		`alice@local.test "n1@local.test" From 1 0 0s 0s`, `alice@local.test "n2@local.test" From 1 0 0s 0s`)
	for _, account := range []string{"bob@local.test", "carol@local.test"} {
		for i := range 3 {
			s.use(account, fmt.Sprintf("n%d@local.test", i), true)
		}
	}
	if got := s.words(); len(got) != 4+3+1 || got[7] != `carol@local.test "" nowhere 3 0 0s 0s` {
		t.Errorf("%q", got)
	}
	if s.use("alice@local.test", "n1@local.test", true); s.count != 5 {
		t.Errorf("%d names are kept", s.count)
	}
	again := open(t, s.st0(), s.o.Limits)
	if !reflect.DeepEqual(again.words(), s.words()) || again.count != s.count {
		t.Errorf("after a restart: %q", again.words())
	}
	if n, err := s.Forget(t.Context(), addr(t, "alice@local.test")); n != 4 || err != nil || s.count != 2 {
		t.Errorf("%d forgotten, %v, %d left", n, err, s.count)
	}
	if s.use("carol@local.test", "n9@local.test", true); s.count != 3 {
		t.Error("the room that was made is not used")
	}
}

func (s *site) st0() store.Store { return s.st }

// Who tries the same refused name again and again has it written once in a minute; what is
// taken is written with each message.
func TestRefusedNamesAreWrittenSeldom(t *testing.T) {
	s := open(t, mem.New(), DefaultLimits())
	written := 0
	for range 120 {
		written += s.use("alice@local.test", "x@bank.test", false)
		s.now = s.now.Add(time.Second)
	}
	if written != 2 {
		t.Errorf("written %d times", written)
	}
	s.now = epoch // a clock that goes back must not silence it
	if n := s.use("alice@local.test", "x@bank.test", false); n != 1 {
		t.Errorf("written %d times", n)
	}
	for range 3 {
		if n := s.use("alice@local.test", "bob@local.test", true); n != 1 {
			t.Errorf("taken and written %d times", n)
		}
	}
}

// A name that a thief used first is no habit of the account: it is forgotten with the end of the incident, unless a
// person vouches that nothing was wrong. What the account used before stays, though it was used again.
func TestWhatAThiefUsedIsForgotten(t *testing.T) {
	st := mem.New()
	s := open(t, st, DefaultLimits())
	s.use("alice@local.test", "team@local.test", true)
	s.now = s.now.Add(time.Hour)
	since := s.now
	s.use("alice@local.test", "boss@local.test", true)
	s.use("alice@local.test", "team@local.test", true)
	s.use("bob@local.test", "boss@local.test", true)
	all := s.words()
	left := []string{`alice@local.test "team@local.test" From 2 0 0s 1h0m0s`, `bob@local.test "boss@local.test" From 1 0 1h0m0s 1h0m0s`}
	for _, end := range []struct {
		vouched bool
		err     error
		want    []string
	}{{true, nil, all}, {false, store.ErrConflict, all}, {false, nil, left}} {
		tx, done, err := store.Tx{}.With(t.Context(), s.Clearing(addr(t, "Alice@local.test"), since, end.vouched))
		must(t, err)
		if end.err == nil {
			_, err = st.Apply(t.Context(), tx, store.Durable)
			must(t, err)
		}
		must(t, done(end.err))
		s.want(fmt.Sprintf("after the end (%v, %v)", end.vouched, end.err), end.want...)
		open(t, st, DefaultLimits()).want("and a restart", end.want...)
	}
	if s.count != 2 {
		t.Errorf("%d names are kept", s.count)
	}
}

// What an account leaves behind is nobody's who comes after it.
func TestFindingsGoWithTheirAccount(t *testing.T) {
	st := mem.New()
	s := open(t, st, DefaultLimits())
	s.use("alice@local.test", "bob@local.test", true)
	s.use("alice@local.testing.test", "bob@local.test", true)
	share, err := s.Dropping(addr(t, "Alice@local.test"))(t.Context())
	must(t, err)
	must(t, share.Done(errors.New("it did not happen")))
	if len(s.words()) != 2 {
		t.Errorf("dropped without the account: %q", s.words())
	}
	_, err = st.Apply(t.Context(), store.Tx{Mutations: share.Mutations}, store.Durable)
	must(t, err)
	must(t, share.Done(nil))
	s.want("dropped", `alice@local.testing.test "bob@local.test" From 1 0 0s 0s`)
	open(t, st, DefaultLimits()).want("after a restart", `alice@local.testing.test "bob@local.test" From 1 0 0s 0s`)
	if n, err := s.Forget(t.Context(), mail.Address{}, []byte("fact")); n != 1 || err != nil || len(s.words()) != 0 || s.count != 0 {
		t.Errorf("%d forgotten, %v, %q", n, err, s.words())
	}
	if st.FactHead() != 1 {
		t.Errorf("%d facts", st.FactHead())
	}
}

type broken struct{ store.Store }

func (broken) Apply(context.Context, store.Tx, store.Durability) (store.Revision, error) {
	return 0, store.ErrUnavailable
}

// A disk that fails forgets nothing.
func TestForgettingThatFails(t *testing.T) {
	st := mem.New()
	s := open(t, st, DefaultLimits())
	s.use("alice@local.test", "bob@local.test", true)
	s.Findings.st = broken{st}
	if n, err := s.Forget(t.Context(), mail.Address{}); n != 0 || !errors.Is(err, store.ErrUnavailable) || len(s.words()) != 1 {
		t.Errorf("%d, %v, %q", n, err, s.words())
	}
}

// Known answers, and what does not read: it is left alone, and goes when all is forgotten.
func TestKnownFindings(t *testing.T) {
	f := Finding{addr(t, "alice@local.test"), "bob@local.test", bind.InResentFrom, 3, 1, epoch, epoch.Add(time.Hour)}
	for _, c := range []struct {
		f           Finding
		key, stored string
	}{
		{f, "binding/alice@local.test\x00Resent-From\x00bob@local.test", `{"v":1,"account":"alice@local.test","name":"bob@local.test","where":"Resent-From","taken":3,"refused":1,"first":"2026-11-29T09:00:00Z","last":"2026-11-29T10:00:00Z"}`},
		{Finding{Account: f.Account, Taken: 1, First: epoch, Last: epoch}, "binding/alice@local.test\x00nowhere\x00", `{"v":1,"account":"alice@local.test","taken":1,"first":"2026-11-29T09:00:00Z","last":"2026-11-29T09:00:00Z"}`},
	} {
		if got := string(c.f.key()); got != c.key {
			t.Errorf("kept under %q", got)
		}
		if got := string(c.f.encode()); got != c.stored {
			t.Errorf("kept as %s", got)
		}
		if back, err := decode([]byte(c.stored)); err != nil || back != c.f {
			t.Errorf("reads as %+v, %v", back, err)
		}
	}
	st := mem.New()
	for i, bad := range []string{"", "{}", `{"v":2,"account":"alice@local.test","name":"b@local.test","where":"From"}`, `{"v":1,"name":"b@local.test","where":"From"}`,
		`{"v":1,"account":"alice@local.test","name":"b@local.test"}`, `{"v":1,"account":"alice@local.test","where":"From"}`, string(f.encode())} {
		_, err := st.Apply(t.Context(), store.Tx{Mutations: []store.Mutation{{Key: store.SpaceBinding.Key(fmt.Appendf(nil, "%d", i)), Value: []byte(bad)}}}, store.Durable)
		must(t, err)
	}
	s := open(t, st, DefaultLimits())
	s.want("what does not read")
	if n, err := s.Forget(t.Context(), mail.Address{}); n != 7 || err != nil {
		t.Errorf("%d forgotten, %v", n, err)
	}
}
