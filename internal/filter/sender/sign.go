package sender

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Signer signs what accounts submit, in the name of the domain in From, if it is ours
// and has keys in use. It is an intake.Inspector.
type Signer struct {
	// On reports whether anything is signed now.
	On func() bool
	// Ours reports whether a domain is ours now.
	Ours func(mail.Domain) bool
	// Keys returns the keys that sign for a domain now.
	Keys func(mail.Domain) []dkim.SigningKey
	// Lasts is how long a signature counts (x=); 0: for ever.
	Lasts  func() time.Duration
	Now    func() time.Time
	Logger *slog.Logger
}

var _ intake.Inspector = Signer{}

// Name implements intake.Inspector.
func (s Signer) Name() string { return "signing" }

// Begin implements intake.Inspector: mail of strangers is never signed.
func (s Signer) Begin(m intake.Message) intake.Look {
	if m.Account.IsZero() || !s.On() {
		return nil
	}
	d, keys, alien := s.choose(m)
	switch {
	case len(keys) > 0:
	case !alien.IsZero():
		return unsigned{"the account has no address in " + alien.ASCII() + ", and sender binding only reports"}
	case d.IsZero():
		return nil
	default:
		return unsigned{"no key of " + d.ASCII() + " is in use"}
	}
	return &signing{s: s, domain: d, keys: keys, work: dkim.NewSigning(m.Stored, keys)}
}

// choose returns the domain of the first author whose domain can sign; else the first
// of ours, without keys. An author who is not the account's own was only not refused: a
// signature of that domain would vouch for them, and that is given in the account's own domain
// alone. alien is the first domain that was passed over for this; zero: none.
func (s Signer) choose(m intake.Message) (first mail.Domain, keys []dkim.SigningKey, alien mail.Domain) {
	for _, a := range m.Stored.Authors(mail.UTF8).From {
		d := a.Domain()
		if d.IsZero() || !s.Ours(d) {
			continue
		}
		if d != m.Account.Domain() && slices.Contains(m.NotOwned, a) {
			alien = cmp.Or(alien, d)
			continue
		}
		if keys := s.Keys(d); len(keys) > 0 {
			return d, keys, alien
		}
		first = cmp.Or(first, d)
	}
	return first, nil, alien
}

// unsigned notes why a message has no signature.
type unsigned struct{ why string }

// Body implements intake.Look.
func (unsigned) Body([]byte) {}

// Judge implements intake.Look.
func (u unsigned) Judge(context.Context, intake.Content) intake.Finding {
	return intake.Finding{Action: intake.Pass, Notes: []fact.Pair{{Name: "dkim", Value: "not signed: " + u.why}}}
}

// signing is one message that is being signed.
type signing struct {
	s      Signer
	domain mail.Domain
	keys   []dkim.SigningKey
	work   *dkim.Signing
}

// Body implements intake.Look.
func (g *signing) Body(p []byte) { g.work.Body(p) }

// Judge implements intake.Look.
func (g *signing) Judge(context.Context, intake.Content) intake.Finding {
	fields, err := g.work.Fields(g.s.Now(), g.s.Lasts())
	if err != nil {
		// Unsigned it might be refused by those who receive it; the next try may do.
		g.s.Logger.Error("a message could not be signed", "domain", g.domain.ASCII(), "err", err)
		return intake.Finding{Action: intake.Defer, Rule: RuleDKIMSigningFailed, Notes: []fact.Pair{{Name: "error", Value: err.Error()}}}
	}
	selectors := make([]string, len(g.keys))
	for i, k := range g.keys {
		selectors[i] = k.Name.Selector
	}
	note := "signed d=" + g.domain.ASCII() + " s=" + strings.Join(selectors, ",")
	return intake.Finding{Action: intake.Pass, Fields: fields, Notes: []fact.Pair{{Name: "dkim", Value: note}}}
}

// SignOurs returns the fields that sign a message which the server itself sends in the
// name of a domain, as everything else is signed: a report, say, for which RFC 8460 §3
// asks it. A domain whose keys are not in use yet sends unsigned.
func (s Signer) SignOurs(d mail.Domain, h message.Header, body []byte) ([]byte, error) {
	if !s.On() {
		return nil, nil
	}
	keys := s.Keys(d)
	if len(keys) == 0 {
		return nil, nil
	}
	work := dkim.NewSigning(h, keys)
	work.Body(body)
	return work.Fields(s.Now(), s.Lasts())
}
