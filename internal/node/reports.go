package node

import (
	"context"

	"sallyport/internal/filter/sender"
	"sallyport/internal/mail"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/dmarc"
	"sallyport/internal/reports/tls"
)

// reportSender sends reports of our own as mail of an account. Everything that reports
// to other domains goes through it.
func (n *Node) reportSender(hostname mail.Domain, account mail.Address) (*daily.Sender, error) {
	return daily.New(daily.Options{
		Hostname: hostname, Account: account, Directory: n.book.Snapshot, Active: n.data.Accounts.Active, Queue: n.data.Spool, Servers: n.ways().Behind(),
		Sign: n.signer().SignOurs, Handoff: n.dispatch.Offer, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
}

// observeSender counts what came in a domain's name.
func (n *Node) observeSender(o sender.Observation) { n.dmarc.Add(o.DMARC.Place, o.Record()) }

func (n *Node) openReports(context.Context) error {
	n.dmarc = dmarc.NewReports(n.data.Store, dmarc.DefaultLimits(), daily.DefaultLimits(), n.o.Now, n.log)
	n.tlsResults = tls.NewReports(n.data.Store, tls.DefaultLimits(), daily.DefaultLimits(), n.o.Now, n.log)
	return nil
}

// buildReports says who answers for reports, and how they are written.
func (n *Node) buildReports(_ context.Context, next, _ *generation) error {
	received, err := n.dmarcOptions(next)
	if err != nil {
		return err
	}
	sent, err := n.tlsReportOptions(next)
	if err != nil {
		return err
	}
	next.then = append(next.then, func() {
		n.dmarc.Adopt(received)
		n.tlsResults.Adopt(sent)
	})
	return nil
}

// dmarcOptions say how DMARC reports are written; nil: nobody answers for them.
func (n *Node) dmarcOptions(g *generation) (*dmarc.Options, error) {
	c := g.cfg.DMARCReport
	if c.Account.IsZero() {
		return nil, nil
	}
	sender, err := n.reportSender(g.cfg.Hostname, c.Account)
	if err != nil {
		return nil, err
	}
	o := &dmarc.Options{Resolver: g.keys.Resolver, Mail: sender, Organisation: c.Organisation, Extra: c.Contact, Daily: c.Daily, Octets: c.Size}
	if o.Organisation == "" {
		o.Organisation = g.cfg.Hostname.ASCII()
	}
	return o, nil
}

// tlsReportOptions say how TLS reports are written; nil: nobody answers for them, or
// there are no exchangers to report about.
func (n *Node) tlsReportOptions(g *generation) (*tls.Options, error) {
	if g.cfg.TLSPolicy.ReportAccount.IsZero() || !g.cfg.MX.Delivery {
		return nil, nil
	}
	sender, err := n.reportSender(g.cfg.Hostname, g.cfg.TLSPolicy.ReportAccount)
	if err != nil {
		return nil, err
	}
	web := tls.Poster{Client: g.ways.Exchangers().Client, Port: n.o.PolicyPort}
	return &tls.Options{Resolver: g.keys.Resolver, Mail: sender, Post: web.Post, Organisation: g.cfg.Hostname.ASCII()}, nil
}
