package ldap

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/ldap/ldaptest"
	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

func sure[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func addressOf(t *testing.T, text string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(text, mail.UTF8)
	return sure(t, a, err)
}

func nameOf(uid string) string { return "uid=" + uid + "," + ldaptest.Base }

// someone is an entry with values of mail.
func someone(uid string, mails ...string) ldaptest.Entry {
	return ldaptest.Entry{DN: nameOf(uid), Values: map[string][]string{"objectclass": {"person"}, "uid": {uid}, "mail": mails}}
}

// asking is how the server of a test is asked, in pages of two.
func asking(t *testing.T, s *ldaptest.Server) Options {
	t.Helper()
	base, err := terms.ParseDN(ldaptest.Base)
	user, uerr := terms.ParseDN("cn=searcher," + ldaptest.Base)
	own, derr := mail.ParseDomain("local.test")
	if err = errors.Join(err, uerr, derr); err != nil {
		t.Fatal(err)
	}
	s.Passwords["cn=searcher,"+ldaptest.Base] = "search"
	return Options{
		Servers: []Server{{s.Addr.Addr().String(), s.Addr.Port(), SecurityNone}}, User: user, Password: "search",
		Base: base, Filter: terms.Present("objectClass"), Domains: []mail.Domain{own}, Address: "mail", Aliases: []terms.Attribute{"mailAlias"},
		Group: "memberOf", Groups: []string{"cn=staff,dc=local,dc=test"}, Entry: "entryUUID", Limits: Limits{Page: 2, Timeout: 20 * time.Second},
	}
}

func asked(t *testing.T, o Options) *Directory {
	t.Helper()
	d, err := New(o)
	t.Cleanup(sure(t, d, err).Close)
	return d
}

// An address is one entry's or nobody's: what the directory takes for equal and this server does
// not, what two have, and what an entry has beside another one, is not taken for somebody's.
func TestAnAddressIsOnePersonsOrNobodys(t *testing.T) {
	s := ldaptest.Start(t)
	alice := someone("alice", "alice@local.test")
	alice.Values["mailalias"] = []string{"a@local.test", "alice@local.test", "A@local.test", "home@elsewhere.test"}
	alice.Values["memberof"] = []string{"CN=Staff, dc=local,dc=test", "cn=others,dc=local,dc=test"}
	alice.Values["entryuuid"] = []string{"1b-2c"}
	s.Entries = []ldaptest.Entry{alice, someone("two", "both@local.test"), someone("three", "both@local.test"),
		someone("many", "m@local.test", "n@local.test"), someone("primary", "smtp:old@local.test", "SMTP:new@local.test"), someone("away", "x@elsewhere.test")}
	d := asked(t, asking(t, s))
	p, err := d.Find(t.Context(), addressOf(t, "alice@local.test"))
	if err != nil || p.DN.String() != nameOf("alice") || len(p.Aliases) != 1 ||
		p.Aliases[0].String() != "a@local.test" || !slices.Equal(p.Groups, d.o.Groups) || p.Entry != "1b-2c" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err := d.Find(t.Context(), addressOf(t, "new@local.test")); err != nil || p.DN.String() != nameOf("primary") {
		t.Errorf("the one that is marked: %+v, %v", p, err)
	}
	for address, want := range map[string]error{"nobody@local.test": ErrNobody, "both@local.test": ErrSeveral, "old@local.test": ErrNobody, "x@elsewhere.test": ErrNobody, "a@local.test": ErrNobody} {
		if p, err := d.Find(t.Context(), addressOf(t, address)); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v", address, p, err)
		}
	}
	if p, err := d.Find(t.Context(), addressOf(t, "m@local.test")); err == nil || errors.Is(err, ErrNobody) || !strings.Contains(err.Error(), whySeveral) {
		t.Errorf("an entry with two addresses: %+v, %v", p, err)
	}
}

// A list has everybody of every page; what two entries claim is nobody's, and what is no person is counted.
func TestAListIsOfEveryPage(t *testing.T) {
	s := ldaptest.Start(t)
	a, b := someone("a", "a@local.test"), someone("b", "b@local.test")
	a.Values["mailalias"], b.Values["mailalias"] = []string{"info@local.test", "own@local.test"}, []string{"info@local.test"}
	s.Entries = []ldaptest.Entry{
		a, b, someone("c", "c@local.test"), someone("c2", "c@local.test"),
		someone("away", "x@elsewhere.test"), someone("m", "m@local.test", "n@local.test"),
		someone("z", "z@local.test"),
	}
	s.Elsewhere = []string{"ldap://other.test/dc=other"}
	d := asked(t, asking(t, s))
	l, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var people []string
	for _, p := range l.People {
		people = append(people, p.Address.String())
	}
	if !slices.Equal(people, []string{"a@local.test", "b@local.test", "z@local.test"}) || len(l.People[0].Aliases) != 1 || len(l.People[1].Aliases) != 0 {
		t.Errorf("%+v", l.People)
	}
	for _, doubtful := range []string{"info@local.test", "c@local.test", "m@local.test", "n@local.test"} {
		if l.Doubtful[addressOf(t, doubtful).Key()] == "" {
			t.Errorf("%s is somebody's", doubtful)
		}
	}
	if l.Nameless != 1 || len(l.Doubtful) != 4 || l.Elsewhere != 4 { // one in each page
		t.Errorf("%+v", l)
	}
	elsewhere, err := mail.ParseDomain("elsewhere.test")
	all, rerr := d.Recipients(t.Context(), []mail.Domain{sure(t, elsewhere, err)})
	if rerr != nil || len(all) != 1 || all[0].String() != "x@elsewhere.test" {
		t.Errorf("%v, %v", all, rerr)
	}
}

