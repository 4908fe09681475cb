package ldap

import (
	"strings"

	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

// addressIn reads a value of an attribute: an address, or one with the kind before it, as
// proxyAddresses has them. primary is set for "SMTP:" in capitals, which marks the one that
// the person writes as. Values of other kinds (SIP:, X500:) are no addresses.
func addressIn(value string) (a mail.Address, primary, ok bool) {
	if kind, rest, found := strings.Cut(value, ":"); found && strings.EqualFold(kind, "smtp") {
		value, primary = rest, kind == "SMTP"
	}
	a, err := mail.ParseAddress(value, mail.UTF8)
	return a, primary, err == nil && !a.Domain().IsZero()
}

// naming is the filter of entries that may have the address in one of the attributes: with
// the domain in both forms, and as proxyAddresses writes it. What comes is compared again.
func naming(a mail.Address, attributes ...terms.Attribute) terms.Filter {
	forms := []string{a.String()}
	for _, form := range []string{a.Local() + "@" + a.Domain().ASCII(), a.Local() + "@" + a.Domain().Unicode()} {
		if form != forms[0] {
			forms = append(forms, form)
		}
	}
	var all []terms.Filter
	for _, at := range attributes {
		for _, f := range forms {
			all = append(all, terms.Equal(at, f), terms.Equal(at, "smtp:"+f))
		}
	}
	return terms.Or(all...)
}
