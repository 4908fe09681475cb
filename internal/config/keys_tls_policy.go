package config

import "sallyport/internal/mail"

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
}

func tlsPolicyKeys() []entry[TLSPolicy] {
	return []entry[TLSPolicy]{
		parsed(Key{Path: "tls_policy.mta_sts", Type: TypeChoice, Default: "on",
			Doc: `Whether the MTA-STS policies of other domains (RFC 8461) are fetched, kept and obeyed: "on" or "off". Mail to a domain whose enforced policy is not met waits.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.STS }),
		parsed(Key{Path: "tls_policy.dane", Type: TypeChoice, Default: "on",
			Doc: `Whether TLSA records of mail exchangers (DANE, RFC 7672) are obeyed: "on" or "off". They count only with tls_policy.dns_validates.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.DANE }),
		parsed(Key{Path: "tls_policy.dns_validates", Type: TypeChoice, Default: "off",
			Doc: `Whether the servers of mx.dns, or those of the system, are known to validate with DNSSEC, so that their word is believed: "on" or "off". All of them must have loopback addresses: on any longer way that word could be forged. A resolver such as unbound on this host does.`},
			parseSwitch, func(p *TLSPolicy) *bool { return &p.Validated }),
		parsed(Key{Path: "tls_policy.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for policy hosts and mail exchangers, instead of the system's; for a closed network."},
			parsePath, func(p *TLSPolicy) *string { return &p.CA }),
		parsed(Key{Path: "tls_policy.report_account", Type: TypeAddress,
			Doc: "An account of ours that answers for reports: every day it sends those domains that ask for them (TLS-RPT, RFC 8460) how the TLS of our mail to them fared, from its own address, which is also the contact. Without it nothing is counted and nothing is sent."},
			parseMailbox, func(p *TLSPolicy) *mail.Address { return &p.ReportAccount }),
	}
}

// checkTLSPolicy refuses to believe a name server over a way that somebody else can
// write to. RFC 6840 §5.8.
func (s *source) checkTLSPolicy(c *Config, root *node) {
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
