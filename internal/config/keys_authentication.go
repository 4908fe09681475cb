package config

import (
	"net/netip"
	"time"
)

// Own says what becomes of mail from outside in the name of one of our own domains.
// The zero value refuses it.
type Own uint8

const (
	OwnRefuse Own = iota
	OwnJunk
	OwnDMARC
)

// Authentication says how mail from outside is held against its sender.
type Authentication struct {
	Check bool // SPF, DKIM and DMARC are checked on the mx door
	Apply bool // and DMARC policies are done
	Own   Own
	Time  time.Duration // for everything that is asked for one message
	// Relays hand on what the world gave them: senders are held against who gave it.
	Relays []netip.Prefix
}

func authenticationKeys() []entry[Authentication] {
	return []entry[Authentication]{
		parsed(Key{Path: "authentication.check", Type: TypeChoice, Default: "on",
			Doc: `Whether mail that comes to the mx door is held against its sender by SPF (RFC 7208), DKIM ` +
				`(RFC 6376) and DMARC (RFC 9989), with an Authentication-Results field (RFC 8601): "on" or ` +
				`"off". It asks the DNS (mx.dns); what a domain's servers do not answer in time counts as ` +
				`not known, and delays nothing but mail in our own name. What this server had no room to ` +
				`ask, because strangers cause too many questions, or could not ask, because none of its ` +
				`name servers answers anything, delays the message (451) unless DMARC passes anyway. SPF of ` +
				`the name in HELO is told as well, and decides nothing.`},
			parseSwitch, func(a *Authentication) *bool { return &a.Check }),
		parsed(Key{Path: "authentication.apply", Type: TypeChoice, Default: "on",
			Doc: `Whether what a domain's DMARC policy asks for is done: "on" refuses (p=reject) or puts ` +
				`into the junk folder (p=quarantine) what fails, and into the junk folder as well what ` +
				`names no author that could be judged (no From, no domain in it, a field or a domain that ` +
				`two programs would read in two ways) or, under either policy, may fail, because the DNS ` +
				`does not say who speaks for its author and nothing is known to; "off" only notes it.`},
			parseSwitch, func(a *Authentication) *bool { return &a.Apply }),
		parsed(Key{Path: "authentication.own", Type: TypeChoice, Default: "refuse",
			Doc: `What becomes of mail from outside that names one of our own domains as its author and ` +
				`bears no valid DKIM signature of that domain: "refuse", "junk", or "dmarc", which leaves ` +
				`it to the domain's own DMARC policy. Our people sign in, and what they sent and comes back ` +
				`by a list is signed (dkim.sign).`},
			parseOwn, func(a *Authentication) *Own { return &a.Own }),
		duration("authentication.time", "20s", "1s", "30s",
			"How long one message waits for the DNS at most, for everything that is asked about it "+
				"together.",
			func(a *Authentication) *time.Duration { return &a.Time }),
		list(Key{Path: "authentication.relays", Type: TypeNetworks,
			Doc: `Servers in front of this one that take mail for us from the world and hand it on: a backup ` +
				`MX, or a filter, as in ["192.0.2.25/32"]. What they bring is held by SPF and DMARC against who ` +
				`gave it to them, by the Received field that they wrote in front of it, instead of against them. Name only servers that ` +
				`write such a field for every message: with one that does not, a stranger writes it. Where the ` +
				`field does not say from which address the message came, its author counts as not known. ` +
				`Nothing else changes: relays may do nothing that strangers may not.`},
			parseRelays, func(a *Authentication) *[]netip.Prefix { return &a.Relays }),
	}
}

// The largest networks that relays in front of us may be given.
const (
	relaysV4 = 20
	relaysV6 = 48
)

func parseRelays(text string) (p netip.Prefix, message, hint string) {
	p, message, hint = parseNetwork(text)
	least := relaysV6
	if p.Addr().Is4() {
		least = relaysV4
	}
	if message == "" && p.Bits() < least {
		return p, "this network is too large to hold relays alone",
			`whoever is in it may write from whom a message came; name the relays, as in "192.0.2.25/32"`
	}
	return p, message, hint
}

func parseOwn(text string) (o Own, message, hint string) {
	switch text {
	case "refuse":
		return OwnRefuse, "", ""
	case "junk":
		return OwnJunk, "", ""
	case "dmarc":
		return OwnDMARC, "", ""
	}
	return 0, "this is none of the ways to treat mail in our own name", `write "refuse", "junk" or "dmarc"`
}
