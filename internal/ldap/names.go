package ldap

import (
	"context"
	"slices"
	"strings"
	"time"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/terms"
)

// namesRest is how long nobody is asked again for the names of attributes: some are of no use to anybody, as those of attributes that derive from one that was asked for.
const namesRest = time.Minute

// namesOf are the names by which a directory may call each attribute that is asked for.
type namesOf map[terms.Attribute][]string

// asked are the attributes that are asked for, each once.
func (d *Directory) asked() []terms.Attribute {
	var all []terms.Attribute
	for _, a := range append([]terms.Attribute{d.o.Address, d.o.Group, d.o.Entry}, d.o.Aliases...) {
		if a != "" && !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// calls reports whether the name by which an answer calls an attribute is that of one that was asked for, and whether options follow
// it, as in "mail;lang-de". RFC 4512 §2.5
func (d *Directory) calls(at terms.Attribute, name string) (same, options bool) {
	base, _, options := strings.Cut(name, ";")
	if strings.EqualFold(base, string(at)) {
		return true, options
	}
	known := d.names.Load()
	return known != nil && slices.ContainsFunc((*known)[at], func(n string) bool { return strings.EqualFold(n, base) }), options
}

// values are those of an attribute of an entry, however the server calls it: first those without options.
func (d *Directory) values(e *wire.Entry, at terms.Attribute) (plain, tagged []string) {
	for _, a := range e.Attributes {
		switch same, options := d.calls(at, a.Name); {
		case same && options:
			tagged = append(tagged, a.Values...)
		case same:
			plain = append(plain, a.Values...)
		}
	}
	return plain, tagged
}

// allValues are the values of an attribute of an entry, with any options.
func (d *Directory) allValues(e *wire.Entry, at terms.Attribute) []string {
	plain, tagged := d.values(e, at)
	return append(plain, tagged...)
}

// understand asks what else the attributes are called where entries have some that were not asked for by that name. A server
// answers with one name of an attribute, whichever it was asked by, and with a name rather than a number. RFC 4511 §4.5.2. What it does not tell stays
// as it was.
func (d *Directory) understand(ctx context.Context, entries []*wire.Entry) {
	strange := func(a *wire.EntryAttribute) bool {
		return !slices.ContainsFunc(d.asked(), func(at terms.Attribute) bool { same, _ := d.calls(at, a.Name); return same })
	}
	now := d.now().UnixNano()
	last := d.named.Load()
	if last != 0 && now-last < int64(namesRest) || !slices.ContainsFunc(entries, func(e *wire.Entry) bool { return slices.ContainsFunc(e.Attributes, strange) }) {
		return
	}
	d.named.Store(now)
	// On a connection apart: one that something failed on is not used again.
	_ = d.searches.with(ctx, func(ctx context.Context, c *conn) error {
		known, err := d.schema(ctx, c)
		if err == nil {
			d.names.Store(&known)
		}
		return err
	})
}

// schema reads the names of the attributes that are asked for. RFC 4512 §4.4
func (d *Directory) schema(ctx context.Context, c *conn) (namesOf, error) {
	const subentry, types = "subschemaSubentry", "attributeTypes"
	read := func(base string, filter terms.Filter, attribute string) (all []string, err error) {
		r := wire.NewSearchRequest(base, wire.ScopeBaseObject, wire.NeverDerefAliases, 0, int(d.limits.Timeout.Seconds()), false, filter.String(), []string{attribute}, nil)
		err = d.ask(ctx, c, StepSearch, func() error {
			result, err := c.Search(r)
			if err == nil {
				for _, e := range result.Entries {
					all = append(all, e.GetEqualFoldAttributeValues(attribute)...)
				}
			}
			return err
		})
		return all, err
	}
	where, err := read("", terms.Present("objectClass"), subentry)
	if err != nil || len(where) != 1 {
		return nil, err
	}
	descriptions, err := read(where[0], terms.Equal("objectClass", "subschema"), types)
	if err != nil {
		return nil, err
	}
	known := namesOf{}
	for _, text := range descriptions {
		names := terms.Names(text)
		for _, at := range d.asked() {
			if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, string(at)) }) {
				known[at] = names
			}
		}
	}
	return known, nil
}
