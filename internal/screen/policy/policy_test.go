package policy

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/mail"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/dnsbl"
)

func must[V any](t *testing.T) func(V, error) V {
	return func(v V, err error) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// options is a list, three lists of others with weights 6, 5 and -4, and a name server.
func options(t *testing.T, text string, records ...string) Options {
	t.Helper()
	zone := must[*dnstest.Zone](t)(dnstest.NewZone(append(records,
		"2.2.0.192.six.test. 60 IN A 127.0.0.2", "3.2.0.192.six.test. 60 IN A 127.0.0.2", "3.2.0.192.five.test. 60 IN A 127.0.0.2",
		"4.2.0.192.six.test. 60 IN A 127.0.0.2", "4.2.0.192.five.test. 60 IN A 127.0.0.2", "4.2.0.192.good.test. 60 IN A 127.0.0.2",
		"7.2.0.192.in-addr.arpa. 60 IN PTR a.dyn.test.", "a.dyn.test. 60 IN A 192.0.2.7",
		"8.2.0.192.in-addr.arpa. 60 IN PTR b.dyn.test.", "b.dyn.test. 60 IN A 192.0.2.99",
		"SERVFAIL 9.2.0.192.in-addr.arpa.",
	)...))
	l := dnsx.DefaultLimits()
	l.Query, l.Total, l.Rounds = 300*time.Millisecond, time.Second, 1
	client := must[*dnsx.Client](t)(dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: dnstest.Serve(t, zone.Play).Addr}}, Limits: l, Now: time.Now}))
	o := Options{List: must[access.List](t)(access.Parse(strings.NewReader(text))), RefuseAt: 10, Slow: 3 * time.Second, Time: 5 * time.Second, Resolver: client, Now: time.Now}
	for zone, weight := range map[string]int{"six.test": 6, "five.test": 5, "good.test": -4} {
		o.Lists = append(o.Lists, dnsbl.List{Zone: must[mail.Domain](t)(mail.ParseDomain(zone)), Of: dnsbl.Client, Weight: weight})
	}
	return o
}

func visitor(t *testing.T, client, to string) access.Visitor {
	return access.Visitor{Client: netip.MustParseAddr(client), Hello: "x.test", From: mail.NullPath(), To: must[mail.Address](t)(mail.ParseAddress(to, mail.ASCII))}
}

func TestJudge(t *testing.T) {
	s := New(options(t, "exempt network 192.0.2.3\nslow network 192.0.2.16/28\ndefer hello later.test come again\nrefuse name *.dyn.test\nrefuse recipient closed@local.test gone"),
		nil)
	for _, c := range []struct {
		client, to, hello string
		verdict           Verdict
		rule, reply       string
		score             int
		wait              time.Duration
	}{
		{"192.0.2.1", "a@local.test", "", Take, RuleNoFinding, "", 0, 0},
		{"192.0.2.2", "a@local.test", "", Take, RuleNoFinding, "", 6, 0},           // below the score
		{"192.0.2.3", "a@local.test", "", Take, RuleExempt, "", 0, 0},              // lists of others are not asked
		{"192.0.2.4", "a@local.test", "", Take, RuleNoFinding, "", 7, 0},           // a list of the good speaks for it
		{"192.0.2.17", "a@local.test", "", Take, RuleList, "", 0, 3 * time.Second}, // waits
		{"192.0.2.1", "a@local.test", "later.test", Defer, RuleList, "450 4.7.1 put off by this server's list; try again later: come again", 0, 0},
		{"192.0.2.7", "a@local.test", "", Refuse, RuleList, "550 5.7.1 refused by this server's list", 0, 0},
		{"192.0.2.8", "a@local.test", "", Take, RuleNoFinding, "", 0, 0}, // a name that does not lead back is nobody's
		{"192.0.2.9", "a@local.test", "", Take, RuleNoFinding, "", 0, 0}, // its own zone does not answer: nothing is known
		{"192.0.2.1", "closed@local.test", "", Refuse, RuleList, "550 5.7.1 refused by this server's list: gone", 0, 0},
	} {
		v := visitor(t, c.client, c.to)
		if c.hello != "" {
			v.Hello = c.hello
		}
		j := s.Judge(t.Context(), v)
		reply := ""
		if j.Verdict != Take {
			reply = j.Reply.String()
		}
		if j.Verdict != c.verdict || j.Rule != c.rule || reply != c.reply || j.Score != c.score || j.Wait != c.wait {
			t.Errorf("%s %s %s: %s %s %q score %d, waits %s", c.client, c.to, c.hello, j.Verdict, j.Rule, reply, j.Score, j.Wait)
		}
	}
}

