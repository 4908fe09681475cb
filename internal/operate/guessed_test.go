package operate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/guess"
	"sallyport/internal/mail"
)

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
	w := newWorld(t)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := w.AccountAdd(t.Context(), root, AccountAdd{Address: a, Password: "correct horse battery", Role: "person"})
		check(t, err)
	}
	show := func(a string) *guess.Report {
		v, err := w.AccountShow(t.Context(), root, AccountRef{Address: a})
		check(t, err)
		return v.Guessed
	}
	if s, err := w.Status(t.Context(), root, struct{}{}); err != nil || s.Guessed != 0 || s.GuessedAt != nil || show("alice@local.test") != nil {
		t.Errorf("nobody knows: %+v, %v", s, err)
	}
	w.o.Guesses = &guessedAt{of: 4096}
	s, err := w.Status(t.Context(), root, struct{}{})
	check(t, err)
	if s.Guessed != 4096 || len(s.GuessedAt) != maxGuessed || s.GuessedAt[0].Account != "a0@local.test" {
		t.Errorf("%d of %d", len(s.GuessedAt), s.Guessed)
	}
	if r := show("alice@local.test"); r == nil || r.Refused != 200 {
		t.Errorf("alice: %+v", r)
	}
	if r := show("bob@local.test"); r != nil {
		t.Errorf("bob: %+v", r)
	}
}

// People are told once that somebody guesses, by a clock, in the log and by an alarm that names
// the account and the networks.
func TestGuessesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var told []fact.Fact
		fails := error(nil)
		g := &guessedAt{}
		op := New(Options{Guesses: g, Now: time.Now, Logger: slog.New(slog.NewTextHandler(&log, nil)), Write: func(_ context.Context, facts ...fact.Fact) error {
			told = append(told, facts...)
			return fails
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); op.WatchGuesses(ctx) }()
		time.Sleep(35 * time.Second)
		cancel()
		<-ended
		if g.told != 3 || len(told) != 1 || told[0].Kind != fact.KindAlarm || told[0].Rule != "password-guessing" || told[0].Account != "alice@local.test" || told[0].Count != 210 {
			t.Fatalf("asked %d times: %+v", g.told, told)
		}
		if s := log.String(); strings.Count(s, "level=WARN") != 1 || !strings.Contains(s, `account=alice@local.test wrong=10 refused=200 networks="192.0.0.0/24, 192.0.1.0/24, 192.0.2.0/24, and others"`) {
			t.Error(s)
		}
		g.told, fails = 0, errors.New("full")
		op.tellGuesses(t.Context())
		if !strings.Contains(log.String(), "fact not recorded") {
			t.Error(log.String())
		}
		New(Options{}).WatchGuesses(t.Context()) // nobody knows: it ends at once
	})
}
