package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	msg "sallyport/internal/message"
	"sallyport/internal/reports/daily"
	"sallyport/internal/reports/tls"
)

// reportSender sends reports of our own as mail of an account. Everything that reports
// to other domains goes through it.
func (n *Node) reportSender(account mail.Address) (*daily.Sender, error) {
	return daily.New(daily.Options{
		Hostname: n.config().Hostname, Account: account, Directory: n.dirs.snapshot, Standing: n.standing, Queue: n.spool,
		Sign: n.signReport, Handoff: n.dispatch.Offer, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
}

// standing is how an account stands now, as the gate asks it.
func (n *Node) standing(account mail.Address) gate.Standing {
	a, ok := n.identity.Lookup(account)
	switch {
	case !ok:
		return gate.StandingNone
	case a.Standing == accounts.StandingActive:
		return gate.StandingActive
	}
	return gate.StandingFrozen
}

// signReport signs as everything else that our accounts send is signed. RFC 8460 §3
// asks for it; a domain whose keys are not in use yet sends unsigned.
func (n *Node) signReport(d mail.Domain, h msg.Header, body []byte) ([]byte, error) {
	if !n.config().DKIM.Sign {
		return nil, nil
	}
	keys := n.ring.Signing(d)
	if len(keys) == 0 {
		return nil, nil
	}
	s := dkim.NewSigning(h, keys)
	s.Body(body)
	return s.Fields(n.o.Now(), n.config().DKIM.Lasts)
}

// tlsReporter returns what sends TLS reports; nil where nobody answers for them.
func (n *Node) tlsReporter(g *generation) (*tls.Reporter, error) {
	if g.world.policies.results == nil {
		return nil, nil
	}
	resolver, err := newResolver(g.cfg, n.o)
	if err != nil {
		return nil, err
	}
	sender, err := n.reportSender(g.cfg.TLSPolicy.ReportAccount)
	if err != nil {
		return nil, err
	}
	return &tls.Reporter{
		Collector: g.world.policies.results, Resolver: resolver, Mail: sender, Post: g.world.policies.post,
		Organisation: g.cfg.Hostname.ASCII(), Limits: tls.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	}, nil
}

// runReports counts TLS results and reports them, where that is configured.
func (n *Node) runReports(ctx context.Context) { n.followWorld(ctx, n.reportTLS) }

func (n *Node) reportTLS(ctx context.Context, g *generation) {
	r, err := n.tlsReporter(g)
	if err != nil {
		n.log.Error("TLS reports are not sent", "err", err)
	}
	if r == nil || err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { g.world.policies.results.Run(ctx) })
	both.Go(func() { r.Run(ctx) })
	both.Wait()
}

// post hands a report over by HTTPS. RFC 8460 §5.4. The host is dialled by the
// rule for everything that strangers name.
func (p policies) post(ctx context.Context, where string, gz []byte) error {
	u, err := url.Parse(where)
	if err != nil {
		return err
	}
	host, err := dnsx.ParseName(u.Hostname())
	if err != nil {
		return err
	}
	port := uint64(p.fetcher.Port)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil {
			return err
		}
	}
	client := p.fetcher.Client(host, uint16(port))
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, where, bytes.NewReader(gz))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/tlsrpt+gzip")
	req.Header.Set("User-Agent", "")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("%w: %s", errReportRefused, resp.Status)
	}
	return nil
}

var errReportRefused = errors.New("the report was not taken")
