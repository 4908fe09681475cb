package directory

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// rightPrefix marks a right to send as somebody among what names a name. It stands in no Key.
const rightPrefix = "\x02"

// rightOf is the mark of the rights of an account, by its Key.
func rightOf(account string) string { return rightPrefix + account }

// leadsTo notes, in a base that nobody else has yet, that an alias, a catch-all or a right names t.
// Whoever looks t up looks at the name before the separator as well.
func (b *base) leadsTo(t mail.Address, who string) {
	for _, key := range b.reads(t) {
		b.leads.fresh(key, append(b.leads.of(key), who), 0)
	}
}

// reads are the keys that a look at t may read.
func (b *base) reads(t mail.Address) []string {
	keys := []string{t.Key()}
	if base, _, ok := b.split(t); ok {
		keys = append(keys, base.Key())
	}
	return keys
}

// lead and unlead are leadsTo for a base that shares its shelves: what others have stays.
func (b *base) lead(t mail.Address, who string) {
	for _, key := range b.reads(t) {
		b.leads = b.leads.with(key, slices.Concat(b.leads.of(key), []string{who}))
	}
}

func (b *base) unlead(t mail.Address, who string) {
	for _, key := range b.reads(t) {
		left := slices.Clone(b.leads.of(key))
		if i := slices.Index(left, who); i >= 0 {
			left = slices.Delete(left, i, i+1)
		}
		if len(left) == 0 {
			b.leads = b.leads.without(key)
			continue
		}
		b.leads = b.leads.with(key, left)
	}
}

// A change may touch so many names and still be judged by itself, or one in wholeBeyond of all that
// there are: beyond it the whole costs little more.
const (
	maxTouched  = 2000
	wholeBeyond = 2
)

// mostTouched is how many names a change may touch and still be judged by itself.
func (s *Snapshot) mostTouched() int {
	return max(maxTouched, (s.base.aliases.size+s.accounts.size)/wholeBeyond)
}

// upstream finds everything that a change of names reaches: what leads to them, over however
// many steps.
type upstream struct {
	snapshot *Snapshot
	named    map[string][]mail.Domain // by the keys that a look at the postmaster whom domains name may read
	names    map[string]bool          // of aliases, catch-alls, accounts and roles, by their key
	rights   map[string]bool          // accounts that may send as one of them, by their Key
	open     []string
}

func (s *Snapshot) upstream() *upstream {
	u := &upstream{snapshot: s, named: map[string][]mail.Domain{}, names: map[string]bool{}, rights: map[string]bool{}}
	for _, d := range s.base.list {
		for _, key := range s.base.readsOf(d.Postmaster) {
			u.named[key] = append(u.named[key], d.Name)
		}
	}
	return u
}

// readsOf is reads of an address that may be none.
func (b *base) readsOf(t mail.Address) []string {
	if t.IsZero() {
		return nil
	}
	return b.reads(t)
}

// add notes a name that changes.
func (u *upstream) add(key string) {
	if !u.names[key] {
		u.names[key] = true
		u.open = append(u.open, key)
	}
}

// close follows everything that leads to what was added; false: it is more than most.
func (u *upstream) close(most int) bool {
	for len(u.open) > 0 {
		key := u.open[len(u.open)-1]
		u.open = u.open[:len(u.open)-1]
		for _, who := range u.snapshot.base.leads.of(key) {
			if account, right := strings.CutPrefix(who, rightPrefix); right {
				u.rights[account] = true
				continue
			}
			u.add(who)
		}
		u.roles(key)
		if len(u.names)+len(u.rights) > most {
			return false
		}
	}
	return true
}

// roles adds the roles that lead to a name: the postmasters of whom it is named, and abuse,
// which is the postmaster's.
func (u *upstream) roles(key string) {
	b := u.snapshot.base
	if host, own := strings.CutPrefix(key, postmasterLocal+"@"); own {
		u.add(abuseLocal + "@" + host)
	}
	for _, d := range u.named[key] {
		u.add(postmasterLocal + "@" + d.ASCII())
	}
	if slices.Contains(b.readsOf(b.hostPostmaster), key) {
		u.add(postmasterLocal + "@" + b.hostname.ASCII())
	}
	if !slices.Contains(b.readsOf(b.postmaster), key) {
		return
	}
	for _, d := range b.list {
		if d.Postmaster.IsZero() {
			u.add(postmasterLocal + "@" + d.Name.ASCII())
		}
	}
}

// within adds every name that anybody has in a domain: those that exist, and those that are only
// named. In a domain that was not ours there are accounts alone.
func (u *upstream) within(d mail.Domain, before *Snapshot) {
	end := "@" + d.ASCII()
	addAll(u, before.accounts, end)
	if _, ours := before.base.domains[d]; ours {
		addAll(u, &before.base.aliases, end)
		addAll(u, &before.base.leads, end)
	}
	for _, key := range []string{catchAllKey(d), postmasterLocal + end, abuseLocal + end} {
		u.add(key)
	}
}

// addAll adds the keys of a shelf that end so.
func addAll[V any](u *upstream, s *shelf[V], end string) {
	for key := range s.all {
		if strings.HasSuffix(key, end) {
			u.add(key)
		}
	}
}

// unknown adds what names an address of a domain that only its catch-all has. What leads there
// over another is not touched: a catch-all takes only what people write to.
func (u *upstream) unknown(d mail.Domain) {
	end, b := "@"+d.ASCII(), u.snapshot.base
	caught := func(key string) bool {
		_, alias := b.aliases.get(key)
		_, account := u.snapshot.accounts.get(key)
		return strings.HasSuffix(key, end) && !alias && !account
	}
	for key := range u.named {
		if caught(key) {
			u.roles(key)
		}
	}
	for _, key := range slices.Concat(b.readsOf(b.postmaster), b.readsOf(b.hostPostmaster)) {
		if caught(key) {
			u.roles(key)
		}
	}
	for key, who := range b.leads.all {
		if !caught(key) {
			continue
		}
		for _, w := range who {
			if account, right := strings.CutPrefix(w, rightPrefix); right {
				u.rights[account] = true
				continue
			}
			u.names[w] = true
		}
	}
}
