package accounts

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// cheapLimits hash in microseconds, so that tests can hash often.
func cheapLimits() Limits {
	l := DefaultLimits()
	l.HashMemory, l.HashPasses, l.ScramRounds = 64, 1, minScramRounds
	return l
}

// laxLimits never refuse for guessing too often.
func laxLimits() Limits {
	l := cheapLimits()
	most := screen.Rate{Burst: 1 << 20, Every: 1}
	g := &l.Guesses
	g.Account, g.All, g.Known, g.Shared, g.Network, g.Repeat, g.Start, g.StartKnown, g.StartShare = most, most, most, most, most, most, most.Burst, most.Burst, 1
	return l
}

type fixture struct {
	*Identity
	st    store.Store
	clock *clock
	log   *bytes.Buffer
}

func open(t testing.TB, st store.Store, o Options) *fixture {
	t.Helper()
	f := &fixture{st: st, clock: newClock(), log: &bytes.Buffer{}}
	// What a start holds back has come by the time that tests begin.
	f.clock.advance(-24 * time.Hour)
	defer f.clock.advance(24 * time.Hour)
	o.Now, o.Logger = f.clock.Now, slog.New(slog.NewTextHandler(f.log, nil))
	if o.Mechanisms == nil {
		o.Mechanisms = KnownMechanisms()
	}
	id, err := Open(context.Background(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	f.Identity = id
	return f
}

func fresh(t testing.TB, l Limits) *fixture { return open(t, mem.New(), Options{Limits: l}) }

const alicePassword = "wonderland & looking-glass"

// withAlice has alice@local.test, and bob@local.test with another password.
func withAlice(t testing.TB, l Limits) *fixture {
	t.Helper()
	f := fresh(t, l)
	f.add(t, "alice@local.test", alicePassword)
	f.add(t, "bob@local.test", "builder builder builder")
	return f
}

func (f *fixture) add(t testing.TB, who, password string) Account {
	t.Helper()
	a, err := f.Add(context.Background(), address(t, who), password, Sending{Role: RolePerson}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func address(t testing.TB, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// peerAt is a peer behind TLS that exports no keys: there is nothing to bind to.
func peerAt(ip string) Peer {
	return Peer{Remote: netip.MustParseAddr(ip), TLS: &tls.ConnectionState{Version: tls.VersionTLS12}, For: ScopeSend}
}

// peerN is one of many peers, each in a network of its own.
func peerN(n int) Peer { return peerAt(fmt.Sprintf("10.%d.%d.1", n>>8&255, n&255)) }

func home() Peer { return peerAt("192.0.2.7") }

func (f *fixture) signIn(user, password string, p Peer) error {
	_, err := f.SignIn(context.Background(), user, password, p)
	return err
}

// say plays the client's responses and returns the replies as a session shows them.
func say(f *Identity, p Peer, mech string, responses ...[]byte) (transcript string, x *Exchange) {
	x, err := f.Begin(mech, p)
	if err != nil {
		return Reply(err).String(), nil
	}
	var lines []string
	for _, r := range responses {
		challenge, done, err := x.Next(context.Background(), r)
		if done {
			lines = append(lines, Reply(err).String())
			break
		}
		lines = append(lines, "334 "+string(challenge))
	}
	return strings.Join(lines, "\n"), x
}

// lines makes responses of strings.
func lines(s ...string) [][]byte {
	var out [][]byte
	for _, l := range s {
		out = append(out, []byte(l))
	}
	return out
}

func ruleOf(err error) Rule {
	var e *SignInError
	if !errors.As(err, &e) {
		return RuleNone
	}
	return e.Rule
}

// wantFailure checks the sentinel and the rule of a refusal.
func wantFailure(t testing.TB, what string, err, want error, rule Rule) {
	t.Helper()
	if !errors.Is(err, want) || ruleOf(err) != rule {
		t.Errorf("%s: %v; want %v by %s", what, err, want, rule)
	}
}
