package roster

import (
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// Ref names an entry: its kind, and the key under which no other entry of the kind
// stands.
type Ref struct {
	Kind directory.Kind
	key  string
}

// Entry is a Domain, an Alias, a Forward, a Delegate or a Contact.
type Entry interface {
	Ref() Ref
	encode() ([]byte, error)
}

// Domain is a domain of ours.
type Domain struct {
	Name       mail.Domain
	Deliver    string       // as the configuration has it: "maildir"; not interpreted here
	Postmaster mail.Address // zero: as the configuration says for all
	Added      time.Time
}

// Alias is an alias, a group or a catch-all.
type Alias struct {
	directory.Alias
	Added time.Time
}

// Forward is where an account's mail goes on to.
type Forward struct {
	directory.Forward
	Added time.Time
}

// Delegate is a right to send as another address.
type Delegate struct {
	directory.Delegate
	Added time.Time
}

// Contact is where the owner of an account is told of what becomes of it.
type Contact struct {
	directory.Contact
	Added time.Time
}

// DomainRef names the domain d.
func DomainRef(d mail.Domain) Ref { return Ref{directory.KindDomain, d.ASCII()} }

// AliasRef names the alias of an address.
func AliasRef(a mail.Address) Ref { return Ref{directory.KindAlias, a.Key()} }

// CatchAllRef names the catch-all of a domain. No address has an empty local-part,
// so that it is never the key of an AliasRef.
func CatchAllRef(d mail.Domain) Ref { return Ref{directory.KindAlias, "@" + d.ASCII()} }

// ForwardRef names the forward of an account.
func ForwardRef(account mail.Address) Ref { return Ref{directory.KindForward, account.Key()} }

// ContactRef names the contact of an account.
func ContactRef(account mail.Address) Ref { return Ref{directory.KindContact, account.Key()} }

// DelegateRef names the right of an account to send as an address.
func DelegateRef(account, address mail.Address) Ref {
	return Ref{directory.KindDelegate, account.Key() + delegateSeparator + address.Key()}
}

// delegateSeparator stands in no Key of an address.
const delegateSeparator = "\x00"

// Name returns the key as operators write it.
func (r Ref) Name() string { return strings.ReplaceAll(r.key, delegateSeparator, " ") }

// Ref names the domain.
func (d Domain) Ref() Ref { return DomainRef(d.Name) }

// Ref names the alias.
func (a Alias) Ref() Ref {
	if !a.CatchAll.IsZero() {
		return CatchAllRef(a.CatchAll)
	}
	return AliasRef(a.Address)
}

// Ref names the forward.
func (f Forward) Ref() Ref { return ForwardRef(f.Account) }

// Ref names the right.
func (d Delegate) Ref() Ref { return DelegateRef(d.Account, d.Address) }

// Ref names the contact.
func (c Contact) Ref() Ref { return ContactRef(c.Account) }
