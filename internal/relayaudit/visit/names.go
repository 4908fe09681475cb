package visit

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

// candidates returns the domains that may be a server's own, the likeliest first: those that the
// auditor knows, and the names that it was asked for by, greets with, has in the DNS and in its
// certificate, each with the domain above it. Whatever is no name of the public DNS, such as an
// address, is left out.
func candidates(known []mail.Domain, host, greeting string, reverse, certificate []string) (own []mail.Domain) {
	own = append(own, known...)
	add := func(s string) {
		d, err := mail.ParseHostname(strings.TrimSuffix(s, "."))
		if err != nil || strings.Trim(s, "0123456789.") == "" || !strings.Contains(d.ASCII(), ".") {
			return
		}
		for _, name := range []string{d.ASCII(), above(d.ASCII())} {
			if n, err := mail.ParseDomain(name); err == nil && name != "" && !slices.Contains(own, n) {
				own = append(own, n)
			}
		}
	}
	banner, _, _ := strings.Cut(greeting, " ")
	names := append([]string{banner, host}, reverse...)
	for _, n := range append(names, certificate...) {
		add(strings.TrimPrefix(n, "*."))
	}
	return own
}

// above returns the domain above a name, if that is not a top one.
func above(name string) string {
	_, rest, _ := strings.Cut(name, ".")
	if !strings.Contains(rest, ".") {
		return ""
	}
	return rest
}

// names finds out what the server takes for its own.
func (v *visitor) names() {
	own := candidates(v.o.Domains, v.s.Host, v.d.Greeting, v.s.Reverse, v.d.TLS.Cert.Names)
	own = slices.DeleteFunc(own, v.isAway)
	own = own[:min(len(own), v.o.Limits.Names)]
	v.d.Names.Own = own
	if len(own) == 0 {
		local, _ := mail.ParseDomain("localhost.localdomain") // what a server without a name calls itself
		own = []mail.Domain{local}
		v.d.Names.Own = own
	}
	v.d.Names.Host, v.d.Names.Local = own[min(len(v.o.Domains), len(own)-1)], own[0]
	for _, d := range own {
		r := v.ask(transaction("", "postmaster@"+d.ASCII()), v.opened(), relayaudit.Mode{})
		if s := lastSaid(r, "rcpt"); s.Took() {
			v.d.Names.Taken = append(v.d.Names.Taken, d)
		}
	}
	second := v.d.Names.Host
	if taken := v.d.Names.Taken; len(taken) > 0 {
		// The domain above a host name is more often the one with people.
		v.d.Names.Local = taken[0]
		if i := slices.IndexFunc(taken, func(d mail.Domain) bool { return d != v.d.Names.Host }); i >= 0 && len(v.o.Domains) == 0 {
			v.d.Names.Local = taken[i]
		}
		second = taken[len(taken)-1]
	}
	v.target.Hostname, v.target.Local, v.target.Second = v.d.Names.Host, v.d.Names.Local, second
}

// isAway reports whether a domain is one that is asked for as somebody else's: what a server or
// its certificate says cannot make it the server's own.
func (v *visitor) isAway(d mail.Domain) bool {
	away := slices.Clone(reserved[:])
	for _, a := range v.o.Away {
		away = append(away, a.ASCII())
	}
	return slices.ContainsFunc(away, func(a string) bool { return d.ASCII() == a || strings.HasSuffix(d.ASCII(), "."+a) })
}

// sender finds a sender, and a domain elsewhere, that are not refused for being nobody's. One
// that is found says nothing of relaying, but without it nothing could be learnt.
func (v *visitor) sender() {
	if v.d.Kind != verdict.SMTP {
		return
	}
	away := slices.Clone(v.o.Away)
	for _, name := range reserved {
		if d, err := mail.ParseDomain(name); err == nil && len(v.o.Away) == 0 {
			away = append(away, d)
		}
	}
	for _, to := range away {
		for _, from := range []string{"relaytest@" + to.ASCII(), "", "relaytest@" + v.d.Names.Local.ASCII()} {
			r := v.ask(transaction(from, "relaytest@"+to.ASCII()), v.opened(), relayaudit.Mode{})
			s, m := lastSaid(r, "rcpt"), lastSaid(r, "mail")
			if r.Err == nil && m.Took() && s.Reply.Code != 0 && s.Reply.Code != 503 && !verdict.AboutNames(s.Reply) {
				v.target.Remote, v.d.Names.Away = to, to
				v.target.Sender = from
				if from == "" {
					v.target.Sender = relayaudit.NullSender
				}
				return
			}
		}
	}
}

// nobodies asks for a name that nobody has at each domain at which the forms ask for others.
func (v *visitor) nobodies() {
	tails := []string{
		"", v.d.Names.Local.ASCII(), v.d.Names.Host.ASCII(), v.target.Second.ASCII(), "localhost",
		"[127.0.0.1]", strings.ToLower(mail.FormatLiteral(v.d.At.Addr())),
	}
	slices.Sort(tails)
	var rows []relayaudit.Case
	for _, tail := range slices.Compact(tails) {
		to := v.nobody
		if tail != "" {
			to += "@" + tail
		}
		if c, err := row("nobody", "F:<{FROM}> ⏎ T:<"+escaped(to)+">", v.opened()); err == nil {
			c.Source = tail
			rows = append(rows, c)
		}
	}
	for _, r := range v.session(rows, relayaudit.Mode{}) {
		if s := lastSaid(r, "rcpt"); s.Reply.Code != 0 {
			v.d.Nobodies[r.Case.Source] = s
		}
	}
}

// lastSaid returns the last command of a run with a verb.
func lastSaid(r relayaudit.Result, verb string) (last verdict.Said) {
	if r.Err != nil {
		return last
	}
	for _, s := range saidOf(r) {
		if s.Verb == verb {
			last = s
		}
	}
	return last
}
