package guess

import (
	"fmt"
	"testing"
	"time"
)

// Ten wrong passwords are guessing, and so is one that a rate refused; nine are mistakes. An hour
// without any ends it.
func TestWhoIsGuessedAt(t *testing.T) {
	tally := NewTally(DefaultTallyLimits())
	for n := range 9 {
		tally.Wrong(stranger(alice, n/3), at(time.Duration(n)*time.Minute))
	}
	if r, ok := tally.At(alice, at(9*time.Minute)); ok {
		t.Errorf("nine mistakes: %+v", r)
	}
	tally.Wrong(Attempt{Account: alice, From: ip(9), Known: true}, at(9*time.Minute))
	tally.Refused(stranger("bob", 1), at(10*time.Minute))
	r, ok := tally.At(alice, at(69*time.Minute-1))
	if !ok || r.Wrong != 10 || r.Refused != 0 || !r.Since.Equal(at(0)) || !r.Last.Equal(at(9*time.Minute)) ||
		len(r.Sources) != 4 || r.Sources[0].Tries != 3 || !r.Sources[3].Known {
		t.Errorf("%v %+v", ok, r)
	}
	if all := tally.All(at(10 * time.Minute)); len(all) != 2 || all[0].Account != alice || all[1].Account != "bob" || all[1].Refused != 1 {
		t.Errorf("%+v", all)
	}
	if r, ok := tally.At(alice, at(69*time.Minute)); ok {
		t.Errorf("after an hour: %+v", r)
	}
	tally.Wrong(stranger(alice, 1), at(2*time.Hour))
	if r, ok := tally.At(alice, at(2*time.Hour)); ok {
		t.Errorf("what was before counts: %+v", r)
	}
}

// Each account is told of once, and not more of them at once than people read.
func TestWhoIsToldOf(t *testing.T) {
	l := DefaultTallyLimits()
	l.Told = 3
	tally := NewTally(l)
	for n := range 5 {
		tally.Refused(stranger(fmt.Sprint("user", n), 1), at(0))
	}
	if b := tally.Begun(at(time.Minute)); len(b) != 3 {
		t.Errorf("%+v", b)
	}
	if b := tally.Begun(at(2 * time.Minute)); len(b) != 0 {
		t.Errorf("again: %+v", b)
	}
	for n := range 5 {
		tally.Refused(stranger(fmt.Sprint("user", n), 1), at(59*time.Minute))
	}
	if b := tally.Begun(at(62 * time.Minute)); len(b) != 2 {
		t.Errorf("the others, an hour later: %+v", b)
	}
	tally.Refused(stranger("user0", 1), at(3*time.Hour))
	if b := tally.Begun(at(3 * time.Hour)); len(b) != 1 || b[0].Account != "user0" {
		t.Errorf("after a quiet time: %+v", b)
	}
}

// Few tries at very many accounts do not hide many at one.
func TestManyTriesAreNotForgotten(t *testing.T) {
	tally := NewTally(DefaultTallyLimits())
	for n := range 50 {
		tally.Refused(stranger(alice, n), at(0))
	}
	for n := range 20_000 {
		tally.Refused(stranger(fmt.Sprint("user", n), 1), at(time.Minute))
	}
	r, ok := tally.At(alice, at(time.Minute))
	if !ok || r.Refused != 50 || len(r.Sources) != 16 || r.Others != 34 {
		t.Errorf("%v %+v", ok, r)
	}
	if len(tally.accounts) > 4096 {
		t.Errorf("%d are remembered", len(tally.accounts))
	}
}
