package door

import (
	"os/user"
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// overflowUID is what the kernel says of a user whom it cannot name here: one of
// another user namespace, such as a container's. All of them are one uid.
const overflowUID = 65534

// Users say whose account a user of this host sends as. The zero Users: nobody's.
type Users struct {
	Named  map[string]mail.Address // by name, or by uid in digits
	Domain mail.Domain             // in which the others have accounts of their own name; zero: none has
}

// NameOf returns what this host calls a user; "": it knows no such user.
func NameOf(uid uint32) string {
	known, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return ""
	}
	return known.Username
}

// Account decides whose account the user uid, whom this host calls name, sends as, or why
// nobody's. exists reports whether there is an account.
func (u Users) Account(uid uint32, name string, exists func(mail.Address) bool) (account mail.Address, why string) {
	const remedy = "the administrator can name an account for this user in [sendmail.users]"
	if uid == overflowUID {
		return mail.Address{}, "the kernel does not say who this user is, who may be in another user namespace"
	}
	if a, ok := u.Named[strconv.FormatUint(uint64(uid), 10)]; ok {
		return a, ""
	}
	if name == "" {
		return mail.Address{}, "this host knows no such user; " + remedy
	}
	// A name in digits is not the uid that it looks like, which is another user's.
	if a, ok := u.Named[name]; ok && strings.Trim(name, "0123456789") != "" {
		return a, ""
	}
	if u.Domain.IsZero() || !plainName(name) {
		return mail.Address{}, "this user has no account to send as; " + remedy
	}
	a, err := mail.NewAddress(name, u.Domain)
	if err != nil || !exists(a) {
		return mail.Address{}, "there is no account " + name + "@" + u.Domain.ASCII() + "; " + remedy
	}
	return a, ""
}

// plainName reports whether a name means the same as a local part and as a user:
// without capitals, since accounts have none, and without signs that part or quote.
func plainName(name string) bool {
	if name == "" || len(name) > mail.SureLocalPartOctets || name[0] == '.' || name[0] == '-' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
	}) < 0
}
