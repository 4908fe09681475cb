package visit

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Where every name is taken, or every password refused, a name that takes longer is found by its
// time; and where it takes no longer, nothing is. Each asks a bounded number of times, and guesses
// at no account but the auditor's own.
func TestTimesOfNames(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server *planted
		timed  bool
	}{
		"RCPT, slower":    {&planted{catchAll: true, slowName: 20 * time.Millisecond}, true},
		"RCPT, alike":     {&planted{catchAll: true}, false},
		"RCPT, in words":  {&planted{slowName: 20 * time.Millisecond}, false},
		"sign-in, slower": {&planted{signsIn: true, slowSignIn: 30 * time.Millisecond}, true},
		"sign-in, alike":  {&planted{signsIn: true}, false},
		"nobody signs in": {&planted{slowSignIn: 30 * time.Millisecond}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick(t)
			if strings.HasPrefix(name, "sign-in") || strings.HasPrefix(name, "nobody") {
				var err error
				if o.Account, err = mail.ParseAddress("me@example.test", mail.ASCII); err != nil {
					t.Fatal(err)
				}
			}
			r := audited(t, c.server.start(t), o)
			if got := slices.Contains(found(r), "timing"); got != c.timed {
				t.Errorf("found %q; timings %+v", found(r), r.Server.Doors[0].Timings)
			}
			if most := 2 * o.Limits.SignIns; c.server.guesses > most || c.server.signsIn != (c.server.guesses > 0) {
				t.Errorf("%d passwords were tried, at most %d", c.server.guesses, most)
			}
			if m := c.server.delivered(); len(m) > 0 {
				t.Errorf("it delivered %q", m)
			}
		})
	}
	// Without an account of one's own no password is tried.
	p := &planted{signsIn: true, slowSignIn: 30 * time.Millisecond}
	if r := audited(t, p.start(t), quick(t)); p.guesses > 0 || slices.Contains(found(r), "timing") {
		t.Errorf("%d passwords were tried of nobody's account", p.guesses)
	}
}

// What comes back for a name that nobody has is awaited at the auditor's own address, and shows
// that it would come to anybody. One message is sent, and none where names are refused.
func TestBouncesAreAwaited(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server   *planted
		listens  bool
		check    string // what is found of it; "": nothing
		messages int
	}{
		"bounces":                 {&planted{bounces: true}, true, "backscatter", 1},
		"takes all":               {&planted{catchAll: true}, true, "bounces.none", 1},
		"bounces, nobody listens": {&planted{bounces: true}, false, "bounces", 1},
		"refuses at the end":      {&planted{checksLate: true}, true, "bounces.late", 0},
		"refuses":                 {&planted{}, true, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick(t)
			o.Deliver, o.Limits.Await = []string{"auditor@elsewhere.test"}, 500*time.Millisecond
			if c.listens {
				o.Await = func(_ context.Context, mark string, most time.Duration) (string, string, bool) {
					for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
						if m := c.server.cameBack(mark); m != "" {
							to, _, _ := strings.Cut(m, "\n")
							return "", "returned to " + to, true
						}
					}
					return "", "", false
				}
			}
			r := audited(t, c.server.start(t), o)
			var checks []string
			for _, f := range r.Findings {
				if f.Check == "backscatter" || strings.HasPrefix(f.Check, "bounces") {
					checks = append(checks, f.Check)
				}
			}
			if want := strings.Fields(c.check); !slices.Equal(checks, want) {
				t.Errorf("found %q, want %q", checks, want)
			}
			// By an old form of address one more, to the auditor, where every name is taken.
			nobody := slices.DeleteFunc(slices.Clone(c.server.delivered()), func(m string) bool { return !strings.HasPrefix(m, "no-such-user-") })
			if len(nobody) != c.messages {
				t.Errorf("%d messages for nobody, want %d: %q", len(nobody), c.messages, nobody)
			}
			if f := r.Worst(); c.check == "backscatter" && f.String() != "HOLE" {
				t.Errorf("backscatter is %s", f)
			}
		})
	}
}

// cameBack is the first bounce that holds a mark, with its addressee in the first line.
func (p *planted) cameBack(mark string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.bounced {
		if strings.Contains(m, mark) {
			return m
		}
	}
	return ""
}
