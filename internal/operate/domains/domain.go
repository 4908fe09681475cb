package domains

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/signing"
)

// Domain is a domain of ours as operators see it.
type Domain struct {
	Name       string    `json:"name"`
	Deliver    string    `json:"deliver"`
	Postmaster string    `json:"postmaster,omitempty"`
	Origin     string    `json:"origin"`          // "configuration" or "command"
	Where      string    `json:"where,omitempty"` // of the configuration
	Added      time.Time `json:"added,omitzero"`
	// DKIM are the keys that were made for a domain just added; they sign when the DNS
	// shows their records.
	DKIM []signing.DKIMKey `json:"dkim,omitempty"`
	// DKIMKept says that they are those of earlier, when the domain was ours before.
	DKIMKept bool `json:"dkim_kept,omitempty"`
}

// DomainAdd asks for a new domain of ours.
type DomainAdd struct {
	Name       string `json:"name"`
	Deliver    string `json:"deliver"`              // as domain.NAME.deliver; "": maildir
	Postmaster string `json:"postmaster,omitempty"` // an address of ours
	DryRun     bool   `json:"dry_run,omitempty"`
}

// DomainRemove asks for the end of a domain. Force takes along its own aliases,
// forwards and delegates, leaves its accounts and their mailboxes as they are, and
// holds what is queued for it.
type DomainRemove struct {
	Name   string `json:"name"`
	Force  bool   `json:"force,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// DomainAdd makes a domain ours, and keys that sign its mail once the DNS shows them.
// When it returns, mail for it is accepted.
func (op *Actions) DomainAdd(ctx context.Context, by call.Caller, r DomainAdd) (Domain, error) {
	d, err := op.newDomain(r)
	if err != nil {
		return Domain{}, err
	}
	f := op.directoryFact(by, directory.KindDomain, d.Name.String(), "added")
	f.Evidence = append(f.Evidence, fact.Pair{Name: "deliver", Value: d.Deliver})
	if !d.Postmaster.IsZero() {
		f.Evidence = append(f.Evidence, fact.Pair{Name: "postmaster", Value: d.Postmaster.String()})
	}
	err = op.changeEntries(ctx, book.Change{DryRun: r.DryRun, Plan: func(before *roster.State) (roster.Edit, error) {
		if before.Has(d.Ref()) {
			return roster.Edit{}, call.Exists("the domain " + d.Name.String() + " is ours already")
		}
		return roster.Edit{Put: []roster.Entry{d}, Facts: fact.EncodeAll(f.Fact())}, nil
	}})
	v := domainView(d)
	if err != nil || r.DryRun {
		return v, err
	}
	v.DKIM, v.DKIMKept, err = op.o.Signing.FirstKeys(ctx, by, d.Name)
	return v, err
}

// newDomain parses a request for a domain.
func (op *Actions) newDomain(r DomainAdd) (d roster.Domain, err error) {
	if d.Name, err = mail.ParseHostname(r.Name); err != nil {
		return d, call.Invalid(err)
	}
	if err := op.notStated(directory.Subject{Kind: directory.KindDomain, Name: d.Name.String()}); err != nil {
		return d, err
	}
	if r.Deliver == "" {
		r.Deliver = "maildir"
	}
	if d.Deliver, err = op.o.Book.Stated().Way(r.Deliver); err != nil {
		return d, call.Invalid(err)
	}
	if r.Postmaster != "" {
		if d.Postmaster, err = call.ParseAccount(r.Postmaster); err != nil {
			return d, err
		}
	}
	d.Added = op.addedNow()
	return d, nil
}

func domainView(d roster.Domain) Domain {
	return Domain{Name: d.Name.String(), Deliver: d.Deliver, Postmaster: d.Postmaster.String(), Origin: OriginCommand, Added: d.Added}
}

// DomainList calls fn for each domain: those of the configuration first, in its
// order.
func (op *Actions) DomainList(_ context.Context, _ call.Caller, _ struct{}, fn func(Domain) error) error {
	var all []Domain
	st := op.o.Book.Stated()
	for _, d := range st.Config.Domains {
		v := Domain{Name: d.Name.String(), Deliver: st.Ways[d.Name], Postmaster: d.Postmaster.String(), Origin: OriginConfiguration}
		v.Where, _ = st.Where(d.Subject())
		all = append(all, v)
	}
	for _, d := range op.o.Book.Entries().Domains() {
		all = append(all, domainView(d))
	}
	for _, d := range all {
		if err := fn(d); err != nil {
			return err
		}
	}
	return nil
}

// DomainRemove ends a domain. It refuses while something needs it; see DomainRemove
// the request for what force does about that.
func (op *Actions) DomainRemove(ctx context.Context, by call.Caller, r DomainRemove) (Changed, error) {
	name, err := mail.ParseDomain(r.Name)
	if err != nil {
		return Changed{}, call.Invalid(err)
	}
	if err := op.notStated(directory.Subject{Kind: directory.KindDomain, Name: name.String()}); err != nil {
		return Changed{}, err
	}
	out := Changed{DryRun: true}
	plan := func(before *roster.State) (roster.Edit, error) {
		return op.withoutDomain(ctx, by, before, name, r.Force, &out)
	}
	// What would be refused must not have held the queue.
	err = op.changeEntries(ctx, book.Change{DryRun: true, Plan: plan})
	if err != nil || r.DryRun {
		return out, err
	}
	// The queue first: what is held can be released again when the domain is back.
	if err := op.o.HoldDomain(ctx, by, name); err != nil {
		return Changed{}, err
	}
	err = op.changeEntries(ctx, book.Change{Plan: plan})
	out.DryRun = false
	return out, err
}

// withoutDomain plans the end of a domain, and says in out what it takes along.
func (op *Actions) withoutDomain(ctx context.Context, by call.Caller, before *roster.State, name mail.Domain, force bool, out *Changed) (roster.Edit, error) {
	if !before.Has(roster.DomainRef(name)) {
		return roster.Edit{}, missing(directory.KindDomain, name.String())
	}
	own := book.Within(before, name)
	needs, queued, err := op.needs(ctx, name, own)
	if err != nil {
		return roster.Edit{}, err
	}
	if len(needs) > 0 && !force {
		return roster.Edit{}, call.Invalid(fmt.Errorf("the domain %s is needed by %s; --force takes along its own entries, keeps its accounts and mailboxes, and holds what is queued for it",
			name, strings.Join(needs, ", ")))
	}
	edit := roster.Edit{Remove: []roster.Ref{roster.DomainRef(name)}}
	facts := []fact.Fact{op.directoryFact(by, directory.KindDomain, name.String(), "removed").Fact()}
	out.Done = []string{"domain " + name.String() + " removed"}
	for _, e := range own {
		edit.Remove = append(edit.Remove, e.Ref())
		facts = append(facts, op.removalFact(by, e))
		out.Done = append(out.Done, fmt.Sprintf("%s %s removed with it", e.Ref().Kind, e.Ref().Name()))
	}
	if queued > 0 {
		out.Done = append(out.Done, fmt.Sprintf("queued for it and held: %d", queued))
	}
	if n := op.o.Signing.KeysKept(name); n > 0 {
		out.Done = append(out.Done, fmt.Sprintf("signing keys kept for when the domain is back: %d; sallyport dkim rm removes them", n))
	}
	edit.Facts = fact.EncodeAll(facts...)
	return edit, nil
}

// needs says in words what a domain is needed by, and how many queued messages are
// for it. Entries of other domains that lead into it show in the would-be directory.
func (op *Actions) needs(ctx context.Context, d mail.Domain, own []roster.Entry) (words []string, queued int, err error) {
	all, err := op.o.Accounts(ctx)
	if err != nil {
		return nil, 0, err
	}
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			words = append(words, "1 "+one)
		case n > 1:
			words = append(words, fmt.Sprintf("%d %s", n, many))
		}
	}
	add(countIf(all, func(a mail.Address) bool { return a.Domain() == d }), "account", "accounts")
	kinds := map[directory.Kind]int{}
	for _, e := range own {
		kinds[e.Ref().Kind]++
	}
	add(kinds[directory.KindAlias], "alias", "aliases")
	add(kinds[directory.KindForward], "forward", "forwards")
	add(kinds[directory.KindDelegate], "delegate", "delegates")
	add(kinds[directory.KindContact], "contact", "contacts")
	queued, err = op.o.Queued(ctx, d)
	add(queued, "queued message", "queued messages")
	return words, queued, err
}

func countIf[T any](all []T, is func(T) bool) (n int) {
	for _, v := range all {
		if is(v) {
			n++
		}
	}
	return n
}
