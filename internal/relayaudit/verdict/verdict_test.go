package verdict

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

func domain(t *testing.T, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// doorOf is a door of mx.example.test, which takes mail for example.test.
func doorOf(t *testing.T, forms ...Form) Door {
	t.Helper()
	n := Names{Host: domain(t, "mx.example.test"), Local: domain(t, "example.test"), Away: domain(t, "away.invalid")}
	n.Own = []mail.Domain{n.Host, n.Local}
	n.Taken = []mail.Domain{n.Local}
	nobody := rcpt("nobody@example.test", 550, "5.1.1", "no such user")
	return Door{At: netip.MustParseAddrPort("192.0.2.1:25"), Kind: SMTP, Names: n, Forms: forms, Still: true, Greeting: "mx.example.test ESMTP",
		Nobodies: map[string]Said{"example.test": nobody, "": nobody}, Clear: []string{"STARTTLS"}, Hidden: []string{"SIZE"},
		TLS:    TLS{Asked: true, Version: "TLS 1.3"},
		Probes: map[string][]Said{ProbePostmaster: {mailFrom("", 250), rcpt("postmaster@example.test", 250, "2.1.5", "ok")}},
	}
}

func mailFrom(from string, code int) Said {
	return Said{Verb: "mail", Line: "MAIL FROM:<" + from + ">", Sent: "MAIL FROM:<" + from + ">", Outcome: "x", Reply: mail.R(code, "", "")}
}

func rcpt(to string, code int, enhanced, text string) Said {
	return Said{Verb: "rcpt", Line: "RCPT TO:<" + to + ">", Sent: "RCPT TO:<" + to + ">", Outcome: "x", Reply: mail.R(code, enhanced, text)}
}

func form(id string, said ...Said) Form { return Form{ID: id, Said: said} }

// Only what every reader reads alike is somebody else's; what may be either is told apart.
func TestWhereAPathLeads(t *testing.T) {
	d := doorOf(t)
	server := d.At.Addr()
	for line, want := range map[string]where{
		"RCPT TO:<u@away.invalid>":                              away,
		"RCPT TO:<u@AWAY.invalid.>":                             away,
		"RCPT TO:<@example.test:u@away.invalid>":                away,
		"RCPT TO:u@away.invalid":                                away,
		"RCPT TO: <u@away.invalid> ORCPT=rfc822;x@example.test": away,
		"RCPT TO:<u@[192.0.2.99]>":                              away,
		"RCPT TO:<u@[IPv6:2001:db8::1]>":                        away,
		"RCPT TO:<u@evil-example.test>":                         away,
		"RCPT TO:<u@example.test.away.invalid>":                 away,
		"RCPT TO:<u%away.invalid@example.test>":                 ambiguous,
		`RCPT TO:<"u@away.invalid"@example.test>`:               ambiguous,
		"RCPT TO:<away.invalid!u@example.test>":                 ambiguous,
		"RCPT TO:<away.invalid!u>":                              ambiguous,
		"RCPT TO:<u%away.invalid>":                              ambiguous,
		"RCPT TO:<u@away.invalid@example.test>":                 ambiguous,
		"RCPT TO:<u@example.test(u@away.invalid)>":              ambiguous,
		"RCPT TO:<u@away.invalid,u@example.test>":               ambiguous,
		"RCPT TO:<u@away.invalid\x00@example.test>":             ambiguous,
		"RCPT TO:<u@example.test> ORCPT=rfc822;u@away.invalid":  own,
		"RCPT TO:<u@example.test>":                              own,
		"RCPT TO:<u@MX.example.test>":                           own,
		"RCPT TO:<u@sub.example.test>":                          own,
		"RCPT TO:<u@[192.0.2.1]>":                               own,
		"RCPT TO:<u@[127.0.0.1]>":                               own,
		"RCPT TO:<u@127.0.0.1>":                                 own,
		"RCPT TO:<u@[IPv6:::1]>":                                own,
		"RCPT TO:<u@localhost>":                                 own,
		"RCPT TO:<u@2130706433>":                                own,
		"RCPT TO:<u@0x7f.1>":                                    own,
		"RCPT TO:<postmaster>":                                  own,
		"RCPT TO:<>":                                            own,
	} {
		if got := classify(pathOf(line), d.Names, server); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

// Whether it relays is a question of its own: how it refuses is none.
func TestRelays(t *testing.T) {
	plain := func(code int, enhanced, text string) Form {
		return form("A", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", code, enhanced, text))
	}
	everybody := func(d Door) Door { // it takes every name at its own domain, as Haraka does
		taken := rcpt("nobody@example.test", 250, "", "ok")
		d.Nobodies = map[string]Said{"example.test": taken, "": taken}
		return d
	}
	percent := form("B", mailFrom("x@away.invalid", 250), rcpt("u%away.invalid@example.test", 250, "", "ok"))
	off := doorOf(t, plain(451, "4.7.1", "greylisted"))
	off.Probes[ProbePostmaster][1] = rcpt("postmaster@example.test", 451, "4.7.1", "greylisted")
	odd := form("C", mailFrom("x@away.invalid", 250), rcpt("u%away.invalid@example.test", 501, "5.1.3", "bad address"))
	sibling := doorOf(t, form("A", mailFrom("x@away.co.test", 250), rcpt("u@away.co.test", 550, "5.7.1", "no")))
	sibling.Names.Own, sibling.Names.Away = append(sibling.Names.Own, domain(t, "co.test")), domain(t, "away.co.test")
	open := sibling
	open.Forms = []Form{form("A", mailFrom("x@away.co.test", 250), rcpt("u@away.co.test", 250, "2.1.5", "ok"))}
	for name, c := range map[string]struct {
		door Door
		want Relay
	}{
		"greylisted, but the postmaster": {doorOf(t, plain(450, "4.2.0", "<u@away.invalid>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/"), odd), CantTell},
		"the client is on a list":        {doorOf(t, plain(554, "5.7.1", "Service unavailable; Client host [192.0.2.9] blocked using zen.spamhaus.org"), odd), CantTell},
		"the client has no name":         {doorOf(t, plain(450, "4.7.25", "Client host rejected: cannot find your hostname, [192.0.2.9]"), odd), CantTell},
		"nobody is let in without AUTH":  {doorOf(t, plain(554, "5.7.1", "<unknown[192.0.2.9]>: Client host rejected: Access denied")), Closed},
		"relaying, and the name of it":   {doorOf(t, plain(550, "5.7.1", "<u@away.invalid>... Relaying denied. IP name lookup failed [192.0.2.9]: no reverse DNS")), Closed},
		"only odd forms are refused":     {doorOf(t, plain(553, "5.1.8", "sender"), odd), CantTell},
		"503 for AUTH at the recipient":  {doorOf(t, plain(503, "", "This mail server requires authentication when attempting to send to a non-local e-mail address.")), Closed},
		"503 for AUTH at the sender":     {doorOf(t, form("A", Said{Verb: "mail", Line: "MAIL FROM:<x@away.invalid>", Outcome: "503", Reply: mail.R(503, "5.5.1", "You must authenticate first.")}, rcpt("u@away.invalid", 503, "5.5.1", "MAIL first"))), Closed},
		"away beside the server's":       {sibling, Closed},
		"away beside it, and open":       {open, Open},
		"refused":                        {doorOf(t, plain(550, "5.7.1", "no")), Closed},
		"refused for now":                {doorOf(t, plain(454, "4.7.1", "Relay access denied")), Closed},
		"refused without a code":         {doorOf(t, plain(550, "", "I cannot deliver mail for <u@away.invalid>")), Closed},
		"taken":                          {doorOf(t, plain(550, "", "no"), plain(250, "", "ok")), Open},
		"forward":                        {doorOf(t, plain(251, "", "will forward")), Open},
		"all names, one form":            {everybody(doorOf(t, plain(550, "", "no"), percent)), Closed},
		"names known, one form":          {doorOf(t, plain(550, "", "no"), percent), Open},
		"only about the name":            {doorOf(t, plain(550, "5.1.2", "Host unknown"), plain(553, "5.1.8", "sender")), CantTell},
		"everybody is put off":           {off, CantTell},
		"the sender is refused":          {doorOf(t, form("A", mailFrom("x@away.invalid", 553), rcpt("u@away.invalid", 503, "", "MAIL first"))), CantTell},
		"it wants people to sign in":     {doorOf(t, form("A", mailFrom("x@away.invalid", 530), rcpt("u@away.invalid", 503, "", "MAIL first"))), Closed},
		"nothing was asked elsewhere":    {doorOf(t, form("A", mailFrom("", 250), rcpt("u@example.test", 250, "", "ok"))), CantTell},
		"not reached":                    {Door{Fault: "connection refused"}, Unreached},
	} {
		if got, _ := judgeDoor(c.door); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Each way of relaying is told by its own name.
func TestCauses(t *testing.T) {
	shut := form("A", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 550, "", "no"))
	shown := form("R01", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 250, "", "ok"))
	shown.Shown, shown.TLS = true, true
	for want, forms := range map[string][]Form{
		"relay.open":        {form("A", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 250, "", "ok"))},
		"relay.own-sender":  {shut, form("B", mailFrom("x@example.test", 250), rcpt("u@away.invalid", 250, "", "ok"))},
		"relay.form":        {shut, form("C", mailFrom("x@away.invalid", 250), rcpt("away.invalid!u@example.test", 250, "", "ok"))},
		"relay.certificate": {shut, shown},
		"relay.second":      {shut, form("R21", mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 550, "", "no"), mailFrom("x@away.invalid", 250), rcpt("u@away.invalid", 250, "", "ok"))},
	} {
		r := judged(t, doorOf(t, forms...))
		if r.Relay != Open || r.Worst() != Hole || r.Findings[0].Check != want {
			t.Errorf("%s: %s, %q", want, r.Relay, checks(r))
		}
	}
}

func judged(t *testing.T, doors ...Door) Result {
	t.Helper()
	r, err := Judge(Server{Asked: "mx.example.test", Doors: doors, Began: time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func checks(r Result) (all []string) {
	for _, f := range r.Findings {
		all = append(all, f.Check)
	}
	return all
}

// What is beside relaying, each found by what was seen, and none of it where it was not.
func TestHygiene(t *testing.T) {
	said := func(verb string, code int, text string) Said {
		return Said{Verb: verb, Outcome: "x", Reply: mail.R(code, "", text)}
	}
	closed := form("A", mailFrom("", 250), rcpt("u@away.invalid", 550, "", "no"))
	ehlo := "mx.example.test\nPIPELINING"
	for name, c := range map[string]struct {
		want   string
		change func(*Door)
	}{
		"xclient":       {"xclient", func(d *Door) { d.Probes[ProbeXCLIENT] = []Said{said("xclient", 220, "mx")} }},
		"xforward":      {"xclient", func(d *Door) { d.Probes[ProbeXFORWARD] = []Said{said("xforward", 250, "ok")} }},
		"proxy":         {"proxy", func(d *Door) { d.Probes[ProbePROXY1] = []Said{said("greet", 220, "mx"), said("ehlo", 250, ehlo)} }},
		"bdat":          {"bdat", func(d *Door) { d.Probes[ProbeBDAT] = []Said{mailFrom("", 250), said("bdat", 250, "ok")} }},
		"external":      {"external", func(d *Door) { d.Probes[ProbeEXTERNAL] = []Said{said("auth", 235, "ok")} }},
		"auth in clear": {"tls.strip", func(d *Door) { d.Probes[ProbeAUTH] = []Said{said("auth", 334, "")} }},
		"vrfy":          {"vrfy", func(d *Door) { d.Probes[ProbeVRFY] = []Said{said("vrfy", 250, "a"), said("vrfy", 550, "b")} }},
		"vrfy, Postfix": {"vrfy", func(d *Door) { d.Probes[ProbeVRFY] = []Said{said("vrfy", 252, "a"), said("vrfy", 550, "b")} }},
		"expn":          {"expn", func(d *Door) { d.Probes[ProbeEXPN] = []Said{said("expn", 250, "a")} }},
		"etrn":          {"etrn", func(d *Door) { d.Probes[ProbeETRN] = []Said{said("etrn", 250, "a")} }},
		"bounces":       {"bounces", func(d *Door) { d.Nobodies["example.test"] = rcpt("nobody@example.test", 250, "", "ok") }},
		"null sender":   {"null-sender", func(d *Door) { d.Probes[ProbeNull] = []Said{mailFrom("", 550)} }},
		"no TLS":        {"tls.none", func(d *Door) { d.TLS = TLS{} }},
		"injection":     {"starttls.injection", func(d *Door) { d.TLS.Surplus = true }},
		"old TLS":       {"tls.old", func(d *Door) { d.TLS.Old = []string{"TLS 1.0"} }},
		"weak cipher":   {"tls.weak", func(d *Door) { d.TLS.Weak = []string{"RC4"} }},
		"weak key":      {"certificate.weak", func(d *Door) { d.TLS.Cert = Certificate{Seen: true, Matches: true, WeakKey: true, Key: "RSA 1024"} }},
		"wrong name":    {"certificate", func(d *Door) { d.TLS.Cert = Certificate{Seen: true, AskedFor: "mx.example.test"} }},
		"ends soon": {"certificate", func(d *Door) {
			d.TLS.Cert = Certificate{Seen: true, Matches: true, NotAfter: time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)}
		}},
		"smuggling":     {"smuggling", func(d *Door) { d.Smuggled = Smuggling{Asked: true, Ended: `"\n.\n"`} }},
		"gone":          {"gone", func(d *Door) { d.Still = false }},
		"version":       {"version", func(d *Door) { d.Greeting = "mx.example.test ESMTP Foo 4.96" }},
		"no postmaster": {"postmaster", func(d *Door) { d.Probes[ProbePostmaster][1] = rcpt("postmaster@example.test", 550, "", "no") }},
		"no domain known": {"domain", func(d *Door) {
			d.Probes[ProbePostmaster][1], d.Names.Taken = rcpt("postmaster@example.test", 550, "5.7.1", "Relay access denied"), nil
		}},
		"enumeration":     {"enumeration", func(d *Door) { d.Kind = Submission }},
		"offers AUTH":     {"tls.strip", func(d *Door) { d.Kind, d.Clear = Submission, []string{"AUTH PLAIN"} }},
		"a whole message": {"relay.open", func(d *Door) { d.Messages = []Message{{To: "me@x.test", Whole: true}} }},
	} {
		d := doorOf(t, closed)
		d.Smuggled.Asked = true
		if got := strings.Join(checks(judged(t, d)), " "); got != "recipients" {
			t.Fatalf("a closed server: %s", got)
		}
		c.change(&d)
		if got := strings.Join(checks(judged(t, d)), " "); !strings.Contains(" "+got+" ", " "+c.want+" ") {
			t.Errorf("%s: %s", name, got)
		}
	}
	// Who says 252 of everybody, or does not know VRFY, tells nothing.
	for _, codes := range [][2]int{{252, 252}, {502, 502}, {252, 502}, {550, 550}} {
		d := doorOf(t, closed)
		d.Probes[ProbeVRFY] = []Said{said("vrfy", codes[0], "a"), said("vrfy", codes[1], "b")}
		if got := checks(judged(t, d)); slices.Contains(got, "vrfy") {
			t.Errorf("%v: %q", codes, got)
		}
	}
	// A server that reads a PROXY header as a command refuses it in place of EHLO.
	d := doorOf(t, closed)
	d.Probes[ProbePROXY1] = []Said{said("greet", 220, "mx"), said("ehlo", 500, "what?")}
	if got := strings.Join(checks(judged(t, d)), " "); strings.Contains(got, "proxy") {
		t.Errorf("a refused PROXY header: %s", got)
	}
}

func TestSummaryAndCode(t *testing.T) {
	of := func(all ...Relay) (rs []Result) {
		for _, r := range all {
			rs = append(rs, Result{Relay: r})
		}
		return rs
	}
	refused := Result{Server: Server{Refused: "no consent"}}
	weak := Result{Relay: Closed, Findings: []Finding{{Grade: Weakness}}}
	hole := Result{Relay: Closed, Findings: []Finding{{Grade: Hole}}}
	for _, c := range []struct {
		all          []Result
		words        string
		code, strict int
	}{
		{of(Open, Closed, Closed, Open, Closed), "five servers, two relay, three are closed", 1, 1},
		{of(Closed), "one server, none relays, one is closed", 0, 0},
		{of(Closed, CantTell), "two servers, none relays, one is closed, one can't be told without --deliver", 2, 2},
		{of(Unreached), "one server, none relays, one was not reached", 2, 2},
		{append(of(Open), refused), "two servers, one relays, one was not audited", 1, 1},
		{[]Result{refused}, "one server, none relays, one was not audited", 2, 2},
		{[]Result{weak}, "one server, none relays, one is closed", 0, 1},
		{[]Result{hole, refused}, "two servers, none relays, one is closed, one was not audited", 1, 1},
	} {
		if got := Summary(c.all); got != c.words {
			t.Errorf("%q, want %q", got, c.words)
		}
		if got, strict := Code(c.all, false), Code(c.all, true); got != c.code || strict != c.strict {
			t.Errorf("%s: exit %d, strict %d; want %d, %d", c.words, got, strict, c.code, c.strict)
		}
	}
}

// The verdict on a server is the worst of its doors, and a door that is not there is none.
func TestDoorsTogether(t *testing.T) {
	closed := doorOf(t, form("A", mailFrom("", 250), rcpt("u@away.invalid", 550, "", "no")))
	untold := doorOf(t)
	open := doorOf(t, form("A", mailFrom("", 250), rcpt("u@away.invalid", 250, "", "ok")))
	gone := Door{Fault: "connection refused"}
	for _, c := range []struct {
		doors []Door
		want  Relay
	}{{[]Door{closed, gone}, Closed}, {[]Door{gone, gone}, Unreached}, {[]Door{closed, untold}, CantTell}, {[]Door{untold, closed}, CantTell}, {[]Door{closed, open}, Open}} {
		if got := judged(t, c.doors...).Relay; got != c.want {
			t.Errorf("%d doors: %s, want %s", len(c.doors), got, c.want)
		}
	}
}

// Every text is whole, and a bad one is told.
func TestAdvice(t *testing.T) {
	all, err := advice()
	if err != nil || len(all) < 25 {
		t.Fatalf("%d texts: %v", len(all), err)
	}
	for name, text := range map[string]string{
		"no why":      "[a]\ntitle: x\n",
		"twice":       "[a]\ntitle: x\nwhy: y\n[a]\ntitle: x\nwhy: y\n",
		"wrong order": "[a]\ntitle: x\nwhy: y\nExim: z\n",
		"half":        "[a]\ntitle: x\nwhy: y\nPostfix: z\n",
	} {
		if _, err := parseAdvice(text); !errors.Is(err, ErrAdvice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
