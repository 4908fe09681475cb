package hijack

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// table is a Book of pairs.
type table struct {
	order []Lesson
	site  map[Fingerprint]time.Time
}

func (b table) Since(one, other Fingerprint) (time.Time, bool) {
	for _, l := range b.order {
		if l.One == one && l.Other == other {
			return l.Since, true
		}
	}
	return time.Time{}, false
}

func (b table) Site(who Fingerprint) (time.Time, bool) {
	at, ok := b.site[who]
	return at, ok
}

func (b table) Known(who Fingerprint) iter.Seq2[Fingerprint, time.Time] {
	return func(yield func(Fingerprint, time.Time) bool) {
		for _, l := range b.order {
			if l.One == who && !yield(l.Other, l.Since) {
				return
			}
		}
	}
}

// Each kind of recipient, on both sides of the day that an acquaintance takes.
func TestClassify(t *testing.T) {
	const me, friend, colleague, recent, stranger, outsider, fresh = 1, 2, 3, 4, 5, 6, 7
	long, today := noon.Add(-Settled), noon.Add(-Settled+time.Second)
	b := table{site: map[Fingerprint]time.Time{friend: long, colleague: long, stranger: long, fresh: today}}
	know := func(one, other Fingerprint, at time.Time) {
		b.order = append(b.order, Lesson{One: one, Other: other, Since: at})
	}
	know(me, friend, long)
	know(me, recent, today)
	know(colleague, friend, today) // colleague knows a friend of mine
	know(stranger, recent, long)   // stranger knows nobody whom I know for a day
	p := DefaultParams()
	for name, c := range map[string]struct {
		acquainted int
		to         []Fingerprint
		want       Recipients
	}{
		"known":             {1, []Fingerprint{friend}, Recipients{Known: 1, Acquainted: true}},
		"since today":       {1, []Fingerprint{recent}, Recipients{Recent: 1, Acquainted: true}},
		"in common":         {1, []Fingerprint{colleague}, Recipients{NewToAccount: 1, Acquainted: true}},
		"nobody in common":  {1, []Fingerprint{stranger}, Recipients{NewToAccount: 1, Strangers: 1, Acquainted: true}},
		"new to the site":   {1, []Fingerprint{outsider}, Recipients{NewToSite: 1, Strangers: 1, Acquainted: true}},
		"at the site today": {1, []Fingerprint{fresh}, Recipients{NewToSite: 1, Strangers: 1, Acquainted: true}},
		"too few known":     {2, []Fingerprint{stranger, friend}, Recipients{Known: 1, NewToAccount: 1}},
		"named twice":       {1, []Fingerprint{outsider, outsider, me}, Recipients{NewToSite: 1, Strangers: 1, Acquainted: true}},
		"nobody":            {1, nil, Recipients{Acquainted: true}},
	} {
		p.Acquainted = c.acquainted
		if got := Classify(b, me, c.to, noon, p); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// So many acquaintances of a recipient are looked at, and no more; and an account's own
// only until there are enough.
func TestSearchesAreBounded(t *testing.T) {
	long := noon.Add(-Settled)
	for _, c := range []struct {
		others int
		want   int
	}{{searched - 1, 0}, {searched, 1}} {
		b := table{order: []Lesson{{One: 1, Other: 9999, Since: long}}}
		for i := range c.others {
			b.order = append(b.order, Lesson{One: 2, Other: Fingerprint(100 + i), Since: long})
		}
		b.order = append(b.order, Lesson{One: 2, Other: 9999, Since: long})
		p := DefaultParams()
		p.Acquainted = 1
		if got := Classify(b, 1, []Fingerprint{2}, noon, p); got.Strangers != c.want {
			t.Errorf("the one in common comes after %d others: %+v", c.others, got)
		}
	}
}

// Whoever was written to knows the account at once, who wrote with proof is known at once, and
// whom one writes to becomes known a day later.
func TestLessons(t *testing.T) {
	wrote := Wrote(1, []Fingerprint{2, 1, 0}, noon)
	if want := []Lesson{{1, 2, noon, true}, {2, 1, noon.Add(-Settled), false}}; !slices.Equal(wrote, want) {
		t.Errorf("%+v", wrote)
	}
	heard := Heard(1, 2, noon)
	if want := []Lesson{{1, 2, noon.Add(-Settled), false}}; !slices.Equal(heard, want) {
		t.Errorf("%+v", heard)
	}
	if Heard(1, 1, noon) != nil || Heard(0, 1, noon) != nil || Heard(1, 0, noon) != nil {
		t.Error("somebody who is nobody is learnt")
	}
}

// Fingerprints: known answers, since stored ones must go on to mean whom they meant.
func TestFingerprints(t *testing.T) {
	secret := make([]byte, KeyOctets)
	for i := range secret {
		secret[i] = byte(i)
	}
	k, err := NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	alice, err := mail.ParseAddress("alice@example.org", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	ALICE, err := mail.ParseAddress("ALICE@Example.ORG", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%016x %016x %016x", uint64(k.Address(alice)), uint64(k.Account("alice")), uint64(k.Text("network", "192.0.2.0/24")))
	if want := "4d813ebc4db2deae 3653fd054bd97acf e2a6df489bcd13a2"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if k.Address(alice) != k.Address(ALICE) {
		t.Error("the case of letters makes another")
	}
	if (Key{}).Address(alice) != 0 || (Key{}).Account("a") != 0 {
		t.Error("the zero key makes fingerprints")
	}
	if s := fmt.Sprintf("%v %+v %#v", k, k, k); s != "hijack.Key(secret) hijack.Key(secret) hijack.Key(secret)" {
		t.Errorf("it prints %s", s)
	}
	if _, err := NewKey(secret[:31]); err == nil {
		t.Error("a short secret is a key")
	}
}

// The network of many accounts that each write to somebody new is paused; one that a
// single account uses, or people at home in it, is not.
func TestSharedAttributes(t *testing.T) {
	c := DefaultSharedParams()
	priors := old(DefaultParams())
	spam := Recipients{NewToSite: 1}
	run := func(n int, use func(i int) Use) (Pause, int) {
		var a Attribute
		for i := range n {
			u := use(i)
			u.At = noon.Add(time.Duration(i) * time.Minute)
			var v Pause
			if a, v = Share(a, u, priors, c); v.Now {
				if _, again := Share(a.Cleared(), u, priors, c); again.Now {
					t.Error("cleared, and paused again at once")
				}
				return v, i + 1
			}
		}
		return Pause{}, n
	}
	if v, n := run(200, func(i int) Use { return Use{Account: Fingerprint(i + 1), Recipients: spam} }); !v.Now || n != c.Accounts {
		t.Errorf("many accounts: %+v after %d", v, n)
	}
	grown := priors
	priors = Site{}.Priors(DefaultParams())
	if v, n := run(200, func(i int) Use { return Use{Account: Fingerprint(i + 1), Recipients: spam} }); v.Now {
		t.Errorf("a site without history: %+v after %d", v, n)
	}
	priors = grown
	for name, use := range map[string]func(i int) Use{
		"one account": func(int) Use { return Use{Account: 1, Recipients: spam} },
		"four":        func(i int) Use { return Use{Account: Fingerprint(i%4 + 1), Recipients: spam} },
		"at home":     func(i int) Use { return Use{Account: Fingerprint(i + 1), AtHome: true, Recipients: spam} },
		"known recipients": func(i int) Use {
			return Use{Account: Fingerprint(i + 1), Recipients: Recipients{Known: 5, NewToSite: 1}}
		},
		"guests among others": func(i int) Use {
			if i%20 == 0 {
				return Use{Account: Fingerprint(i + 1), Recipients: spam}
			}
			return Use{Account: Fingerprint(i + 1), AtHome: true, Recipients: Recipients{Known: 1}}
		},
	} {
		if v, n := run(400, use); v.Now {
			t.Errorf("%s: %+v after %d", name, v, n)
		}
	}
}

// A site learns what is normal a day later, and from nobody who is under suspicion.
func TestASiteLearns(t *testing.T) {
	p := DefaultParams()
	var w Site
	fresh := w.Priors(p)
	if fresh.Mean[0] != p.SiteNovelty.Fresh || fresh.Mean[2] != p.Refusals.Mean {
		t.Errorf("at a site without history: %+v", fresh)
	}
	send := func(w Site, days int, r Recipients, v Verdict) Site {
		for i := range days * 100 {
			w = w.Learn(Submitted{At: noon.Add(time.Duration(i) * 24 * time.Hour / 100), Recipients: r}, v, p)
		}
		return w
	}
	if got := send(w, 1, Recipients{Known: 1}, Verdict{}).Priors(p); got != fresh {
		t.Errorf("after a day: %+v", got)
	}
	known := send(w, 60, Recipients{Known: 1, Acquainted: true}, Verdict{}).Priors(p)
	if known.Mean[0] > 0.1 || known.Mean[1] > 0.1 {
		t.Errorf("where all are known: %+v", known)
	}
	if got := send(w, 60, Recipients{NewToSite: 1}, Verdict{Odds: p.Odds}).Priors(p); got != fresh {
		t.Errorf("a suspect taught: %+v", got)
	}
	if got := send(w, 60, Recipients{NewToSite: 1}, Verdict{}).Priors(p); got.Mean[0] < 0.9 || got.Rate[0] <= fresh.Rate[0] {
		t.Errorf("where all are new: %+v", got)
	}
}
