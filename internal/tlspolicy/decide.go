package tlspolicy

import (
	"errors"
	"fmt"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy/dane"
	"sallyport/internal/tlspolicy/mtasts"
)

// Rule names what decided.
type Rule string

// The rules, the strictest first.
const (
	RuleDANE       Rule = "dane"            // the certificate that TLSA records name
	RuleSTS        Rule = "mta-sts"         // a named host with a certificate of a known authority
	RuleRequireTLS Rule = "requiretls"      // the message asks it; the host's name is secured otherwise
	RuleEncrypt    Rule = "dane-unusable"   // TLSA records of which none can be used: any certificate
	RuleTesting    Rule = "mta-sts-testing" // nothing is demanded, what fails is reported
	RuleUnknown    Rule = "mta-sts-unknown" // we lacked the means to ask for the policy: the message waits
	RuleNone       Rule = "opportunistic"   // nothing is demanded
	RuleOptional   Rule = "tls-optional"    // the message says that no policy matters
)

// Level is how a connection must be secured. The zero Level is refused.
type Level uint8

const (
	LevelRefused       Level = iota
	LevelOpportunistic       // TLS where it is offered and works, any certificate. RFC 7435
	LevelEncrypted           // TLS or no mail, any certificate
	LevelVerified            // TLS or no mail, and a certificate that verifies
)

// Facts is all that Decide depends on.
type Facts struct {
	Demand mail.TLSDemand // of the message
	Domain mail.Domain    // the next hop; zero for an address literal
	Host   dnsx.Name      // the mail host; zero for an address literal
	// NameSecured says that the host's name is beyond forgery: the MX records are
	// DNSSEC's, or the host is the domain itself.
	NameSecured bool
	STS         mtasts.Found
	DANE        dane.Finding
}

// Verdict is how to connect to a host, or why not to. The zero Verdict refuses.
type Verdict struct {
	Rule    Rule
	Level   Level
	Refusal mail.Reply // why the host is not used; zero unless the Level is LevelRefused
	Result  string     // of a refusal for which the domain answers, and of a testing policy that does not name the host: RFC 8460 §4.3
	Words   string     // the policy in words, for outcomes and refusals
}

// Decide says how to connect to one host. It is total.
func Decide(f Facts) Verdict {
	if f.Demand == mail.TLSOptional {
		// RFC 8689 §4.2.2: the policies of the domain are not looked at.
		return Verdict{Rule: RuleOptional, Level: LevelOpportunistic, Words: "TLS-Required: No"}
	}
	v := byPolicy(f)
	if f.Demand == mail.RequireTLS {
		return required(f, v)
	}
	return v
}

// byPolicy is what the domain demands.
func byPolicy(f Facts) Verdict {
	sts := f.STS.Policy.Mode
	switch {
	case f.DANE.Kind == dane.KindUnknown:
		// RFC 7672 §2.1.2: an attacker could make the lookup fail.
		result := ResultDNSSEC
		if errors.Is(f.DANE.Err, dnsx.ErrExhausted) {
			result = "" // the domain could mend nothing
		}
		return refuse(RuleDANE, result,
			mail.R(451, "4.7.5", "whether "+f.Host.String()+" has a DANE policy cannot be found out: "+mail.Printable(f.DANE.Err.Error(), mail.FaultShown)))
	case f.DANE.Kind == dane.KindVerify:
		return Verdict{
			Rule: RuleDANE, Level: LevelVerified,
			Words: "DANE of " + f.DANE.Base.String() + ": TLSA " + shortened(f.DANE.Set.String()),
		}
	case f.STS.Lack != nil:
		// What is not known because we lacked something may demand anything.
		return refuse(RuleUnknown, "",
			mail.R(451, "4.3.0", "whether "+f.Domain.ASCII()+" has an MTA-STS policy for "+f.Host.String()+" was not found out, for this server lacked the means: "+mail.Printable(f.STS.Lack.Error(), mail.FaultShown)))
	case sts == mtasts.ModeEnforce && !f.STS.Policy.Allows(f.Host):
		// RFC 8461 §5: such a host is not used.
		return refuse(RuleSTS, ResultValidation,
			mail.R(451, "4.7.5", fmt.Sprintf("%s does not name the mail exchanger %s", stsWords(f), f.Host)))
	case sts == mtasts.ModeEnforce:
		return Verdict{Rule: RuleSTS, Level: LevelVerified, Words: stsWords(f)}
	case f.DANE.Kind == dane.KindEncrypt:
		return Verdict{Rule: RuleEncrypt, Level: LevelEncrypted, Words: "DANE of " + f.DANE.Base.String() + ": no usable TLSA record"}
	case sts == mtasts.ModeTesting:
		v := Verdict{Rule: RuleTesting, Level: LevelOpportunistic, Words: stsWords(f)}
		if !f.STS.Policy.Allows(f.Host) {
			v.Result = ResultValidation
		}
		return v
	}
	return Verdict{Rule: RuleNone, Level: LevelOpportunistic}
}

// shortened bounds what the records of a host take in an outcome.
func shortened(s string) string {
	if len(s) > mail.FaultShown {
		return s[:mail.FaultShown] + "…"
	}
	return s
}

// required raises a verdict to what a message with REQUIRETLS asks: a verified
// certificate, and a name of the host that cannot be forged. RFC 8689 §4.2.1.
func required(f Facts, v Verdict) Verdict {
	named := f.NameSecured || f.STS.Policy.Allows(f.Host)
	switch {
	case v.Level == LevelVerified, v.Level == LevelRefused && (f.DANE.Kind == dane.KindUnknown || v.Rule == RuleUnknown):
		return v
	case v.Level == LevelRefused:
		v.Refusal.Code, v.Refusal.Enhanced.Class = 550, 5
		return v
	case f.Host.IsZero() || !named:
		return refuse(RuleRequireTLS, ResultValidation, mail.R(550, "5.7.10",
			"the message requires TLS, and neither DNSSEC nor MTA-STS secures the name of the mail exchanger "+f.Host.String()))
	}
	return Verdict{Rule: RuleRequireTLS, Level: LevelVerified, Words: "REQUIRETLS"}
}

func refuse(r Rule, result string, reply mail.Reply) Verdict {
	return Verdict{Rule: r, Result: result, Refusal: reply}
}

func stsWords(f Facts) string {
	return fmt.Sprintf("the MTA-STS policy of %s (%s, id %s)", f.Domain.ASCII(), f.STS.Policy.Mode, f.STS.ID)
}

// Unmet is the answer of a host that could not be secured as the verdict demands.
// fault is what went wrong, where who. RFC 8461 §5, RFC 7672 §2.2: the message waits;
// RFC 8689 §4.2.1: one that requires TLS itself goes back.
func (v Verdict) Unmet(d mail.TLSDemand, where, fault string) mail.Reply {
	text := fmt.Sprintf("%s is not met by %s: %s", v.Words, where, fault)
	if d == mail.RequireTLS {
		return mail.R(550, "5.7.10", text)
	}
	return mail.R(451, "4.7.5", text)
}
