package access

import (
	"fmt"
	"net/netip"
	"strings"

	"sallyport/internal/mail"
)

// Action is what a line does. The zero Action is none, and no line has it.
type Action uint8

const (
	NoAction Action = iota
	Refuse          // 550: never
	Defer           // 450: not now
	Slow            // every recipient waits a while; the rest is judged as ever
	Exempt          // neither later lines nor lists of others are asked
)

// String returns the word of the list.
func (a Action) String() string {
	switch a {
	case Refuse:
		return "refuse"
	case Defer:
		return "defer"
	case Slow:
		return "slow"
	case Exempt:
		return "exempt"
	}
	return "none"
}

// Field is what of a visitor a line looks at. The zero Field is nothing.
type Field uint8

const (
	NoField   Field = iota
	Network         // the client's address
	Name            // the name that the address has, and that leads back to it
	Hello           // the name of EHLO or HELO, which anybody can claim
	Sender          // the envelope sender: an address, or its domain
	Recipient       // an address of ours, or its domain
	System          // the autonomous system of the client's address
	Country         // the country of the client's address
)

// String returns the word of the list.
func (f Field) String() string {
	switch f {
	case Network:
		return "network"
	case Name:
		return "name"
	case Hello:
		return "hello"
	case Sender:
		return "sender"
	case Recipient:
		return "recipient"
	case System:
		return "as"
	case Country:
		return "country"
	}
	return "nothing"
}

// Rule is one line of the list.
type Rule struct {
	Line   int
	Action Action
	Field  Field
	Text   string // what it fits, as the line has it
	Reason string // told to whom it keeps out; may be empty

	network netip.Prefix
	pattern pattern
	address mail.Address // of a sender or a recipient; zero: pattern
	null    bool         // the sender is the null path
	system  uint32
}

// String returns the rule as its line has it, without the reason.
func (r Rule) String() string { return r.Action.String() + " " + r.Field.String() + " " + r.Text }

// Visitor is who is judged. What is not known is zero, and fits no line.
type Visitor struct {
	Client netip.Addr
	Place  Place    // of the address
	Names  []string // that the address has in the DNS, each leading back to it
	Hello  string
	From   mail.ReversePath
	To     mail.Address
	Bare   mail.Address // To without its detail, where it has one
}

// fits reports whether the rule is about a visitor.
func (r Rule) fits(v Visitor) bool {
	switch r.Field {
	case Network:
		return r.network.Contains(v.Client.Unmap().WithZone(""))
	case Name:
		for _, n := range v.Names {
			if r.pattern.fits(n) {
				return true
			}
		}
	case Hello:
		return v.Hello != "" && r.pattern.fits(v.Hello)
	case Sender:
		a, named := v.From.Address()
		return r.null && v.From.IsNull() || named && r.fitsAddress(a)
	case System:
		return r.system != 0 && r.system == v.Place.AS
	case Country:
		return r.Text == v.Place.Country
	case Recipient:
		return !v.To.IsZero() && (r.fitsAddress(v.To) || r.names(v.Bare))
	}
	return false
}

// names reports whether the rule is about this one address.
func (r Rule) names(a mail.Address) bool {
	return !r.address.IsZero() && !a.IsZero() && r.address.Key() == a.Key()
}

func (r Rule) fitsAddress(a mail.Address) bool {
	switch {
	case r.null:
		return false
	case !r.address.IsZero():
		return r.names(a)
	}
	return !a.Domain().IsZero() && r.pattern.fits(a.Domain().ASCII())
}

// pattern is a name, or all names below one.
type pattern struct {
	name  string // lower case, ASCII
	below bool   // names below it, and not itself
}

func (p pattern) fits(name string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if p.below {
		return strings.HasSuffix(name, "."+p.name)
	}
	return name == p.name && name != ""
}

// parsePattern reads "host.example" or "*.example"; a name of one label stands for itself.
func parsePattern(text string) (pattern, error) {
	rest, below := strings.CutPrefix(text, "*.")
	d, err := mail.ParseDomain(strings.TrimSuffix(rest, "."))
	if err != nil {
		return pattern{}, fmt.Errorf("this is no name: %w", err)
	}
	return pattern{d.ASCII(), below}, nil
}
