package guess

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/screen"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) time.Time { return begin.Add(d) }

// long is when everything has filled up after a start.
const long = 48 * time.Hour

func ip(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}) }

const alice = "alice@local.test"

func fresh() *Limiter { return New(DefaultLimits(), begin) }

func stranger(account string, n int) Attempt { return Attempt{Account: account, From: ip(n)} }

// judged counts how many of n wrong passwords are judged.
func judged(g *Limiter, n int, of func(int) (Attempt, time.Duration)) (yes int, last Verdict) {
	for i := range n {
		a, t := of(i)
		if last = g.Begin(a, at(t)); last.Judge() {
			yes++
		}
	}
	return yes, last
}

// 10,000 passwords for one account from 1,000 networks in 10 minutes: ten, and what the
// reserve says.
func TestAtMostTenGuessesInTenMinutesWhateverTheSources(t *testing.T) {
	g := fresh()
	n, last := judged(g, 10_000, func(i int) (Attempt, time.Duration) {
		return stranger(alice, i%1000), long + time.Duration(i)*60*time.Millisecond
	})
	if n < 10 || n > 10+5 {
		t.Errorf("%d passwords were judged, want 10 and at most 5 of the reserve", n)
	}
	if last.OK || last.Rule != RuleAccount || last.Wait <= 0 || last.Evidence == "" {
		t.Errorf("%+v", last)
	}
	now := at(long + 10*time.Minute)
	for _, owner := range []Attempt{{Account: alice, From: ip(5000), Known: true}, {Account: alice, From: ip(1), Device: "cert7"}, {Account: "bob@local.test", From: ip(5000)}} {
		if v := g.Begin(owner, now); !v.Judge() {
			t.Errorf("locked out by others' guesses: %+v: %s: %s", owner, v.Rule, v.Evidence)
		}
	}
}

// Today's attack: whenever the account's rate gives one, somebody takes it. The owner gets in
// from a network that has not tried, for weeks, and the one who guesses gains two tries a day.
func TestATrickleOfGuessesLocksNobodyOutForGood(t *testing.T) {
	g := fresh()
	taken, tries := 0, 0
	const days = 14
	for s := range days * 24 * 3600 / 20 {
		now := at(long + time.Duration(s)*20*time.Second)
		if g.Begin(stranger(alice, 1), now).Judge() {
			taken++
		}
		if s%1250 != 1249 { // the owner travels, and tries from a new network about each seven hours
			continue
		}
		tries++
		v := g.Begin(stranger(alice, 1000+tries), now)
		if !v.Judge() {
			t.Fatalf("try %d: %s: %s", tries, v.Rule, v.Evidence)
		}
		g.Forgive(v.Ticket, now)
	}
	if most := days*24*6*10 + 5 + days*2 + 2; taken > most {
		t.Errorf("%d guesses were judged in a fortnight, want at most %d", taken, most)
	}
}

// Whoever has used up the account's rate from his network has no try beside it from there.
func TestATryBesideTheRateIsForNetworksThatAreQuiet(t *testing.T) {
	g, now := fresh(), at(long)
	var rules []Rule
	for range 12 {
		rules = append(rules, g.Begin(stranger(alice, 1), now).Rule)
	}
	if got := fmt.Sprint(rules); got != "[within-rates within-rates within-rates within-rates within-rates beside-rates beside-rates signin-account-rate signin-account-rate signin-account-rate signin-account-rate signin-account-rate]" {
		t.Error(got)
	}
	if v := g.Begin(stranger("bob@local.test", 1), now); v.Rule != RuleWithin {
		t.Errorf("bob: %+v", v)
	}
	for n := range 10 { // many networks use up the reserve, and not more
		g.Begin(stranger(alice, 10+n), now)
	}
	if v := g.Begin(stranger(alice, 99), now); v.OK {
		t.Errorf("the reserve has no end: %+v", v)
	}
	if v := g.Begin(stranger(alice, 99), now.Add(13*time.Minute)); !v.Judge() {
		t.Errorf("it does not fill again: %+v", v)
	}
}

