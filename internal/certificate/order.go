package certificate

import (
	"context"
	"log/slog"
	"net"
	"time"

	"sallyport/internal/acme"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Order says how a certificate is obtained.
type Order struct {
	Authority string       // the URL of its directory
	Contact   mail.Address // of the account there; may be zero
	Agreed    bool         // to the terms of service
	CA        string       // file of the certificates to trust for the directory; "": the system's
	TLSALPN   bool         // challenges are answered under TLS, else by HTTP
	Host      mail.Domain  // a certificate without this name is none
	// Names are the names beside Host that it is to bear, as things are now.
	Names     func(context.Context) []mail.Domain
	Listeners []net.Listener // where challenges are answered; they are closed at the end
	Store     store.Store
	Now       func() time.Time
	Logger    *slog.Logger
}

// acme returns the order as package acme has it. The error is one of CA.
func (o Order) acme() (acme.Options, error) {
	out := acme.Options{
		Store: o.Store, Directory: o.Authority, Agreed: o.Agreed, Host: o.Host, Names: o.Names, Listeners: o.Listeners,
		Challenge: acme.HTTP01, Limits: acme.DefaultLimits(), Now: o.Now, Logger: o.Logger,
	}
	if o.TLSALPN {
		out.Challenge = acme.TLSALPN01
	}
	if !o.Contact.IsZero() {
		out.Contact = o.Contact.String()
	}
	var err error
	out.Roots, _, err = pki.Authorities(o.CA)
	return out, err
}
