package node

import (
	"context"
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/filter"
	"sallyport/internal/filter/bounce"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath"
)

// checks are the opinions that one generation asks for about complete messages.
type checks struct {
	client  *rspamd.Client
	rspamd  *filter.Rspamd // nil: none
	milters []*filter.Milter
}

// buildContent prepares the checks; nothing is connected to yet.
func (n *Node) buildContent(_ context.Context, next, _ *generation) error {
	if r := next.cfg.Rspamd; r.Network != "" {
		client, err := rspamdClient(r)
		if err != nil {
			return err
		}
		spam := filter.SpamJunk
		if r.MarkOnly {
			spam = filter.SpamField
		}
		next.checks.client = client
		next.checks.rspamd = filter.NewRspamd(client, next.cfg.Hostname, scopeOf(r.Check), spam, n.log)
	}
	for _, m := range next.cfg.Milters {
		l := milter.DefaultLimits()
		l.Time, l.Connections = m.Timeout, m.Connections
		client := milter.New(milter.Options{Network: m.Network, Address: m.Address, Limits: l})
		next.checks.milters = append(next.checks.milters,
			filter.NewMilter(client, m.Name, next.cfg.Hostname, scopeOf(m.Check), slices.Clone(m.Fields), intakeLimits(next.cfg).Header, n.log))
	}
	return nil
}

func rspamdClient(r config.Rspamd) (*rspamd.Client, error) {
	o := rspamd.Options{Limits: rspamd.DefaultLimits()}
	o.Limits.Time, o.Limits.Connections = r.Timeout, r.Connections
	if r.Network == "unix" {
		o.Socket = r.Address
	} else {
		o.URL = r.Network + "://" + r.Address
	}
	if r.PasswordFile != "" {
		var err error
		if o.Password, err = config.ReadPassword(r.PasswordFile); err != nil {
			return nil, err
		}
	}
	return rspamd.New(o), nil
}

func scopeOf(c config.Check) filter.Scope {
	s := filter.Scope{Accounts: c.Accounts, MaxSize: c.MaxSize, Down: filter.DownDefer}
	if c.AcceptDown {
		s.Down = filter.DownAccept
	}
	return s
}

// retire ends the idle connections; those of questions under way end with them.
func (c checks) retire() {
	if c.client != nil {
		c.client.Close()
	}
}

// inForce is an inspector of the generation that is in force when a message begins.
type inForce struct {
	name string
	pick func() (intake.Inspector, bool)
}

// Name implements intake.Inspector.
func (s inForce) Name() string {
	if i, ok := s.pick(); ok {
		return i.Name()
	}
	return s.name
}

// Begin implements intake.Inspector.
func (s inForce) Begin(m intake.Message) intake.Look {
	if i, ok := s.pick(); ok {
		return i.Begin(m)
	}
	return nil
}

// contentInspectors tells forged bounces, and asks the checks of the generation in
// force: Rspamd, then the milters in their order.
func (n *Node) contentInspectors() []intake.Inspector {
	all := []intake.Inspector{n.bounces(), inForce{"rspamd", func() (intake.Inspector, bool) {
		r := n.now().checks.rspamd
		return r, r != nil
	}}}
	for at := range config.MaxMilters {
		all = append(all, inForce{"milter", func() (intake.Inspector, bool) {
			milters := n.now().checks.milters
			if at >= len(milters) {
				return nil, false
			}
			return milters[at], true
		}})
	}
	return all
}

// bounces recognises bounces of mail that was never sent from here.
func (n *Node) bounces() filter.Bounces {
	return filter.Bounces{
		Policy: func() filter.BouncePolicy {
			c := n.config().Bounces
			return filter.BouncePolicy{Forged: treatment(c.Forged), Unnamed: treatment(c.Unnamed)}
		},
		Ours: func(d mail.Domain) bool {
			return d == n.config().Hostname || returnpath.Ours(n.dirs.snapshot(), d)
		},
		Return: func(a mail.Address) bool {
			return n.returnPaths.ForForward(n.dirs.snapshot(), a)
		},
		Sent: func(ctx context.Context, id string) (filter.Sent, error) {
			ours, err := n.reader.Sent(ctx, id)
			return n.sent(ctx, ours, err)
		},
		SentAs: func(ctx context.Context, id mail.ID) (filter.Sent, error) {
			ours, err := n.reader.SentAs(ctx, id)
			return n.sent(ctx, ours, err)
		},
		Limits: bounce.DefaultLimits(), Now: n.o.Now,
	}
}

// sent adds to an answer of the trace how far back it goes.
func (n *Node) sent(ctx context.Context, ours bool, err error) (s filter.Sent, _ error) {
	if s.Ours = ours; err == nil && !ours {
		s.Since, err = n.reader.Since(ctx)
	}
	return s, err
}

// treatment maps what is not known to the strictest.
func treatment(a config.BounceAction) filter.Treatment {
	switch a {
	case config.BounceAccept:
		return filter.TreatAccept
	case config.BounceJunk:
		return filter.TreatJunk
	}
	return filter.TreatRefuse
}

// reservedFields are the header fields that no stranger may bring along.
func (n *Node) reservedFields() []string {
	if n.now().checks.rspamd == nil {
		return nil
	}
	return filter.SpamFields()
}
