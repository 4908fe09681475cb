package timing

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/mail"
)

// largeVar asks for the large form.
const largeVar = "SALLYPORT_TIMING"

// size is how many rounds there are, and what a password costs.
type size struct {
	least, most    int
	planted        float64 // as a part of the time; half of it is tolerated
	memory, passes uint32
}

func isLarge() bool { return os.Getenv(largeVar) != "" }

func sizeOf() size {
	if isLarge() {
		d := accounts.DefaultLimits()
		return size{400, 1200, 0.05, d.HashMemory, d.HashPasses}
	}
	return size{40, 200, 0.25, 1 << 10, 1}
}

// kind is a kind of attempts that are all refused with the same words.
type kind struct {
	name string
	user func(n int) string
	// right: it is the account's own password, which opens nothing.
	right bool
}

const nobody = "no such account" // what all others are held against

// kinds makes accounts of each kind.
func kinds(w *world) []kind {
	t, ctx := w.t, context.Background()
	alice, frozen, apps, only := w.add("alice@local.test"), w.add("frozen@local.test"), w.add("apps@local.test"), w.add("only@local.test")
	_, err := w.identity.Freeze(ctx, frozen, "test", nil)
	must(t, err)
	for n := range 8 {
		_, _, err := w.identity.AddApp(ctx, apps,
			accounts.AppPassword{Name: fmt.Sprint("device ", n), Scope: accounts.ScopeSend},
			func(accounts.Credential) [][]byte { return nil })
		must(t, err)
	}
	_, err = w.identity.SetPolicy(ctx, only, accounts.PolicyApp, false, nil)
	must(t, err)
	is := func(name string) func(int) string { return func(int) string { return name } }
	return []kind{
		{nobody, func(n int) string { return fmt.Sprintf("name%d@local.test", n%50) }, false},
		{"wrong password", is(alice.String()), false},
		{"frozen, wrong password", is(frozen.String()), false},
		{"frozen, right password", is(frozen.String()), true},
		{"with app passwords", is(apps.String()), false},
		{"app passwords only, right password", is(only.String()), true},
	}
}

// run lets all kinds take turns until each comparison with nobody is decided, or there were
// enough rounds. plant makes one kind take longer, by that part of the time.
func run(w *world, mechanism string, all []kind, s size, planted string, part float64) map[string]comparison {
	took := make([][]time.Duration, len(all))
	w.plant.Store(0)
	try := func(k kind, n int) time.Duration {
		typed := password
		if !k.right {
			typed = fmt.Sprintf("guess number %d %d", n, rand.Uint64())
		}
		return w.try(mechanism, k.user(n), typed)
	}
	var warm []time.Duration
	for n := range 20 {
		warm = append(warm, try(all[0], n))
	}
	usual, _, _ := quantileOf(warm)
	extra := int64(part * usual)
	result := map[string]comparison{}
	if isLarge() && usual < 2e6 {
		s.most *= 20 // what takes no hash costs little, and shows a machine's noise the more
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would fall into some attempts and not into others
	for n := 1; n <= s.most; n++ {
		runtime.GC()
		for _, i := range rand.Perm(len(all)) {
			w.plant.Store(0)
			if all[i].name == planted {
				w.plant.Store(extra)
			}
			took[i] = append(took[i], try(all[i], n))
		}
		if n < s.least || n%20 != 0 {
			continue
		}
		open := false
		for i, k := range all[1:] {
			result[k.name] = compare(took[i+1], took[0], s.planted/2)
			open = open || result[k.name].verdict == undecided
		}
		if !open {
			break
		}
	}
	w.t.Logf("%s: %d rounds of %d kinds, %v each in the median", mechanism, len(took[0]), len(all), slices.Sorted(slices.Values(took[0]))[len(took[0])/2].Round(time.Microsecond))
	return result
}

// By PLAIN, LOGIN and SCRAM, no kind of refused attempt takes longer than another: neither whether
// there is such an account, nor that it is frozen, nor that the password was right. The same run
// finds a difference that is planted.
func TestRefusalsTakeTheSameTime(t *testing.T) {
	s := sizeOf()
	l := limits(s.memory, s.passes)
	l.WrongFor = 1 // each attempt is judged, the right password of a frozen account too
	w := newWorld(t, l)
	all := kinds(w)
	for _, mechanism := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
		held(t, w, mechanism, all, s)
	}
}

// The same wrong password again is answered without a hash, and as fast for everybody.
func TestRepeatsTakeTheSameTime(t *testing.T) {
	s := sizeOf()
	w := newWorld(t, limits(s.memory, s.passes))
	all := kinds(w)
	for i := range all {
		all[i].right = true // the same one each time
	}
	all = slices.DeleteFunc(all, func(k kind) bool { return k.name == "wrong password" || k.name == "with app passwords" })
	for n := range 50 {
		for _, k := range all {
			w.try("PLAIN", k.user(n), password)
		}
	}
	held(t, w, "PLAIN", all, s)
}

// While strangers' guesses keep their pace, who has to wait tells nothing either: not who signed in
// from the network of whoever guesses, and with what standing. Here the guesses themselves make
// each other wait, about as long again as a hash takes. A processor does nothing meanwhile, so that
// only a clock can tell: the small form is that of package accounts, whose clock is feigned.
func TestTheWaitOfGuessesTakesTheSameTime(t *testing.T) {
	if !isLarge() {
		t.Skip("make timing")
	}
	s := sizeOf()
	l := limits(s.memory, s.passes)
	l.WrongFor, l.HashAtOnce, l.HashWrong, l.HashSpare = 1, 1, accounts.DefaultLimits().HashWrong, 1
	w := newWorld(t, l)
	all := slices.DeleteFunc(kinds(w), func(k kind) bool { return k.name == "app passwords only, right password" })
	known, gone := w.add("known@local.test"), w.add("gone@local.test")
	for _, a := range []mail.Address{known, gone} {
		_, err := w.identity.SignIn(t.Context(), a.String(), password, accounts.Peer{
			Remote: netip.MustParseAddr("127.0.0.1"), Partner: accounts.Partner{Secured: true},
			For: accounts.ScopeSend,
		})
		must(t, err)
	}
	_, err := w.identity.Freeze(t.Context(), gone, "test", nil)
	must(t, err)
	all = append(all, kind{"frozen, known here, right password", func(int) string { return gone.String() }, true},
		kind{"known here, wrong password", func(int) string { return known.String() }, false})
	held(t, w, "PLAIN", all, s)
}

// held holds every kind against nobody, and plants a difference.
func held(t *testing.T, w *world, mechanism string, all []kind, s size) {
	t.Helper()
	for name, c := range run(w, mechanism, all, s, "", 0) {
		t.Logf("  %s: %v", name, c)
		if c.verdict == unlike {
			t.Errorf("%s: the time tells %q from %q: %v", mechanism, name, nobody, c)
		}
		if c.verdict == undecided && isLarge() {
			t.Errorf("%s: %q: nothing is shown: %v", mechanism, name, c)
		}
	}
	planted := all[len(all)-1].name
	for _, on := range []string{planted, nobody} {
		c := run(w, mechanism, []kind{all[0], all[len(all)-1]}, s, on, s.planted)[planted]
		t.Logf("  planted at %q: %v", on, c)
		if c.verdict == alike || c.verdict == undecided && isLarge() {
			t.Errorf("%s: what was planted at %q was not found: %v", mechanism, on, c)
		}
	}
}
