package config

import "time"

// DKIM says how mail is signed and signatures are verified.
type DKIM struct {
	Sign    bool          // what accounts submit is signed, where the domain has keys in use
	Lasts   time.Duration // how long a signature counts; 0: for ever
	Overlap time.Duration // how long the record of a retired key must stay
}

func dkimKeys() []entry[DKIM] {
	return []entry[DKIM]{
		parsed(Key{Path: "dkim.sign", Type: TypeChoice, Default: "on",
			Doc: `Whether what accounts submit is signed in the name of the domain in From (RFC 6376): "on" ` +
				`or "off". It is signed with the keys that sallyport dkim keeps and the DNS shows; a domain ` +
				`without such keys sends unsigned.`},
			parseSwitch, func(d *DKIM) *bool { return &d.Sign }),
		duration("dkim.lasts", "0s", "0s", "90d",
			"How long a signature counts (x=); 0: for ever. Less than the time after which mail is "+
				"returned (retry.expire) makes late mail look forged.",
			func(d *DKIM) *time.Duration { return &d.Lasts }),
		duration("dkim.overlap", "14d", "1d", "365d",
			"How long the record of a retired key must stay in the DNS, for mail that it signed and "+
				"that is still under way; then the key is forgotten and you are told.",
			func(d *DKIM) *time.Duration { return &d.Overlap }),
	}
}
