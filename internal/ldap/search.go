package ldap

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

// List is everybody whom a directory knows, as one search told it.
type List struct {
	People []Person
	// Doubtful are addresses of which nobody can tell whose they are, and why, by
	// mail.Address.Key.
	Doubtful  map[string]string
	Nameless  int // entries without an address
	Elsewhere int // parts of the tree that other servers hold, which are not asked
}

// Find returns the one person with the address. ErrNobody and ErrSeveral are answers; any
// other error means that nobody can tell.
func (d *Directory) Find(ctx context.Context, a mail.Address) (Person, error) {
	var entries []*wire.Entry
	err := d.searches.with(ctx, func(ctx context.Context, c *conn) error {
		entries = nil
		r := d.request(terms.And(d.o.Filter, naming(a, d.o.Address)))
		r.SizeLimit = findMost
		return d.ask(ctx, c, StepSearch, func() error {
			result, err := c.Search(r)
			if err == nil {
				entries = result.Entries
			}
			return err
		})
	})
	if err == nil {
		d.understand(ctx, entries)
	}
	var found []Person
	var unclear error
	for _, e := range entries {
		// A filter matches what the directory takes for equal, which is more than the same
		// address.
		if p, why := d.person(e); why == "" && p.Address.Key() == a.Key() {
			found = append(found, p)
		} else if why != "" && d.has(e, a) {
			unclear = fmt.Errorf("%w: %s: %s", ErrUnclear, mail.ShownLine(e.DN, mail.TextShown), why)
		}
	}
	switch {
	case err != nil:
		return Person{}, err
	case unclear != nil:
		return Person{}, unclear
	case len(found) == 0:
		return Person{}, ErrNobody
	case len(found) > 1:
		return Person{}, fmt.Errorf("%w: %s and %s", ErrSeveral, found[0].DN, found[1].DN)
	}
	return found[0], nil
}

// findMost is how many entries may match an address by the directory's comparison.
const findMost = 20

// List returns everybody. Any error, a size limit of the directory among them, means that
// there is no list: half of one would be missing people.
func (d *Directory) List(ctx context.Context) (List, error) {
	g := gathering{d: d, l: List{Doubtful: map[string]string{}}, owner: map[string]string{}}
	elsewhere, err := d.all(ctx, terms.Present(d.o.Address), g.add)
	if err != nil {
		return List{}, err
	}
	return g.list(elsewhere), nil
}

