package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func checkResolver(f Facts) []Finding {
	r := f.Resolver
	one := func(s State, what, remedy string) Finding { return Finding{"dns", "resolver", s, what, remedy} }
	switch {
	case r.Error != "":
		return []Finding{one(Wrong, "the name servers cannot be used: "+r.Error, "name working ones in mx.dns or /etc/resolv.conf; best is a validating one on this host, such as unbound")}
	case len(r.Invents) > 0:
		return []Finding{one(Wrong, "the name servers invent addresses ("+strings.Join(r.Invents, ", ")+") for a name that cannot exist", "use others: mail to misspelt domains would be sent to whoever is behind those; best is unbound on this host")}
	case !r.Asked:
		return []Finding{one(Unknown, "the name servers did not say whether a name that cannot exist does", "try again; if it stays so, look at mx.dns or /etc/resolv.conf")}
	}
	all := []Finding{one(Fine, "the name servers answer, and invent nothing", "")}
	switch r.Secure {
	case Fine:
		all = append(all, one(Fine, "the name servers validate with DNSSEC", ""))
	case Note:
		all = append(all,
			one(Note, "the name servers do not validate with DNSSEC, so that no DANE is possible", "run a validating resolver on this host, such as unbound, and name it in mx.dns"))
	}
	return all
}

func checkHost(f Facts) []Finding {
	one := func(s State, what, remedy string) []Finding { return []Finding{{"dns", f.Hostname, s, what, remedy}} }
	switch {
	case f.Host.Error != "":
		return one(Unknown, "its addresses could not be looked up: "+f.Host.Error, "try again")
	case !f.Host.known():
		return nil // the name servers are at fault, which is told already
	case f.Host.Absent:
		return one(Wrong, "the DNS has no address for this server's name",
			"add an A or AAAA record for "+f.Hostname+", or change hostname; others check that the name in EHLO exists")
	}
	for _, text := range f.Host.Values {
		if a, err := netip.ParseAddr(text); err == nil && slices.Contains(f.Own, a) {
			return one(Fine, "leads to this host: "+strings.Join(f.Host.Values, ", "), "")
		}
	}
	return one(Warning, "leads to "+strings.Join(f.Host.Values, ", ")+", and this host shows none of these",
		"correct the record; or, where the address is translated on the way, write it into literals")
}

func checkReverse(f Facts) (all []Finding) {
	for _, r := range f.Reverse {
		at := r.Address.String()
		add := func(s State, what, remedy string) { all = append(all, Finding{"dns", at, s, what, remedy}) }
		ask := "ask who gave you the address to let it lead to " + f.Hostname
		switch {
		case r.Names.Error != "":
			add(Unknown, "its reverse name could not be looked up: "+r.Names.Error, "try again")
		case len(r.Names.Values) == 0:
			add(Wrong, "has no reverse name, for which many servers refuse mail", ask)
		case !slices.Contains(r.Back, at):
			add(Wrong, "its reverse name "+strings.Join(r.Names.Values, ", ")+" does not lead back to it",
				ask+", and that name to the address")
		case !slices.Contains(r.Names.Values, f.Hostname):
			add(Warning, "its reverse name is "+strings.Join(r.Names.Values, ", ")+", and not "+f.Hostname, ask)
		default:
			add(Fine, "its reverse name is "+f.Hostname+", and leads back", "")
		}
	}
	return all
}

func checkDomains(f Facts) (all []Finding) {
	for _, d := range f.Domains {
		all = append(all, checkMX(f, d))
		all = append(all, d.checkText("SPF", d.SPF, "v=spf1", d.Name, `"v=spf1 mx -all"`, "that says who may send for the domain")...)
		all = append(all, d.checkSenders()...)
		all = append(all,
			d.checkText("DMARC", d.DMARC, "v=DMARC1", "_dmarc."+d.Name, `"v=DMARC1; p=none; rua=mailto:postmaster@`+d.Name+`"`, "that asks for reports, and later says what to do with forged mail (docs/guides/dmarc.md)")...)
		all = append(all, d.checkPolicy()...)
		all = append(all, d.optional("MTA-STS", d.MTASTS, "v=STSv1", "_mta-sts."+d.Name,
			"tls_policy.listen serves a policy (docs/config.md); then sallyport domain records "+d.Name+" prints its record")...)
		all = append(all, d.optional("TLS-RPT", d.TLSRPT, "v=TLSRPTv1", "_smtp._tls."+d.Name,
			"it asks others to tell how TLS to here fares; sallyport domain records "+d.Name+" prints one")...)
	}
	return all
}

