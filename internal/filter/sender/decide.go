package sender

import (
	"errors"
	"slices"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/auth/results"
	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
)

func isNoName(err error) bool { return errors.Is(err, dnsx.ErrNoName) }

// The rules of findings.
const (
	RuleOwnDomain      = "own-domain-unsigned"
	RuleOwnUnknown     = "own-domain-unverified"
	RuleDMARCReject    = "dmarc-reject"
	RuleDMARCJunk      = "dmarc-quarantine"
	RuleManyAuthors    = "authors-too-many"
	RuleUnread         = "author-unreadable"
	RuleExhausted      = "sender-not-asked-about"
	overrideLocal      = "local_policy"     // RFC 9990 §2.1.1.11
	overrideTest       = "policy_test_mode" // the domain's t=y: one level less was done
	enhancedMultiple   = "5.7.26"           // RFC 7372 §3: multiple authentication checks failed
	enhancedNotAllowed = "5.7.1"
)

// decide says what becomes of a message by what was found.
func (g *authentication) decide(r found) intake.Finding {
	if r.exhausted && r.dmarc.Verdict != dmarc.Pass && (g.policy.Apply || len(g.author.ours) > 0) {
		// Our own want must not be the way around anybody's policy.
		why := "too much is asked of the DNS here to know the sender now; try again later"
		if r.mute {
			why = "the DNS does not answer here, so that the sender cannot be known now; try again later"
		}
		return intake.Finding{Action: intake.Defer, Rule: RuleExhausted, Reply: mail.R(451, "4.4.3", why)}
	}
	if f := g.own(r); f.Action != intake.Pass {
		g.observe(r, f.Action, overrideLocal)
		return f
	}
	f, override := g.byPolicy(r)
	if f.Action == intake.Pass && g.policy.Apply && (g.author.many || g.author.unread) {
		override = overrideLocal
		// Nobody's policy spoke against it, and nobody's could speak for it.
		switch {
		case g.author.many:
			f = intake.Finding{Action: intake.Junk, Rule: RuleManyAuthors, Reason: "it names more authors than their policies can be asked for"}
		case g.author.unread:
			f = intake.Finding{Action: intake.Junk, Rule: RuleUnread, Reason: "its author cannot be told: " + mail.Printable(g.author.fault, mail.PieceShown)}
		}
	}
	g.observe(r, f.Action, override)
	return f
}

// proved is who wrote the message, where a DMARC pass proves it: the one author whom it
// names, who is nobody of ours. Zero: nobody is proved.
func (g *authentication) proved(r found) mail.Address {
	if r.dmarc.Verdict != dmarc.Pass || r.shown || g.author.fault != "" || len(g.author.ours) > 0 {
		return mail.Address{}
	}
	cs := mail.ASCII
	if g.m.Envelope.SMTPUTF8 {
		cs = mail.UTF8
	}
	named := g.m.Header.Authors(cs)
	if named.Fault != "" || len(named.From) != 1 || named.From[0].Domain() != r.dmarc.Author {
		return mail.Address{}
	}
	return named.From[0]
}

// byPolicy does what the policy of the author's domain asks for, and says why it does
// less, in a word of RFC 9990.
func (g *authentication) byPolicy(r found) (f intake.Finding, override string) {
	f = intake.Finding{Action: intake.Pass}
	asked, why := r.dmarc.Disposition, "neither SPF nor DKIM speaks for its author"
	switch r.dmarc.Verdict {
	case dmarc.PermError:
		why = "it has more signatures, or larger ones, than are looked at"
	case dmarc.TempError:
		why = "the DNS does not say who speaks for its author, and nobody is known to"
		if g.origin.fault != "" {
			why = "it cannot be told who gave it to the relay that brought it, and nobody else speaks for its author"
		}
	}
	if r.dmarc.Verdict == dmarc.Fail && asked != r.dmarc.Policy {
		override = overrideTest
	}
	switch {
	case asked <= dmarc.PolicyNone:
	case !g.policy.Apply:
		override = overrideLocal
	case asked == dmarc.PolicyReject && !r.shown:
		f = intake.Finding{Action: intake.Refuse, Rule: RuleDMARCReject,
			Reply: mail.R(550, enhancedMultiple, "the DMARC policy of "+r.dmarc.Author.ASCII()+" refuses this message: "+why)}
	default:
		if asked == dmarc.PolicyReject || r.dmarc.Verdict != dmarc.Fail {
			override = overrideLocal // that domain need not be meant, or it may speak for the message
		}
		f = intake.Finding{Action: intake.Junk, Rule: RuleDMARCJunk, Reason: "the DMARC policy of " + r.dmarc.Author.ASCII() + " keeps it apart: " + why}
	}
	return f, override
}

