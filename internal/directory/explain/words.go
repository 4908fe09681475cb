package explain

import (
	"fmt"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
)

// ruleWords is what the reference says of a rule.
func ruleWords(r gate.Rule) string {
	for _, info := range gate.Rules() {
		if info.Rule == r {
			return info.Words
		}
	}
	return "Whatever is not known refuses."
}

// stepWords says what was found at one address.
func stepWords(s directory.Step) string {
	switch s.Rule {
	case directory.RuleAccount:
		return fmt.Sprintf("%s is an account", s.Address)
	case directory.RuleAlias:
		return fmt.Sprintf("%s is an alias of %s%s", s.Address, addresses(s.Targets), postingWords(s.Posting))
	case directory.RuleDetail:
		if len(s.Targets) > 0 {
			return fmt.Sprintf("%s is %s with a detail", s.Address, s.Targets[0])
		}
		return fmt.Sprintf("%s is the address of an account with a detail", s.Address)
	case directory.RuleRole:
		if len(s.Targets) > 0 {
			return fmt.Sprintf("%s is a role that always exists, and leads to %s", s.Address, addresses(s.Targets))
		}
		return fmt.Sprintf("%s is a role that always exists, with a mailbox of its own", s.Address)
	case directory.RuleCatchAll:
		return fmt.Sprintf("nobody has %s, and the catch-all of its domain leads to %s", s.Address, addresses(s.Targets))
	case directory.RuleBehind:
		return fmt.Sprintf("%s belongs to the server behind us", s.Address)
	}
	return fmt.Sprintf("%s: %s", s.Address, classWords(s.Rule))
}

func postingWords(p directory.Posting) string {
	switch p {
	case directory.PostingAccounts:
		return ", to which only signed-in accounts may write"
	case directory.PostingMembers:
		return ", to which only its members may write"
	}
	return ""
}

func classWords(rule string) string {
	switch rule {
	case directory.RuleForeign:
		return "its domain is none of ours"
	case directory.RuleForeignLiteral:
		return "an address literal that is none of ours"
	case directory.RuleSpecialLiteral:
		return "a literal of this host or its link, where nobody has a mailbox"
	case directory.RuleOwnLiteral:
		return "a literal of ours, where the postmaster alone is reached"
	case directory.RuleUnavailable:
		return "the accounts cannot be read now"
	case directory.RuleNoSuchUser:
		return "neither an account nor an alias has this name"
	}
	return rule
}

func addresses(all []mail.Address) string {
	words := make([]string, len(all))
	for i, a := range all {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

func placesOf(all []directory.Mailbox) string {
	words := make([]string, len(all))
	for i, m := range all {
		words[i] = m.Place().String()
	}
	return strings.Join(words, ", ")
}

// remedy says what an administrator, or who sends, would do for another answer; "" where
// the answer is a yes, or nothing should change it.
func (k *walker) remedy(r gate.Rule) string {
	switch r {
	case gate.RuleRelayDenied:
		return "who sends signs in at the submission door; or, if " + domainOf(k.q.To) + " is to be ours: sallyport domain add " + domainOf(k.q.To)
	case gate.RuleMXOwnSender, gate.RuleSignInRequired:
		return "who sends signs in at the submission door, as an account that may use this sender"
	case gate.RuleSenderNotOwned:
		a, _ := k.q.From.Address()
		if k.facts.Ownership == gate.OwnershipForeign {
			return "nothing: an account never sends as an address of another's domain"
		}
		return "if " + k.account.String() + " is to send as it: sallyport delegate add " + k.account.String() + " " + a.String()
	case gate.RuleNoSuchUser:
		return "if it is to exist, it is made an account (sallyport account add) or an alias (sallyport alias add)"
	case gate.RuleAccountFrozen:
		return "why that is so says: sallyport account show " + k.account.String()
	case gate.RuleBounceUnsigned:
		return "if mail of " + k.q.To.String() + " leaves by other ways too, its bounces are taken once return_path.exempt names it"
	case gate.RuleGroupAccounts:
		return "who sends signs in here; or the group is made anew, open to anyone"
	case gate.RuleGroupMembers:
		return "who sends signs in as a member of the group"
	case gate.RuleFactsContradict:
		return "this combination cannot come about at this door"
	}
	return ""
}

func domainOf(a mail.Address) string {
	if a.Domain().IsZero() {
		return "it"
	}
	return a.Domain().String()
}
