package mtasts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// site is a domain with a record and a policy, which a test changes.
type site struct {
	t     *testing.T
	dns   *dnsx.Fake
	store store.Store

	mu      sync.Mutex
	now     time.Time
	policy  Policy
	err     error
	hang    map[string]bool
	fetched map[string]int
}

func newSite(t *testing.T) *site {
	p, err := ParsePolicy([]byte(goodPolicy))
	check(t, err)
	s := mem.New()
	t.Cleanup(func() { s.Close() })
	return &site{
		t: t, store: s, policy: p, now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), hang: map[string]bool{}, fetched: map[string]int{},
		dns: &dnsx.Fake{Texts: map[string][]string{"_mta-sts.x.test": {"v=STSv1; id=1;"}}, Failures: map[string]error{}},
	}
}

func (s *site) fetch(ctx context.Context, d mail.Domain) (Policy, error) {
	s.mu.Lock()
	s.fetched[d.ASCII()]++
	hang, p, err := s.hang[d.ASCII()], s.policy, s.err
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return Policy{}, &FetchError{Cause: CauseFetch, Err: context.Cause(ctx)}
	}
	return p, err
}

func (s *site) keeper(change func(*Limits)) *Keeper {
	s.t.Helper()
	l := DefaultLimits()
	if change != nil {
		change(&l)
	}
	k, err := New(s.t.Context(), Options{
		Resolver: s.dns, Fetch: s.fetch, Store: s.store, Limits: l, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { s.mu.Lock(); defer s.mu.Unlock(); return s.now },
	})
	check(s.t, err)
	return k
}

func (s *site) pass(d time.Duration) { s.set(func() { s.now = s.now.Add(d) }) }
func (s *site) set(fn func())        { s.mu.Lock(); defer s.mu.Unlock(); fn() }
func (s *site) count(d string) int   { s.mu.Lock(); defer s.mu.Unlock(); return s.fetched[d] }

func (s *site) record(text string) {
	s.dns.Change(func() {
		delete(s.dns.Texts, "_mta-sts.x.test")
		if text != "" {
			s.dns.Texts["_mta-sts.x.test"] = []string{text}
		}
	})
}

func (s *site) want(k *Keeper, fetches int, want string) {
	s.t.Helper()
	if got := show(k.Policy(s.t.Context(), domain(s.t, "x.test"))); got != want {
		s.t.Errorf("%s, want %s", got, want)
	}
	if n := s.count("x.test"); n != fetches {
		s.t.Errorf("fetched %d times, want %d", n, fetches)
	}
}

// refreshed waits until so many fetches were made, and what the last brought is kept.
func (s *site) refreshed(k *Keeper, fetches int) {
	s.t.Helper()
	s.eventually(func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return s.count("x.test") == fetches && len(k.flights) == 0
	})
}

// A policy holds until its end, whatever the DNS and the web server do meanwhile,
// and across restarts.
func TestALearntPolicyHolds(t *testing.T) {
	s := newSite(t)
	broken := &FetchError{Cause: CauseFetch, Err: errors.New("broken")}
	k := s.keeper(nil)
	s.want(k, 1, `enforce "1" -`)
	s.want(k, 1, `enforce "1" -`)
	s.set(func() { s.err = broken })
	k = s.keeper(nil) // a restart
	s.want(k, 1, `enforce "1" -`)
	s.record("")
	s.want(k, 1, `enforce "1" -`)
	s.record("v=STSv1; id=1; id")
	s.want(k, 1, `enforce "1" -`)
	s.dns.Change(func() { s.dns.Failures["TXT _mta-sts.x.test"] = dnsx.ErrTimeout })
	s.want(k, 1, `enforce "1" -`)
	s.dns.Change(func() { s.dns.Failures = nil })
	s.record("v=STSv1; id=2;")
	s.want(k, 2, `enforce "1" sts-policy-fetch-error`) // the new one can't be had
	s.want(k, 2, `enforce "1" sts-policy-fetch-error`) // and is not asked for at once again
	s.pass(6 * time.Minute)
	s.want(k, 3, `enforce "1" sts-policy-fetch-error`)
	s.pass(6 * 24 * time.Hour)
	s.want(k, 4, `enforce "1" sts-policy-fetch-error`)
	s.pass(24 * time.Hour) // its max_age is over
	s.want(k, 5, `unknown "" sts-policy-fetch-error`)
	s.set(func() { s.err = nil; s.policy.Mode = ModeTesting })
	s.pass(6 * time.Minute)
	s.want(k, 6, `testing "2" -`)
	s.record("")
	s.pass(8 * 24 * time.Hour)
	s.want(k, 6, `unknown "" -`)
}