// Recipients returns every address of some domains that any entry has in any of the attributes,
// each once: who exists, and not whose the address is.
func (d *Directory) Recipients(ctx context.Context, domains []mail.Domain) ([]mail.Address, error) {
	attributes := append([]terms.Attribute{d.o.Address}, d.o.Aliases...)
	var some []terms.Filter
	for _, at := range attributes {
		some = append(some, terms.Present(at))
	}
	var all []mail.Address
	seen, kept := map[string]bool{}, int64(0)
	_, err := d.all(ctx, terms.Or(some...), func(e *wire.Entry) error {
		for _, at := range attributes {
			for _, v := range d.allValues(e, at) {
				if a, _, ok := addressIn(v); ok && slices.Contains(domains, a.Domain()) && !seen[a.Key()] {
					seen[a.Key()] = true
					all = append(all, a)
					kept += int64(len(a.Key()))
				}
			}
		}
		return d.within(kept)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// within refuses a list of which so many octets of names and addresses are kept, where they are too many.
func (d *Directory) within(kept int64) error {
	if kept > d.limits.ListOctets {
		return fmt.Errorf("%w: %d", ErrTooLarge, d.limits.ListOctets)
	}
	return nil
}

// all gives every entry to take that passes the directory's filter and f, a page at a time, and returns how
// many parts of the tree other servers hold. RFC 2696.
func (d *Directory) all(ctx context.Context, f terms.Filter, take func(*wire.Entry) error) (elsewhere int, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.limits.ListTimeout)
	defer cancel()
	// A list is long, and asked for by one: it has a connection of its own.
	c, err := d.searches.fresh(ctx)
	if err != nil {
		return 0, err
	}
	defer c.end()
	elsewhere, err = d.pages(ctx, c, f, take)
	if unwell(err) && !errors.Is(ctx.Err(), context.Canceled) {
		d.leave(c.server)
	}
	return elsewhere, err
}

// pages asks for every page on one connection.
func (d *Directory) pages(ctx context.Context, c *conn, f terms.Filter, take func(*wire.Entry) error) (elsewhere int, err error) {
	paging := wire.NewControlPaging(uint32(d.limits.Page))
	for entries := 0; ; {
		r := d.request(terms.And(d.o.Filter, f))
		r.Controls = []wire.Control{paging}
		var result *wire.SearchResult
		err := d.ask(ctx, c, StepSearch, func() (err error) {
			result, err = c.Search(r)
			return err
		})
		if err != nil {
			return 0, err
		}
		d.understand(ctx, result.Entries)
		elsewhere += len(result.Referrals)
		if entries += len(result.Entries); entries > d.limits.Entries {
			return 0, fmt.Errorf("%w: %d", ErrTooMany, d.limits.Entries)
		}
		for _, e := range result.Entries {
			if err := take(e); err != nil {
				return 0, err
			}
		}
		next, ok := wire.FindControl(result.Controls, wire.ControlTypePaging).(*wire.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return elsewhere, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// counts reads a value that holds an address of the domains.
func (d *Directory) counts(value string) (a mail.Address, primary, ok bool) {
	a, primary, ok = addressIn(value)
	return a, primary, ok && slices.Contains(d.o.Domains, a.Domain())
}

func (d *Directory) request(f terms.Filter) *wire.SearchRequest {
	attributes := []string{string(d.o.Address)}
	for _, a := range d.o.Aliases {
		attributes = append(attributes, string(a))
	}
	for _, a := range []terms.Attribute{d.o.Group, d.o.Entry} {
		if a != "" {
			attributes = append(attributes, string(a))
		}
	}
	return wire.NewSearchRequest(d.o.Base.String(), wire.ScopeWholeSubtree, wire.NeverDerefAliases, 0, int(d.limits.Timeout.Seconds()), false, f.String(), attributes, nil)
}

// gathering makes people of entries as they come: of an entry nothing is kept but what a person is made of. What two of them claim is
// doubtful, and belongs to neither.
type gathering struct {
	d     *Directory
	l     List
	owner map[string]string // name by Key of an address
	all   []Person
	kept  int64 // octets of names and addresses
}

// add takes in one entry.
func (g *gathering) add(e *wire.Entry) error {
	p, why := g.d.person(e)
	switch {
	case why == whyNone:
		g.l.Nameless++
		return nil
	case why != "":
		for _, a := range g.d.addressesOf(e, g.d.o.Address) {
			g.doubt(a, mail.ShownLine(e.DN, mail.TextShown)+": "+why)
		}
		return g.d.within(g.kept)
	}
	g.kept += int64(len(e.DN))
	g.claim(p.Address, e.DN)
	for _, a := range p.Aliases {
		g.claim(a, e.DN)
	}
	g.all = append(g.all, p)
	return g.d.within(g.kept)
}

// claim notes whose an address is.
func (g *gathering) claim(a mail.Address, dn string) {
	if other, taken := g.owner[a.Key()]; taken && other != dn {
		g.doubt(a, "the entries "+mail.ShownLine(other, mail.TextShown)+" and "+mail.ShownLine(dn, mail.TextShown)+" both have it")
		return
	}
	g.owner[a.Key()] = dn
	g.kept += int64(len(a.Key()))
}

// doubt notes that an address is nobody's.
func (g *gathering) doubt(a mail.Address, why string) {
	g.l.Doubtful[a.Key()] = why
	g.kept += int64(len(a.Key()) + len(why))
}

// list is what was gathered, once all has come.
func (g *gathering) list(elsewhere int) List {
	l := g.l
	l.Elsewhere = elsewhere
	for _, p := range g.all {
		if _, doubtful := l.Doubtful[p.Address.Key()]; doubtful {
			continue
		}
		kept := p.Aliases[:0]
		for _, a := range p.Aliases {
			if _, doubtful := l.Doubtful[a.Key()]; !doubtful {
				kept = append(kept, a)
			}
		}
		p.Aliases = kept
		l.People = append(l.People, p)
	}
	return l
}

const (
	whyNone    = "it has no address"
	whySeveral = "it has several addresses, and nothing says which is the account's"
	whyMany    = "it has more addresses than the limit allows"
	whyDN      = "its name cannot be read"
)

// person makes a person of an entry, or says why it is none.
func (d *Directory) person(e *wire.Entry) (p Person, why string) {
	dn, err := terms.ParseDN(e.DN)
	if err != nil {
		return p, whyDN
	}
	own := d.addressesOf(e, d.o.Address)
	switch {
	case len(own) == 0:
		return p, whyNone
	case len(own) > 1:
		return p, whySeveral
	}
	p = Person{DN: dn, Address: own[0], Entry: d.entryName(e)}
	seen := map[string]bool{p.Address.Key(): true}
	for _, at := range d.o.Aliases {
		for _, v := range d.allValues(e, at) {
			if a, _, ok := d.counts(v); ok && !seen[a.Key()] {
				seen[a.Key()] = true
				p.Aliases = append(p.Aliases, a)
			}
		}
	}
	if len(p.Aliases) > d.limits.Values {
		return Person{}, whyMany
	}
	for _, v := range d.allValues(e, d.o.Group) {
		for _, g := range d.o.Groups {
			if terms.Same(v, g) {
				p.Groups = append(p.Groups, g)
			}
		}
	}
	return p, ""
}

// addressesOf returns the different addresses in an attribute: of several, those that are
// marked as the one that the person writes as.
func (d *Directory) addressesOf(e *wire.Entry, at terms.Attribute) []mail.Address {
	plain, tagged := d.values(e, at)
	if all := d.addressesIn(plain); len(all) > 0 {
		return all
	}
	return d.addressesIn(tagged)
}

func (d *Directory) addressesIn(values []string) (all []mail.Address) {
	var primaries []mail.Address
	seen := map[string]bool{}
	for _, v := range values {
		a, primary, ok := d.counts(v)
		if !ok || seen[a.Key()] {
			continue
		}
		seen[a.Key()] = true
		all = append(all, a)
		if primary {
			primaries = append(primaries, a)
		}
	}
	if len(primaries) > 0 {
		return primaries
	}
	return all
}

// has reports whether the entry has the address among those of the account.
func (d *Directory) has(e *wire.Entry, a mail.Address) bool {
	for _, own := range d.addressesOf(e, d.o.Address) {
		if own.Key() == a.Key() {
			return true
		}
	}
	return false
}

// mostID is the most octets of a value that names an entry for good: an entryUUID has 36, an objectGUID 16.
const mostID = 128

// entryName returns the value that names an entry for good: a text as it stands, octets
// (objectGUID) in hexadecimal digits.
func (d *Directory) entryName(e *wire.Entry) string {
	var raw []byte
	for _, a := range e.Attributes {
		if same, options := d.calls(d.o.Entry, a.Name); same && !options && len(a.ByteValues) > 0 {
			raw = a.ByteValues[0]
			break
		}
	}
	text := string(raw)
	if len(raw) == 0 || len(raw) > mostID {
		return ""
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return hex.EncodeToString(raw)
	}
	return text
}
