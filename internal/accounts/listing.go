package accounts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sallyport/internal/budget"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Listed is what a directory says of one account.
type Listed struct {
	Address mail.Address
	DN      string
	Entry   string         // what names the entry for good; "": not known
	Aliases []mail.Address // further addresses, in the order in which they are kept
	Sends   bool           // it may send
}

// Listing is everybody whom a directory lists: whole, since who is not in it is absent.
type Listing struct {
	Directory string
	People    []Listed
	// Doubtful are accounts, by mail.Address.Key, of which the directory does not tell whose
	// they are. They stay as they are.
	Doubtful map[string]bool
	// Unlike: what names entries for good is another attribute than in the last list, and says nothing of who was who.
	Unlike bool
	// Person is what an account of the role person may send for which nothing was set.
	Person budget.Limits
	// Replaced plans what else ends with the person who had an address that is another one's now, in the
	// act by which it is; nil: nothing does.
	Replaced func(mail.Address) []store.Planner
}

// Adopted says what a listing came to.
type Adopted struct {
	Added, Changed, Absent int
	// Disputed are accounts that come from elsewhere, and that the directory lists too.
	Disputed []mail.Address
}

// The changes that a listing makes, for the facts about them.
const (
	ListedAdded    = "added by its directory"
	ListedChanged  = "changed in its directory"
	ListedAbsent   = "no longer listed by its directory"
	ListedAgain    = "listed again by its directory"
	ListedOther    = "another entry in its directory: app passwords, certificates, forward, rights, the role bulk and raised limits of the former person end, and the mailbox stays"
	ListedDisputed = "listed by a directory, though it comes from elsewhere"
	ListedSettled  = "no longer listed by another directory"
)

// listedAtOnce is how many accounts one transaction of a listing changes.
const listedAtOnce = 200

// Adopt makes the accounts of a directory what a listing says. What is ours of an account
// (its freeze, its app passwords, its limits) stays, whatever a directory says, but for what
// opens an account whose entry is another one now, by how much it may send more than others, and what Replaced says; and what holds for an account holds for the one
// that its entry has under another address. facts tells what is recorded with each
// change. Errors: ErrFull, and those of the store; then part of it may be done, and the same
// listing does the rest.
func (i *Identity) Adopt(ctx context.Context, l Listing, facts func(a mail.Address, change string) [][]byte) (done Adopted, err error) {
	select {
	case i.write <- struct{}{}:
		defer func() { <-i.write }()
	case <-ctx.Done():
		return done, ctx.Err()
	}
	work := i.planned(l, &done)
	for _, batch := range batches(work) {
		for try := 0; ; try++ {
			err := i.adopt(ctx, l, batch, facts, &done)
			if err == nil {
				break
			}
			if try == conflictTries || !errors.Is(err, store.ErrConflict) {
				return done, err
			}
		}
	}
	return done, nil
}

// listed is one account that a listing may change; said is nil for one that it lacks.
type listed struct {
	address mail.Address
	said    *Listed
	former  string // the key of the account that its entry had before; "": none
	other   bool   // it is another entry's than before
}

// batches are what one transaction changes each. An account that is another person's now has one of its own, behind all
// others, since other rooms have their share in it.
func batches(work []listed) (all [][]listed) {
	var rest []listed
	var others [][]listed
	for _, w := range work {
		if w.other {
			others = append(others, []listed{w})
		} else {
			rest = append(rest, w)
		}
	}
	for batch := range slices.Chunk(rest, listedAtOnce) {
		all = append(all, batch)
	}
	return append(all, others...)
}

// planned returns the accounts that a listing changes, by what memory has of them.
func (i *Identity) planned(l Listing, done *Adopted) (work []listed) {
	present := map[string]bool{}
	for n := range l.People {
		p := &l.People[n]
		key := p.Address.Key()
		present[key] = true
		r := i.record(key)
		if r != nil && r.Source.Directory != l.Directory {
			done.Disputed = append(done.Disputed, r.Address)
		}
		if l.Doubtful[key] {
			continue
		}
		if r == nil {
			work = append(work, listed{address: p.Address, said: p})
		} else if change := l.change(r, p); r.Standing != StandingUnknown && change != "" {
			work = append(work, listed{address: p.Address, said: p, other: change == ListedOther})
		}
	}
	i.accounts.Range(func(k, v any) bool {
		r, key := v.(*record), k.(string)
		if !present[key] && !l.Doubtful[key] && l.change(r, nil) != "" {
			work = append(work, listed{address: r.Address})
		}
		return true
	})
	i.findFormer(l, work)
	slices.SortFunc(work, func(a, b listed) int { return strings.Compare(a.address.Key(), b.address.Key()) })
	return work
}

