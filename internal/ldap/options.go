package ldap

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
)

// Security is how a connection to a directory is kept from others' eyes. The zero value is
// refused.
type Security uint8

const (
	SecurityUnknown Security = iota
	SecurityTLS              // TLS from the first octet: ldaps
	SecurityStart            // TLS before anything is asked: ldap with StartTLS, RFC 4511 §4.14
	SecurityNone             // clear text, for a directory on this host
)

// Server is one server of a directory.
type Server struct {
	Host     string // a name or an address; the certificate must be good for it
	Port     uint16
	Security Security
}

// String returns host:port.
func (s Server) String() string { return net.JoinHostPort(s.Host, strconv.Itoa(int(s.Port))) }

// Limits bounds what a directory may cost. The zero value of a field is its default.
type Limits struct {
	Timeout     time.Duration // of one question, the connection for it included
	Connections int           // for searches, and as many again for passwords
	Waiting     int           // questions that wait for a connection, of each kind
	Idle        time.Duration // how long a connection is kept that nobody uses
	Page        int           // entries asked for at once
	Entries     int           // entries of a list; more are a fault
	PageOctets  int64         // octets of one answer; more are a fault
	Parts       int64         // parts of one answer (entries, attributes, values and what holds them); more are a fault
	EntryOctets int64         // octets of one entry; more are a fault
	ValueOctets int64         // octets of one value; more are a fault
	ListOctets  int64         // octets of the names and addresses of a list; more are a fault
	Values      int           // addresses of one person; one with more is passed over
	ListTimeout time.Duration // of a whole list
}

// DefaultLimits lets a list of 100,000 people through, and asks four things at once. One answer takes some hundred megabytes of memory
// at most, whatever is in it.
func DefaultLimits() Limits {
	return Limits{
		Timeout: 5 * time.Second, Connections: 4, Waiting: 64, Idle: time.Minute,
		Page: 500, Entries: 200_000, PageOctets: 32 << 20, Parts: 200_000, EntryOctets: 1 << 20, ValueOctets: 64 << 10, ListOctets: 128 << 20, Values: 200, ListTimeout: 5 * time.Minute,
	}
}

func (l Limits) complete() Limits {
	d := DefaultLimits()
	return Limits{
		Timeout: cmp.Or(l.Timeout, d.Timeout), Connections: cmp.Or(l.Connections, d.Connections), Waiting: cmp.Or(l.Waiting, d.Waiting),
		Idle: cmp.Or(l.Idle, d.Idle), Page: cmp.Or(l.Page, d.Page), Entries: cmp.Or(l.Entries, d.Entries),
		PageOctets: cmp.Or(l.PageOctets, d.PageOctets), Parts: cmp.Or(l.Parts, d.Parts), EntryOctets: cmp.Or(l.EntryOctets, d.EntryOctets),
		ValueOctets: cmp.Or(l.ValueOctets, d.ValueOctets), ListOctets: cmp.Or(l.ListOctets, d.ListOctets), Values: cmp.Or(l.Values, d.Values), ListTimeout: cmp.Or(l.ListTimeout, d.ListTimeout),
	}
}

// Options say how a directory is reached and what in it means what.
type Options struct {
	Servers  []Server       // in the order in which they are tried
	CA       *x509.CertPool // whom to trust; nil: the system's authorities
	User     terms.DN       // who searches; zero: nobody, where the directory lets anybody search
	Password string         // of User

	// Domains are those whose addresses make people; addresses elsewhere, a private one say, are
	// passed over.
	Domains []mail.Domain

	Base    terms.DN          // below it people stand
	Filter  terms.Filter      // which entries are people
	Address terms.Attribute   // whose one value is a person's address
	Aliases []terms.Attribute // whose values are further addresses of the person
	Group   terms.Attribute   // whose values say of which groups a person is; "": none are asked for
	Groups  []string          // those that are of interest, as in the values of Group
	Entry   terms.Attribute   // whose value names the entry for good, as entryUUID does; "": none does

	Limits Limits
}

// ErrOptions says that options are not whole.
var ErrOptions = errors.New("ldap: the options are not whole")

func (o Options) check() error {
	switch {
	case len(o.Servers) == 0:
		return fmt.Errorf("%w: there is no server", ErrOptions)
	case o.Base.IsZero():
		return fmt.Errorf("%w: there is no base", ErrOptions)
	case o.Filter.IsZero():
		return fmt.Errorf("%w: there is no filter", ErrOptions)
	case o.Address == "":
		return fmt.Errorf("%w: no attribute has the address", ErrOptions)
	case !o.User.IsZero() && o.Password == "":
		// A name without a password is an anonymous bind that succeeds. RFC 4513 §5.1.2
		return fmt.Errorf("%w: who searches has no password", ErrOptions)
	}
	for _, s := range o.Servers {
		if s.Host == "" || s.Port == 0 || s.Security == SecurityUnknown || s.Security > SecurityNone {
			return fmt.Errorf("%w: the server %s is not whole", ErrOptions, s)
		}
	}
	return nil
}

// Person is an entry of a directory that has an address.
type Person struct {
	DN      terms.DN
	Address mail.Address
	Aliases []mail.Address // without Address, each once
	// Groups are those of Options.Groups that the person is of.
	Groups []string
	Entry  string // what names the entry for good; "": not known
}
