package config

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/mail"

	"github.com/pelletier/go-toml/v2/unstable"
)

// meaning checks what no key can be checked for alone.
func (s *source) meaning(c *Config, root *node) {
	s.checkListen(c, root)
	s.checkTLS(c, root)
	s.checkOneCertificate(root)
	s.checkDomains(c, root)
	s.checkBehind(c)
	s.settleDirectories(c)
	s.checkRoutes(c)
	s.checkAliases(c)
	s.checkRetry(c, root)
	s.checkMetrics(c, root)
	s.checkTLSPolicy(c, root)
	s.checkAutoconfig(root)
	s.checkDMARCReport(c, root)
	s.checkReturnPath(c, root)
	s.checkWebhook(c, root)
	s.checkHelpers(root)
	s.checkCheckPassword(root)
	s.checkOIDC(root)
	if len(c.MX.DNS) > maxNameServers {
		s.faultAt(root.child("mx", "dns"), "these are more name servers than are ever asked", "name at most four")
	}
}

// maxNameServers is how many mx.dns may name.
const maxNameServers = 4

// child returns the node that names lead to, or nil.
func (n *node) child(names ...string) *node {
	for _, name := range names {
		if n == nil {
			return nil
		}
		n = n.children[name]
	}
	return n
}

// item returns the i-th item of a list, or the list where it is none.
func (n *node) item(i int) *node {
	if n != nil && i < len(n.items) {
		return n.items[i]
	}
	return n
}

// faultAt notes a fault about a node, quoting it as it stands.
func (s *source) faultAt(n *node, message, hint string) {
	if n == nil {
		s.fault(span{}, "", message, hint)
		return
	}
	s.fault(n.meant(), s.literal(n.meant()), message, hint)
}

type listener struct {
	addr netip.AddrPort
	at   *node
}

func (s *source) checkListen(c *Config, root *node) {
	var all []listener
	nowhere := true
	for _, door := range c.Listen.Doors() {
		list := root.child("listen", door.Name)
		nowhere = nowhere && list == nil
		if list == nil || len(list.items) != len(door.At) {
			continue // some could not be read, and have been reported
		}
		for i, addr := range door.At {
			all = append(all, listener{addr, list.item(i)})
		}
	}
	table := root.child("listen")
	if table != nil && table.kind != unstable.Table {
		return
	}
	if nowhere {
		s.faultAt(table, "this server listens nowhere", `write [listen] and mx = ["0.0.0.0:25"]`)
	}
	for i, l := range all {
		for _, other := range all[:i] {
			if collide(l.addr, other.addr) {
				s.faultAt(l.at, "this address is taken by another listener: "+other.addr.String(), "give each door a port of its own")
				break
			}
		}
	}
}

// collide reports whether two listeners cannot both be bound.
func collide(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	if a.Addr().IsUnspecified() || b.Addr().IsUnspecified() {
		return a.Addr().Is4() == b.Addr().Is4()
	}
	return a.Addr() == b.Addr()
}

func (s *source) checkTLS(c *Config, root *node) {
	cert, key := root.child("tls", "cert"), root.child("tls", "key")
	switch {
	case cert != nil && key == nil:
		s.faultAt(cert, "this certificate has no key", "add tls.key")
	case cert == nil && key != nil:
		s.faultAt(key, "this key has no certificate", "add tls.cert")
	case cert != nil:
		return
	}
	for _, door := range c.Listen.Doors() {
		if n := root.child("listen", door.Name); door.SignIn && n != nil && len(n.items) > 0 && !root.certified() {
			s.faultAt(n, "nobody can sign in here without TLS", "add [tls] with cert and key, or [acme], or remove this listener")
		}
	}
}

func (c *Config) ours(d mail.Domain) bool {
	return slices.ContainsFunc(c.Domains, func(o Domain) bool { return o.Name == d })
}

