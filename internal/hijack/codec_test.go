package hijack

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// known are states with figures in every field, written by hand so that no arithmetic
// decides what they are.
func known() (State, Site, Attribute) {
	s := State{high: noon.UnixNano(), age: 50 * time.Hour, begin: 5, claimed: 1 << 63, spent: 2.5, slow: patience{33.5, 4}}
	w := Site{high: noon.UnixNano(), age: 50 * time.Hour}
	a := Attribute{high: noon.UnixNano(), age: 50 * time.Hour, n: 7, s: 2, evidence: 9.5}
	for i := range s.shares {
		s.shares[i] = detector{n: float32(i + 10), s: float32(i) + 0.5, of: 4, odd: 3, evidence: [bets]float64{float64(i) + 0.25, 1e6}}
		w.n[i], w.s[i] = float64(i+3), float64(i)+0.125
	}
	for i := range s.paces {
		s.paces[i] = pace{n: float32(i), hours: 50, odd: 2, evidence: 101}
	}
	for i := range s.fresh {
		s.fresh[i].n[0], s.fresh[i].s[0], s.fresh[i].rate[1] = 3, 1.5, 2
		w.fresh[i], a.fresh[i] = s.fresh[i], [2]float32{2, 1}
	}
	for i := range s.left {
		s.left[i] = uint32(i)
	}
	a.accounts = [mostAccounts]Fingerprint{1, 2, 3}
	return s, w, a
}

// The stored form, octet by octet: it must never change, since older data must open.
func TestKnownAnswers(t *testing.T) {
	s, w, a := known()
	got := strings.Join([]string{hex.EncodeToString(s.Append(nil)), hex.EncodeToString(w.Append(nil)), hex.EncodeToString(a.Append(nil))}, "\n") + "\n"
	stored := func(file string) string {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got != stored("stored3.hex") {
		t.Fatalf("stored otherwise than by version 3:\n%s", got)
	}
	readsAs(t, strings.Fields(got), s, w, a)
	s.slow = patience{} // there was no second bet on a pace in version 2
	readsAs(t, strings.Fields(stored("stored2.hex")), s, w, a)
	s.paces[PlacePace-SitePace] = pace{} // nobody counted places in version 1
	readsAs(t, strings.Fields(stored("stored.hex")), s, w, a)
}

// readsAs holds what stored lines read as against what it is.
func readsAs(t *testing.T, lines []string, want ...any) {
	t.Helper()
	for i, restore := range []func([]byte) (any, error){
		func(b []byte) (any, error) { return Restore(b) }, func(b []byte) (any, error) { return RestoreSite(b) },
		func(b []byte) (any, error) { return RestoreAttribute(b) },
	} {
		b, err := hex.DecodeString(lines[i])
		if err != nil {
			t.Fatal(err)
		}
		if v, err := restore(b); err != nil || v != want[i] {
			t.Errorf("line %d: %v, %+v", i+1, err, v)
		}
	}
}

// What is stored reads as what was written, and nothing else reads.
func TestWhatIsWrittenIsRead(t *testing.T) {
	p := DefaultParams()
	rapid.Check(t, func(t *rapid.T) {
		s, _ := drawState(t, p)
		b := s.Append(nil)
		if got, err := Restore(b); err != nil || got != s {
			t.Fatalf("%v", err)
		}
		if len(b) > 1024 {
			t.Fatalf("%d octets", len(b))
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := Restore(b[:cut]); !errors.Is(err, ErrState) {
			t.Fatalf("%d of %d octets read", cut, len(b))
		}
		if _, err := Restore(append(b, 0)); !errors.Is(err, ErrState) {
			t.Fatal("an octet too many read")
		}
	})
}

func TestGarbageIsNoState(t *testing.T) {
	s, _, _ := known()
	for name, edit := range map[string]func(*State){
		"less evidence than none": func(s *State) { s.shares[1].evidence[0] = -1 },
		"endless evidence":        func(s *State) { s.shares[1].evidence[0] = 1e300 },
		"more odd than looked at": func(s *State) { s.shares[2].s = s.shares[2].n + 1 },
		"a bucket below empty":    func(s *State) { s.spent = -3 },
	} {
		bad := s
		edit(&bad)
		if _, err := Restore(bad.Append(nil)); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, w, a := known()
	w.s[0] = w.n[0] + 1
	if _, err := RestoreSite(w.Append(nil)); !errors.Is(err, ErrState) {
		t.Errorf("a site with more odd than looked at: %v", err)
	}
	_, w, _ = known()
	w.fresh[2].s[1] = w.fresh[2].n[1] + 1
	if _, err := RestoreSite(w.Append(nil)); !errors.Is(err, ErrState) {
		t.Errorf("the same of a slot: %v", err)
	}
	a.s = a.n + 1
	if _, err := RestoreAttribute(a.Append(nil)); !errors.Is(err, ErrState) {
		t.Errorf("an attribute with more odd than looked at: %v", err)
	}
	_, _, a = known()
	a.fresh[1][1] = a.fresh[1][0] + 1
	if _, err := RestoreAttribute(a.Append(nil)); !errors.Is(err, ErrState) {
		t.Errorf("the same of a slot: %v", err)
	}
	b := s.Append(nil)
	b[0]++
	if _, err := Restore(b); !errors.Is(err, ErrState) {
		t.Errorf("a later version: %v", err)
	}
}

// A thousand octets an account, so that a million accounts fit into a gigabyte.
func TestSizeInMemory(t *testing.T) {
	if n := unsafe.Sizeof(State{}); n > 1024 {
		t.Errorf("a state takes %d octets", n)
	}
	t.Logf("State %d, Site %d, Attribute %d octets", unsafe.Sizeof(State{}), unsafe.Sizeof(Site{}), unsafe.Sizeof(Attribute{}))
}

// Whatever is read is a state that can be used, or an error; and is written as it was.
func FuzzRestore(f *testing.F) {
	s, w, a := known()
	f.Add(s.Append(nil))
	f.Add(w.Append(nil))
	f.Add(a.Append(nil))
	f.Add(State{}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := DefaultParams()
		if s, err := Restore(b); err == nil {
			if string(s.Append(nil)) != string(b) && b[0] == stateVersion {
				t.Fatal("written otherwise")
			}
			if _, v := Advance(s, Submitted{At: noon, Recipients: Recipients{NewToSite: 500}}, old(p), p); v.Leave > p.Bounds.Burst || !(v.Odds >= 0) {
				t.Fatalf("%+v", v)
			}
			Merge(s, s)
		}
		if w, err := RestoreSite(b); err == nil && string(w.Append(nil)) != string(b) && b[0] == siteVersion {
			t.Fatal("a site is written otherwise")
		}
		if a, err := RestoreAttribute(b); err == nil && string(a.Append(nil)) != string(b) {
			t.Fatal("an attribute is written otherwise")
		}
	})
}
