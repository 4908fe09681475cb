package config

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// checkAliases reports aliases that are given twice, lead out of our domains, in a
// circle, too deep, or to too many.
func (s *source) checkAliases(c *Config) {
	byKey := map[string]int{}
	for i, a := range c.Aliases {
		at := s.aliasAt[i]
		if _, twice := byKey[a.key()]; twice {
			s.fault(at.key, s.literal(at.key), "this alias stands here a second time", "capitals make no difference in an address of ours")
			continue
		}
		byKey[a.key()] = i
		if d := a.domain(); !c.ours(d) {
			s.fault(at.key, s.literal(at.key), "this alias is in no domain of ours", `add [domain."`+d.ASCII()+`"], or remove the alias`)
		}
		for j, target := range a.Targets {
			if !c.ours(target.Domain()) {
				s.faultAt(targetNode(at, a, j), "an alias leads only to addresses of ours, and this is none",
					"mail that leaves this server needs an account that sends it")
			}
		}
		s.checkAudience(c, a, at)
	}
	w := walker{limits: c.Limits, aliases: c.Aliases, byKey: byKey, done: map[string]reach{}}
	for i, a := range c.Aliases {
		w.open = nil
		if r := w.walk(a.key()); r.message != "" && !w.reported(r) {
			at := s.aliasAt[i]
			s.fault(at.key, s.literal(at.key), r.message, r.hint)
		}
	}
}

// checkAudience reports aliases that the world must be able to write to, or nobody
// could.
func (s *source) checkAudience(c *Config, a Alias, at *node) {
	closed, catchAll := a.Posting != directory.PostingAnyone, !a.CatchAll.IsZero()
	local := mail.FoldLocal(a.Address.Local())
	switch {
	case closed && a.Keeps():
		s.faultAt(firstOf(at.child("from"), at),
			"an alias that keeps a copy in the mailbox of its address is open to anyone",
			"give the group an address of its own")
	case closed && catchAll:
		s.faultAt(firstOf(at.child("from"), at), "a catch-all is open to anyone", "give the group an address of its own")
	case closed && (local == "postmaster" || local == "abuse"): // RFC 5321 §4.5.1, RFC 2142 §4
		s.faultAt(firstOf(at.child("from"), at), "the world must be able to write to this address", `remove from, or write from = "anyone"`)
	case catchAll && slices.ContainsFunc(c.Domains, func(d Domain) bool { return d.Name == a.CatchAll && d.Recipients == directory.RecipientsCallout }):
		s.fault(at.key, s.literal(at.key),
			"a catch-all would hide the recipients that the server behind this domain knows",
			"make it on that server, or name the recipients in a recipients_file")
	}
}

// targetNode is where the j-th target stands, if every target could be read.
func targetNode(at *node, a Alias, j int) *node {
	list := firstOf(at.child("to"), at)
	if len(list.items) == len(a.Targets) {
		return list.items[j]
	}
	return list
}

// reach is how far an address leads: over how many aliases at most, to how many
// mailboxes, or what is wrong with that.
type reach struct {
	depth, targets int
	message, hint  string
	culprit        string // the alias at which it goes wrong
}

// walker follows aliases, each once.
type walker struct {
	limits   Limits
	aliases  []Alias
	byKey    map[string]int
	done     map[string]reach
	open     []string // the keys of the aliases between the start and here
	culprits map[string]bool
}

// reported notes r's culprit, and tells whether it has been reported before: a
// circle is one fault, not one for each alias that leads into it.
func (w *walker) reported(r reach) bool {
	if w.culprits == nil {
		w.culprits = map[string]bool{}
	}
	before := w.culprits[r.culprit]
	w.culprits[r.culprit] = true
	return before
}

func (w *walker) walk(key string) reach {
	i, isAlias := w.byKey[key]
	if !isAlias {
		return reach{targets: 1}
	}
	if r, ok := w.done[key]; ok {
		return r
	}
	if at := slices.Index(w.open, key); at >= 0 {
		if w.aliases[i].Keeps() {
			return reach{} // counted where it is open
		}
		circle := w.open[at:]
		return reach{message: "these aliases lead back to themselves", hint: strings.Join(append(slices.Clone(circle), key), " → "),
			culprit: slices.Min(circle)}
	}
	if len(w.open) > w.limits.AliasDepth {
		return reach{message: "this alias leads over too many others", culprit: key,
			hint: fmt.Sprintf("limits.alias_depth allows %d behind each other", w.limits.AliasDepth)}
	}
	w.open = append(w.open, key)
	defer func() { w.open = w.open[:len(w.open)-1] }()
	r := reach{depth: 1}
	for _, target := range w.aliases[i].Targets {
		if target.Key() == key && w.aliases[i].Keeps() { // the mailbox of the address itself
			r.targets++
			continue
		}
		t := w.walk(target.Key())
		if t.message != "" {
			return t // not remembered: seen from elsewhere it may be no fault
		}
		r.depth, r.targets = max(r.depth, t.depth+1), r.targets+t.targets
	}
	switch {
	case r.depth > w.limits.AliasDepth:
		return reach{message: "this alias leads over too many others", culprit: key,
			hint: fmt.Sprintf("limits.alias_depth allows %d behind each other", w.limits.AliasDepth)}
	case r.targets > w.limits.AliasTargets:
		return reach{message: "this alias leads to too many mailboxes", culprit: key,
			hint: fmt.Sprintf("limits.alias_targets allows %d, and these are %d", w.limits.AliasTargets, r.targets)}
	}
	w.done[key] = r
	return r
}