func (s *source) checkDomains(c *Config, root *node) {
	if root.child("domain") == nil {
		s.fault(span{}, "", "this server has no domain of its own", `write [domain."example.org"] and deliver = "maildir"`)
	}
	s.checkOurs(c, root.child("postmaster"), c.Postmaster)
	for i, d := range c.Domains {
		s.checkOurs(c, s.domainAt[i].child("postmaster"), d.Postmaster)
	}
}

// checkOurs reports an address that must be one of our own and is not.
func (s *source) checkOurs(c *Config, n *node, a mail.Address) {
	if n != nil && !a.IsZero() && !c.ours(a.Domain()) {
		s.faultAt(n, "this address is in no domain of ours", `the domains are those with a [domain."…"] table`)
	}
}

// secure settles the TLS mode of a route and refuses to show a password to a
// host that is not proven.
func (s *source) secure(r *Route, n *node) {
	to, mode := n.child("to"), n.child("tls")
	if to == nil || r.Host == "" {
		return
	}
	implicit := strings.HasPrefix(strings.ToLower(to.text), "smtps:")
	switch {
	case implicit && mode != nil && r.TLS != mail.TLSRequired && r.TLS != mail.TLSImplicit:
		s.faultAt(mode, "an smtps:// route always has verified TLS", `remove this key, or write to = "smtp://…"`)
		r.TLS = mail.TLSImplicit
	case implicit:
		r.TLS = mail.TLSImplicit
	case mode == nil:
		r.TLS = mail.TLSOpportunistic
	}
	verified := r.TLS == mail.TLSRequired || r.TLS == mail.TLSImplicit
	s.signIn(n, verified)
	if ca := n.child("ca"); ca != nil && !verified {
		s.faultAt(ca, "no certificate is checked on this route", `add tls = "required"`)
	}
}

func (s *source) checkRoutes(c *Config) {
	for i, r := range c.Routes {
		at := s.routeAt[i]
		if !r.Domain.IsZero() && c.ours(r.Domain) {
			s.fault(at.key, s.literal(at.key), "this domain is one of ours, and its mail is delivered here",
				`remove this route, or the table [domain."`+r.Domain.ASCII()+`"]`)
		}
		if to := at.child("to"); to != nil && c.leadsHere(r.Host, r.Port) {
			s.faultAt(to, "this route leads back to this server", "name the host that the mail shall go to")
		}
		s.checkOthers(c, r, at.child("others"))
	}
}

// MaxOthers is how many next hops a route may have behind its first.
const MaxOthers = 8

// checkOthers looks at the next hops of a route behind its first.
func (s *source) checkOthers(c *Config, r Route, at *node) {
	for i, h := range r.Others {
		switch {
		case i == MaxOthers:
			s.faultAt(at, "these are more next hops than are tried", "name at most "+strconv.Itoa(MaxOthers))
		case h.Implicit != (r.TLS == mail.TLSImplicit):
			s.faultAt(at, "all next hops of a route are reached in the same way", "let all of them begin with smtp://, or with smtps://")
		case c.leadsHere(h.Host, h.Port):
			s.faultAt(at, "this route leads back to this server", "name the host that the mail shall go to")
		}
	}
}

// listeners returns every listening address.
func (c *Config) listeners() (all []netip.AddrPort) {
	for _, door := range c.Listen.Doors() {
		all = append(all, door.At...)
	}
	return all
}

func (s *source) checkRetry(c *Config, root *node) {
	if n := root.child("retry"); n != nil {
		if c.Retry.Max < c.Retry.First {
			s.faultAt(firstOf(n.child("max"), n.child("first")),
				"the longest pause is shorter than the first", "retry.max must not be less than retry.first")
		}
		if c.Retry.Expire < c.Retry.First {
			s.faultAt(firstOf(n.child("expire"), n.child("first")),
				"mail would expire before it is tried a second time",
				"retry.expire must not be less than retry.first")
		}
		if warn := n.child("warn"); warn != nil && c.Retry.Warn >= c.Retry.Expire {
			s.faultAt(warn, "mail would go back before its sender is warned", "retry.warn must be less than retry.expire; 0s: no warnings")
		}
	}
}

func firstOf(nodes ...*node) *node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}
