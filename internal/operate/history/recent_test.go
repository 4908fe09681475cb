package history

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/mail"
)

func at(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The latest messages are kept whole, in whatever order their recipients come, and those of the
// beginning of a history tell nothing.
func TestTheLatestMessagesAreKeptWhole(t *testing.T) {
	l := DefaultLimits()
	l.Recent, l.Begun = 10, 30*time.Hour
	alice, bob := at(t, "alice@local.test"), at(t, "bob@local.test")
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, backwards := range []bool{false, true} {
		r := NewRecent(l)
		for k := range 40 {
			n := k
			if backwards {
				n = 39 - k
			}
			s := Sent{From: alice, To: []mail.Address{at(t, fmt.Sprintf("a%d@remote.test", n))}, At: begin.Add(time.Duration(n) * time.Hour), Of: fmt.Sprint("m", n)}
			if n%2 == 1 {
				s.From, s.Of = bob, ""
			}
			r.Add(s)
			if s.Of != "" {
				s.To, s.At = append(s.To, at(t, "second@remote.test")), s.At.Add(time.Second)
				r.Add(s)
			}
		}
		r.Add(Sent{From: alice, To: []mail.Address{bob}}) // nobody knows when
		got := r.Messages()
		if len(got[alice]) != 5 || len(got[bob]) != 5 {
			t.Fatalf("backwards %v: %v", backwards, got)
		}
		for n, s := range got[alice] {
			if len(s.To) != 2 || !s.At.Equal(begin.Add(time.Duration(30+2*n)*time.Hour)) {
				t.Errorf("%+v", s)
			}
		}
		if len(r.all)+len(r.alone) >= 2*l.Recent {
			t.Errorf("%d are held", len(r.all)+len(r.alone))
		}
	}
	r := NewRecent(l)
	r.Add(Sent{From: alice, To: []mail.Address{bob}, At: begin})
	r.Add(Sent{From: alice, To: []mail.Address{bob}, At: begin.Add(29 * time.Hour)})
	if got := r.Messages(); len(got) != 0 {
		t.Errorf("the beginning tells what is normal: %v", got)
	}
}