// One network, and networks beside each other, at many accounts.
func TestSprayingIsBoundedByNetwork(t *testing.T) {
	for what, c := range map[string]struct {
		from func(int) netip.Addr
		want int
	}{
		"one address":  {func(int) netip.Addr { return ip(1) }, 30},
		"one IPv4 /16": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 9, byte(i), 1}) }, 240},
		"one IPv6 /56": {func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 1, byte(i), 8: byte(i >> 8)})
		}, 30},
		"one IPv6 /48": {func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, byte(i), byte(i >> 8)})
		}, 60},
		"one IPv6 /32": {func(i int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(i >> 8), byte(i), byte(i)})
		}, 240},
	} {
		g := fresh()
		n, last := judged(g, 5000, func(i int) (Attempt, time.Duration) {
			return Attempt{Account: fmt.Sprint("user", i), From: c.from(i)}, long
		})
		if n != c.want || last.Rule != RuleNetwork {
			t.Errorf("%s: %d judged at once, want %d; last %+v", what, n, c.want, last)
		}
		if v := g.Begin(Attempt{Account: "user1", From: c.from(1), Known: true}, at(long)); !v.Judge() {
			t.Errorf("%s: an owner who is known there is locked out: %+v", what, v)
		}
	}
}

// Each account once from each of many networks: the rate of all, then its reserve.
func TestSprayingIsBoundedOverAll(t *testing.T) {
	g := fresh()
	n, last := judged(g, 50_000, func(i int) (Attempt, time.Duration) {
		return Attempt{Account: fmt.Sprint("user", i), From: netip.AddrFrom4([4]byte{byte(i), byte(i >> 8), 1, 1})}, long
	})
	if n != 1000+200 || last.Rule != RuleAll {
		t.Errorf("%d judged at once; last %+v", n, last)
	}
}

// What a network shares with its guesser is guarded as well.
func TestAKnownNetworkIsBoundedToo(t *testing.T) {
	g := fresh()
	n, last := judged(g, 600, func(i int) (Attempt, time.Duration) {
		return Attempt{Account: alice, From: ip(1), Known: true}, long + time.Duration(i)*time.Second
	})
	if n != 10 || last.Rule != RuleKnown {
		t.Errorf("%d judged, last %+v", n, last)
	}
	if v := g.Begin(Attempt{Account: alice, From: ip(2), Known: true}, at(long)); !v.OK {
		t.Error("one known network locked another one out")
	}
	if v := g.Begin(Attempt{Account: alice, From: ip(1), Device: "cert7"}, at(long)); !v.OK {
		t.Error("one known network locked a device out")
	}
	n, last = judged(g, 600, func(i int) (Attempt, time.Duration) {
		return Attempt{Account: fmt.Sprint("colleague", i), From: ip(3), Known: true}, long
	})
	if n != 30 || last.Rule != RuleShared {
		t.Errorf("%d judged at those who are known there, last %+v", n, last)
	}
}

// The same wrong password again is not judged, and uses up nothing of an account.
func TestTheSamePasswordAgainLocksNobodyOut(t *testing.T) {
	g := fresh()
	for _, a := range []Attempt{{Account: alice, From: ip(1), Repeat: true}, {Account: alice, From: ip(1), Repeat: true, Known: true}} {
		refused := 0
		for range 1000 {
			if v := g.Begin(a, at(long)); v.Judge() {
				t.Fatalf("%+v", v)
			} else if !v.OK {
				refused++
			}
		}
		if a.Known != (refused == 0) || !a.Known && refused != 700 {
			t.Errorf("%+v: %d refused", a, refused)
		}
	}
	for _, a := range []Attempt{stranger(alice, 1), stranger("bob@local.test", 1), {Account: alice, From: ip(1), Known: true}} {
		if v := g.Begin(a, at(long)); !v.Judge() {
			t.Errorf("%+v: %+v", a, v)
		}
	}
}

func TestAForgivenGuessCostsNothing(t *testing.T) {
	g := fresh()
	for _, a := range []Attempt{stranger(alice, 1), {Account: alice, From: ip(1), Known: true}, {Account: alice, From: ip(1), Device: "cert7"}} {
		for n := range 1000 {
			v := g.Begin(a, at(long))
			if !v.Judge() {
				t.Fatalf("%+v: guess %d: %+v", a, n, v)
			}
			g.Forgive(v.Ticket, at(long))
		}
	}
	g.Forgive(Ticket{}, at(long))
}

func TestLimitsOfZeroRefuse(t *testing.T) {
	g := New(Limits{}, begin)
	for _, a := range []Attempt{{Account: "a"}, {Account: "a", Known: true}, {Account: "a", Device: "d"}, {}, {Repeat: true}} {
		if v := g.Begin(a, at(long)); v.OK || v.Rule == RuleNone {
			t.Errorf("%+v", v)
		}
	}
	if v := (Verdict{}); v.OK || v.Judge() {
		t.Error("the zero verdict passes")
	}
}