// own judges mail that claims to be from one of our own domains: our people sign in,
// and what they sent elsewhere and comes back bears their domain's signature.
func (g *authentication) own(r found) intake.Finding {
	pass := intake.Finding{Action: intake.Pass}
	if len(g.author.ours) == 0 || g.policy.Own == OwnDMARC {
		return pass
	}
	signed, unknown := false, false
	for _, s := range r.dkim {
		if slices.Contains(g.author.ours, s.Domain()) {
			signed = signed || s.Passed()
			unknown = unknown || s.Status == dkim.StatusTempError
		}
	}
	names := g.author.ours[0].ASCII()
	switch {
	case signed && g.author.fault == "":
		return pass
	case unknown:
		return intake.Finding{Action: intake.Defer, Rule: RuleOwnUnknown,
			Reply: mail.R(451, "4.7.5", "the signature of "+names+" cannot be verified now; try again later")}
	case g.policy.Own == OwnJunk:
		return intake.Finding{Action: intake.Junk, Rule: RuleOwnDomain, Reason: "it claims to be from " + names + ", but bears no signature of it"}
	}
	return intake.Finding{Action: intake.Refuse, Rule: RuleOwnDomain,
		Reply: mail.R(550, enhancedNotAllowed, "mail from "+names+" is taken from its own people only, signed in or signed")}
}

// observe tells what was done, for reports.
func (g *authentication) observe(r found, a intake.Action, override string) {
	if g.a.Observe == nil || r.dmarc.Place.Domain.IsZero() {
		return
	}
	if r.dmarc.Verdict == dmarc.Pass && isReport(g.m.Header) {
		return
	}
	done := dmarc.PolicyNone
	switch a {
	case intake.Refuse:
		done = dmarc.PolicyReject
	case intake.Junk:
		done = dmarc.PolicyQuarantine
	case intake.Defer:
		return // it will come again
	}
	if done == r.dmarc.Policy && r.dmarc.Verdict == dmarc.Fail {
		override = ""
	}
	g.a.Observe(Observation{
		Peer: g.origin.peer, Envelope: g.m.Envelope.From, SPF: r.spf, SPFBy: r.spfBy, DKIM: r.dkim, DMARC: r.dmarc, Done: done, Override: override,
	})
}

// notes is the evidence for the trace.
func (r found) notes(a author) []fact.Pair {
	out := []fact.Pair{{Name: "spf", Value: spfWords(r.spf, r.spfBy)}}
	if !r.helloBy.IsZero() {
		out = append(out, fact.Pair{Name: "spf of HELO", Value: spfWords(r.hello, r.helloBy)})
	}
	out = append(out, notes(r.dkim)...)
	d := r.dmarc.Verdict.String()
	if a.fault != "" {
		d += " (" + mail.Printable(a.fault, mail.PieceShown) + ")"
	} else {
		d += " from=" + a.domain.ASCII()
	}
	if p := r.dmarc.Place; !p.Domain.IsZero() {
		d += " policy=" + r.dmarc.Policy.String() + " of=" + p.Domain.ASCII()
		if p.Record.Testing {
			d += " testing"
		}
	}
	return append(out, fact.Pair{Name: "dmarc", Value: d})
}

func spfWords(r spf.Result, by mail.Domain) string {
	s := r.Verdict.String()
	if !by.IsZero() {
		s += " domain=" + by.ASCII()
	}
	if r.Mechanism != "" {
		s += " by " + mail.Printable(r.Mechanism, mail.PieceShown)
	}
	if r.Err != nil && r.Verdict != spf.None {
		s += " (" + mail.Printable(r.Err.Error(), mail.TextShown) + ")"
	}
	return s
}

// results is what Authentication-Results says. RFC 8601 §2.7.
func (r found) results(g *authentication) []results.Result {
	s := results.Result{Method: "spf", Value: r.spf.Verdict.String(), Comment: g.origin.told()}
	if from, ok := g.m.Envelope.From.Address(); ok {
		s.Props = []results.Prop{{Type: "smtp", Name: "mailfrom", Value: from.Domain().ASCII()}}
	} else {
		s.Props = []results.Prop{{Type: "smtp", Name: "helo", Value: g.origin.hello}}
	}
	out := []results.Result{s}
	if r.hello.Verdict != spf.None {
		out = append(out, results.Result{Method: "spf", Value: r.hello.Verdict.String(), Props: []results.Prop{{Type: "smtp", Name: "helo", Value: r.helloBy.ASCII()}}})
	}
	for _, d := range told(r.dkim) {
		if d.Status == dkim.StatusNone {
			continue // it was not verified, and there is a pass of its domain
		}
		out = append(out, results.Result{Method: "dkim", Value: d.Status.String(), Reason: d.Reason, Props: []results.Prop{
			{Type: "header", Name: "d", Value: d.Domain().ASCII()}, {Type: "header", Name: "s", Value: d.Key.Selector},
			{Type: "header", Name: "a", Value: d.Named}, {Type: "header", Name: "b", Value: d.Value},
		}})
	}
	if len(r.dkim) == 0 {
		out = append(out, results.Result{Method: "dkim", Value: "none"})
	}
	m := results.Result{Method: "dmarc", Value: r.dmarc.Verdict.String(), Reason: g.author.fault}
	if p := r.dmarc.Place; !p.Domain.IsZero() {
		m.Comment = "p " + r.dmarc.Policy.String()
	}
	m.Props = []results.Prop{{Type: "header", Name: "from", Value: r.dmarc.Author.ASCII()}}
	return append(out, m)
}