// A changed id brings the new policy at once, one of mode none too.
func TestAChangedRecordIsFollowed(t *testing.T) {
	s := newSite(t)
	k := s.keeper(nil)
	s.want(k, 1, `enforce "1" -`)
	s.set(func() { s.policy = Policy{Mode: ModeNone, MaxAge: time.Hour} })
	s.record("v=STSv1; id=2;")
	s.want(k, 2, `none "2" -`)
	s.want(s.keeper(nil), 2, `none "2" -`)
}

// No record, a record that is none, and a DNS that does not answer: no policy, and
// nothing is fetched.
func TestNoPolicy(t *testing.T) {
	for _, record := range []string{"", "v=spf1 -all", "v=STSv1; id=?", "fails"} {
		s := newSite(t)
		s.record(record)
		if record == "fails" {
			s.dns.Failures["TXT _mta-sts.x.test"] = dnsx.ErrServer
		}
		s.want(s.keeper(nil), 0, `unknown "" -`)
	}
}

// An older policy is used at once and refreshed behind it; the sweep refreshes
// without any mail, and forgets what has ended.
func TestRefresh(t *testing.T) {
	s := newSite(t)
	k := s.keeper(nil)
	s.want(k, 1, `enforce "1" -`)
	s.pass(25 * time.Hour)
	k.Policy(t.Context(), domain(t, "x.test"))
	s.refreshed(k, 2)
	s.pass(6 * 24 * time.Hour)
	k.sweep(t.Context())
	if s.count("x.test") != 3 {
		t.Error("the sweep did not refresh")
	}
	s.pass(2 * time.Hour)
	k.sweep(t.Context())
	if s.count("x.test") != 3 {
		t.Error("a fresh policy was fetched again")
	}
	s.pass(6 * 24 * time.Hour) // valid thanks to the refresh
	s.set(func() { s.err = &FetchError{Cause: CauseFetch, Err: errors.New("broken")} })
	if got := show(k.Policy(t.Context(), domain(t, "x.test"))); got != `enforce "1" -` {
		t.Error(got)
	}
	s.record("")
	s.pass(2 * 24 * time.Hour)
	k.sweep(t.Context())
	if _, err := s.store.Get(t.Context(), entryKey(domain(t, "x.test"))); !errors.Is(err, store.ErrNotFound) {
		t.Error("an ended policy is still kept", err)
	}
}

// A policy that no mail asks for is let go.
func TestUnusedPoliciesAreNotRefreshed(t *testing.T) {
	s := newSite(t)
	s.policy.MaxAge = 365 * 24 * time.Hour
	k := s.keeper(nil)
	s.want(k, 1, `enforce "1" -`)
	s.pass(31 * 24 * time.Hour)
	k.sweep(t.Context())
	if got := show(k.Policy(t.Context(), domain(t, "x.test"))); got != `enforce "1" -` { // valid, and now used again
		t.Error(got)
	}
	s.refreshed(k, 2)
	s.pass(2 * 24 * time.Hour)
	k.sweep(t.Context())
	if s.count("x.test") != 3 {
		t.Error(s.count("x.test"))
	}
}

// A web server that hangs delays its own domain alone, for a bounded time, and one
// question is asked at a time.
func TestAHangingDomainDelaysNoOther(t *testing.T) {
	s := newSite(t)
	s.dns.Texts["_mta-sts.hang.test"] = []string{"v=STSv1; id=1;"}
	s.hang["hang.test"] = true
	k := s.keeper(func(l *Limits) { l.Fetch = time.Hour; l.Wait = 200 * time.Millisecond })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := show(k.Policy(t.Context(), domain(t, "hang.test"))); got != `unknown "" sts-policy-fetch-error` {
				t.Error(got)
			}
		})
	}
	s.want(k, 1, `enforce "1" -`)
	wg.Wait()
	if n := s.count("hang.test"); n != 1 {
		t.Errorf("fetched %d times at once", n)
	}
	if len(k.slots) != 1 {
		t.Errorf("%d fetches under way", len(k.slots))
	}
}

