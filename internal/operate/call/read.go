package call

import (
	"fmt"

	"sallyport/internal/mail"
)

// AccountRef names an account.
type AccountRef struct {
	Address string `json:"address"`
}

// ParseAccount reads an account's address; its local-part is folded, as the
// mailbox it names is.
func ParseAccount(s string) (mail.Address, error) {
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		return mail.Address{}, Invalid(err)
	}
	if a.Domain().IsZero() {
		return mail.Address{}, Refused(mail.Printable(s, mail.AddressShown) + " is in no domain")
	}
	folded, err := a.WithLocal(mail.FoldLocal(a.Local()))
	if err != nil {
		return mail.Address{}, Invalid(err)
	}
	return folded, nil
}

// ParseAddress reads an address, of ours or not.
func ParseAddress(s string) (mail.Address, error) { return read(mail.ParseAddress(s, mail.UTF8)) }

// ParsePath reads the sender of an envelope, in angle brackets or not.
func ParsePath(s string) (mail.ReversePath, error) {
	if s == "" || s[0] != '<' {
		s = "<" + s + ">"
	}
	return read(mail.ParseReversePath(s, mail.UTF8))
}

// ParseDomain reads a domain.
func ParseDomain(s string) (mail.Domain, error) { return read(mail.ParseDomain(s)) }

// read is what a request names, which must read.
func read[T any](v T, err error) (T, error) {
	if err != nil {
		return v, Invalid(err)
	}
	return v, nil
}

// Texts are the values as they are written.
func Texts[T fmt.Stringer](all []T) []string {
	out := make([]string, len(all))
	for i, a := range all {
		out[i] = a.String()
	}
	return out
}