// Lists of others keep nobody from the roles; our own list does.
func TestRolesAreReached(t *testing.T) {
	o := options(t, "refuse network 192.0.2.77", "77.2.0.192.six.test. 60 IN A 127.0.0.2")
	o.RefuseAt = 6
	s := New(o, nil)
	for to, want := range map[string]Verdict{"a@local.test": Refuse, "Postmaster@local.test": Take, "abuse@local.test": Take, "postmaster@[192.0.2.1]": Take} {
		if j := s.Judge(t.Context(), visitor(t, "192.0.2.2", to)); j.Verdict != want {
			t.Errorf("%s: %s", to, j.Verdict)
		}
	}
	if j := s.Judge(t.Context(), visitor(t, "192.0.2.77", "postmaster@local.test")); j.Verdict != Refuse {
		t.Error("our own list does not count for the postmaster")
	}
	if j := s.Judge(t.Context(), visitor(t, "192.0.2.2", "a@local.test")); !strings.HasPrefix(j.Reply.String(), "550 5.7.1 192.0.2.2 is listed by six.test;") {
		t.Errorf("it is told %s", j.Reply)
	}
}

// lacking is a resolver of ours that cannot ask.
type lacking struct{ Resolver }

func (lacking) OneFamily(context.Context, dnsx.Name, dnsx.Family) (dnsx.Answer[netip.Addr], error) {
	return dnsx.Answer[netip.Addr]{}, dnsx.ErrExhausted
}

func (lacking) Pointers(context.Context, netip.Addr) (dnsx.Answer[dnsx.Name], error) {
	return dnsx.Answer[dnsx.Name]{}, dnsx.ErrMute
}

// Our own want of means opens nothing, and closes nothing for good: mail is put off, unless
// a line decides that needs no question.
func TestOurOwnFaultPutsOff(t *testing.T) {
	for text, want := range map[string]Verdict{"": Defer, "refuse name x.test": Defer, "exempt network 192.0.2.0/24": Take, "refuse network 192.0.2.0/24": Refuse} {
		o := options(t, text)
		o.Resolver = lacking{}
		if j := New(o, nil).Judge(t.Context(), visitor(t, "192.0.2.1", "a@local.test")); j.Verdict != want || want == Defer && j.Rule != RuleUnasked {
			t.Errorf("%q: %s by %s", text, j.Verdict, j.Rule)
		}
	}
	if j := New(Options{Now: time.Now}, nil).Judge(t.Context(), visitor(t, "192.0.2.1", "a@local.test")); j.Verdict != Take {
		t.Error("where nothing is configured, somebody is kept out")
	}
	if (Judgement{}).Verdict != Refuse {
		t.Error("the zero judgement lets in")
	}
}

// Whom a line exempts by his name is not refused for good while his name cannot be asked for: neither by a line
// behind it nor by the lists of others. Who has no name, or another, is; and a line before it decides as ever.
func TestANameThatCannotBeAskedFor(t *testing.T) {
	later := "exempt name *.partner.test\nrefuse network 192.0.2.0/24"
	for _, c := range []struct {
		text, client string
		resolver     Resolver
		want         Verdict
		rule         string
	}{
		{later, "192.0.2.9", nil, Defer, RuleUnasked},       // the zone of its name answers nothing
		{later, "192.0.2.1", lacking{}, Defer, RuleUnasked}, // we cannot ask
		{later, "192.0.2.1", nil, Refuse, RuleList},         // it has no name
		{later, "192.0.2.7", nil, Refuse, RuleList},         // it has another one
		{later, "192.0.2.10", nil, Take, RuleExempt},
		{later, "192.0.2.11", nil, Defer, RuleUnasked}, // the way back fails
		{"refuse network 192.0.2.0/24\nexempt name *.partner.test", "192.0.2.9", nil, Refuse, RuleList},
		{"refuse name *.partner.test\nrefuse network 192.0.2.0/24", "192.0.2.9", nil, Refuse, RuleList},
		{"exempt name *.partner.test\ndefer network 192.0.2.0/24", "192.0.2.9", nil, Defer, RuleList},
		{"exempt name *.partner.test", "192.0.2.12", nil, Defer, RuleUnasked},                           // listed by two
		{"slow network 192.0.2.0/24\nexempt name *.partner.test", "192.0.2.12", nil, Refuse, RuleScore}, // behind the line that fits
		{"refuse name *.partner.test", "192.0.2.12", nil, Refuse, RuleScore},
	} {
		o := options(t, c.text,
			"10.2.0.192.in-addr.arpa. 60 IN PTR a.partner.test.", "a.partner.test. 60 IN A 192.0.2.10",
			"11.2.0.192.in-addr.arpa. 60 IN PTR b.partner.test.", "SERVFAIL b.partner.test.",
			"SERVFAIL 12.2.0.192.in-addr.arpa.", "12.2.0.192.six.test. 60 IN A 127.0.0.2", "12.2.0.192.five.test. 60 IN A 127.0.0.2",
		)
		if c.resolver != nil {
			o.Resolver = c.resolver
		}
		if j := New(o, nil).Judge(t.Context(), visitor(t, c.client, "a@local.test")); j.Verdict != c.want || j.Rule != c.rule {
			t.Errorf("%q, %s: %s by %s", c.text, c.client, j.Verdict, j.Rule)
		}
	}
}

