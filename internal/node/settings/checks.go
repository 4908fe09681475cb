package settings

import (
	"slices"

	"sallyport/internal/config"
	"sallyport/internal/filter"
	"sallyport/internal/message"
)

// Checks are the checks of content that a configuration asks for, and the treatment of
// bounces; what milters make of a header section is bounded by header. The error is that of
// a password's file.
func Checks(cfg config.Config, header message.Limits) (o filter.ChecksOptions, err error) {
	o = filter.ChecksOptions{Hostname: cfg.Hostname, Header: header, Bounces: cfg.Bounces}
	if r := cfg.Rspamd; r.Network != "" {
		o.Rspamd = &filter.RspamdOptions{
			Network: r.Network, Address: r.Address, Time: r.Timeout, Connections: r.Connections,
			Scope: scopeOf(r.Check), Spam: filter.SpamJunk,
		}
		if r.MarkOnly {
			o.Rspamd.Spam = filter.SpamField
		}
		if r.PasswordFile != "" {
			if o.Rspamd.Password, err = config.ReadPassword(r.PasswordFile); err != nil {
				err = cfg.Fault("rspamd.password_file", err.Error(), "")
			}
		}
	}
	for _, m := range cfg.Milters {
		o.Milters = append(o.Milters, filter.MilterOptions{
			Name: m.Name, Network: m.Network, Address: m.Address, Time: m.Timeout, Connections: m.Connections,
			Scope: scopeOf(m.Check), Fields: slices.Clone(m.Fields),
		})
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
