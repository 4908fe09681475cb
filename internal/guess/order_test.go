package guess

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// stretch is the life of one process, as the clock tells it.
type stretch struct {
	passed time.Duration // on a clock that is set back and forth: what it went forward
	wrong  int           // passwords at alice's account that were judged from networks new to it, and were wrong
	known  int           // the same from one network that is known to it, where somebody else guesses
}

// No order of guesses, good sign-ins, networks, restarts and jumps of the clock has more passwords
// judged than the rates say: after a start one guess, one beside and what time brings, whatever
// was counted before. And whatever others do, the owner is judged on a device and in a network of
// his own in which nobody guesses.
func TestNoOrderGivesMoreGuesses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := DefaultLimits()
		now := begin
		g, life := New(l, now), stretch{}
		owner := []Attempt{{Account: alice, From: ip(9000), Device: "cert1"}, {Account: alice, From: ip(9001), Known: true}}
		guesser := Attempt{Account: alice, From: ip(9002), Known: true} // in a network that both are in
		check := func() {
			main := l.Start + int(life.passed/l.Account.Every)
			beside := l.Start + int(life.passed/l.Reserve.Every)
			if life.wrong > main+beside {
				t.Fatalf("%d guesses were judged within %v of a start, and the rates give %d and %d", life.wrong, life.passed, main, beside)
			}
			if most := l.StartKnown + int(life.passed/l.Known.Every); life.known > most {
				t.Fatalf("%d guesses were judged from a known network within %v of a start, and its rate gives %d", life.known, life.passed, most)
			}
		}
		tick := func(d time.Duration) {
			now = now.Add(d)
			life.passed += max(0, d)
		}
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"guess": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "guesses") {
					if g.Begin(stranger(alice, rapid.IntRange(0, 40).Draw(t, "network")), now).Judge() {
						life.wrong++
					}
				}
			},
			"guess at others": func(t *rapid.T) {
				for n := range rapid.IntRange(1, 30).Draw(t, "guesses") {
					g.Begin(stranger("bob@local.test", n), now)
				}
			},
			"guess where the owner is at home": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "guesses") {
					if g.Begin(guesser, now).Judge() {
						life.known++
					}
				}
			},
			"a right password from a new network": func(t *rapid.T) {
				v := g.Begin(stranger(alice, rapid.IntRange(0, 40).Draw(t, "network")), now)
				// It takes a while to be judged, and the clock may be set meanwhile.
				tick(time.Duration(rapid.IntRange(-5, 5).Draw(t, "seconds")) * time.Second)
				if v.OK {
					g.Forgive(v.Ticket, now)
				}
			},
			"the owner on his own": func(t *rapid.T) {
				a := owner[rapid.IntRange(0, 1).Draw(t, "which")]
				v := g.Begin(a, now)
				if !v.Judge() {
					t.Fatalf("the owner is locked out of %+v: %s, %s", a, v.Rule, v.Evidence)
				}
				g.Forgive(v.Ticket, now)
			},
			"time":       func(t *rapid.T) { tick(time.Duration(rapid.IntRange(0, 900).Draw(t, "seconds")) * time.Second) },
			"clock back": func(t *rapid.T) { tick(-time.Duration(rapid.IntRange(1, 1_000_000).Draw(t, "seconds")) * time.Second) },
			"restart": func(*rapid.T) {
				g, life = New(l, now), stretch{}
			},
		})
	})
}