// Hits are counted by line and list, go on over a reload, and looking counts none.
// While a list of the good cannot be asked, nobody is refused for good for whom it may speak. Who would be refused whatever
// it said is refused, and one that says that it does not know him keeps nothing back.
func TestAListOfTheGoodThatCannotBeAsked(t *testing.T) {
	for _, c := range []struct {
		broken string
		client string
		want   Verdict
		rule   string
	}{
		{"SERVFAIL 3.2.0.192.good.test.", "192.0.2.3", Defer, RuleUnasked}, // 11, and perhaps 7
		{"", "192.0.2.3", Refuse, RuleScore},
		{"SERVFAIL 5.2.0.192.good.test.", "192.0.2.5", Refuse, RuleScore},            // 15, and 11 at least
		{"SERVFAIL 2.2.0.192.good.test.", "192.0.2.2", Take, RuleNoFinding},          // 6
		{"SERVFAIL 6.2.0.192.six.test.", "192.0.2.6", Take, RuleNoFinding},           // a list of the bad lists nobody then
		{"3.2.0.192.good.test. 60 IN A 127.0.0.255", "192.0.2.3", Refuse, RuleScore}, // it refuses to answer, and will tomorrow
	} {
		records := []string{"5.2.0.192.six.test. 60 IN A 127.0.0.2", "5.2.0.192.five.test. 60 IN A 127.0.0.2", "5.2.0.192.four.test. 60 IN A 127.0.0.2"}
		if c.broken != "" {
			records = append(records, c.broken)
		}
		o := options(t, "", records...)
		o.Lists = append(o.Lists, dnsbl.List{Zone: must[mail.Domain](t)(mail.ParseDomain("four.test")), Of: dnsbl.Client, Weight: 4})
		if j := New(o, nil).Judge(t.Context(), visitor(t, c.client, "a@local.test")); j.Verdict != c.want || j.Rule != c.rule {
			t.Errorf("%s, %s: %s by %s at %d, %v", c.broken, c.client, j.Verdict, j.Rule, j.Score, j.Words())
		}
	}
}

func TestHits(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	o := options(t, "refuse network 198.51.100.0/24\nrefuse hello never.test")
	o.Now = func() time.Time { return now }
	s := New(o, nil)
	s.Judge(t.Context(), visitor(t, "198.51.100.1", "a@local.test"))
	s.Look(t.Context(), visitor(t, "198.51.100.1", "a@local.test"))
	s.Judge(t.Context(), visitor(t, "192.0.2.2", "a@local.test"))
	now = now.Add(time.Hour)
	o.List = must[access.List](t)(access.Parse(strings.NewReader("# moved\nrefuse hello never.test\nrefuse network 198.51.100.0/24\n")))
	s = New(o, s)
	s.Judge(t.Context(), visitor(t, "198.51.100.1", "a@local.test"))
	got := map[string]Hit{}
	for _, h := range s.Hits() {
		got[h.Text] = h
	}
	if h := got["refuse network 198.51.100.0/24"]; h.Line != 3 || h.Hits != 2 || !h.Last.Equal(now) || !h.Since.Equal(now.Add(-time.Hour)) {
		t.Errorf("the line is counted so: %+v", h)
	}
	if h := got["refuse hello never.test"]; h.Line != 2 || h.Hits != 0 || !h.Last.IsZero() {
		t.Errorf("a line that never hit is counted so: %+v", h)
	}
	if got["six.test"].Hits != 1 || got["five.test"].Hits != 0 || len(got) != 5 {
		t.Errorf("the lists are counted so: %+v", got)
	}
}

// Questions that nobody answers end in time, and list nobody.
func TestQuestionsHaveATime(t *testing.T) {
	o := options(t, "", "SILENCE 5.2.0.192.six.test.", "SILENCE 5.2.0.192.five.test.")
	o.Time = 50 * time.Millisecond
	began := time.Now()
	j := New(o, nil).Judge(t.Context(), visitor(t, "192.0.2.5", "a@local.test"))
	if took := time.Since(began); took > 10*time.Second || took < o.Time {
		t.Errorf("it took %s", took)
	}
	if j.Verdict != Take || j.Score != 0 || len(j.Words()) != 2 || !strings.Contains(j.Words()[0], "could not be asked") {
		t.Errorf("unanswered it says %s, %v", j.Verdict, j.Words())
	}
}
