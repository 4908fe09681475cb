package visit

import (
	"crypto/tls"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

func quick(t *testing.T) Options {
	t.Helper()
	nobody, err := Nobody(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Limits: DefaultLimits(), Shown: []tls.Certificate{nobody}}
	o.Limits.Pace, o.Limits.Rest, o.Limits.Lull, o.Limits.LastLull = 0, 10*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond
	return o
}

func audited(t *testing.T, at netip.AddrPort, o Options) verdict.Result {
	t.Helper()
	seen := Server(t.Context(), Subject{Asked: at.String(), Doors: []Endpoint{{at, verdict.SMTP}}}, o, time.Now)
	r, err := verdict.Judge(seen)
	if err != nil {
		t.Fatal(err)
	}
	if r.Relay == verdict.Unreached {
		t.Fatalf("not reached: %s", seen.Doors[0].Fault)
	}
	return r
}

func found(r verdict.Result) (all []string) {
	for _, f := range r.Findings {
		if f.Grade != verdict.Note {
			all = append(all, f.Check)
		}
	}
	slices.Sort(all)
	return all
}

// Each planted fault is found, by its name, and nothing else; and nobody gets a message.
func TestPlanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server *planted
		relay  verdict.Relay
		checks []string
	}{
		"closed":         {&planted{}, verdict.Closed, nil},
		"open":           {&planted{open: true}, verdict.Open, []string{"relay.open"}},
		"own sender":     {&planted{ownSender: true}, verdict.Open, []string{"relay.own-sender"}},
		"percent":        {&planted{percent: true}, verdict.Open, []string{"relay.form"}},
		"second":         {&planted{second: true}, verdict.Open, []string{"relay.second"}},
		"certificate":    {&planted{anyCert: true}, verdict.Open, []string{"relay.certificate"}},
		"catch-all":      {&planted{catchAll: true}, verdict.Closed, []string{"bounces", "relay.local"}},
		"greylisting":    {&planted{greylists: true}, verdict.CantTell, []string{"relay.untold"}},
		"a greylist":     {&planted{greylistsOthers: true}, verdict.CantTell, []string{"relay.untold"}},
		"it is no proof": {&planted{greylistsOthers: true, open: true}, verdict.CantTell, []string{"relay.untold"}},
		"HELO":           {&planted{helo: true}, verdict.Closed, []string{"tls.none"}},
		"open at HELO":   {&planted{helo: true, open: true}, verdict.Open, []string{"relay.open", "tls.none"}},
		"503":            {&planted{signInFirst: true}, verdict.Closed, nil},
		"PROXY":          {&planted{proxy: true}, verdict.Closed, []string{"proxy"}},
		"XCLIENT":        {&planted{xclient: true}, verdict.Closed, []string{"xclient"}},
		"BDAT":           {&planted{bdat: true}, verdict.Closed, []string{"bdat"}},
		"VRFY":           {&planted{vrfy: true}, verdict.Closed, []string{"vrfy"}},
		"injection":      {&planted{injects: true}, verdict.Closed, []string{"starttls.injection"}},
		"AUTH in clear":  {&planted{authInClear: true}, verdict.Closed, []string{"tls.strip"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick(t)
			r := audited(t, c.server.start(t), o)
			want := append(slices.Clone(c.checks), "smuggling.untold")
			slices.Sort(want)
			if got := found(r); r.Relay != c.relay || !slices.Equal(got, want) {
				t.Errorf("%s, %q; want %s, %q", r.Relay, got, c.relay, want)
				for _, f := range r.Findings {
					t.Logf("%s %s %+v", f.Check, f.Detail, f.Said)
				}
			}
			if m := c.server.delivered(); len(m) > 0 {
				t.Errorf("it delivered %d messages: %q", len(m), m[0])
			}
			if !r.Doors[0].Door.Still {
				t.Error("it answers no more")
			}
		})
	}
}

