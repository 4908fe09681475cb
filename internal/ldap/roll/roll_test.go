package roll

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

func TestWhatIsNoList(t *testing.T) {
	one := []mail.Address{{}}
	last := kept{People: 3, Members: map[string]int{"g": 2, "gone": 1}, Recipients: map[string][]mail.Address{"behind.test": one}}
	full := map[string][]mail.Address{"behind.test": one}
	domain, err := mail.ParseDomain("behind.test")
	if err != nil {
		t.Fatal(err)
	}
	both := Source{Accounts: []mail.Domain{domain}, Recipients: []mail.Domain{domain}}
	for name, c := range map[string]struct {
		next kept
		good bool
	}{
		"as before":                             {kept{People: 3, Members: map[string]int{"g": 2}, Recipients: full}, true},
		"fewer":                                 {kept{People: 1, Members: map[string]int{"g": 1}, Recipients: full}, true},
		"nobody":                                {kept{People: 0, Members: map[string]int{"g": 0}, Recipients: full}, false},
		"nobody of the group":                   {kept{People: 3, Members: map[string]int{"g": 0}, Recipients: full}, false},
		"the group is not asked about any more": {kept{People: 3, Members: map[string]int{}, Recipients: full}, true},
		"no recipients":                         {kept{People: 3, Members: map[string]int{"g": 1}, Recipients: map[string][]mail.Address{}}, false},
	} {
		if why := last.implausible(c.next, both); (why == "") != c.good {
			t.Errorf("%s: %q", name, why)
		}
	}
	if why := (kept{}).implausible(kept{Members: map[string]int{"g": 0}}, both); why != "" {
		t.Errorf("the first: %s", why)
	}
	if why := last.implausible(kept{Members: map[string]int{}, Recipients: full}, Source{Recipients: both.Recipients}); why != "" {
		t.Errorf("no domain has its accounts there any more: %s", why)
	}
	if why := last.implausible(kept{People: 3, Members: map[string]int{"g": 1}, Recipients: map[string][]mail.Address{}}, Source{Accounts: both.Accounts}); why != "" {
		t.Errorf("no domain has its recipients there any more: %s", why)
	}
}

func TestGroupsThatAreWanted(t *testing.T) {
	for _, c := range []struct {
		groups, wanted []string
		want           bool
	}{{nil, nil, true}, {[]string{"a"}, nil, true}, {nil, []string{"a"}, false}, {[]string{"b"}, []string{"a"}, false}, {[]string{"b", "a"}, []string{"a", "c"}, true}} {
		if of(c.groups, c.wanted) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	for word, want := range map[ldap.Word][3]bool{ // right, refused, proved
		ldap.WordNone: {}, ldap.WordWrong: {}, ldap.WordRight: {true, false, false}, ldap.WordExpired: {false, true, true},
		ldap.WordMustChange: {false, true, true}, ldap.WordLocked: {false, true, false}, ldap.WordClosed: {false, true, false}, 99: {},
	} {
		if s := saidOf(ldap.Answer{Word: word}); [3]bool{s.Right, s.Refused, s.Proved} != want {
			t.Errorf("%d: %+v", word, s)
		}
	}
}

func parsed[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func domain(t *testing.T, text string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(text)
	return parsed(t, d, err)
}

// nobodyThere is a directory at a port that nobody listens on, and counts who comes.
func nobodyThere(t *testing.T) (o ldap.Options, came *atomic.Int64) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	parsed(t, ln, err)
	t.Cleanup(func() { _ = ln.Close() })
	came = &atomic.Int64{}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = c.Close()
		}
	}()
	base, err := terms.ParseDN("dc=local,dc=test")
	parsed(t, base, err)
	return ldap.Options{Servers: []ldap.Server{{Host: "127.0.0.1", Port: uint16(ln.Addr().(*net.TCPAddr).Port), Security: ldap.SecurityNone}}, Base: base, Filter: terms.Present("objectClass"), Address: "mail"}, came
}

