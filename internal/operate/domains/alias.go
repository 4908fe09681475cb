package domains

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// MaxTargets is how many targets one request may name.
const MaxTargets = 2000

// Alias is an alias, a group or a catch-all as operators see it.
type Alias struct {
	Name    string    `json:"name"` // an address, or "@" and a domain
	Targets []string  `json:"targets"`
	From    string    `json:"from"` // who may write to it: "anyone", "accounts", "members"
	Origin  string    `json:"origin"`
	Where   string    `json:"where,omitempty"`
	Added   time.Time `json:"added,omitzero"`
}

// AliasAdd asks for a new alias, or with More for more targets of one.
type AliasAdd struct {
	Name    string   `json:"name"`
	Targets []string `json:"targets"`
	From    string   `json:"from,omitempty"` // "": anyone; with More: as it is
	More    bool     `json:"more,omitempty"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

// AliasRemove asks for the end of an alias, or of some of its targets.
type AliasRemove struct {
	Name    string   `json:"name"`
	Targets []string `json:"targets,omitempty"` // none: the whole alias
	DryRun  bool     `json:"dry_run,omitempty"`
}

// AliasAdd makes an alias. When it returns, mail for it is accepted.
func (op *Actions) AliasAdd(ctx context.Context, by call.Caller, r AliasAdd) (Alias, error) {
	name, targets, err := op.parseAlias(r.Name, r.Targets)
	if err != nil {
		return Alias{}, err
	}
	if len(targets) == 0 {
		return Alias{}, call.Invalid(fmt.Errorf("name an address that %s leads to", name.Name()))
	}
	if r.From != "" || !r.More {
		if name.Posting, err = directory.ParsePosting(orAnyone(r.From)); err != nil {
			return Alias{}, call.Invalid(err)
		}
	}
	for _, t := range targets {
		if err := op.checkTarget(name, t); err != nil {
			return Alias{}, err
		}
	}
	var next roster.Alias
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		var done string
		next, done, err = op.nextAlias(before, roster.Alias{Alias: name, Added: op.addedNow()}, targets, r.More)
		if err == nil && leadsToItself(next.Alias) {
			err = call.Invalid(fmt.Errorf("the alias %s leads to itself alone; name who else gets a copy", next.Name()))
		}
		if err != nil {
			return roster.Edit{}, err
		}
		return roster.Edit{Put: []roster.Entry{next}, Facts: fact.EncodeAll(op.aliasFact(by, next, targets, done))}, nil
	}})
	return aliasView(next), err
}

func orAnyone(from string) string {
	if from == "" {
		return directory.PostingAnyone.String()
	}
	return from
}

// parseAlias parses the name and the targets of an alias, and refuses one that the
// configuration states.
func (op *Actions) parseAlias(name string, targets []string) (a directory.Alias, parsed []mail.Address, err error) {
	if len(targets) > MaxTargets {
		return a, nil, call.Invalid(fmt.Errorf("one command takes at most %d targets", MaxTargets))
	}
	if domain, catchAll := strings.CutPrefix(name, "@"); catchAll {
		if a.CatchAll, err = mail.ParseDomain(domain); err != nil {
			return a, nil, call.Invalid(err)
		}
	} else if !strings.Contains(name, "@") {
		return a, nil, op.noDomain(name, targets)
	} else if a.Address, err = call.ParseAccount(name); err != nil {
		return a, nil, err
	}
	if err := op.aliasNotStated(a); err != nil {
		return a, nil, err
	}
	for _, text := range targets {
		if !strings.Contains(text, "@") {
			return a, nil, op.noDomain(text, []string{name})
		}
		t, err := call.ParseAccount(text)
		if err != nil {
			return a, nil, err
		}
		if !slices.Contains(parsed, t) {
			parsed = append(parsed, t)
		}
	}
	return a, parsed, nil
}

// noDomain refuses a name without a domain: no domain is taken for granted, and the one
// that is probably meant is shown, that of what stands beside it or our first.
func (op *Actions) noDomain(name string, beside []string) error {
	d := ""
	if all := op.o.Book.Snapshot().Domains(); len(all) > 0 {
		d = all[0].Name.ASCII()
	}
	for _, text := range beside {
		if at := strings.LastIndexByte(text, '@'); at >= 0 {
			d = text[at+1:]
			break
		}
	}
	return call.Invalid(fmt.Errorf("%q has no domain; write the whole address, as in %s@%s", name, name, d))
}

// aliasNotStated refuses to touch an alias of the configuration, whose capitals may
// differ.
func (op *Actions) aliasNotStated(a directory.Alias) error {
	key := a.Address.Key()
	for _, stated := range op.o.Book.Stated().Config.Aliases {
		if stated.CatchAll == a.CatchAll && stated.Address.Domain() == a.Address.Domain() && stated.Address.Key() == key {
			return op.notStated(stated.Subject())
		}
	}
	return nil
}

// checkTarget refuses a target that nobody has: it would be a slip of the keyboard
// that swallows mail.
func (op *Actions) checkTarget(a directory.Alias, t mail.Address) error {
	s := op.o.Book.Snapshot()
	if a.CatchAll.IsZero() && t.Key() == a.Address.Key() {
		return op.checkSelf(s, t)
	}
	if !s.IsOurs(t.Domain()) {
		return call.Invalid(fmt.Errorf("%s is of no domain of ours, and an alias leads only to addresses of ours; mail of an account goes to other servers with: sallyport forward add", t))
	}
	c := s.Classify(t)
	if c.Rule == directory.RuleNoSuchUser || c.Rule == directory.RuleCatchAll {
		return call.Invalid(fmt.Errorf("there is no %s that %s could lead to; make the account or the alias first", t, a.Name()))
	}
	return nil
}

// leadsToItself reports whether an alias names nothing but itself.
func leadsToItself(a directory.Alias) bool {
	return a.CatchAll.IsZero() && !slices.ContainsFunc(a.Targets, func(t mail.Address) bool { return t.Key() != a.Address.Key() })
}

// checkSelf refuses an alias that names itself where nothing but an alias has the address.
func (op *Actions) checkSelf(s *directory.Snapshot, t mail.Address) error {
	if _, err := op.o.Account(t); err == nil {
		return nil
	}
	if rule := s.Classify(t).Rule; rule == directory.RuleBehind || rule == directory.RuleRole {
		return nil
	}
	return call.Invalid(fmt.Errorf("there is no account %s whose mailbox could keep a copy; make the account first, or leave %s out of the targets", t, t))
}

// nextAlias is the alias as it is to be, and what is done in words.
func (op *Actions) nextAlias(before *roster.State, a roster.Alias, targets []mail.Address, more bool) (roster.Alias, string, error) {
	e, exists := before.Get(a.Ref())
	old, readable := e.(roster.Alias)
	switch {
	case !before.Has(a.Ref()) && more:
		return a, "", missing(directory.KindAlias, a.Name())
	case !before.Has(a.Ref()):
		a.Targets = targets
		return a, "added", nil
	case !more && exists:
		return a, "", call.Exists(fmt.Sprintf("the alias %s exists already, and leads to %s; add targets to it with --more", a.Name(), joinAddresses(old.Targets)))
	case !readable:
		return a, "", call.Invalid(fmt.Errorf("the alias %s cannot be read; remove it first", a.Name()))
	}
	next := old
	next.Targets = slices.Clone(old.Targets)
	for _, t := range targets {
		if !slices.Contains(next.Targets, t) {
			next.Targets = append(next.Targets, t)
		}
	}
	if a.Posting != directory.PostingUnknown {
		next.Posting = a.Posting
	}
	return next, "extended", nil
}

// AliasRemove ends an alias, or takes targets out of one. What may be sent as the
// alias ends with it.
func (op *Actions) AliasRemove(ctx context.Context, by call.Caller, r AliasRemove) (Changed, error) {
	name, targets, err := op.parseAlias(r.Name, r.Targets)
	if err != nil {
		return Changed{}, err
	}
	out, ended := Changed{DryRun: r.DryRun}, false
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (edit roster.Edit, err error) {
		ref := roster.Alias{Alias: name}.Ref()
		if !before.Has(ref) {
			return edit, missing(directory.KindAlias, name.Name())
		}
		edit, out.Done, err = op.lessAlias(by, before, ref, targets)
		ended = len(edit.Remove) > 0
		return edit, err
	}})
	if err == nil && ended && !r.DryRun && op.o.Gone != nil && !name.Address.IsZero() {
		op.o.Gone(ctx, name.Address)
	}
	return out, err
}

// lessAlias takes targets out of an alias, or with none, or the last one, ends it.
func (op *Actions) lessAlias(by call.Caller, before *roster.State, ref roster.Ref, targets []mail.Address) (roster.Edit, []string, error) {
	e, _ := before.Get(ref)
	old, readable := e.(roster.Alias)
	if len(targets) > 0 && !readable {
		return roster.Edit{}, nil, call.Invalid(fmt.Errorf("the alias %s cannot be read; remove it as a whole", ref.Name()))
	}
	next := old
	next.Targets = slices.Clone(old.Targets)
	for _, t := range targets {
		at := slices.IndexFunc(next.Targets, func(have mail.Address) bool { return have.Key() == t.Key() })
		if at < 0 {
			return roster.Edit{}, nil, call.Invalid(fmt.Errorf("the alias %s does not lead to %s", ref.Name(), t))
		}
		next.Targets = slices.Delete(next.Targets, at, at+1)
	}
	alone := leadsToItself(next.Alias) // a copy for nobody is no alias
	if len(targets) > 0 && len(next.Targets) > 0 && !alone {
		f := op.aliasFact(by, next, targets, "reduced")
		return roster.Edit{Put: []roster.Entry{next}, Facts: fact.EncodeAll(f)}, []string{fmt.Sprintf("alias %s leads to %s", ref.Name(), joinAddresses(next.Targets))}, nil
	}
	edit := roster.Edit{Remove: []roster.Ref{ref}}
	facts := []fact.Fact{op.directoryFact(by, directory.KindAlias, ref.Name(), "removed").Fact()}
	if readable {
		facts[0] = op.removalFact(by, old)
	}
	done := []string{"alias " + ref.Name() + " removed"}
	_, noAccount := op.o.Account(old.Address)
	for _, d := range before.Delegates() {
		if readable && noAccount != nil && d.Address.Key() == old.Address.Key() {
			edit.Remove = append(edit.Remove, d.Ref())
			facts = append(facts, op.removalFact(by, d))
			done = append(done, fmt.Sprintf("%s may no longer send as %s", d.Account, d.Address))
		}
	}
	edit.Facts = fact.EncodeAll(facts...)
	return edit, done, nil
}

// AliasList calls fn for each alias: those of the configuration first.
func (op *Actions) AliasList(_ context.Context, _ call.Caller, _ struct{}, fn func(Alias) error) error {
	var all []Alias
	for _, a := range op.o.Book.Stated().Config.Aliases {
		v := aliasView(roster.Alias{Alias: a})
		v.Origin = OriginConfiguration
		v.Where, _ = op.o.Book.Stated().Where(a.Subject())
		all = append(all, v)
	}
	for _, a := range op.o.Book.Entries().Aliases() {
		all = append(all, aliasView(a))
	}
	for _, a := range all {
		if err := fn(a); err != nil {
			return err
		}
	}
	return nil
}

func aliasView(a roster.Alias) Alias {
	return Alias{Name: a.Name(), Targets: call.Texts(a.Targets), From: a.Posting.String(), Origin: OriginCommand, Added: a.Added}
}

// aliasFact records a change of an alias, to be found by its address and by those
// of the targets that came or went.
func (op *Actions) aliasFact(by call.Caller, a roster.Alias, targets []mail.Address, done string) fact.Fact {
	f := op.directoryFact(by, directory.KindAlias, a.Name(), done)
	f.Targets, f.Evidence = call.Texts(targets), append(f.Evidence, fact.Pair{Name: "who may write to it", Value: a.Posting.String()})
	return f.Fact()
}
