package server

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// inTime fails unless f is done in the time that a server may take for what one command asks.
func inTime(t *testing.T, what string, f func()) {
	t.Helper()
	began := time.Now()
	if f(); time.Since(began) > 10*time.Second {
		t.Errorf("%s took %v", what, time.Since(began))
	}
}

// Whoever writes to somebody decides what subjects and references his mailbox holds: none costs more
// than its length.
func TestHostileSubjectsAreCheap(t *testing.T) {
	const n = 200_000
	for _, c := range []struct{ text, base string }{
		{strings.Repeat("[a]", n) + "x", "X"},
		{strings.Repeat("[a]", n), "[A]"},
		{strings.Repeat("[a] re: ", n) + "x", "X"},
		{strings.Repeat("[fwd:", n) + "x" + strings.Repeat("]", n), "X"},
		{strings.Repeat("re[a]:", n) + strings.Repeat("[", n), strings.Repeat("[", n)},
		{"x" + strings.Repeat(" (fwd)", n), "X"},
	} {
		inTime(t, c.text[:20], func() {
			if base, _ := baseSubject(c.text); base != c.base {
				t.Errorf("%.40q…: %.40q", c.text, base)
			}
		})
	}
	for text, want := range map[string]string{
		"[a] [b] c": "C", "[a] re: [b] c": "C", "[a][b]": "[B]", "re: [a]": "[A]", "[a] [b] re: ": "",
		"[a] re": "RE", "re": "RE", "[a": "[A", "[fwd: [l] re: x] (fwd)": "X", "": "",
	} {
		if base, _ := baseSubject(text); base != want {
			t.Errorf("%q: %q, want %q", text, base, want)
		}
	}
}

func TestHostileReferencesAreCheap(t *testing.T) {
	const n = 20_000
	name := func(kind string, i int) string { return fmt.Sprint(kind, i) }
	shapes := map[string]func(i int) identity{
		"answers of one":         func(i int) identity { return identity{id: name("a", i), references: []string{"top"}} },
		"a line":                 func(i int) identity { return identity{id: name("a", i), references: []string{name("a", i-1)}} },
		"a line, the last first": func(i int) identity { return identity{id: name("a", n-i), references: []string{name("a", n-i-1)}} },
		"places without messages": func(i int) identity {
			id := identity{id: name("a", i)}
			for k := range maxReferences {
				id.references = append(id.references, name("p", i*(maxReferences-1)+k))
			}
			return id
		},
		"children that go": func(i int) identity {
			if i < n/2 {
				return identity{id: name("x", i), references: []string{"top", name("a", i)}}
			}
			return identity{id: name("a", i-n/2)}
		},
	}
	for shape, of := range shapes {
		inTime(t, shape, func() {
			l := newLinking(n)
			for i := range n {
				l.add(&node{place: i}, of(i))
			}
			if len(l.all) > 4*n+maxPlaces {
				t.Errorf("%s: %d nodes for %d messages", shape, len(l.all), n)
			}
			checkThreads(t, shape, n, gathered(roots(l.all)))
		})
	}
}

// checkThreads: every message stands in one place.
func checkThreads(t *testing.T, shape string, n int, tops []*node) {
	t.Helper()
	seen := make([]int, n)
	for todo := tops; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1:len(todo)-1], at.children...)
		if at.place >= 0 {
			seen[at.place]++
		}
	}
	for i, times := range seen {
		if times != 1 {
			t.Fatalf("%s: message %d stands in %d places", shape, i, times)
		}
	}
}

// Whatever refers to whatever, each message stands in one place.
func TestReferencesOfChance(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(12)
		l := newLinking(n)
		for i := range n {
			id := identity{}
			if r.IntN(5) > 0 {
				id.id = fmt.Sprint(r.IntN(10))
			}
			for range r.IntN(4) {
				id.references = append(id.references, fmt.Sprint(r.IntN(10)))
			}
			l.add(&node{place: i}, id)
		}
		checkThreads(t, fmt.Sprint("seed ", seed), n, gathered(roots(l.all)))
	}
}