// Half of a list is none: neither where a later page is refused, nor where there is more than the limit.
func TestHalfOfAListIsNone(t *testing.T) {
	s := ldaptest.Start(t)
	for _, uid := range []string{"a", "b", "c", "d", "e"} {
		s.Entries = append(s.Entries, someone(uid, uid+"@local.test"))
	}
	o := asking(t, s)
	o.Limits.Entries = 4
	if l, err := asked(t, o).List(t.Context()); !errors.Is(err, ErrTooMany) || len(l.People) != 0 {
		t.Errorf("%+v, %v", l, err)
	}
	o.Limits.Entries = 5
	d := asked(t, o)
	if l, err := d.List(t.Context()); err != nil || len(l.People) != 5 {
		t.Errorf("%+v, %v", l, err)
	}
	s.Change(func() {
		s.Refuse = func(op string) int { return map[string]int{"page 2": 4}[op] }
	})
	l, err := d.List(t.Context())
	if len(l.People) != 0 || codeOf(err) != 4 || !strings.Contains(err.Error(), "search: result 4 (Size Limit Exceeded)") || errors.Unwrap(err) == nil {
		t.Errorf("%+v, %v", l, err)
	}
	if all, err := d.Recipients(t.Context(), d.o.Domains); err == nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// A search on a connection that the server closes is asked again on another one; a password is not,
// since the directory may have counted it.
func TestASearchIsAskedTwice(t *testing.T) {
	s := ldaptest.Start(t)
	s.Entries, s.Passwords[nameOf("a")] = []ldaptest.Entry{someone("a", "a@local.test")}, "right"
	d := asked(t, asking(t, s))
	who, err := terms.ParseDN(nameOf("a"))
	sure(t, who, err)
	find := func() error { _, err := d.Find(t.Context(), addressOf(t, "a@local.test")); return err }
	password := func() error { _, err := d.CheckPassword(t.Context(), who, "right"); return err }
	times := func(question string) (n int) {
		for _, q := range s.Asked() {
			if q == question {
				n++
			}
		}
		return n
	}
	if err := errors.Join(find(), password()); err != nil {
		t.Fatal(err)
	}
	closes := func(what string) { // once
		s.Change(func() {
			s.Refuse = func(op string) int {
				if op != what {
					return 0
				}
				what = ""
				return -1
			}
		})
	}
	closes("search")
	if err := find(); err != nil || times("search") != 3 {
		t.Errorf("%v, after %d searches", err, times("search"))
	}
	closes("bind")
	if err := password(); err == nil || times("bind "+nameOf("a")) != 2 {
		t.Errorf("%v, after %d questions", err, times("bind "+nameOf("a")))
	}
	if err := password(); err != nil {
		t.Errorf("the next: %v", err)
	}
}

// Another server is asked where the first is away; only so many questions wait, and none is asked of a
// directory that is closed.
func TestServersAndTurns(t *testing.T) {
	s := ldaptest.Start(t)
	s.Entries = []ldaptest.Entry{someone("a", "a@local.test")}
	o := asking(t, s)
	// Nobody listens at port 1.
	o.Servers, o.Limits.Connections, o.Limits.Waiting = append([]Server{{"127.0.0.1", 1, SecurityNone}}, o.Servers...), 1, 1
	d := asked(t, o)
	if d.Connections() != 1 {
		t.Errorf("%d connections", d.Connections())
	}
	a := addressOf(t, "a@local.test")
	if _, err := d.Find(t.Context(), a); err != nil {
		t.Error(err)
	}
	d.searches.slots <- struct{}{} // one is being asked
	d.searches.wait <- struct{}{}  // one waits
	if _, err := d.Find(t.Context(), a); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	<-d.searches.wait
	d.limits.Timeout = time.Millisecond
	if _, err := d.Find(t.Context(), a); !errors.Is(err, ErrBusy) {
		t.Errorf("it waits for ever: %v", err)
	}
	<-d.searches.slots
	d.Close()
	if _, err := d.Find(t.Context(), a); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A server that is not well is left for the next question, of whatever kind, with all connections to it; what is said
// of one entry is no fault of a server, and no reason to ask another one.
func TestAServerThatIsNotWellIsLeft(t *testing.T) {
	a := addressOf(t, "a@local.test")
	who, err := terms.ParseDN(nameOf("a"))
	sure(t, who, err)
	questions := map[string]func(*Directory) error{
		"list":       func(d *Directory) error { _, err := d.List(t.Context()); return err },
		"recipients": func(d *Directory) error { _, err := d.Recipients(t.Context(), d.o.Domains); return err },
		"find":       func(d *Directory) error { _, err := d.Find(t.Context(), a); return err },
		"password":   func(d *Directory) error { _, err := d.CheckPassword(t.Context(), who, "right"); return err },
	}
	for name, c := range map[string]struct {
		code  int
		stays string // the question after which the server is asked on
	}{"closes": {-1, ""}, "busy": {51, ""}, "stops": {52, ""}, "no rights there": {50, "password"}, "no base": {32, "password"}, "disabled": {53, "password"}} {
		for what, ask := range questions {
			ill, well := ldaptest.Start(t), ldaptest.Start(t)
			o := asking(t, ill)
			o.Servers, well.Passwords["cn=searcher,"+ldaptest.Base] = append(o.Servers, asking(t, well).Servers...), "search"
			for _, s := range []*ldaptest.Server{ill, well} {
				s.Entries, s.Passwords[nameOf("a")] = []ldaptest.Entry{someone("a", "a@local.test")}, "right"
			}
			d := asked(t, o)
			if err := errors.Join(questions["find"](d), questions["password"](d)); err != nil {
				t.Fatal(err)
			}
			ill.Change(func() {
				ill.Barred = map[string]int{nameOf("a"): c.code}
				ill.Refuse = func(op string) int {
					if op == "bind" && c.code >= 0 {
						return 0 // who searches gets in
					}
					return c.code
				}
			})
			first, second := ask(d), ask(d)
			if what == c.stays {
				if first == nil || second == nil || !OfOne(first) || d.at.Load() != 0 {
					t.Errorf("%s, %s: %v, %v, and another server is asked", name, what, first, second)
				}
				continue
			}
			// A search on a connection that is cut is asked again at once.
			if first == nil && c.code >= 0 || second != nil || d.at.Load() != 1 || OfOne(first) {
				t.Errorf("%s, %s: %v, %v, server %d", name, what, first, second, d.at.Load())
			}
			for _, p := range []*pool{d.searches, d.passwords} {
				for _, c := range p.idle {
					if c.server == o.Servers[0] && first != nil {
						t.Errorf("%s, %s: a connection to it is kept", name, what)
					}
				}
			}
		}
	}
}

// A look at a directory says at which step it fails, and what the server can do.
func TestALook(t *testing.T) {
	for name, c := range map[string]struct {
		refuse string
		code   int
		want   Sight
	}{
		"whole":       {"", 0, Sight{Found: true, Policy: true, Pages: true}},
		"more":        {"search", 4, Sight{Found: true, Policy: true, Pages: true}},
		"no searcher": {"bind", 49, Sight{Failed: StepBind}},
		"no base":     {"base", 32, Sight{Failed: StepBase}},
		"no search":   {"search", 50, Sight{Failed: StepSearch}},
	} {
		s := ldaptest.Start(t)
		s.Entries, s.Controls = []ldaptest.Entry{someone("a", "a@local.test")}, []string{oidPages, oidPolicy}
		s.Refuse = func(op string) int {
			if op == c.refuse {
				return c.code
			}
			return 0
		}
		all := asked(t, asking(t, s)).Look(t.Context())
		if len(all) != 1 || all[0].Failed != c.want.Failed || (all[0].Err == nil) != (c.want.Failed == "") ||
			all[0].Found != c.want.Found || all[0].Policy != c.want.Policy || all[0].Pages != c.want.Pages {
			t.Errorf("%s: %+v", name, all)
		}
	}
	s := ldaptest.Start(t)
	o := asking(t, s)
	o.Servers = []Server{{"127.0.0.1", 1, SecurityNone}}
	if all := asked(t, o).Look(t.Context()); len(all) != 1 || all[0].Failed != StepConnect {
		t.Errorf("nobody there: %+v", all)
	}
	for _, security := range []Security{SecurityTLS, SecurityStart} {
		o.Servers, o.Limits.Timeout = []Server{{s.Addr.Addr().String(), s.Addr.Port(), security}}, 2*time.Second
		if all := asked(t, o).Look(t.Context()); len(all) != 1 || all[0].Failed != StepTLS {
			t.Errorf("a server without TLS: %+v", all)
		}
	}
	if n := len(s.Asked()); n != 0 {
		t.Errorf("%d questions in clear text: %v", n, s.Asked())
	}
}

// Options that would let everybody in or ask nobody are refused.
func TestOptionsThatAreNotWhole(t *testing.T) {
	whole := asking(t, ldaptest.Start(t))
	for name, spoil := range map[string]func(*Options){
		"no server": func(o *Options) { o.Servers = nil }, "no base": func(o *Options) { o.Base = terms.DN{} }, "no filter": func(o *Options) { o.Filter = terms.Filter{} },
		"no attribute": func(o *Options) { o.Address = "" }, "no password": func(o *Options) { o.Password = "" },
		"no port": func(o *Options) { o.Servers = []Server{{"a", 0, SecurityTLS}} }, "no security": func(o *Options) { o.Servers = []Server{{"a", 1, SecurityUnknown}} },
	} {
		o := whole
		spoil(&o)
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
