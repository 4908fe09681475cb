package node

import (
	"context"
	"sync"
	"time"

	"sallyport/internal/filter/sender"
	"sallyport/internal/reports/dmarc"
)

// observeSender counts what came in a domain's name, if somebody answers for reports
// about it.
func (n *Node) observeSender(o sender.Observation) {
	if !n.config().DMARCReport.Account.IsZero() {
		n.dmarc.Add(o.DMARC.Place, o.Record())
	}
}

// dmarcReporter returns what sends DMARC reports by the configuration in force; nil
// where nobody answers for them.
func (n *Node) dmarcReporter() (*dmarc.Reporter, error) {
	g := n.now()
	c := g.cfg.DMARCReport
	if c.Account.IsZero() {
		return nil, nil
	}
	sender, err := n.reportSender(c.Account)
	if err != nil {
		return nil, err
	}
	r := &dmarc.Reporter{
		Collector: n.dmarc, Resolver: g.keys.Resolver, Mail: sender, Organisation: c.Organisation, Extra: c.Contact,
		Daily: c.Daily, Octets: c.Size, Limits: dmarc.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	}
	if r.Organisation == "" {
		r.Organisation = g.cfg.Hostname.ASCII()
	}
	return r, nil
}

// runDMARCReports counts what came in the name of others and reports it, where that is
// configured.
func (n *Node) runDMARCReports(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { n.dmarc.Run(ctx) })
	both.Go(func() {
		for ctx.Err() == nil {
			if r, err := n.dmarcReporter(); err != nil {
				n.log.Error("DMARC reports are not sent", "err", err)
			} else if r != nil {
				r.Send(ctx)
			}
			select {
			case <-ctx.Done():
			case <-time.After(dmarc.DefaultLimits().Look):
			}
		}
	})
	both.Wait()
}
