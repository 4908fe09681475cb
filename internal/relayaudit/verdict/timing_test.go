package verdict

import (
	"math/rand/v2"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// times are n answers around a middle, with a few that are late for other reasons.
func times(r *rand.Rand, n int, around, spread time.Duration) (all []time.Duration) {
	for i := range n {
		d := around + time.Duration(r.NormFloat64()*float64(spread))
		if i%10 == 9 {
			d += 200 * time.Millisecond
		}
		all = append(all, max(d, 0))
	}
	return all
}

// What takes longer for names that are there is found through noise, in either direction; what does not is
// never called so in a thousand doors; and what is too little, or too few, says nothing.
func TestTimesTell(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		n                     int
		there, nobody, spread time.Duration
		tells                 bool
	}{
		"slower":            {40, 60 * ms, 50 * ms, 4 * ms, true},
		"faster":            {40, 2 * ms, 300 * ms, 20 * ms, true},
		"a few sign-ins":    {16, 200 * ms, 20 * ms, 10 * ms, true},
		"too few":           {11, 200 * ms, 20 * ms, ms, false},
		"too little":        {40, 50*ms + 800*time.Microsecond, 50 * ms, 10 * time.Microsecond, false},
		"a share too small": {40, 2050 * ms, 2000 * ms, ms, false},
	} {
		x := Timing{There: times(r, c.n, c.there, c.spread), Nobody: times(r, c.n, c.nobody, c.spread)}
		if there, nobody, tells := x.tells(); tells != c.tells {
			t.Errorf("%s: %v, %s and %s", name, tells, there, nobody)
		}
	}
	for range 1000 {
		x := Timing{There: times(r, 40, 20*ms, 15*ms), Nobody: times(r, 40, 20*ms, 15*ms)}
		if there, nobody, tells := x.tells(); tells {
			t.Fatalf("%s and %s are told apart", there, nobody)
		}
	}
	same := make([]time.Duration, 40)
	if _, _, tells := (Timing{There: same, Nobody: same}).tells(); tells {
		t.Error("answers that all took as long are told apart")
	}
}

// A refusal in other words tells a name as well as its time does.
func TestWordsOfASignIn(t *testing.T) {
	auth := func(code int, text string) Said {
		return Said{Verb: "auth", Sent: "AUTH PLAIN …", Outcome: "x", Reply: mail.R(code, "5.7.8", text)}
	}
	for name, c := range map[string]struct {
		there, nobody Said
		slower        time.Duration
		want          string
	}{
		"alike":            {auth(535, "no"), auth(535, "no"), 0, ""},
		"other words":      {auth(535, "wrong password"), auth(535, "unknown user"), 0, "auth.names"},
		"a session's name": {auth(535, "5.7.8 no - ab12-c3"), auth(535, "5.7.8 no - ff99-e0"), 0, ""},
		"an enhanced code": {auth(535, "5.7.8 no"), auth(535, "5.7.9 no"), 0, "auth.names"},
		"other code":       {auth(535, "no"), auth(550, "no"), 0, "auth.names"},
		"slower":           {auth(535, "no"), auth(535, "no"), 80 * time.Millisecond, "timing"},
	} {
		d := doorOf(t, form("A", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 550, "5.7.1", "no")))
		r := rand.New(rand.NewPCG(3, 4))
		d.Timings = []Timing{{Verb: "auth", There: times(r, 16, 20*time.Millisecond+c.slower, time.Millisecond), Nobody: times(r, 16, 20*time.Millisecond, time.Millisecond), Said: []Said{c.there, c.nobody}}}
		got := ""
		for _, f := range judged(t, d).Findings {
			if f.Check == "auth.names" || f.Check == "timing" {
				got = f.Check
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What came back for a name that nobody has is a hole; what did not, is none; and what was only
// taken can't be told.
func TestBounces(t *testing.T) {
	taken := rcpt("nobody@example.test", 250, "", "ok")
	whole := []Said{mailFrom("me@away.test", 250), taken, {Verb: "end", Sent: ".", Outcome: "250", Reply: mail.R(250, "2.0.0", "queued")}}
	sent := Bounce{From: "me@away.test", To: "nobody@example.test", Mark: "audit1", Said: whole, Whole: true}
	back, silent, refused := sent, sent, sent
	back.Awaited, back.Back = time.Minute, &Back{From: "", Subject: "Undelivered Mail Returned to Sender", After: 2 * time.Second}
	silent.Awaited = time.Minute
	refused.Whole = false
	refused.Said = []Said{whole[0], whole[1], {Verb: "end", Sent: ".", Outcome: "550", Reply: mail.R(550, "5.1.1", "nobody")}}
	later := refused
	later.Said = []Said{whole[0], whole[1], {Verb: "end", Sent: ".", Outcome: "451", Reply: mail.R(451, "4.3.0", "later")}}
	for name, c := range map[string]struct {
		b     Bounce
		check string
		grade Grade
	}{
		"nothing tried":  {Bounce{}, "bounces", Unknown},
		"came back":      {back, "backscatter", Hole},
		"nothing came":   {silent, "bounces.none", Note},
		"nobody listens": {sent, "bounces", Unknown},
		"at the end":     {refused, "bounces.late", Note},
		"put off":        {later, "bounces", Unknown},
	} {
		d := doorOf(t, form("A", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 550, "5.7.1", "no")))
		d.Nobodies = map[string]Said{"example.test": taken, "": taken}
		d.Bounce = c.b
		found := false
		for _, f := range judged(t, d).Findings {
			found = found || f.Check == c.check && f.Grade == c.grade
		}
		if !found {
			t.Errorf("%s: no %s (%s)", name, c.check, c.grade)
		}
	}
}