func checkMX(f Facts, d DomainFacts) Finding {
	one := func(s State, what, remedy string) Finding { return Finding{"dns", d.Name, s, what, remedy} }
	switch {
	case d.MX.Error != "":
		return one(Unknown, "its mail exchangers could not be looked up: "+d.MX.Error, "try again")
	case len(d.MX.Values) == 0:
		return one(Wrong, "has no MX record: nobody's mail for it comes here", "add: "+d.Name+". MX 10 "+f.Hostname+".")
	case slices.Equal(d.MX.Values, []string{"."}):
		return one(Wrong, "says that it takes no mail (a null MX)", "replace it by: "+d.Name+". MX 10 "+f.Hostname+".")
	}
	for _, host := range d.MX.Values {
		if host == f.Hostname {
			return one(Fine, "its mail comes to "+host, "")
		}
		for _, text := range d.MXHosts[host] {
			if a, err := netip.ParseAddr(text); err == nil && slices.Contains(f.Own, a) {
				return one(Fine, "its mail comes to this host as "+host, "")
			}
		}
	}
	return one(Wrong, "its mail goes to "+strings.Join(d.MX.Values, ", ")+", and none of these is this host",
		"add: "+d.Name+". MX 10 "+f.Hostname+".; or, where a server in front passes mail on, ignore this")
}

// tagged returns the texts that begin with a version.
func tagged(l Lookup, version string) (found []string) {
	for _, text := range l.Values {
		if rest, ok := strings.CutPrefix(text, version); ok && (rest == "" || strings.ContainsAny(rest[:1], " ;")) {
			found = append(found, text)
		}
	}
	return found
}

// OneSPF reports whether the domain has one SPF record, as it should.
func (d DomainFacts) OneSPF() bool { return len(tagged(d.SPF, "v=spf1")) == 1 }

// checkText judges a record that every domain should have once.
func (d DomainFacts) checkText(kind string, l Lookup, version, at, example, what string) []Finding {
	found := tagged(l, version)
	switch {
	case l.Error != "":
		return []Finding{{"dns", d.Name, Unknown, "its " + kind + " record could not be looked up: " + l.Error, "try again"}}
	case !l.known():
		return nil
	case len(found) == 0:
		return []Finding{{"dns", d.Name, Warning, "has no " + kind + " record " + what, fmt.Sprintf("add: %s. TXT %s", at, example)}}
	case len(found) > 1:
		return []Finding{{"dns", d.Name, Wrong, "has " + fmt.Sprint(len(found)) + " " + kind + " records, which count as none", "leave one of them at " + at}}
	}
	return []Finding{{"dns", d.Name, Fine, kind + ": " + found[0], ""}}
}

// checkPolicy judges whether others read a policy in the DMARC record. RFC 9989 §4.7.
func (d DomainFacts) checkPolicy() []Finding {
	found := tagged(d.DMARC, "v=DMARC1")
	if len(found) != 1 {
		return nil // which is told already
	}
	one := func(what, remedy string) []Finding { return []Finding{{"dns", d.Name, Warning, what, remedy}} }
	head, tags, more := strings.Cut(found[0], ";")
	if strings.TrimSpace(head) != "v=DMARC1" {
		return one("its DMARC record counts as none: no semicolon stands behind v=DMARC1", `write it as "v=DMARC1; p=none; rua=mailto:postmaster@`+d.Name+`"`)
	}
	for more {
		var tag string
		tag, tags, more = strings.Cut(tags, ";")
		name, policy, _ := strings.Cut(tag, "=")
		policy = strings.ToLower(strings.TrimSpace(policy))
		if strings.TrimSpace(name) == "p" && !slices.Contains([]string{"none", "quarantine", "reject"}, policy) {
			return one("its DMARC record asks for nothing: p="+policy+" is no policy", "write p=none, p=quarantine or p=reject")
		}
	}
	return nil
}

// checkSenders judges whether the SPF record is one by which mail from here passes.
func (d DomainFacts) checkSenders() (all []Finding) {
	for _, s := range d.Senders {
		one := func(st State, what, remedy string) { all = append(all, Finding{"dns", d.Name, st, what, remedy}) }
		switch {
		case s.Passes:
		case s.Broken != "":
			one(Wrong, "its SPF record counts for nothing: "+s.Broken, "correct it; sallyport dmarc record "+d.Name+" prints one that is right")
			return all // for every address alike
		case s.Unknown != "":
			one(Unknown, "what its SPF record says of "+s.Address+" could not be found out: "+s.Unknown, "try again")
		default:
			one(Warning, "its SPF record does not name this server at "+s.Address+" ("+s.Verdict+"): mail of the domain from here looks forged to others",
				"add mx or the address to the record (sallyport dmarc record "+d.Name+" prints one), unless nobody sends as the domain from here")
		}
	}
	return all
}

// optional judges a record that helps and that few have.
func (d DomainFacts) optional(kind string, l Lookup, version, at, remedy string) []Finding {
	found := tagged(l, version)
	switch {
	case len(found) == 1:
		return []Finding{{"dns", d.Name, Fine, kind + ": " + found[0], ""}}
	case len(found) > 1:
		return []Finding{{"dns", d.Name, Wrong, "has " + fmt.Sprint(len(found)) + " " + kind + " records, which count as none", "leave one of them at " + at}}
	case l.known():
		return []Finding{{"dns", d.Name, Note, "has no " + kind + " record", remedy}}
	}
	return nil
}
