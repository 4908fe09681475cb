package config

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// TLSPolicy says which TLS policies of other domains are obeyed on the way to their
// mail exchangers.
type TLSPolicy struct {
	STS       bool   // MTA-STS. RFC 8461
	DANE      bool   // where the DNS is validated. RFC 7672
	Validated bool   // the servers that are asked validate with DNSSEC
	CA        string // PEM file of the roots to trust; "": the system's
	// ReportAccount answers for the reports about TLS that other domains ask for; zero:
	// none are sent.
	ReportAccount mail.Address
	// Listen is where our own MTA-STS policy is served over HTTPS; none: nowhere.
	Listen []netip.AddrPort
	Mode   string        // of our own policy: "none", "testing" or "enforce"
	MaxAge time.Duration // for which others keep it
}

func tlsPolicyKeys() []entry[TLSPolicy] {
	return []entry[TLSPolicy]{
		parsed(Key{Path: "tls_policy.mta_sts", Type: TypeChoice, Default: "on",
			Doc: `Whether the MTA-STS policies of other domains (RFC 8461) are fetched, kept and obeyed: ` +
				`"on" or "off". Mail to a domain whose enforced policy is not met waits.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.STS }),
		parsed(Key{Path: "tls_policy.dane", Type: TypeChoice, Default: "on",
			Doc: `Whether TLSA records of mail exchangers (DANE, RFC 7672) are obeyed: "on" or "off". They ` +
				`count only with tls_policy.dns_validates.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.DANE }),
		parsed(Key{Path: "tls_policy.dns_validates", Type: TypeChoice, Default: "off",
			Doc: `Whether the servers of mx.dns, or those of the system, are known to validate with DNSSEC, ` +
				`so that their word is believed: "on" or "off". All of them must have loopback addresses: ` +
				`on any longer way that word could be forged. A resolver such as unbound on this host does.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.Validated }),
		parsed(Key{Path: "tls_policy.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for policy hosts and mail exchangers, instead of " +
				"the system's; for a closed network."},
			parsePath, func(p *TLSPolicy) *string { return &p.CA }),
		parsed(Key{Path: "tls_policy.report_account", Type: TypeAddress,
			Doc: "An account of ours that answers for reports: every day it sends those domains that ask for " +
				"them (TLS-RPT, RFC 8460) how the TLS of our mail to them fared, from its own address, " +
				"which is also the contact. Without it nothing is counted and nothing is sent."},
			parseMailbox, func(p *TLSPolicy) *mail.Address { return &p.ReportAccount }),
		list(Key{Path: "tls_policy.listen", Type: TypeListen, Restart: "the web server of the policy is bound at the start alone",
			Doc: "Where the MTA-STS policy of our own domains is served over HTTPS, usually port 443. It " +
				"names hostname as the only mail exchanger. The certificate must be for mta-sts.DOMAIN of " +
				"each domain, too. Only the policy's own path of those names is answered."},
			parseListen, func(p *TLSPolicy) *[]netip.AddrPort { return &p.Listen }),
		parsed(Key{Path: "tls_policy.mode", Type: TypeChoice, Default: "testing",
			Doc: `The mode of our own policy: "testing" (others deliver all the same, and report), ` +
				`"enforce", or "none" to withdraw it before it is taken away.`},
			parseSTSMode, func(p *TLSPolicy) *string { return &p.Mode }),
		duration("tls_policy.max_age", "7d", "1d", "365d", "How long others keep our own policy.",
			func(p *TLSPolicy) *time.Duration { return &p.MaxAge }),
	}
}

func parseSTSMode(text string) (mode, message, hint string) {
	switch text {
	case "none", "testing", "enforce":
		return text, "", ""
	}
	return "", "this mode is unknown", `write "testing", "enforce" or "none"`
}

// checkTLSPolicy refuses to serve a policy in clear text, and to believe a name server over a way
// that somebody else can write to. RFC 6840 §5.8.
func (s *source) checkTLSPolicy(c *Config, root *node) {
	if n := root.child("tls_policy", "listen"); n != nil && len(n.items) > 0 && !root.certified() {
		s.faultAt(n, "a policy is served under TLS only", "add [tls] with cert and key, or [acme], or remove this listener")
	}
	s.checkOurs(c, root.child("tls_policy", "report_account"), c.TLSPolicy.ReportAccount)
	at := root.child("tls_policy", "dns_validates")
	if at == nil || !c.TLSPolicy.Validated {
		return
	}
	for _, server := range c.MX.DNS {
		if !server.Addr().IsLoopback() {
			s.faultAt(at, "the name server "+server.String()+" is not reached over loopback, and its word could be forged on the way",
				"run a validating resolver on this host and name it in mx.dns, or remove this key")
			return
		}
	}
}
