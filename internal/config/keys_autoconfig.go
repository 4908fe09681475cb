package config

import "net/netip"

// Autoconfig says where mail programs are told their settings.
type Autoconfig struct {
	Listen []netip.AddrPort // none: nowhere
}

func autoconfigKeys() []entry[Autoconfig] {
	return []entry[Autoconfig]{
		list(Key{Path: "autoconfig.listen", Type: TypeListen, Restart: "the web server of the settings is bound at the start alone",
			Doc: "Where mail programs are told the settings of this server over HTTPS, usually port 443; it " +
				"may be the address of tls_policy.listen. Programs ask under autoconfig.DOMAIN, " +
				"autodiscover.DOMAIN and ua-auto-config.DOMAIN of each domain, which must lead here and be " +
				"in the certificate. They are told hostname and the ports of [listen], and nothing about " +
				"any address; doors on loopback are left out. [guides/autoconfig.md](guides/autoconfig.md) " +
				"tells all of it."},
			parseListen, func(a *Autoconfig) *[]netip.AddrPort { return &a.Listen }),
	}
}

// checkAutoconfig refuses to tell settings in clear text: whoever changed them on the way would
// be given the password.
func (s *source) checkAutoconfig(root *node) {
	if n := root.child("autoconfig", "listen"); n != nil && len(n.items) > 0 && !root.certified() {
		s.faultAt(n, "settings are told under TLS only", "add [tls] with cert and key, or [acme], or remove this listener")
	}
}