// What nobody was heard of yet is unlisted; a list that was kept is there after a start, and goes
// over to the next configuration.
func TestTheLastGoodListOutlivesAStart(t *testing.T) {
	ctx, st := context.Background(), mem.New()
	o, _ := nobodyThere(t)
	options := Options{
		Store: st, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Sources: []Source{{Name: "office", Options: o, Recipients: []mail.Domain{domain(t, "behind.test")}, Accounts: []mail.Domain{domain(t, "local.test")}}},
	}
	r, err := Build(ctx, options, nil)
	parsed(t, r, err)
	behind, local := directory.Domain{Name: domain(t, "behind.test")}, directory.Domain{Name: domain(t, "local.test")}
	if !r.List(behind).Unlisted || !r.List(local).Unlisted || r.List(directory.Domain{Name: domain(t, "other.test")}).Unlisted {
		t.Error("somebody is known before anybody was heard")
	}
	a, err := mail.ParseAddress("x@behind.test", mail.ASCII)
	parsed(t, a, err)
	next := kept{At: time.Now().UTC(), People: 1, Recipients: map[string][]mail.Address{"behind.test": {a}}}
	s := r.sources[0]
	parsed(t, s, s.keep(ctx, st, s.Name, next))
	for name, last := range map[string]*Roll{"after a start": nil} {
		again, err := Build(ctx, options, last)
		parsed(t, again, err)
		if d := again.List(behind); d.Unlisted || len(d.List) != 1 || d.List[0] != a || again.List(local).Unlisted {
			t.Errorf("%s: %+v", name, d)
		}
		over, err := Build(ctx, options, again)
		parsed(t, over, err)
		if over.sources[0].state != again.sources[0].state {
			t.Error("what is known is lost by a reload")
		}
		if reports := over.Reports(); len(reports) != 1 || reports[0].Recipients != 1 || reports[0].People != 1 {
			t.Errorf("%+v", reports)
		}
	}
	if got := (*Roll)(nil).List(local); got.Unlisted {
		t.Error("without directories a domain is unlisted")
	}
}

// Whoever feigns takes as long as the last questions and ends as they did; where that is not
// known, one asks for all.
func TestFeigning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &feigning{}
		now := time.Now()
		if _, _, known := f.sample(now); known {
			t.Error("it knows without having asked")
		}
		f.note(now, time.Second, nil)
		f.note(now, 3*time.Second, nil)
		seen := map[time.Duration]bool{}
		for range 4 {
			took, err, known := f.sample(now)
			if !known || err != nil {
				t.Error(err, known)
			}
			seen[took] = true
		}
		if len(seen) != 2 {
			t.Errorf("%v", seen)
		}
		down := errors.New("down")
		f.note(now, 5*time.Second, down)
		for range 4 {
			if took, err, known := f.sample(now); took != 5*time.Second || err != down || !known {
				t.Error(took, err, known)
			}
		}
		if _, _, known := f.sample(now.Add(freshness)); known {
			t.Error("it is known for ever")
		}
		for range 100 {
			f.note(now, time.Second, nil)
		}
		if len(f.took) != samples {
			t.Errorf("%d samples", len(f.took))
		}
	})
}

// A flood that feigns asks the directory once in a while.
func TestAFloodAsksOnce(t *testing.T) {
	o, came := nobodyThere(t)
	r, err := Build(context.Background(),
		Options{
			Store: mem.New(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
			Sources: []Source{{Name: "office", Options: o, Accounts: []mail.Domain{domain(t, "local.test")}}},
		},
		nil)
	parsed(t, r, err)
	c := Current(func() *Roll { return r })
	if c.Of(domain(t, "local.test")) != "office" || c.Of(domain(t, "other.test")) != "" {
		t.Error("domains are mistaken")
	}
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if err := c.Feign(context.Background(), "office"); err == nil {
				t.Error("it is there")
			}
		})
	}
	all.Wait()
	if n := came.Load(); n == 0 || n > 2 {
		t.Errorf("%d connections", n)
	}
	if err := c.Feign(context.Background(), "none"); !errors.Is(err, errNone) {
		t.Error(err)
	}
	if _, err := c.Password(context.Background(), "none", mail.Address{}, "x"); !errors.Is(err, errNone) {
		t.Error(err)
	}
}
