package directory

import (
	"strconv"
	"strings"

	"sallyport/internal/mail"
)

// Deliver is how a domain's mail is delivered. The zero value is refused.
type Deliver uint8

const (
	DeliverUnknown Deliver = iota
	DeliverMaildir         // into mailboxes of ours
	DeliverLMTP            // to a server of ours that stands behind us, by LMTP
	DeliverSMTP            // to a server of ours that stands behind us, by SMTP
)

// Behind reports whether a server behind us takes the mail.
func (d Deliver) Behind() bool { return d == DeliverLMTP || d == DeliverSMTP }

// Recipients says who knows the recipients of a domain with a server behind us.
// The zero value is refused there.
type Recipients uint8

const (
	RecipientsUnknown   Recipients = iota
	RecipientsAccounts             // our own accounts
	RecipientsList                 // Domain.List
	RecipientsCallout              // the server behind us; see Class.Ask
	RecipientsDirectory            // a directory elsewhere, whose list is Domain.List
)

// Server is a server of ours that stands behind us. Its texts are handed on as the
// administrator wrote them; nothing here interprets them. It is comparable: what is
// equal shares connections and a fate.
type Server struct {
	LMTP bool
	Path string // of a Unix socket; "": Host and Port
	Host string
	Port uint16
	TLS  mail.TLSMode
	CA   string // file of the authorities to trust; "": the system's
}

// String returns where the server is: host:port, or the path of the socket.
func (s Server) String() string {
	if s.Path != "" {
		return s.Path
	}
	host := s.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(s.Port))
}

// Domain is a domain of ours.
type Domain struct {
	Name    mail.Domain
	Deliver Deliver
	// Postmaster is where postmaster and abuse arrive when neither an account nor
	// an alias has their name; zero: as Config.Postmaster says.
	Postmaster mail.Address

	// What follows is about the server behind us, and zero for DeliverMaildir.
	Server     Server
	Recipients Recipients
	List       []mail.Address // for RecipientsList and RecipientsDirectory: those who exist
	CutThrough bool           // its answer to a message becomes ours

	// Unlisted: a directory elsewhere says who exists in the domain, and has not been heard yet.
	// Whoever is not known to exist may exist.
	Unlisted bool
}

// Subject names the domain in a Fault.
func (d Domain) Subject() Subject { return Subject{KindDomain, d.Name.String()} }

// check adds what is wrong with how the domain's mail is delivered.
func (d Domain) check(f *faults) {
	switch {
	case d.Deliver == DeliverMaildir:
		if d.Server != (Server{}) || d.CutThrough {
			f.about(d.Subject(), "the domain %s is delivered to mailboxes, and also to a server behind", d.Name)
		}
		return
	case !d.Deliver.Behind():
		f.about(d.Subject(), "the domain %s has no way of delivery", d.Name)
		return
	}
	s := d.Server
	switch socket := s.Path != ""; {
	case socket == (s.Host != "" || s.Port != 0), !socket && (s.Host == "" || s.Port == 0):
		f.about(d.Subject(), "the server behind %s has no host and port, or besides them a socket", d.Name)
	case !s.TLS.Decided() || socket && s.TLS != mail.TLSNone:
		f.about(d.Subject(), "the server behind %s has no known TLS mode", d.Name)
	case s.LMTP != (d.Deliver == DeliverLMTP):
		f.about(d.Subject(), "the server behind %s speaks another protocol than its domain says", d.Name)
	}
	if d.Recipients == RecipientsUnknown || d.Recipients > RecipientsDirectory {
		f.about(d.Subject(), "nobody knows the recipients of %s", d.Name)
	}
	for _, a := range d.List {
		if a.IsZero() || a.Domain() != d.Name {
			f.about(d.Subject(), "the list of %s names %s, which is of another domain", d.Name, a)
		}
	}
}
