package directory

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/mail"
)

// ErrAccount says that an address cannot be an account.
var ErrAccount = errors.New("directory: this address cannot be an account")

// Snapshot is one immutable state of the directory. It is safe for concurrent
// use. The nil Snapshot is not usable.
type Snapshot struct {
	base     *base
	accounts *shelf[mail.Address] // nil: they cannot be read now
}

// base is what only a new configuration changes; snapshots share it.
type base struct {
	hostname   mail.Domain
	list       []Domain
	domains    map[mail.Domain]Domain
	postmaster mail.Address // of domains that name none; zero: a mailbox of their own
	// hostPostmaster is the postmaster of hostname when it is none of domains.
	hostPostmaster mail.Address
	aliases        shelf[Alias]
	listed         map[string]bool // by Key, of the lists of all domains
	catchAlls      map[mail.Domain]Alias
	delegates      shelf[rights] // by the account's Key, by the address's
	routes         map[mail.Domain]Route
	literals       map[netip.Addr]bool
	detail         byte
	maxExpansion   int
	maxDepth       int

	forwards        shelf[Forward] // by the account's Key
	forwardExternal bool
	forwardTargets  int
	contacts        shelf[Contact] // by the account's Key

	leads shelf[[]string] // what names each name: see leadsTo
}

// NewSnapshot builds the directory of a configuration and its accounts. The error
// is a Faults with everything that was found: no host name or domain of our own, an
// alias or postmaster that leads out of our domains, an alias that hides an
// account, a route for a domain of ours, anything given twice, a bound out of
// range. What needs the whole of the aliases to be seen, Check finds. Accounts of domains that are not ours (any more) are kept, but no address
// leads to them and they own none.
func NewSnapshot(cfg Config, accounts []mail.Address) (*Snapshot, error) {
	b, f := newBase(cfg)
	set := fill(len(accounts), func(put func(string, mail.Address)) {
		for _, a := range accounts {
			put(a.Key(), a)
		}
	})
	for key, alias := range b.aliases.all {
		if _, taken := set.get(key); taken && !alias.Keeps() {
			f.found = append(f.found, hidden(alias))
		}
	}
	for _, a := range accounts {
		if a.IsZero() {
			f.add("an account has no address")
		}
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	return &Snapshot{base: b, accounts: &set}, nil
}

// hidden is the fault of an alias that has the address of an account and does not keep its mail.
func hidden(a Alias) Fault {
	return Fault{
		About: []Subject{a.Subject(), {KindAccount, a.Address.String()}},
		Text:  a.Address.String() + " is an alias and also an account; for a copy of the account's mail let the alias name itself among its targets",
	}
}

// Unavailable builds the directory of a configuration whose accounts cannot be
// read now.
func Unavailable(cfg Config) (*Snapshot, error) {
	b, f := newBase(cfg)
	if err := f.err(); err != nil {
		return nil, err
	}
	return &Snapshot{base: b}, nil
}

// CheckAccount reports why a cannot be made an account: it is of no domain of
// ours, or an alias has its address that does not name itself. The error wraps ErrAccount.
func (s *Snapshot) CheckAccount(a mail.Address) error {
	if _, ours := s.base.domains[a.Domain()]; a.IsZero() || !ours {
		return fmt.Errorf("%w: its domain is none of ours", ErrAccount)
	}
	if alias, ok := s.base.aliases.get(a.Key()); ok && !alias.Keeps() {
		return fmt.Errorf("%w: an alias has this address; for an account whose mail others get a copy of, let the alias name itself among its targets", ErrAccount)
	}
	return nil
}

// Hostname returns the server's own name.
func (s *Snapshot) Hostname() mail.Domain { return s.base.hostname }

// Domains returns our own domains in the order of the configuration. The caller
// owns the slice.
func (s *Snapshot) Domains() []Domain { return slices.Clone(s.base.list) }

// Domain returns our own domain of that name.
func (s *Snapshot) Domain(d mail.Domain) (Domain, bool) {
	own, ok := s.base.domains[d]
	return own, ok
}

// IsOurs reports whether d is a domain of our own, or our host name. A subdomain
// of either is not.
func (s *Snapshot) IsOurs(d mail.Domain) bool { return s.base.isOurs(d) }

func (b *base) isOurs(d mail.Domain) bool {
	_, own := b.domains[d]
	return own || !d.IsZero() && d == b.hostname
}

// Route returns the next hop of a foreign domain: its own route, else that of "*".
// The zero Domain, which an address literal has, only ever has the latter. A domain
// of ours has no route.
func (s *Snapshot) Route(d mail.Domain) (Route, bool) {
	if s.IsOurs(d) {
		return Route{}, false
	}
	if r, ok := s.base.routes[d]; ok {
		return r, true
	}
	r, ok := s.base.routes[mail.Domain{}]
	return r, ok
}

func newBase(c Config) (*base, *faults) {
	f := &faults{}
	f.checkBounds(c)
	b := &base{
		hostname: c.Hostname, list: slices.Clone(c.Domains), detail: c.Detail,
		domains:   make(map[mail.Domain]Domain, len(c.Domains)),
		catchAlls: map[mail.Domain]Alias{},
		routes:    make(map[mail.Domain]Route, len(c.Routes)), literals: make(map[netip.Addr]bool, len(c.Literals)),
		maxExpansion: cmp.Or(c.MaxExpansion, DefaultMaxExpansion), maxDepth: cmp.Or(c.MaxDepth, DefaultMaxDepth),
		forwardExternal: c.ForwardExternal, listed: map[string]bool{},
		forwardTargets: cmp.Or(c.ForwardTargets, DefaultForwardTargets),
	}
	for _, ip := range c.Literals {
		b.literals[ip.Unmap()] = true
	}
	b.addDomains(c, f)
	b.addAliases(c.Aliases, f)
	b.addRoutes(c.Routes, f)
	b.addForwards(c.Forwards, f)
	b.addDelegates(c.Delegates, f)
	b.addContacts(c.Contacts, f)
	return b, f
}

func (b *base) addDomains(c Config, f *faults) {
	for _, d := range c.Domains {
		switch {
		case d.Name.IsZero():
			f.add("a domain of our own has no name")
		default:
			d.check(f)
		}
		if _, twice := b.domains[d.Name]; twice {
			f.about(d.Subject(), "the domain %s is given twice", d.Name)
		}
		b.domains[d.Name] = d
		for _, a := range d.List {
			b.listed[a.Key()] = true
		}
	}
	// Only now all of our domains are known.
	for _, d := range c.Domains {
		b.checkOurs(d.Postmaster, d.Subject(), "the postmaster of "+d.Name.String(), f)
	}
	b.checkOurs(c.Postmaster, Subject{}, "the postmaster", f)
	b.postmaster, b.hostPostmaster = c.Postmaster, c.Postmaster
	if c.Postmaster.IsZero() && len(c.Domains) > 0 {
		if first, err := mail.NewAddress(postmasterLocal, c.Domains[0].Name); err == nil {
			b.hostPostmaster = first
		}
	}
}

func (b *base) addRoutes(routes []Route, f *faults) {
	for _, r := range routes {
		name := r.Domain.String()
		if r.Domain.IsZero() {
			name = "*"
		}
		route := Subject{KindRoute, name}
		_, own := b.domains[r.Domain]
		_, twice := b.routes[r.Domain]
		switch {
		case own || !r.Domain.IsZero() && r.Domain == b.hostname:
			// The domain may be the newer of the two.
			f.found = append(f.found, Fault{About: []Subject{route, {KindDomain, name}}, Text: "the route for " + name + " leads our own domain away"})
		case twice:
			f.about(route, "the route for %s is given twice", name)
		case r.Host == "" || r.Port == 0 || !r.TLS.Decided():
			f.about(route, "the route for %s has no host, no port, or no known TLS mode", name)
		}
		b.routes[r.Domain] = r
	}
}

// checkOurs adds a fault unless a is zero or of a domain of ours: an alias that
// leads out would be a relay without a grant.
func (b *base) checkOurs(a mail.Address, s Subject, what string, f *faults) {
	if _, ours := b.domains[a.Domain()]; !ours && !a.IsZero() {
		f.about(s, "%s, %s, is of no domain of ours", what, a)
	}
}
