package directory

import "sallyport/internal/mail"

// Step is one address on the way from a recipient to its mailboxes, and what was found
// there.
type Step struct {
	Address mail.Address
	// Depth counts the aliases that led here; a recipient itself has 0.
	Depth int
	// Rule is RuleAccount, RuleAlias, RuleDetail, RuleRole, RuleCatchAll, RuleBehind or
	// RuleNoSuchUser.
	Rule string
	// Entry is what of the directory was found; its Name is "" for nothing in particular.
	Entry Subject
	// Posting says who may write to it, where Entry is an alias.
	Posting Posting
	// Targets are where it leads; none for a mailbox.
	Targets []mail.Address
}

// Explain classifies a as ClassifyFor does, and tells each step on the way in the order
// in which they were taken, for a person who asks why.
func (s *Snapshot) Explain(account, a mail.Address) (Class, []Step) {
	t := &trail{}
	c := s.classify(account, a, t)
	return c, t.steps
}

// trail collects steps. The nil trail collects none.
type trail struct{ steps []Step }

func (t *trail) note(a mail.Address, depth int, h hop) {
	if t == nil {
		return
	}
	step := Step{Address: a, Depth: depth, Rule: h.rule, Targets: h.targets}
	switch h.rule {
	case RuleAccount:
		step.Entry = Subject{KindAccount, h.account.String()}
	case RuleAlias, RuleCatchAll:
		step.Entry, step.Posting = h.alias.Subject(), h.alias.Posting
	case RuleRole, RuleBehind:
		step.Entry = Subject{KindDomain, a.Domain().String()}
	}
	t.steps = append(t.steps, step)
}
