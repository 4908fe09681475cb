package directory

import (
	"net/netip"
	"strings"

	"sallyport/internal/mail"
)

const (
	// DefaultMaxExpansion is how many mailboxes one address may reach through
	// aliases when Config says nothing.
	DefaultMaxExpansion = 1000
	// DefaultMaxDepth is how many aliases may follow one another when Config says
	// nothing.
	DefaultMaxDepth = 10
	// MaxExpansionCeiling and MaxDepthCeiling bound what Config may say.
	MaxExpansionCeiling = 10_000
	MaxDepthCeiling     = 100
)

// Config is the part of the directory that the administrator writes. It must not
// be changed after it was given to NewSnapshot.
type Config struct {
	// Hostname is the server's own name. If it is none of the Domains, only
	// postmaster and abuse exist there.
	Hostname mail.Domain
	// Domains are our own domains. A subdomain is foreign unless it is listed.
	Domains []Domain
	// Postmaster is where the postmaster's mail arrives of every domain that names
	// none, and of Hostname. Zero: a mailbox of its own for each domain, and for a
	// Hostname that is none of Domains the postmaster of the first domain. The bare
	// postmaster of RFC 5321 §4.5.1 and our literals are Hostname's.
	Postmaster mail.Address
	Aliases    []Alias
	Routes     []Route
	Delegates  []Delegate
	Forwards   []Forward
	Contacts   []Contact
	// ForwardExternal says whether forwards are carried out at all.
	ForwardExternal bool
	// ForwardTargets bounds the addresses that one account forwards to; 0:
	// DefaultForwardTargets.
	ForwardTargets int
	// Literals are the addresses that this server is reached under.
	Literals []netip.Addr
	// Detail parts a local-part into base and detail: one of + - = _ #, or 0 for no
	// such parting.
	Detail byte
	// MaxExpansion bounds the mailboxes that one address reaches; 0:
	// DefaultMaxExpansion.
	MaxExpansion int
	// MaxDepth bounds the aliases that follow one another; 0: DefaultMaxDepth.
	MaxDepth int
}

// Route leads a domain's mail to a next hop. The strings are handed on as the
// administrator wrote them; nothing here interprets them.
type Route struct {
	Domain       mail.Domain // zero: every domain that has no route of its own ("*")
	Host         string
	Port         uint16
	TLS          mail.TLSMode
	CA           string // file of the authorities to trust; "": the system's
	User         string // "": no signing in
	PasswordFile string
}

func (f *faults) checkBounds(c Config) {
	if c.Hostname.IsZero() {
		f.add("the server has no host name")
	}
	if len(c.Domains) == 0 {
		f.add("there is no domain of our own")
	}
	if c.Detail != 0 && strings.IndexByte("+-=_#", c.Detail) < 0 {
		f.add("the detail separator %q is none of + - = _ #", string(rune(c.Detail)))
	}
	if c.MaxExpansion < 0 || c.MaxExpansion > MaxExpansionCeiling {
		f.add("the expansion bound %d does not lie between 1 and %d", c.MaxExpansion, MaxExpansionCeiling)
	}
	if c.MaxDepth < 0 || c.MaxDepth > MaxDepthCeiling {
		f.add("the alias depth %d does not lie between 1 and %d", c.MaxDepth, MaxDepthCeiling)
	}
	if c.ForwardTargets < 0 || c.ForwardTargets > ForwardTargetsCeiling {
		f.add("the bound of forwards %d does not lie between 1 and %d", c.ForwardTargets, ForwardTargetsCeiling)
	}
	for _, ip := range c.Literals {
		if !ip.IsValid() || ip.Zone() != "" {
			f.add("the address literal %q is no address", ip.String())
		}
	}
}
