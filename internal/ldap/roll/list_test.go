package roll

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/directory"
	"sallyport/internal/fact"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/ldaptest"
	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
	"sallyport/internal/store/mem"
)

// office is a Roll that follows one real directory, and what came of that.
type office struct {
	*ldaptest.Server
	roll     *Roll
	mu       sync.Mutex
	listings []accounts.Listing
	rules    []string
	refuse   error         // what Adopt says
	fetched  chan struct{} // one for each list that was taken in
}

func someone(uid string, values map[string][]string) ldaptest.Entry {
	e := ldaptest.Entry{DN: "uid=" + uid + "," + ldaptest.Base, Values: map[string][]string{"objectclass": {"person"}, "mail": {uid + "@local.test"}}}
	for k, v := range values {
		e.Values[k] = v
	}
	return e
}

func openOffice(t *testing.T, change func(*Source)) *office {
	t.Helper()
	f := &office{Server: ldaptest.Start(t), fetched: make(chan struct{}, 100)}
	f.Entries = []ldaptest.Entry{
		someone("alice", map[string][]string{"memberof": {"cn=senders", "cn=boxes"}}), someone("bob", map[string][]string{"memberof": {"cn=boxes"}}), someone("carol", nil),
		{DN: "uid=x," + ldaptest.Base, Values: map[string][]string{"objectclass": {"person"}, "mail": {"x@behind.test"}}},
	}
	base, err := terms.ParseDN(ldaptest.Base)
	parsed(t, base, err)
	s := Source{Name: "office", Accounts: []mail.Domain{domain(t, "local.test")}, Recipients: []mail.Domain{domain(t, "behind.test")}, Senders: []string{"cn=senders"}, Receivers: []string{"cn=boxes"}, Every: time.Hour,
		Options: ldap.Options{Servers: []ldap.Server{{Host: f.Addr.Addr().String(), Port: f.Addr.Port(), Security: ldap.SecurityNone}}, Base: base, Filter: terms.Present("objectClass"), Address: "mail",
			Domains: []mail.Domain{domain(t, "local.test")}, Group: "memberOf", Groups: []string{"cn=senders", "cn=boxes"}, Limits: ldap.Limits{Timeout: 20 * time.Second}}}
	if change != nil {
		change(&s)
	}
	f.roll, err = Build(t.Context(), Options{Sources: []Source{s}, Store: mem.New(), Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Adopt: func(_ context.Context, l accounts.Listing, facts func(mail.Address, string) [][]byte) (accounts.Adopted, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(l.People) > 0 && len(facts(l.People[0].Address, accounts.ListedAdded)) != 1 {
				t.Error("a change has no fact")
			}
			f.listings = append(f.listings, l)
			return accounts.Adopted{Added: len(l.People)}, f.refuse
		},
		Publish: func(context.Context) error { f.fetched <- struct{}{}; return nil },
		Write: func(_ context.Context, all ...fact.Fact) error {
			for _, one := range all {
				f.rules = append(f.rules, one.Rule)
			}
			return nil
		},
	}, nil)
	parsed(t, f.roll, err)
	t.Cleanup(f.roll.Retire)
	return f
}

// Whoever is listed is adopted, who is of no group that receives is not, and only who is of one that sends
// sends; the recipients of a server behind us are known after the first list.
func TestAListIsTakenIn(t *testing.T) {
	f := openOffice(t, nil)
	if !f.roll.sources[0].fetch(t.Context()) {
		t.Fatal(f.roll.Reports())
	}
	var got []string
	for _, p := range f.listings[0].People {
		got = append(got, p.Address.String()+map[bool]string{true: " sends"}[p.Sends])
	}
	if !slices.Equal(got, []string{"alice@local.test sends", "bob@local.test"}) || f.listings[0].Directory != "office" {
		t.Errorf("%+v", f.listings[0])
	}
	if d := f.roll.List(directory.Domain{Name: domain(t, "behind.test")}); d.Unlisted || len(d.List) != 1 || d.List[0].String() != "x@behind.test" {
		t.Errorf("%+v", d)
	}
	if r := f.roll.Reports()[0]; r.People != 3 || r.Recipients != 1 || r.Fault != "" || r.Nameless != 1 {
		t.Errorf("%+v", r)
	}
	if s := f.roll.Sources(); len(s) != 1 || s[0].Name != "office" {
		t.Errorf("%+v", s)
	}
}

// A list that fails, is not believed or cannot be adopted leaves the last good one; that is told
// once when it begins, and once when it ends.
func TestTheLastGoodListStays(t *testing.T) {
	f := openOffice(t, nil)
	s := f.roll.sources[0]
	if !s.fetch(t.Context()) {
		t.Fatal(f.roll.Reports())
	}
	good, everybody := f.roll.Reports()[0], f.Entries
	fails := func(why string) {
		t.Helper()
		if s.fetch(t.Context()) {
			t.Errorf("it is taken in, and should not be: %s", why)
		}
		r := f.roll.Reports()[0]
		if !strings.Contains(r.Fault, why) || r.Since.IsZero() || r.People != good.People || r.Recipients != good.Recipients || !r.Listed.Equal(good.Listed) {
			t.Errorf("%s: %+v", why, r)
		}
	}
	f.Change(func() { f.Refuse = func(op string) int { return map[string]int{"page 1": 52}[op] } })
	fails("result 52")
	f.Change(func() { f.Refuse, f.Entries = func(string) int { return 0 }, everybody[3:] })
	fails("it lists nobody, and listed 3 before")
	f.Change(func() { f.Entries = everybody[:3] })
	fails("it lists no recipients of behind.test")
	f.Change(func() { f.Entries = everybody })
	f.refuse = errors.New("the disk is full")
	fails("the disk is full")
	if !slices.Equal(f.rules, []string{RuleDirectoryAway}) {
		t.Errorf("%v", f.rules)
	}
	f.refuse = nil
	if !s.fetch(t.Context()) || f.roll.Reports()[0].Fault != "" || !f.roll.Reports()[0].Since.IsZero() {
		t.Errorf("%+v", f.roll.Reports())
	}
	if !slices.Equal(f.rules, []string{RuleDirectoryAway, RuleDirectoryBack}) {
		t.Errorf("%v", f.rules)
	}
}

