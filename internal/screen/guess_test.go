package screen

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func network(n int) netip.Prefix {
	return Network(netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}))
}

// guess is one wrong password, judged if the rates allow it.
func guess(g *Guesses, q Guess, now time.Time) Verdict {
	v := g.Charge(q, now)
	if v.OK {
		g.Failed(q, now)
	}
	return v
}

// Row H24: 10,000 passwords for one account from 1,000 networks in 10 minutes.
func TestAtMostTenGuessesInTenMinutesWhateverTheSources(t *testing.T) {
	g := NewGuesses(DefaultGuessLimits())
	judged := 0
	for n := range 10_000 {
		now := at(time.Duration(n) * 60 * time.Millisecond)
		if guess(g, Guess{Account: "alice@local.test", Network: network(n % 1000)}, now).OK {
			judged++
		}
	}
	if judged != 10 {
		t.Errorf("%d passwords were judged, want 10", judged)
	}
	owner := Guess{Account: "alice@local.test", Network: network(5000), Known: true}
	if v := g.Allow(owner, at(10*time.Minute)); !v.OK {
		t.Errorf("the owner is locked out of a known network: %s: %s", v.Rule, v.Evidence)
	}
	stranger := g.Allow(Guess{Account: "alice@local.test", Network: network(5000)}, at(10*time.Minute))
	if stranger.OK || stranger.Rule != RuleGuessAccount || stranger.Reply.Code != 454 || stranger.Wait <= 0 || !strings.Contains(stranger.Evidence, "new networks") {
		t.Errorf("%+v", stranger)
	}
	if v := g.Allow(Guess{Account: "bob@local.test", Network: network(5000)}, at(10*time.Minute)); !v.OK {
		t.Errorf("bob is locked out by an attack on alice: %+v", v)
	}
}

func TestAKnownNetworkIsBoundedToo(t *testing.T) {
	g := NewGuesses(DefaultGuessLimits())
	q := Guess{Account: "alice@local.test", Network: network(1), Known: true}
	judged := 0
	var last Verdict
	for n := range 600 {
		if last = guess(g, q, at(time.Duration(n)*time.Second)); last.OK {
			judged++
		}
	}
	if judged != 10 || last.Rule != RuleGuessKnown {
		t.Errorf("%d judged, last %+v", judged, last)
	}
	if v := g.Allow(Guess{Account: "alice@local.test", Network: network(2), Known: true}, at(0)); !v.OK {
		t.Error("one known network locked another one out")
	}
}

// One network that tries one password at each of many accounts.
func TestSprayingIsBoundedByNetwork(t *testing.T) {
	g := NewGuesses(DefaultGuessLimits())
	judged := 0
	var last Verdict
	for n := range 5000 {
		if last = guess(g, Guess{Account: fmt.Sprint("user", n), Network: network(1)}, at(0)); last.OK {
			judged++
		}
	}
	if judged != 30 || last.Rule != RuleGuessOfNetwork {
		t.Errorf("%d judged at once, last %+v", judged, last)
	}
	if v := g.Allow(Guess{Account: "user1", Network: network(1), Known: true}, at(0)); !v.OK {
		t.Error("an owner behind the same address is locked out")
	}
}

func TestAForgivenGuessCostsNothing(t *testing.T) {
	g := NewGuesses(DefaultGuessLimits())
	for _, known := range []bool{false, true} {
		q := Guess{Account: "alice@local.test", Network: network(1), Known: known}
		for n := range 1000 {
			if v := g.Charge(q, at(0)); !v.OK {
				t.Fatalf("known %v: guess %d: %+v", known, n, v)
			}
			g.Forgive(q, at(0))
		}
	}
}

func TestGuessLimitsOfZeroRefuse(t *testing.T) {
	g := NewGuesses(GuessLimits{})
	for _, known := range []bool{false, true} {
		if v := g.Charge(Guess{Account: "a", Known: known}, at(0)); v.OK || v.Reply.OK() || v.Rule == RuleNone {
			t.Errorf("%+v", v)
		}
	}
	if (Verdict{}).OK || (Verdict{}).Reply.OK() {
		t.Error("the zero verdict passes")
	}
}

// However guesses are mixed and timed, no account's strangers are judged more
// than ten times in ten minutes.
func TestNoMixtureBeatsTheAccountRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGuesses(DefaultGuessLimits())
		judged := map[string][]time.Duration{}
		var now time.Duration
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 90).Draw(t, "seconds")) * time.Second
			q := Guess{
				Account: rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "account"),
				Network: network(rapid.IntRange(0, 3).Draw(t, "network")),
				Known:   rapid.Bool().Draw(t, "known"),
			}
			if !guess(g, q, at(now)).OK || q.Known {
				continue
			}
			j := append(judged[q.Account], now)
			judged[q.Account] = j
			if len(j) > 10 && now-j[len(j)-11] <= 10*time.Minute {
				t.Fatalf("11 guesses at %s in %v", q.Account, now-j[len(j)-11])
			}
		}
	})
}