// A source of one family is none of the other's: who is asked at [::1] sees [::1] all the same.
func TestWhoIsAskedFromItself(t *testing.T) {
	for _, c := range []struct {
		at, source string
		want       bool
	}{
		{"127.0.0.1", "", true}, {"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "::ffff:127.0.0.2", false},
		{"::1", "", true}, {"::1", "127.0.0.2", true}, {"::1", "::1", true}, {"::1", "2001:db8::1", false}, {"127.0.0.1", "2001:db8::1", true},
		{"192.0.2.1", "", false}, {"192.0.2.1", "127.0.0.1", false},
	} {
		v := visitor{d: verdict.Door{At: netip.AddrPortFrom(netip.MustParseAddr(c.at), 25)}}
		if c.source != "" {
			v.o.Source = netip.MustParseAddr(c.source)
		}
		if got := fromItself(v.d.At.Addr(), v.source()); got != c.want {
			t.Errorf("%s from %q: %v", c.at, c.source, got)
		}
	}
}

// Where no message could be begun, nothing was tried: that is no proof.
func TestSmugglingThatWasNotTried(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Deliver = []string{"me@example.test"}
	r := audited(t, (&planted{noData: true}).start(t), o)
	if s := r.Server.Doors[0].Smuggled; s.Asked || !strings.Contains(s.Why, "0 of 10 ends of data were said") || !strings.Contains(s.Why, "not now") {
		t.Errorf("%+v", s)
	}
	if !slices.Contains(found(r), "smuggling.untold") {
		t.Errorf("it is told as %q", found(r))
	}
}

// A server that takes its time before it answers an end of data that is none is found all the same.
func TestSmugglingThatIsAnsweredLate(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Deliver, o.Limits.Lull, o.Limits.LastLull = []string{"me@example.test"}, 20*time.Millisecond, time.Minute
	r := audited(t, (&planted{smuggled: true, slowEnd: time.Second}).start(t), o)
	if s := r.Server.Doors[0].Smuggled; !s.Asked || s.Ended == "" {
		t.Errorf("%+v", s)
	}
}

// Over IPv6 the same is asked, with literals of its own.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("needs IPv6")
	}
	open, closed := &planted{open: true}, &planted{}
	if r := audited(t, open.startAt(t, "[::1]:0"), quick(t)); r.Relay != verdict.Open {
		t.Errorf("an open one: %s", r.Relay)
	}
	r := audited(t, closed.startAt(t, "[::1]:0"), quick(t))
	if r.Relay != verdict.Closed {
		t.Errorf("a closed one: %s", r.Relay)
	}
	for _, f := range r.Server.Doors[0].Forms {
		if f.ID == "A04" && f.Said[0].Sent != "MAIL FROM:<antispam@[IPv6:::1]>" {
			t.Errorf("A04 said %q", f.Said[0].Sent)
		}
	}
}

// One message for each address of the auditor's own, and one more from it where names that nobody has are
// taken.
func TestDeliver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server  *planted
		deliver string
		got     []string // recipients of what was delivered
		check   string   // a hole that shows it; "": none
		lacks   string
	}{
		"relayed":             {&planted{open: true}, "me@elsewhere.test", []string{"me@elsewhere.test"}, "relay.open", ""},
		"by an old form":      {&planted{catchAll: true}, "me@elsewhere.test", []string{"me%elsewhere.test@example.test", "nobody@example.test"}, "relay.open", ""},
		"refused":             {&planted{}, "me@elsewhere.test", nil, "", ""},
		"smuggled":            {&planted{smuggled: true}, "me@example.test", []string{"me@example.test"}, "smuggling", ""},
		"not smuggled":        {&planted{}, "me@example.test", nil, "", "smuggling.untold"},
		"smuggled, HELO":      {&planted{smuggled: true, helo: true}, "me@example.test", []string{"me@example.test"}, "smuggling", ""},
		"nobody of that name": {&planted{}, "you@example.test", nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := quick(t)
			o.Deliver = []string{c.deliver}
			r := audited(t, c.server.start(t), o)
			var to []string
			for _, m := range c.server.delivered() {
				first, _, _ := strings.Cut(m, "\n")
				if strings.HasPrefix(first, "no-such-user-") {
					first = "nobody@example.test" // to see what comes back
				}
				to = append(to, first)
			}
			if !slices.Equal(to, c.got) {
				t.Errorf("delivered for %q, want %q", to, c.got)
			}
			got := found(r)
			if c.check != "" && !slices.Contains(got, c.check) || c.lacks != "" && slices.Contains(got, c.lacks) {
				t.Errorf("found %q", got)
			}
			if c.check == "" && r.Worst() == verdict.Hole {
				t.Errorf("a hole: %q", got)
			}
		})
	}
}