// findFormer notes of each account that comes, comes again or is another entry's now, which other one that entry had: one
// that is still listed before one that is not, and of several the one that was changed last.
func (i *Identity) findFormer(l Listing, work []listed) {
	bear := map[string]int{} // how many are there, by what is to name each for good
	for n := range l.People {
		bear[l.People[n].Entry]++
	}
	comes := map[string][]int{} // places in work, by what names an entry
	for n, w := range work {
		if w.said == nil || w.said.Entry != "" && bear[w.said.Entry] > 1 {
			continue // what names several names nobody
		}
		of := l.source(w.said)
		if r := i.record(w.address.Key()); r == nil || r.Source.Absent || !l.same(of, r.Source) {
			for _, name := range of.names() {
				comes[name] = append(comes[name], n)
			}
		}
	}
	if len(comes) == 0 {
		return
	}
	found := map[int]*record{}
	i.accounts.Range(func(k, v any) bool {
		r := v.(*record)
		if r.Source.Directory != l.Directory || r.Standing == StandingUnknown {
			return true
		}
		for _, name := range r.Source.names() {
			for _, n := range comes[name] {
				if k.(string) != work[n].address.Key() && l.same(l.source(work[n].said), r.Source) && r.later(found[n]) {
					found[n], work[n].former = r, k.(string)
				}
			}
		}
		return true
	})
}

// names are by what an entry is found: what names it for good, and its name.
func (s Source) names() []string { return []string{"entry " + s.Entry, "dn " + s.DN} }

// same reports whether both are one entry: its name says so only where nothing names it for good.
func (l Listing) same(a, b Source) bool {
	if a.Entry == "" || b.Entry == "" || l.Unlike && a.Entry != b.Entry {
		return a.DN != "" && a.DN == b.DN
	}
	return a.Entry == b.Entry
}

// another reports whether an address that was one entry's is another one's now. Where nothing names entries for good, the
// name says so that an entry has among its neighbours: those of somebody who moves on stay what they are.
func (l Listing) another(was, is Source) bool {
	switch {
	case was.Entry != "" && is.Entry != "":
		return was.Entry != is.Entry && !l.Unlike
	case was.Entry == "" && is.Entry == "":
		return was.DN != "" && is.DN != "" && own(was.DN) != own(is.DN)
	}
	return false
}

// own is the part of a distinguished name that is the entry's own, as far as case and blanks tell nothing. RFC 4514 §2.1
func own(dn string) string {
	for n := 0; n < len(dn); n++ {
		switch dn[n] {
		case '\\':
			n++
		case ',':
			dn = dn[:n]
		}
	}
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(dn)), " ", "")
}

// later reports whether r is rather than other what an entry had last; nil: there is no other.
func (r *record) later(other *record) bool {
	switch {
	case other == nil:
		return true
	case r.Source.Absent != other.Source.Absent:
		return other.Source.Absent
	}
	return r.Revision > other.Revision
}

// change names what a listing changes about an account that there is; "": nothing.
func (l Listing) change(r *record, p *Listed) string {
	switch {
	case r.Source.Directory != l.Directory && p == nil:
		if r.Source.AlsoIn == l.Directory {
			return ListedSettled
		}
		return ""
	case r.Source.Directory != l.Directory:
		if r.Source.AlsoIn == "" {
			return ListedDisputed
		}
		return ""
	case p == nil && r.Source.Absent:
		return ""
	case p == nil:
		return ListedAbsent
	case l.another(r.Source, l.source(p)):
		return ListedOther
	case r.Source.Absent:
		return ListedAgain
	case r.Source != l.source(p) || !sameAddresses(r.aliases, p.Aliases):
		return ListedChanged
	}
	return ""
}

func (l Listing) source(p *Listed) Source {
	return Source{Directory: l.Directory, DN: p.DN, Entry: p.Entry, Silent: !p.Sends}
}

