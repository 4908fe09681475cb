// Package risk warns of what is legal and closed in a configuration, and yet has cost others
// dearly: forwards that leave, catch-alls, wide networks, mail in clear text. It decides nothing.
package risk

import (
	"fmt"
	"net/netip"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// Risk is one thing that an administrator should know of.
type Risk struct {
	About directory.Subject
	Text  string
	Hint  string
}

// Of returns the risks of a directory and of the networks that sign in, in the order of both.
func Of(c directory.Config, networks []trust.Network) (all []Risk) {
	for _, f := range c.Forwards {
		if c.ForwardExternal && len(f.Targets) > 0 {
			all = append(all, Risk{f.Subject(), fmt.Sprintf("mail for %s leaves for %s, junk among it, and counts there as sent by this server", f.Account, addresses(f.Targets)),
				"fetching from the mailbox there loses nothing; or bound it with [budget] forward_hour"})
		}
	}
	for _, a := range c.Aliases {
		if !a.CatchAll.IsZero() {
			all = append(all, Risk{a.Subject(), fmt.Sprintf("every name of %s is taken, so that no unknown recipient is refused and guessing finds nothing", a.CatchAll),
				"name the addresses that there are, and remove the catch-all"})
		}
	}
	for _, n := range networks {
		for _, p := range n.From {
			if wide(p) {
				all = append(all, Risk{directory.Subject{Kind: directory.KindNetwork, Name: n.Name}, fmt.Sprintf("%s of the network %s is wide: whatever gets an address in it may send as %s", p, n.Name, n.Account),
					"name the addresses of the devices, as 10.20.0.7/32"})
			}
		}
	}
	for _, d := range c.Domains {
		if d.Deliver.Behind() && d.Server.Path == "" && d.Server.TLS != mail.TLSRequired && d.Server.TLS != mail.TLSImplicit && !local(d.Server.Host) {
			all = append(all, Risk{d.Subject(), fmt.Sprintf("mail for %s may go to %s in clear text, and to whoever answers there", d.Name, d.Server), `add tls = "required" to the domain`})
		}
	}
	for _, r := range c.Routes {
		if r.TLS != mail.TLSRequired && r.TLS != mail.TLSImplicit && !local(r.Host) {
			of := directory.Subject{Kind: directory.KindRoute, Name: "*"}
			if !r.Domain.IsZero() {
				of.Name = r.Domain.String()
			}
			all = append(all, Risk{of, fmt.Sprintf("mail for %s may go to %s in clear text, and to whoever answers there", of.Name, r.Host), `add tls = "required" to the route`})
		}
	}
	return all
}

// The widest networks that are as a rule one room of devices.
const (
	roomV4 = 24
	roomV6 = 64
)

func wide(p netip.Prefix) bool {
	return p.Addr().Is4() && p.Bits() < roomV4 || p.Addr().Is6() && p.Bits() < roomV6
}

// local reports whether a next hop is on this host, so that nobody hears what is said to it.
func local(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback() || host == "localhost"
}

func addresses(all []mail.Address) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}
