package inspection

import (
	"sallyport/internal/config"
	"sallyport/internal/filter/sender"
)

// policyOf says what becomes of mail by who its sender really is. What is not known is the
// strictest.
func policyOf(a config.Authentication) sender.Policy {
	p := sender.Policy{Check: a.Check, Apply: a.Apply, Own: sender.OwnRefuse, Time: a.Time, Relays: a.Relays}
	switch a.Own {
	case config.OwnJunk:
		p.Own = sender.OwnJunk
	case config.OwnDMARC:
		p.Own = sender.OwnDMARC
	}
	return p
}