// edited is the record that a change makes of old; old is nil for a new account.
func (i *Identity) edited(l Listing, old *record, w listed, change string, revision uint64) (*record, error) {
	if old == nil {
		return i.added(l, w.said, revision)
	}
	next := *old
	switch change {
	case ListedDisputed:
		next.Source.AlsoIn, next.Revision = l.Directory, revision
	case ListedSettled:
		next.Source.AlsoIn, next.Revision = "", revision
	case ListedAbsent:
		next.Source.Absent, next.Revision = true, revision
	case ListedOther:
		now := i.o.Now().UTC()
		next.held, next.Revision, next.PasswordChanged, next.PasswordRevision = nil, revision, now, revision
		next.ordinary(l.Person)
		if next.Standing == StandingActive { // else what was is why it is frozen
			next.Created = now
		}
		fallthrough
	default:
		// Who may not send any more loses the sessions in which he does.
		if next.Source.Silent != !w.said.Sends || next.Source.Absent {
			next.Revision = revision
		}
		entry := next.Source.Entry
		next.Source, next.aliases = l.source(w.said), w.said.Aliases
		if next.Source.Entry == "" {
			next.Source.Entry = entry
		}
	}
	return &next, nil
}

// ordinary takes from an account what it may send more than others: it was given to a person. What it may less stays.
func (r *record) ordinary(person budget.Limits) {
	within := func(own, most int) int {
		if own > most {
			return 0
		}
		return own
	}
	r.Role, r.RecipientsHour, r.RecipientsDay = RolePerson, within(r.RecipientsHour, person.Hour), within(r.RecipientsDay, person.Day)
}

// added is a new account of a directory: active, and with a secret that no password matches,
// which holds the salt of its app passwords.
func (i *Identity) added(l Listing, p *Listed, revision uint64) (*record, error) {
	s := decoy(i.decoyKey, i.limits().cost(), p.Address.Key())
	salts := make([]byte, 2*saltOctets)
	if _, err := io.ReadFull(i.o.Rand, salts); err != nil {
		return nil, fmt.Errorf("accounts: reading random octets: %w", err)
	}
	s.Argon.Salt = salts[:saltOctets:saltOctets]
	s, err := s.unmatched(i.o.Rand)
	if err != nil {
		return nil, err
	}
	now := i.o.Now().UTC()
	return &record{secret: s, aliases: p.Aliases, Account: Account{
		Address: p.Address, Standing: StandingActive, Role: RolePerson, Created: now, PasswordChanged: now, PasswordRevision: revision,
		SignIn: PolicyAny, Revision: revision, Source: l.source(p),
	}}, nil
}

// takeOver has what holds for the former account of an entry hold for the one that it has now, which is opened by the
// same password. What was made here for the former one (app passwords, certificates, its mailbox) stays with it. most
// bounds the reason of a freeze.
func (r *record) takeOver(former *record, isNew bool, most int) {
	if isNew {
		r.Role, r.RecipientsHour, r.RecipientsDay, r.QuotaOctets, r.QuotaMessages = former.Role, former.RecipientsHour, former.RecipientsDay, former.QuotaOctets, former.QuotaMessages
		r.SignIn, r.CertificateAlone, r.Without = former.SignIn, former.CertificateAlone, former.Without
	}
	r.PasswordRevoked, r.tokens = r.PasswordRevoked || former.PasswordRevoked, r.tokens.and(former.tokens)
	if former.Standing != StandingFrozen {
		return
	}
	reason := former.FrozenReason
	if as := reason + ", as " + former.Address.String(); len(as) <= most {
		reason = as
	}
	r.Standing, r.FrozenReason, r.ReadsOn = StandingFrozen, reason, former.ReadsOn
}

// succeed has next take over what holds for the former account of its entry, if it had one, and returns what the change
// is called then.
func (i *Identity) succeed(ctx context.Context, next *record, w listed, isNew bool, change string) (told string, err error) {
	if w.former == "" {
		return change, nil
	}
	_, former, err := i.stored(ctx, w.former)
	if err != nil || former == nil || former.Standing == StandingUnknown {
		return change, err
	}
	next.takeOver(former, isNew, i.limits().ReasonOctets)
	return change + " in the place of " + former.Address.String(), nil
}