// Nothing grows beyond its bound.
func TestPoliciesAreBounded(t *testing.T) {
	s := newSite(t)
	k := s.keeper(func(l *Limits) { l.Entries, l.Failures, l.Fetches = 5, 5, 1 })
	for i := range 40 {
		d := "d" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".test"
		s.dns.Change(func() { s.dns.Texts["_mta-sts."+d] = []string{"v=STSv1; id=1;"} })
		s.set(func() {
			s.err = nil
			if i%2 == 1 {
				s.err = &FetchError{Cause: CauseInvalid, Err: errors.New("broken")}
			}
		})
		s.pass(time.Second)
		k.Policy(t.Context(), domain(t, d))
	}
	kept := 0
	check(t, k.each(t.Context(), func(mail.Domain, entry) { kept++ }))
	if kept != 5 || len(k.known) != 5 || len(k.failed) != 5 || len(k.order) != 5 {
		t.Errorf("kept %d, known %d, failed %d", kept, len(k.known), len(k.failed))
	}
	if len(s.keeper(nil).known) != 5 {
		t.Error("a restart counts otherwise")
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	if _, err := New(t.Context(), Options{}); err == nil {
		t.Error("accepted")
	}
}

func (s *site) eventually(fn func() bool) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); !fn(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("it does not happen")
		}
	}
}

// What we lack ourselves says nothing about a domain: it is told apart, it is not
// remembered against the domain, and a policy that is known holds on.
func TestOurOwnWantIsNoAnswer(t *testing.T) {
	ctx, d := t.Context(), domain(t, "x.test")
	for name, lack := range map[string]func(*site){
		"no files to fetch with":      func(s *site) { s.set(func() { s.err = &FetchError{Cause: CauseFetch, Err: syscall.EMFILE} }) },
		"no room among the questions": func(s *site) { s.dns.Change(func() { s.dns.Failures["TXT _mta-sts.x.test"] = dnsx.ErrExhausted }) },
		"no name server that answers": func(s *site) {
			s.dns.Change(func() { s.dns.Failures["TXT _mta-sts.x.test"] = fmt.Errorf("%w: %w", dnsx.ErrMute, dnsx.ErrTimeout) })
		},
	} {
		s := newSite(t)
		k := s.keeper(nil)
		lack(s)
		if f := k.Policy(ctx, d); f.Lack == nil || f.Err != nil || f.Policy.Mode != ModeUnknown {
			t.Errorf("%s: %+v", name, f)
		}
		s.set(func() { s.err = nil })
		s.dns.Change(func() { clear(s.dns.Failures) })
		if f := k.Policy(ctx, d); f.Lack != nil || f.Policy.Mode != ModeEnforce {
			t.Errorf("%s is over: %+v", name, f)
		}
		lack(s)
		s.record("v=STSv1; id=2;")
		if f := k.Policy(ctx, d); f.Lack != nil || f.Err != nil || f.Policy.Mode != ModeEnforce {
			t.Errorf("%s, with a policy known: %+v", name, f)
		}
	}
}

// Whoever waits for a turn to fetch has learnt nothing when his time is over.
func TestCrowdedFetchesAreNoAnswer(t *testing.T) {
	s := newSite(t)
	s.set(func() { s.hang["slow.test"] = true })
	s.dns.Change(func() { s.dns.Texts["_mta-sts.slow.test"] = []string{"v=STSv1; id=1;"} })
	k := s.keeper(func(l *Limits) { l.Fetches, l.Wait = 1, 50*time.Millisecond })
	if f := k.Policy(t.Context(), domain(t, "slow.test")); f.Lack != nil || f.Err == nil {
		t.Errorf("a policy host that does not answer: %+v", f)
	}
	if f := k.Policy(t.Context(), domain(t, "x.test")); !errors.Is(f.Lack, ErrCrowded) || f.Err != nil {
		t.Errorf("no turn to fetch: %+v", f)
	}
}

// A store that fails may keep a policy that demands something.
func TestAFailingStoreIsNoAnswer(t *testing.T) {
	s := newSite(t)
	k := s.keeper(nil)
	check(t, s.store.Close())
	if f := k.Policy(t.Context(), domain(t, "x.test")); f.Lack == nil {
		t.Errorf("%+v", f)
	}
}
