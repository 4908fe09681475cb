package dmarc

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

func dom(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// zone holds the records at "_dmarc." and the name.
type zone map[string][]string

// walk walks from a domain and notes what was asked.
func (z zone) walk(t testing.TB, start string) (Walk, []string) {
	w := NewWalk(dom(t, start))
	var asked []string
	for {
		d, more := w.Next()
		if !more {
			return w, asked
		}
		asked = append(asked, d.ASCII())
		if len(asked) > mostLabels {
			t.Fatalf("%v: too many questions", asked)
		}
		w = w.Add(z[d.ASCII()])
	}
}

// Every case of the tree walk: what is asked, whose policy applies, and which domain
// is the organization's. RFC 9989 §4.10.
func TestTreeWalk(t *testing.T) {
	const r, psd, own = "v=DMARC1; p=reject", "v=DMARC1; p=reject; psd=y", "v=DMARC1; p=none; psd=n"
	for name, c := range map[string]struct {
		zone         zone
		start        string
		asked        string
		organization string
		policy       string // "": none
	}{
		"no record at all":                  {zone{}, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com", "a.mail.example.com", ""},
		"its own record":                    {zone{"example.com": {r}}, "example.com", "example.com com", "example.com", "example.com"},
		"the organization's":                {zone{"example.com": {r}}, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com", "example.com", "example.com"},
		"the fewest labels win":             {zone{"mail.example.com": {r}, "example.com": {r}}, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com", "example.com", "example.com"},
		"its own before the organization's": {zone{"a.example.com": {r}, "example.com": {r}}, "a.example.com", "a.example.com example.com com", "example.com", "a.example.com"},
		"a record of the suffix alone":      {zone{"com": {psd}}, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com", "example.com", "com"},
		"a suffix of two labels":            {zone{"co.uk": {psd}, "uk": {r}}, "a.example.co.uk", "a.example.co.uk example.co.uk co.uk", "example.co.uk", "co.uk"},
		"a suffix above a record":           {zone{"com": {psd}, "mail.example.com": {r}}, "a.mail.example.com", "a.mail.example.com mail.example.com example.com com", "example.com", "com"},
		"mail from a suffix":                {zone{"com": {psd}}, "com", "com", "com", "com"},
		"mail from a suffix below one":      {zone{"co.uk": {psd}, "uk": {psd}}, "co.uk", "co.uk", "co.uk", "co.uk"},
		"a suffix that does not say so":     {zone{"com": {r}}, "mail.example.com", "mail.example.com example.com com", "com", "com"},
		"it says that it is no suffix":      {zone{"mail.example.com": {own}, "example.com": {r}}, "a.mail.example.com", "a.mail.example.com mail.example.com", "mail.example.com", "mail.example.com"},
		"it says so itself":                 {zone{"a.example.com": {own}, "example.com": {r}}, "a.example.com", "a.example.com", "a.example.com", "a.example.com"},
		"several records are none":          {zone{"example.com": {r, r}}, "mail.example.com", "mail.example.com example.com com", "mail.example.com", ""},
		"other texts do not count":          {zone{"example.com": {"v=spf1 -all", r, "v=DMARC2; p=none", "p=none; v=DMARC1"}}, "example.com", "example.com com", "example.com", "example.com"},
		"seven labels": {zone{"example.com": {r}}, "a.b.c.d.e.example.com",
			"a.b.c.d.e.example.com b.c.d.e.example.com c.d.e.example.com d.e.example.com e.example.com example.com com", "example.com", "example.com"},
		"eight labels": {zone{"example.com": {r}}, "a.b.c.d.e.f.example.com",
			"a.b.c.d.e.f.example.com b.c.d.e.f.example.com c.d.e.f.example.com d.e.f.example.com e.f.example.com f.example.com example.com com", "example.com", "example.com"},
		"ten labels skip two": {zone{"example.com": {r}, "c.d.e.f.g.h.example.com": {own}}, "a.b.c.d.e.f.g.h.example.com",
			"a.b.c.d.e.f.g.h.example.com d.e.f.g.h.example.com e.f.g.h.example.com f.g.h.example.com g.h.example.com h.example.com example.com com", "example.com", "example.com"},
		"a single label": {zone{}, "localhost", "localhost", "localhost", ""},
	} {
		w, asked := c.zone.walk(t, c.start)
		if got := strings.Join(asked, " "); got != c.asked {
			t.Errorf("%s: asked %s, want %s", name, got, c.asked)
		}
		if got := w.Organization().ASCII(); got != c.organization {
			t.Errorf("%s: the organization is %s, want %s", name, got, c.organization)
		}
		p, ok := w.Policy()
		if ok != (c.policy != "") || p.Domain.ASCII() != c.policy {
			t.Errorf("%s: the policy is that of %q, want %q", name, p.Domain.ASCII(), c.policy)
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"v=DMARC1":                                   "none absent absent",
		"v=DMARC1;p=reject":                          "reject absent absent",
		" v = DMARC1 ; p = Quarantine ;":             "quarantine absent absent",
		"v=DMARC1; p=none; sp=reject; np=reject":     "none reject reject",
		"v=DMARC1; sp=reject":                        "none reject absent",
		"v=DMARC1; p=banana":                         "absent absent absent",
		"v=DMARC1; p=banana; rua=mailto:a@b.c":       "none absent absent",
		"v=DMARC1; p=reject; sp=banana":              "absent absent absent",
		"v=DMARC1; p=reject; np=x; rua=mailto:a@b.c": "none absent absent",
		"v=DMARC1; p=reject; p=none; x=y; =; ;;":     "reject absent absent",
		"V=DMARC1; p=reject":                         "reject absent absent",
	} {
		r, ok := Parse(text)
		if got := fmt.Sprint(r.Policy, r.Subdomains, r.Missing); !ok || got != want {
			t.Errorf("%s: %v %s, want %s", text, ok, got, want)
		}
	}
	for _, text := range []string{"", "v=dmarc1; p=none", "v=DMARC1 p=reject", "v=DMARC2;p=none", "p=none;v=DMARC1", "v=spf1 -all", "v=DMARC1x", ";v=DMARC1"} {
		if r, ok := Parse(text); ok {
			t.Errorf("%q is a record: %+v", text, r)
		}
	}
	r, _ := Parse("v=DMARC1; adkim=s; aspf=S; t=y; psd=n; rua=mailto:a@b.c!10m, nonsense,https://x.test/r; ruf=mailto:f@b.c; fo=1:d; pct=5")
	if !r.StrictDKIM || !r.StrictSPF || !r.Testing || r.PSD != PSDNo || !slices.Equal(r.Aggregate, []string{"mailto:a@b.c", "https://x.test/r"}) || len(r.Failure) != 1 || r.FailureOpt != "1:d" {
		t.Errorf("%+v", r)
	}
	r, _ = Parse("v=DMARC1; rua=" + strings.Repeat("mailto:a@b.c,", 1000))
	if len(r.Aggregate) != maxURIs {
		t.Errorf("%d destinations", len(r.Aggregate))
	}
}

// Alignment, policies and doubts, each by one case.
func TestJudge(t *testing.T) {
	z := zone{
		"example.com":        {"v=DMARC1; p=quarantine; sp=reject; np=none"},
		"strict.test":        {"v=DMARC1; p=reject; adkim=s; aspf=s"},
		"testing.test":       {"v=DMARC1; p=reject; t=y"},
		"trial.test":         {"v=DMARC1; p=quarantine; sp=reject; t=y"},
		"idle.test":          {"v=DMARC1; p=none; t=y"},
		"below.trial.test":   nil,
		"unread.test":        {"v=DMARC1; p=what"},
		"mail.example.com":   nil,
		"other.test":         {"v=DMARC1; p=none"},
		"signed.example.com": {"v=DMARC1; p=none"},
	}
	org := func(d mail.Domain) (mail.Domain, bool) {
		if d.ASCII() == "silent.test" || d.ASCII() == "silent.example.com" {
			return mail.Domain{}, false
		}
		w, _ := z.walk(t, d.ASCII())
		return w.Organization(), true
	}
	pass := func(s string) Mechanism { return Mechanism{Domain: dom(t, s), Passed: true} }
	temp := func(s string) Mechanism { return Mechanism{Domain: dom(t, s), Temporary: true} }
	failed := func(s string) Mechanism { return Mechanism{Domain: dom(t, s)} }
	unseen := func(s string) Mechanism { return Mechanism{Domain: dom(t, s), Unseen: true} }
	for name, c := range map[string]struct {
		from      string
		existence Existence
		spf       Mechanism
		dkim      []Mechanism
		want      string // verdict, disposition, aligned by SPF, by DKIM
	}{
		"SPF of the domain":             {"example.com", Exists, pass("example.com"), nil, "pass none true false"},
		"SPF of a subdomain":            {"example.com", Exists, pass("bounce.example.com"), nil, "pass none true false"},
		"DKIM of the organization":      {"mail.example.com", Exists, Mechanism{}, []Mechanism{failed("example.com"), pass("example.com")}, "pass none false true"},
		"a sibling's":                   {"mail.example.com", Exists, pass("signed.example.com"), nil, "pass none true false"},
		"somebody else's":               {"example.com", Exists, pass("other.test"), []Mechanism{pass("other.test")}, "fail quarantine false false"},
		"nothing":                       {"example.com", Exists, Mechanism{}, nil, "fail quarantine false false"},
		"failed":                        {"example.com", Exists, failed("example.com"), []Mechanism{failed("example.com")}, "fail quarantine false false"},
		"a subdomain":                   {"mail.example.com", Exists, Mechanism{}, nil, "fail reject false false"},
		"a subdomain, perhaps":          {"mail.example.com", ExistenceUnknown, Mechanism{}, nil, "fail reject false false"},
		"a subdomain that is none":      {"mail.example.com", Absent, Mechanism{}, nil, "fail none false false"},
		"strict, the domain itself":     {"strict.test", Exists, pass("strict.test"), nil, "pass none true false"},
		"strict, a subdomain":           {"strict.test", Exists, pass("a.strict.test"), []Mechanism{pass("a.strict.test")}, "fail reject false false"},
		"a test":                        {"testing.test", Exists, Mechanism{}, nil, "fail quarantine false false"},
		"a test of quarantine":          {"trial.test", Exists, Mechanism{}, nil, "fail none false false"},
		"a test, a subdomain":           {"below.trial.test", Exists, Mechanism{}, nil, "fail quarantine false false"},
		"a test of none":                {"idle.test", Exists, Mechanism{}, nil, "fail none false false"},
		"a policy that does not read":   {"unread.test", Exists, Mechanism{}, nil, "none none false false"},
		"no policy":                     {"nowhere.test", Exists, pass("nowhere.test"), nil, "none none false false"},
		"SPF not found out":             {"example.com", Exists, temp("example.com"), nil, "temperror quarantine false false"},
		"SPF not found out, p=reject":   {"mail.example.com", Exists, temp("mail.example.com"), nil, "temperror quarantine false false"},
		"SPF not found out, a test":     {"testing.test", Exists, temp("testing.test"), nil, "temperror quarantine false false"},
		"the same, of quarantine":       {"trial.test", Exists, temp("trial.test"), nil, "temperror none false false"},
		"a key of the organization's":   {"example.com", Exists, Mechanism{}, []Mechanism{temp("example.com")}, "temperror quarantine false false"},
		"one in doubt, and one unsure":  {"example.com", Exists, pass("silent.example.com"), []Mechanism{temp("example.com")}, "temperror none false false"},
		"not found out, p=none":         {"other.test", Exists, temp("other.test"), nil, "temperror none false false"},
		"not found out, but another's":  {"example.com", Exists, temp("other.test"), nil, "fail quarantine false false"},
		"not looked at":                 {"example.com", Exists, Mechanism{}, []Mechanism{failed("example.com"), unseen("example.com")}, "permerror quarantine false false"},
		"not looked at, p=reject":       {"mail.example.com", Exists, Mechanism{}, []Mechanism{unseen("a.example.com")}, "permerror quarantine false false"},
		"not looked at, p=none":         {"other.test", Exists, Mechanism{}, []Mechanism{unseen("other.test")}, "permerror none false false"},
		"not looked at, a test":         {"testing.test", Exists, Mechanism{}, []Mechanism{unseen("testing.test")}, "permerror quarantine false false"},
		"not looked at, a light test":   {"trial.test", Exists, Mechanism{}, []Mechanism{unseen("trial.test")}, "permerror none false false"},
		"not looked at, but another's":  {"example.com", Exists, Mechanism{}, []Mechanism{unseen("other.test")}, "fail quarantine false false"},
		"not looked at, strict":         {"strict.test", Exists, Mechanism{}, []Mechanism{unseen("a.strict.test")}, "fail reject false false"},
		"not looked at, but SPF passes": {"example.com", Exists, pass("example.com"), []Mechanism{unseen("example.com")}, "pass none true false"},
		"DKIM not found out, SPF is":    {"example.com", Exists, pass("example.com"), []Mechanism{temp("example.com")}, "pass none true false"},
		"whose is not found out":        {"example.com", Exists, pass("silent.example.com"), nil, "temperror none false false"},
		"a stranger with a broken DNS":  {"example.com", Exists, pass("silent.test"), []Mechanism{temp("silent.test")}, "fail quarantine false false"},
	} {
		w, _ := z.walk(t, c.from)
		r := Judge(Facts{Author: w, Existence: c.existence, SPF: c.spf, DKIM: c.dkim, Organization: org})
		if got := fmt.Sprint(r.Verdict, " ", r.Disposition, " ", r.AlignedSPF, " ", r.AlignedDKIM); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if r := Judge(Facts{}); r.Verdict != PermError || r.Disposition != PolicyNone {
		t.Errorf("no author: %+v", r)
	}
	if r := Judge(Facts{Author: NewWalk(dom(t, "example.com"))}); r.Verdict != TempError {
		t.Errorf("an unfinished walk: %+v", r)
	}
}

// What the DNS does not say above an author's own record throws none of it away: who
// cannot be of the same organization fails, who can be is in doubt. Where the author's
// own record is not known, nothing is, and what speaks for nobody is kept apart by what
// the records above ask for.
func TestTheDNSFailsAboveTheRecord(t *testing.T) {
	z := zone{"mail.example.co.test": {"v=DMARC1; p=reject"}, "strict.example.co.test": {"v=DMARC1; p=reject; aspf=s"}, "example.co.test": {"v=DMARC1; p=quarantine"}}
	walk := func(start string, failing ...string) Walk {
		w := NewWalk(dom(t, start))
		for {
			d, more := w.Next()
			if !more {
				return w
			}
			if !slices.Contains(failing, d.ASCII()) {
				w = w.Add(z[d.ASCII()])
				continue
			}
			w = w.Unanswered()
		}
	}
	for _, c := range []struct{ from, failing, passes, want string }{
		{"mail.example.co.test", "example.co.test", "", "fail reject"},
		{"mail.example.co.test", "example.co.test", "mail.example.co.test", "pass none"},
		{"mail.example.co.test", "example.co.test", "bounce.mail.example.co.test", "temperror none"},
		{"mail.example.co.test", "example.co.test", "bounce.example.co.test", "temperror none"},
		{"mail.example.co.test", "example.co.test", "evil.co.test", "fail reject"},
		{"mail.example.co.test", "example.co.test", "evilexample.co.test", "fail reject"},
		{"mail.example.co.test", "co.test", "bounce.example.co.test", "temperror none"}, // co.test may say that it is wider still, or no
		{"mail.example.co.test", "test", "bounce.example.co.test", "pass none"},
		{"mail.example.co.test", "test", "evil.test", "fail reject"},
		{"mail.example.co.test", "example.co.test co.test test", "evil.test", "fail reject"},
		{"mail.example.co.test", "mail.example.co.test", "evil.test", "temperror quarantine"},
		{"mail.example.co.test", "mail.example.co.test", "", "temperror quarantine"},
		{"mail.example.co.test", "mail.example.co.test", "bounce.example.co.test", "temperror none"},
		{"mail.example.co.test", "mail.example.co.test", "mail.example.co.test", "temperror none"},
		{"mail.example.co.test", "mail.example.co.test example.co.test", "evil.test", "temperror none"},
		{"strict.example.co.test", "example.co.test", "bounce.example.co.test", "fail reject"},
		{"news.example.co.test", "test", "evil.test", "fail quarantine"},
		{"news.example.co.test", "example.co.test", "evil.test", "temperror none"},
		{"news.example.co.test", "co.test", "evil.test", "temperror quarantine"},
		{"news.example.co.test", "news.example.co.test", "evil.test", "temperror quarantine"},
		{"news.example.co.test", "news.example.co.test", "example.co.test", "temperror none"},
	} {
		w := walk(c.from, strings.Fields(c.failing)...)
		f := Facts{Author: w, Organization: func(d mail.Domain) (mail.Domain, bool) { return walk(d.ASCII()).Organization(), true }}
		if c.passes != "" {
			f.SPF = Mechanism{Domain: dom(t, c.passes), Passed: true}
		}
		r := Judge(f)
		if got := fmt.Sprint(r.Verdict, " ", r.Disposition); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// An author below a domain, whose own name nobody can ask for, has the policy of names
// that do not exist, and what only the domain itself passed is not strictly his.
func TestBelow(t *testing.T) {
	z := zone{
		"example.com":  {"v=DMARC1; p=none; sp=quarantine; np=reject"},
		"strict.test":  {"v=DMARC1; p=none; sp=reject; aspf=s"},
		"plain.test":   {"v=DMARC1; p=reject"},
		"a.plain.test": {"v=DMARC1; p=none"},
	}
	for name, c := range map[string]struct {
		from string
		spf  string
		want string
	}{
		"np":              {"example.com", "", "fail reject"},
		"np, of a parent": {"mail.example.com", "", "fail reject"},
		"sp":              {"strict.test", "", "fail reject"},
		"p":               {"plain.test", "", "fail reject"},
		"not a parent's":  {"a.plain.test", "", "fail reject"},
		"relaxed":         {"plain.test", "plain.test", "pass none"},
		"strict":          {"strict.test", "strict.test", "fail reject"},
		"another's":       {"plain.test", "example.com", "fail reject"},
	} {
		w := NewWalkBelow(dom(t, c.from))
		for {
			d, more := w.Next()
			if !more {
				break
			}
			w = w.Add(z[d.ASCII()])
		}
		f := Facts{Author: w, Existence: Exists, Organization: func(d mail.Domain) (mail.Domain, bool) { w, _ := z.walk(t, d.ASCII()); return w.Organization(), true }}
		if c.spf != "" {
			f.SPF = Mechanism{Domain: dom(t, c.spf), Passed: true}
		}
		if r := Judge(f); fmt.Sprint(r.Verdict, " ", r.Disposition) != c.want {
			t.Errorf("%s: %v %v, want %s", name, r.Verdict, r.Disposition, c.want)
		}
	}
}

func TestNeedsOrganization(t *testing.T) {
	z := zone{"example.com": {"v=DMARC1; p=none; adkim=s"}}
	w, _ := z.walk(t, "example.com")
	for _, c := range []struct {
		other string
		dkim  bool
		want  bool
	}{{"example.com", false, false}, {"a.example.com", false, true}, {"a.example.com", true, false}, {"other.test", false, false}, {"notexample.com", false, false}} {
		if got := NeedsOrganization(w, dom(t, c.other), c.dkim); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	none, _ := z.walk(t, "other.test")
	if NeedsOrganization(none, dom(t, "example.com"), false) {
		t.Error("without a policy nothing is needed")
	}
}

// Whatever the records say, a walk ends, its organization is the domain itself or
// above it, and no policy is applied that nobody stated.
func FuzzWalk(f *testing.F) {
	f.Add("a.b.c.d.e.f.g.h.i.example.com", "v=DMARC1; p=reject; psd=y", "v=DMARC1;p=none;sp=x", 3)
	f.Add("example.com", "v=DMARC1; psd=n; rua=mailto:a@b.c!1k,,https://x", "v=spf1 -all", 0)
	f.Add("x.co.uk", "v=DMARC1; np=reject; t=y; adkim=s;;=;", "", 1)
	f.Fuzz(func(t *testing.T, start, one, two string, at int) {
		d, err := mail.ParseDomain(start)
		if err != nil {
			return
		}
		w, n := NewWalk(d), 0
		for {
			_, more := w.Next()
			if !more {
				break
			}
			texts := []string{two}
			if n == at {
				texts = []string{one}
			}
			w = w.Add(texts)
			if n++; n > mostLabels {
				t.Fatal("the walk does not end")
			}
		}
		org := w.Organization().ASCII()
		if org != d.ASCII() && !strings.HasSuffix(d.ASCII(), "."+org) {
			t.Errorf("%s belongs to %s", d.ASCII(), org)
		}
		r := Judge(Facts{Author: w, Organization: func(d mail.Domain) (mail.Domain, bool) { return d, true }})
		stated := strings.Contains(strings.ToLower(one+two), r.Disposition.String())
		if r.Disposition != PolicyNone && !stated || r.Verdict == Pass {
			t.Errorf("%+v", r)
		}
	})
}
