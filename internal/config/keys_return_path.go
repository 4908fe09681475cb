package config

import (
	"time"

	"sallyport/internal/mail"
)

// Signing says whether return paths are signed. The zero value signs none.
type Signing uint8

const (
	SignOff     Signing = iota
	SignTag             // what leaves bears a signature; bounces without one are taken
	SignRequire         // bounces without one are refused, once it was signed for long enough
)

// String returns the word of the configuration.
func (s Signing) String() string {
	switch s {
	case SignTag:
		return "tag"
	case SignRequire:
		return "require"
	}
	return "off"
}

// ReturnTime is how much longer than retry.expire a signature must last: for so long a
// message may come back after its last attempt.
const ReturnTime = 7 * 24 * time.Hour

// ReturnPath says how the return paths of what accounts send are signed.
type ReturnPath struct {
	Sign   Signing
	Age    time.Duration  // for which a signature lasts
	Exempt []mail.Address // that take bounces without a signature
}

func returnPathKeys() []entry[ReturnPath] {
	return []entry[ReturnPath]{
		parsed(Key{Path: "return_path.sign", Type: TypeChoice, Default: "off",
			Doc: `Whether mail of our accounts leaves with a signed return path (BATV, ` +
				`prvs=0123abcdef=alice@example.org), by which its bounces are known: "off"; "tag", and a ` +
				`bounce to a signature that is forged or has ended is refused; or "require", and from 14 ` +
				`days after signing began every bounce from outside to an address without a signature is ` +
				`refused as well. The postmaster takes them always, as do addresses too long to be signed ` +
				`(more than 48 octets before the @) and domains with an smtp:// server behind, which are ` +
				`not signed: that server may send by itself. See docs/operations.md for what this breaks.`},
			parseSigning, func(r *ReturnPath) *Signing { return &r.Sign }),
		duration("return_path.age", "14d", "8d", "60d",
			"How long a signed return path lasts, in whole days from when the message was received: at "+
				"least 7d longer than retry.expire, for the other side tries for days to return a message.",
			func(r *ReturnPath) *time.Duration { return &r.Age }),
		list(Key{Path: "return_path.exempt", Type: TypeAddresses,
			Doc: `Addresses that take bounces without a signature even with sign = "require": those in whose ` +
				`name other servers or services send, and those that ask for read receipts.`},
			parseMailbox, func(r *ReturnPath) *[]mail.Address { return &r.Exempt }),
	}
}

func parseSigning(text string) (s Signing, message, hint string) {
	for _, s := range []Signing{SignOff, SignTag, SignRequire} {
		if text == s.String() {
			return s, "", ""
		}
	}
	return SignOff, "this is no way of signing return paths", `write "off", "tag" or "require"`
}

// checkReturnPath wants signatures to outlast what they are for.
func (s *source) checkReturnPath(c *Config, root *node) {
	at := firstOf(root.child("return_path", "age"), root.child("retry", "expire"))
	if c.ReturnPath.Sign != SignOff && at != nil && c.ReturnPath.Age < c.Retry.Expire+ReturnTime {
		s.faultAt(at, "signed return paths would end before all bounces have come back",
			"return_path.age must be at least 7d longer than retry.expire")
	}
}