// adopt changes the accounts of one transaction.
func (i *Identity) adopt(ctx context.Context, l Listing, batch []listed, facts func(mail.Address, string) [][]byte, done *Adopted) error {
	revisionValue, revision, err := i.storedRevision(ctx)
	if err != nil {
		return err
	}
	tx := store.Tx{Bulk: true, Preconditions: []store.Precondition{holds([]byte(keyRevision), revisionValue)}}
	var keys []string
	var counts Adopted
	var with []store.Planner
	for _, w := range batch {
		change, err := i.planListed(ctx, l, w, revision+1, int64(counts.Added), &tx, facts)
		switch {
		case err != nil:
			return err
		case change == "":
			continue
		case w.other && l.Replaced != nil:
			with = l.Replaced(w.address)
		}
		revision++
		keys = append(keys, w.address.Key())
		counts.count(change)
	}
	if len(keys) == 0 {
		return nil
	}
	tx.Mutations = append(tx.Mutations, store.Mutation{Key: []byte(keyRevision), Value: codec.EncodeRevision(revision)})
	tx, tell, err := tx.With(ctx, with...)
	if err != nil {
		return err
	}
	_, err = i.st.Apply(ctx, tx, store.Durable)
	// Also after an error: the change may be in doubt.
	var loadErr error
	for _, key := range keys {
		loadErr = errors.Join(loadErr, i.reload(context.WithoutCancel(ctx), key, 0))
	}
	if told := tell(err); err == nil {
		err = errors.Join(loadErr, told)
	}
	if err != nil {
		return wrapStore("adopting the list of a directory", err)
	}
	if batch[0].other {
		i.strange(keys[0])
	}
	i.noted(revision, len(keys))
	done.Added, done.Changed, done.Absent = done.Added+counts.Added, done.Changed+counts.Changed, done.Absent+counts.Absent
	return nil
}

// planListed adds to a transaction what a listing changes of one account, under a revision, where the transaction brings so many new
// ones already. It returns what the change is called; "": there is none.
func (i *Identity) planListed(ctx context.Context, l Listing, w listed, revision uint64, brings int64, tx *store.Tx,
	facts func(mail.Address, string) [][]byte) (change string, err error) {
	key := w.address.Key()
	value, old, err := i.stored(ctx, key)
	if err != nil {
		return "", err
	}
	change = ListedAdded
	switch {
	case old != nil && old.Standing == StandingUnknown, old == nil && w.said == nil:
		return "", nil
	case old != nil:
		if change = l.change(old, w.said); change == "" || (change == ListedOther) != w.other {
			return "", nil // else it was changed a moment ago, and the next list is judged by that
		}
	case i.count.Load()+brings >= int64(i.limits().Accounts):
		return "", fmt.Errorf("%w: %d", ErrFull, i.limits().Accounts)
	}
	next, err := i.edited(l, old, w, change, revision)
	if err != nil {
		return "", err
	}
	told, err := i.succeed(ctx, next, w, old == nil, change)
	if err != nil {
		return "", err
	}
	tx.Preconditions = append(tx.Preconditions, holds(accountKey(key), value))
	if tx.Mutations, err = appendRecord(tx.Mutations, key, next); err != nil {
		return "", err
	}
	if w.other {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: networksKey(key), Delete: true}, store.Mutation{Key: usedKey(key), Delete: true})
	}
	tx.Facts = append(tx.Facts, facts(next.Address, told)...)
	return change, nil
}

// strange forgets the networks that an account knew, and when its credentials were used: they are another person's.
func (i *Identity) strange(key string) {
	i.load.Lock()
	defer i.load.Unlock()
	i.networks.Delete(key)
	i.used.Delete(key)
}

// noted marks the changes up to a revision as mirrored, if all before them are.
func (i *Identity) noted(revision uint64, changes int) {
	i.load.Lock()
	defer i.load.Unlock()
	if i.seen+uint64(changes) == revision {
		i.seen = revision
	}
}

func (d *Adopted) count(change string) {
	switch change {
	case ListedAdded:
		d.Added++
	case ListedAbsent:
		d.Absent++
	default:
		d.Changed++
	}
}

// TrustPassword takes the password that its directory knows as the account's again, after it
// was revoked here and changed there.
func (i *Identity) TrustPassword(ctx context.Context, a mail.Address, facts [][]byte) (Account, error) {
	now := i.o.Now().UTC()
	return i.change(ctx, a, change{facts: facts, edit: existing(a, func(old *record, revision uint64) (*record, error) {
		if old.Source.Directory == "" {
			return nil, fmt.Errorf("%w: the password of this account is kept here, and needs to be set", ErrInvalid)
		}
		next := *old
		next.PasswordChanged, next.PasswordRevision, next.PasswordRevoked = now, revision, false
		return &next, nil
	})})
}
