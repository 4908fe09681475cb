// Package reporting builds the daily reports to other domains: what came in their name, and how
// the TLS of mail to them fared. It says who answers for the reports, and as whose mail they are
// sent.
package reporting

import (
	"context"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter/sender"
	"sallyport/internal/letter"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop/ways"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/dmarc"
	"sallyport/internal/reports/tls"
	"sallyport/internal/spool"
	"sallyport/internal/tlspolicy"
)

// Options are what Reporting is given; all are required.
type Options struct {
	settings.World
	Data      *datafolder.Folder
	Directory func() *directory.Snapshot
	Servers   letter.Servers // behind us, which are asked about recipients
	// Sign returns the header fields that sign a report of a domain.
	Sign func(from mail.Domain, h message.Header, body []byte) ([]byte, error)
}

// Reporting counts and sends the reports of one server.
type Reporting struct {
	o     Options
	dmarc *dmarc.Reports // what came in the name of others
	tls   tls.Reports    // how the TLS of mail to others fared
}

// Open returns who counts what there is to report; nothing is sent before Run.
func Open(o Options) *Reporting {
	return &Reporting{
		o:     o,
		dmarc: dmarc.NewReports(o.Data.Store, dmarc.DefaultLimits(), daily.DefaultLimits(), o.Now, o.Data.Clock.Now, o.Logger),
		tls:   tls.NewReports(o.Data.Store, tls.DefaultLimits(), daily.DefaultLimits(), o.Now, o.Data.Clock.Now, o.Logger),
	}
}

// Came counts what came in a domain's name.
func (r *Reporting) Came(o sender.Observation) { r.dmarc.Add(o.DMARC.Place, o.Record()) }

// Fared counts how the TLS of mail to another domain fared.
func (r *Reporting) Fared(s tlspolicy.Session) { r.tls.Add(s) }

// Run sends what there is to report until ctx ends.
func (r *Reporting) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { r.dmarc.Run(ctx) })
	running.Go(func() { r.tls.Run(ctx) })
	running.Wait()
}

// Means are what the reports of one configuration are sent with.
type Means struct {
	Config   config.Config
	Resolver dnsx.Resolver
	Ways     *ways.Ways
	Handoff  func(spool.Claim)
}

// Change is who answers for reports from now on, and how they are written.
type Change struct {
	r     *Reporting
	dmarc *dmarc.Options
	tls   *tls.Options
}

// Build says who answers for reports, and how they are written.
func (r *Reporting) Build(m Means) (c *Change, err error) {
	c = &Change{r: r}
	if c.dmarc, err = r.DMARC(m); err == nil {
		c.tls, err = r.forTLS(m)
	}
	return c, err
}

// Adopt puts it in force.
func (c *Change) Adopt() {
	c.r.dmarc.Adopt(c.dmarc)
	c.r.tls.Adopt(c.tls)
}

// Abandon does nothing: nothing was changed yet.
func (c *Change) Abandon() {}

// as sends reports of our own as mail of an account. Everything that reports to other domains
// goes through it.
func (r *Reporting) as(m Means, account mail.Address) (*daily.Sender, error) {
	return daily.New(daily.Options{
		Hostname: m.Config.Hostname, Account: account, Directory: r.o.Directory,
		Active: r.o.Data.Accounts.Active, Queue: r.o.Data.Spool, Servers: r.o.Servers,
		Sign: r.o.Sign, Handoff: m.Handoff, Now: r.o.Now, Rand: r.o.Rand, Logger: r.o.Logger,
	})
}

// DMARC says how DMARC reports are written; nil: nobody answers for them.
func (r *Reporting) DMARC(m Means) (*dmarc.Options, error) {
	c := m.Config.DMARCReport
	if c.Account.IsZero() {
		return nil, nil
	}
	sender, err := r.as(m, c.Account)
	if err != nil {
		return nil, err
	}
	o := &dmarc.Options{Resolver: m.Resolver, Mail: sender, Organisation: c.Organisation, Extra: c.Contact, Daily: c.Daily, Octets: c.Size}
	if o.Organisation == "" {
		o.Organisation = m.Config.Hostname.ASCII()
	}
	return o, nil
}

// forTLS says how TLS reports are written; nil: nobody answers for them, or there are no
// exchangers to report about.
func (r *Reporting) forTLS(m Means) (*tls.Options, error) {
	if m.Config.TLSPolicy.ReportAccount.IsZero() || !m.Config.MX.Delivery {
		return nil, nil
	}
	sender, err := r.as(m, m.Config.TLSPolicy.ReportAccount)
	if err != nil {
		return nil, err
	}
	web := tls.Poster{Client: m.Ways.Exchangers().Client, Port: r.o.PolicyPort}
	return &tls.Options{Resolver: m.Resolver, Mail: sender, Post: web.Post, Organisation: m.Config.Hostname.ASCII()}, nil
}
