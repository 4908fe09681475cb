package flood

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/mail"
)

func box(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A mailbox gets so many within any hour, half of them at once, and others are not kept waiting by it.
func TestTheGauge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := DefaultLimits()
	g := NewGauge(l, func() time.Time { return now })
	alice, bob := []mail.Recipient{{Address: box(t, "alice@local.test")}}, []mail.Recipient{{Address: box(t, "bob@local.test")}}
	passed := func(to []mail.Recipient, tries int) (n int) {
		for range tries {
			if g.Passes(to) {
				n++
			}
		}
		return n
	}
	if n := passed(alice, 1000); n != l.First/2 {
		t.Errorf("%d at once", n)
	}
	if n := passed(bob, 1); n != 1 {
		t.Error("another mailbox is kept waiting")
	}
	if passed(append(bob, alice...), 1) != 0 {
		t.Error("a bounce to both passes")
	}
	hour := 0
	for range 60 {
		now = now.Add(time.Minute)
		hour += passed(alice, 100)
	}
	if hour > l.First || hour == 0 {
		t.Errorf("%d in the hour that follows", hour)
	}
	select {
	case <-g.wake:
	default:
		t.Error("nobody is told that something is held")
	}
}

// A digest is due when the flood has ended, or every so often while it lasts, and not twice within that.
func TestWhatADigestSays(t *testing.T) {
	c := Counts{Box: box(t, "postmaster@local.test"), All: 9, Fresh: 7, First: time.Unix(0, 0), Last: time.Unix(3600, 0)}
	for n := range 5 {
		c.Add(fmt.Sprintf("192.0.2.%d", n%4), bounce.Found{Failed: []bounce.Failure{{Domain: box(t, "x@far.test").Domain(), Status: "5.1.1"}, {Status: "9.x"}}})
	}
	c.Add("", bounce.Found{})
	text := c.Text(2)
	for _, want := range []string{"7 bounces came", "Of them 6 were read", "       2  192.0.2.0\n", "       3  3 others\n", "       5  5.1.1 no such mailbox\n", "       5  far.test\n", "9 bounces held", "queue rm --held --sender '<>' --recipient postmaster@local.test"} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
	for received, want := range map[string]string{
		"from far.test ([192.0.2.7]) by mx.local.test with ESMTP id 1":                              "192.0.2.7",
		"from [192.0.2.9] (hello x?by?y) by mx.local.test with ESMTP id 1":                          "192.0.2.9",
		"from [192.0.2.1] ([IPv6:2001:db8::1])\r\n\tby mx.local.test with ESMTP id 1 for <a@[1.2]>": "2001:db8::1",
		"from by ([192.0.2.8]) by mx.local.test with ESMTP id 1":                                    "192.0.2.8", "by mx.local.test with ESMTP id 1": "", "": "", "from [ by x": "",
	} {
		if got := remoteOf(received); got != want {
			t.Errorf("%q was brought by %q, want %q", received, got, want)
		}
	}
}
