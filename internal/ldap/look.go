package ldap

import (
	"context"
	"errors"
	"slices"

	wire "github.com/go-ldap/ldap/v3"

	"sallyport/internal/ldap/terms"
)

// Sight is what was seen of one server of a directory.
type Sight struct {
	Server string
	// Failed is the first step that did, and Err how; "": none. Whoever comes after it was
	// not tried.
	Failed Step
	Err    error
	// Found: at least one entry passes the filter and has an address.
	Found bool
	// Policy: the server says that it tells of password policies, and Pages that it gives long
	// lists in pages.
	Policy, Pages bool
}

const (
	oidPages  = "1.2.840.113556.1.4.319"    // RFC 2696
	oidPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy-10
)

// Look connects to each server, binds, looks at the base, searches for one person, and
// reads what the server can do. It asks about nobody's password.
func (d *Directory) Look(ctx context.Context) (all []Sight) {
	for _, s := range d.o.Servers {
		all = append(all, d.look(ctx, s))
	}
	return all
}

func (d *Directory) look(ctx context.Context, s Server) (seen Sight) {
	ctx, cancel := context.WithTimeout(ctx, d.limits.Timeout)
	defer cancel()
	seen.Server = s.String()
	fail := func(step Step, err error) Sight {
		var f *Failure
		if seen.Failed, seen.Err = step, err; errors.As(err, &f) {
			seen.Failed = f.Step
		}
		return seen
	}
	c, err := d.dial(ctx, s)
	if err != nil {
		return fail(StepConnect, err)
	}
	defer c.end()
	if !d.o.User.IsZero() {
		if err := d.ask(ctx, c, StepBind, func() error { return c.Bind(d.o.User.String(), d.o.Password) }); err != nil {
			return fail(StepBind, err)
		}
	}
	base := d.request(terms.Present("objectClass"))
	base.Scope, base.Attributes = wire.ScopeBaseObject, []string{"1.1"} // no attribute. RFC 4511 §4.5.1.8
	if err := d.ask(ctx, c, StepBase, func() error { _, err := c.Search(base); return err }); err != nil {
		return fail(StepBase, err)
	}
	one := d.request(terms.And(d.o.Filter, terms.Present(d.o.Address)))
	one.SizeLimit = 1
	var result *wire.SearchResult
	err = d.ask(ctx, c, StepSearch, func() (err error) { result, err = c.Search(one); return err })
	if err != nil && codeOf(err) != wire.LDAPResultSizeLimitExceeded {
		return fail(StepSearch, err)
	}
	seen.Found = len(result.Entries) > 0
	root := wire.NewSearchRequest("", wire.ScopeBaseObject, wire.NeverDerefAliases, 0, 0, false,
		terms.Present("objectClass").String(), []string{"supportedControl"}, nil)
	err = d.ask(ctx, c, StepSearch, func() (err error) { result, err = c.Search(root); return err })
	if err == nil && len(result.Entries) == 1 {
		can := result.Entries[0].GetEqualFoldAttributeValues("supportedControl")
		seen.Policy, seen.Pages = slices.Contains(can, oidPolicy), slices.Contains(can, oidPages)
	}
	return seen
}
