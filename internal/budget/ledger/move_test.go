package ledger_test

import (
	"errors"
	"testing"

	"sallyport/internal/budget/ledger"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// moving makes one act of moving an account's counts, which ends in an error of the store.
func moving(t *testing.T, st store.Store, l *ledger.Ledger, from, to string, ends error) {
	t.Helper()
	tx, done, err := store.Tx{}.With(t.Context(), l.Moving(addr(t, from), addr(t, to)))
	must(t, err)
	if ends == nil || errors.Is(ends, store.ErrInDoubt) {
		_, err = st.Apply(t.Context(), tx, store.Durable)
		must(t, err)
	}
	must(t, done(ends))
}

// What an account and its forward have used counts under its other address, and whoever gets
// the former one begins with nothing, also after a crash.
func TestCountsFollowARenamedAccount(t *testing.T) {
	st, c := mem.New(), &clock{}
	l := open(t, st, c)
	target := addr(t, "a@remote.test")
	alice, smith, bob := addr(t, "alice@local.test"), addr(t, "smith@local.test"), addr(t, "bob@local.test")
	spend(t, l, ledger.Account(alice), 60)
	spend(t, l, ledger.Forward(alice, target), 5)
	spend(t, l, ledger.Account(bob), 7)
	spend(t, l, ledger.Account(smith), 2) // of somebody who is gone
	moving(t, st, l, "alice@local.test", "smith@local.test", nil)
	for _, at := range []string{"at once", "after a crash"} {
		for name, want := range map[ledger.Line]int{
			ledger.Account(alice): 0, ledger.Account(smith): 60, ledger.Forward(alice, target): 0, ledger.Forward(smith, target): 5, ledger.Account(bob): 7,
		} {
			if got := l.Use(name); got.Hour != want || got.Day != want {
				t.Errorf("%s, %v: %+v, want %d", at, name, got, want)
			}
		}
		l = open(t, st, c)
	}
	spend(t, l, ledger.Account(smith), 1)
	if got := open(t, st, c).Use(ledger.Account(smith)); got.Hour != 61 {
		t.Errorf("counted on, %+v", got)
	}
}

// An act that failed moved nothing, and one in doubt gives nothing away; what is under way
// meanwhile is given back to whom it was taken from.
func TestCountsOfARenameThatFailed(t *testing.T) {
	for ends, want := range map[error][2]int{store.ErrUnavailable: {60, 0}, store.ErrInDoubt: {60, 60}, nil: {0, 60}} {
		st, c := mem.New(), &clock{}
		l := open(t, st, c)
		alice, smith := ledger.Account(addr(t, "alice@local.test")), ledger.Account(addr(t, "smith@local.test"))
		spend(t, l, alice, 60)
		under := l.Charge(alice)
		under.Take(9, limits)
		moving(t, st, l, "alice@local.test", "smith@local.test", ends)
		under.Release()
		if a, s := l.Use(alice), l.Use(smith); a.Hour != want[0] || s.Hour != want[1] {
			t.Errorf("%v: %+v and %+v, want %v", ends, a, s, want)
		}
		spend(t, l, alice, 1)
		if got := open(t, st, c).Use(alice); got.Hour != want[0]+1 {
			t.Errorf("%v: after a crash %+v", ends, got)
		}
	}
}