// A start gives each account one guess, and all of them a tenth of a burst, however often
// somebody has the server started anew.
func TestARestartGivesNobodyABurst(t *testing.T) {
	g, total := fresh(), 0
	for i := range 40 {
		for n := range 100 {
			if g.Begin(stranger(alice, i*100+n), at(time.Duration(i)*10*time.Second)).Judge() {
				total++
			}
		}
		g = New(DefaultLimits(), at(time.Duration(i+1)*10*time.Second))
	}
	if total != 40*2 { // one of the rate, one of the reserve
		t.Errorf("%d guesses at an account in 40 starts", total)
	}
	n, _ := judged(g, 10_000, func(i int) (Attempt, time.Duration) {
		return Attempt{Account: fmt.Sprint("user", i), From: netip.AddrFrom4([4]byte{byte(i), byte(i >> 8), 1, 1})}, 400 * time.Second
	})
	if n != 100+20 {
		t.Errorf("%d guesses at all accounts after a start", n)
	}
}

func TestAdjustKeepsWhatWasCounted(t *testing.T) {
	g := fresh()
	for range 30 {
		g.Begin(stranger(alice, 1), at(long))
	}
	l := DefaultLimits()
	l.Account = screen.AtMost(2, time.Hour)
	l.Accounts = 1
	g.Adjust(l)
	if v := g.Begin(stranger(alice, 1), at(long+8*time.Minute)); v.OK {
		t.Errorf("%+v", v)
	}
	if g.limits.Accounts != DefaultLimits().Accounts {
		t.Error("the tables have shrunk")
	}
}

// However attempts are mixed and timed, whatever is forgiven, and whenever the server starts
// anew or its clock is set back: no account is guessed at more often than its rate and its reserve
// say, no known network either, and the owner's ways stay open.
func TestNoMixtureBeatsTheBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := DefaultLimits()
		l.Networks, l.Accounts = 8, 64 // small tables forget networks all the time
		g := New(l, begin)
		strangers, known := map[string][]time.Duration{}, map[string][]time.Duration{}
		starts := []time.Duration{0}
		var now, back time.Duration // back: how far the clock was set back, in all
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second
			switch rapid.IntRange(0, 60).Draw(t, "event") {
			case 0:
				g = New(l, at(now-back))
				starts = append(starts, now)
				continue
			case 1:
				back += time.Duration(rapid.IntRange(1, 3600).Draw(t, "set back")) * time.Second
				continue
			}
			a := Attempt{
				Account: rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "account"),
				From:    ip(rapid.IntRange(0, 300).Draw(t, "network")),
				Known:   rapid.IntRange(0, 3).Draw(t, "known") == 0,
				Repeat:  rapid.IntRange(0, 5).Draw(t, "repeat") == 0,
			}
			if a.Known {
				a.From = ip(rapid.IntRange(1000, 1002).Draw(t, "home"))
			}
			v := g.Begin(a, at(now-back))
			if a.Repeat && v.Judge() {
				t.Fatal("a password that is known to be wrong is judged")
			}
			if !v.Judge() {
				continue
			}
			if rapid.IntRange(0, 9).Draw(t, "right") == 0 {
				g.Forgive(v.Ticket, at(now-back))
				continue
			}
			if a.Known {
				k := fmt.Sprint(a.Account, a.From)
				known[k] = within(t, append(known[k], now), starts, 10)
				continue
			}
			strangers[a.Account] = within(t, append(strangers[a.Account], now), starts, 15)
			// The owner on a device of his own is never in the way of strangers.
			if o := g.Begin(Attempt{Account: a.Account, From: a.From, Device: "cert7"}, at(now-back)); !o.Judge() {
				t.Fatalf("the owner's device is locked out: %+v", o)
			} else {
				g.Forgive(o.Ticket, at(now-back))
			}
		}
	})
}

// within demands at most n guesses in any ten minutes, and three more for each start in them.
func within(t *rapid.T, all, starts []time.Duration, n int) []time.Duration {
	last := all[len(all)-1]
	for _, s := range starts {
		if s > last-10*time.Minute && s > 0 {
			n += 3
		}
	}
	if len(all) > n && last-all[len(all)-1-n] < 10*time.Minute {
		t.Fatalf("%d guesses in %v", n+1, last-all[len(all)-1-n])
	}
	return all
}
