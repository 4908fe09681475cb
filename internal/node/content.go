package node

import (
	"context"
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/filter"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
)

// buildContent prepares the checks of content.
func (n *Node) buildContent(_ context.Context, next, _ *generation) (err error) {
	o := filter.ChecksOptions{Hostname: next.cfg.Hostname, Header: intakeLimits(next.cfg).Header, Logger: n.log}
	if r := next.cfg.Rspamd; r.Network != "" {
		o.Rspamd = &filter.RspamdOptions{Scope: scopeOf(r.Check), Spam: filter.SpamJunk}
		if r.MarkOnly {
			o.Rspamd.Spam = filter.SpamField
		}
		if o.Rspamd.Client, err = rspamdOptions(r); err != nil {
			return err
		}
	}
	for _, m := range next.cfg.Milters {
		o.Milters = append(o.Milters, filter.MilterOptions{
			Name: m.Name, Client: milterOptions(m), Scope: scopeOf(m.Check), Fields: slices.Clone(m.Fields),
		})
	}
	next.checks = filter.NewChecks(o)
	return nil
}

func milterOptions(m config.Milter) milter.Options {
	l := milter.DefaultLimits()
	l.Time, l.Connections = m.Timeout, m.Connections
	return milter.Options{Network: m.Network, Address: m.Address, Limits: l}
}

func rspamdOptions(r config.Rspamd) (o rspamd.Options, err error) {
	o.Limits = rspamd.DefaultLimits()
	o.Limits.Time, o.Limits.Connections = r.Timeout, r.Connections
	if r.Network == "unix" {
		o.Socket = r.Address
	} else {
		o.URL = r.Network + "://" + r.Address
	}
	if r.PasswordFile != "" {
		o.Password, err = config.ReadPassword(r.PasswordFile)
	}
	return o, err
}

func scopeOf(c config.Check) filter.Scope {
	s := filter.Scope{Accounts: c.Accounts, MaxSize: c.MaxSize, Down: filter.DownDefer}
	if c.AcceptDown {
		s.Down = filter.DownAccept
	}
	return s
}

// bounces recognises bounces of mail that was never sent from here.
func (n *Node) bounces() filter.Bounces {
	return filter.Bounces{
		Policy: func() bounce.Policy { return n.config().Bounces },
		Ours: func(d mail.Domain) bool {
			return d == n.config().Hostname || returnpath.Ours(n.book.Snapshot(), d)
		},
		Return: func(a mail.Address) bool {
			return n.returnPaths.ForForward(n.book.Snapshot(), a)
		},
		Trace: n.reader, Limits: bounce.DefaultLimits(), Now: n.o.Now,
	}
}