// Lists are fetched at the start, after each interval and after a reload, until the end.
func TestListsAreFollowed(t *testing.T) {
	f := openOffice(t, func(s *Source) { s.Every = time.Millisecond })
	next := openOffice(t, nil)
	var mu sync.Mutex
	now := f.roll
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Current(func() *Roll { mu.Lock(); defer mu.Unlock(); return now }).Run(ctx)
	}()
	awaits := func(what string, c <-chan struct{}) {
		t.Helper()
		select {
		case <-c:
		case <-time.After(time.Minute):
			t.Fatalf("%s never comes", what)
		}
	}
	for range 3 {
		awaits("a list", f.fetched)
	}
	mu.Lock()
	now = next.roll
	mu.Unlock()
	f.roll.Retire()
	awaits("the list after a reload", next.fetched)
	end()
	awaits("the end", ended)
}

// A password is its owner's or wrong; of an address that the directory does not know one is asked
// about all the same, and nobody can tell while the directory does not answer.
func TestPasswordsOfADirectory(t *testing.T) {
	f := openOffice(t, nil)
	f.Passwords["uid=alice,"+ldaptest.Base] = "right"
	c := Current(func() *Roll { return f.roll })
	of := func(who, password string) (accounts.Said, error) {
		a, err := mail.ParseAddress(who, mail.UTF8)
		parsed(t, a, err)
		return c.Password(t.Context(), "office", a, password)
	}
	if said, err := of("alice@local.test", "right"); err != nil || !said.Right {
		t.Errorf("%+v, %v", said, err)
	}
	for _, who := range []string{"alice@local.test", "nobody@local.test"} {
		before := len(f.Asked())
		said, err := of(who, "wrong")
		if err != nil || said.Right || said.Refused {
			t.Errorf("%s: %+v, %v", who, said, err)
		}
		if asked := f.Asked()[before:]; len(asked) != 2 || asked[0] != "search" || !strings.HasPrefix(asked[1], "bind ") {
			t.Errorf("%s: the directory was asked %q", who, asked)
		}
	}
	// FreeIPA says 53 of who is disabled there, and eDirectory of who is locked: nothing of that is said of a name that nobody has.
	f.Change(func() { f.Barred = map[string]int{"uid=alice," + ldaptest.Base: 53} })
	if said, err := of("alice@local.test", "right"); err == nil || said.Right {
		t.Errorf("who is disabled: %+v, %v", said, err)
	}
	if err := c.Feign(t.Context(), "office"); err != nil {
		t.Errorf("that one is disabled keeps others out: %v", err)
	}
	f.Change(func() { f.Refuse = func(op string) int { return map[string]int{"bind": 52}[op] } })
	for _, who := range []string{"alice@local.test", "nobody@local.test"} {
		if said, err := of(who, "right"); err == nil || said.Right {
			t.Errorf("%s: %+v, %v", who, said, err)
		}
	}
	if err := c.Feign(t.Context(), "office"); err == nil {
		t.Error("a name that nobody has is turned down by a directory that is not there")
	}
}

// In the first list after another attribute names entries, what names them says nothing of who was who; before and after that it
// does, over restarts, and so it does where the attribute was not noted yet.
func TestAnotherAttributeNamesEntries(t *testing.T) {
	f := openOffice(t, func(s *Source) { s.Options.Entry = "entryUUID" })
	f.Change(func() {
		for n := range f.Entries {
			f.Entries[n].Values["entryuuid"], f.Entries[n].Values["nsuniqueid"] = []string{"u" + f.Entries[n].DN}, []string{"n" + f.Entries[n].DN}
		}
	})
	roll := f.roll
	fetched := func(attribute terms.Attribute) (unlike bool, named string) {
		t.Helper()
		o := roll.o
		o.Sources = slices.Clone(o.Sources)
		o.Sources[0].Options.Entry = attribute
		next, err := Build(t.Context(), o, nil) // as after a start: what is known is in the store
		parsed(t, next, err)
		defer next.Retire()
		if !next.sources[0].fetch(t.Context()) {
			t.Fatal(next.Reports())
		}
		l := f.listings[len(f.listings)-1]
		return l.Unlike, l.People[0].Entry[:1]
	}
	for n, c := range []struct {
		attribute terms.Attribute
		unlike    bool
		named     string
	}{{"entryUUID", false, "u"}, {"entryUUID", false, "u"}, {"entryuuid", false, "u"}, {"nsUniqueId", true, "n"}, {"nsUniqueId", false, "n"}, {"entryUUID", true, "u"}} {
		if unlike, named := fetched(c.attribute); unlike != c.unlike || named != c.named {
			t.Errorf("list %d, by %s: unlike the one before: %v; %q", n+1, c.attribute, unlike, named)
		}
	}
	if !roll.sources[0].fetch(t.Context()) || f.listings[len(f.listings)-1].Unlike {
		t.Error("what was not noted tells that it was another one")
	}
}
