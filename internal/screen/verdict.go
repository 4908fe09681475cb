package screen

import (
	"fmt"
	"time"

	"sallyport/internal/mail"
)

// Rule names what decided.
type Rule string

const (
	RuleNone           Rule = ""                    // no verdict: refuses
	RuleWithinRates    Rule = "within-rates"        // nothing is exceeded
	RuleGuessAccount   Rule = "signin-account-rate" // new networks failed at this account too often
	RuleGuessKnown     Rule = "signin-known-rate"   // this known network failed at its account too often
	RuleGuessOfNetwork Rule = "signin-network-rate" // a network failed at any accounts too often
)

// Verdict is a decision with its rule and its evidence. The zero Verdict refuses.
type Verdict struct {
	OK       bool
	Rule     Rule
	Evidence string        // in words, without line breaks; "" when OK
	Wait     time.Duration // until the same question may be answered otherwise
	Reply    mail.Reply    // what to say; zero when OK
}

func pass() Verdict { return Verdict{OK: true, Rule: RuleWithinRates} }

func refuse(rule Rule, r Rate, wait time.Duration, who string, reply mail.Reply) Verdict {
	return Verdict{
		Rule:     rule,
		Evidence: fmt.Sprintf("%s used up %d at once and 1 every %v; next in %v", who, r.Burst, r.Every.Round(time.Millisecond), wait.Round(time.Millisecond)),
		Wait:     wait,
		Reply:    reply,
	}
}