// The names of a server are derived from whatever says one.
func TestCandidates(t *testing.T) {
	t.Parallel()
	known, err := mail.ParseDomain("known.test")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range candidates([]mail.Domain{known}, "host.example.net", "mx.example.org ESMTP x", []string{"static-1.isp.example.", "bad name"}, []string{"*.wild.example", "192.0.2.1"}) {
		got = append(got, d.ASCII())
	}
	want := []string{"known.test", "mx.example.org", "example.org", "host.example.net", "example.net", "static-1.isp.example", "isp.example", "wild.example"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Every form that is asked ends before a message, and asks for a recipient.
func TestRowsBringNobodyMail(t *testing.T) {
	t.Parallel()
	rows, err := relayRows()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, c := range rows {
		a, ok := relayaudit.Asking(c, "nobody")
		if !ok {
			continue
		}
		asked++
		for _, step := range strings.Split(a.Script, "⏎") {
			verb := strings.ToUpper(strings.TrimSpace(step))
			for _, bad := range []string{"DATA", "{LOAD}", "{MSG}", "{BODY", "BDAT", "{BDAT", "{NR}", "AUTH", "STARTTLS", "{TIMES"} {
				if strings.HasPrefix(verb, bad) {
					t.Errorf("%s: %q", a.ID, step)
				}
			}
			if strings.Contains(step, "bob") {
				t.Errorf("%s: %q names a mailbox of the table", a.ID, step)
			}
		}
	}
	if asked < 340 {
		t.Errorf("only %d rows are asked", asked)
	}
	for _, v6 := range []bool{false, true} {
		if probes, err := relayaudit.ParseCases(strings.NewReader(probesFor(v6, "nobody"))); err != nil || len(probes) < 13 {
			t.Errorf("%d probes: %v", len(probes), err)
		}
	}
	for _, name := range reserved {
		if _, err := mail.ParseDomain(name); err != nil {
			t.Error(err)
		}
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"mx.example.org":             "mx.example.org  25 smtp 587 submission 465 submissions",
		"mx.example.org:587":         "mx.example.org  587 submission",
		"mx.example.org:2525":        "mx.example.org  2525 smtp",
		"192.0.2.1:2465/submissions": " 192.0.2.1 2465 submissions",
		"[2001:db8::1]:25":           " 2001:db8::1 25 smtp",
		"2001:db8::1":                " 2001:db8::1 25 smtp 587 submission 465 submissions",
		"MX.Example.org.":            "mx.example.org  25 smtp 587 submission 465 submissions",
		"mx.example.org:0":           "",
		"mx.example.org:70000":       "",
		"mx.example.org:25/imap":     "",
		"mx.example.org/smtp":        "",
		"two words":                  "",
		"":                           "",
		"-x.example.org":             "",
	} {
		got := ""
		if x, err := ParseTarget(text); err == nil {
			got = x.Host + " "
			if x.IP.IsValid() {
				got += x.IP.String()
			}
			for _, d := range x.Doors {
				got += " " + netip.AddrPortFrom(netip.IPv4Unspecified(), d.Port).String()[8:] + " " + d.Kind.String()
			}
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
