package survey

import (
	"context"
	"net/netip"
	"slices"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/explain"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

// Explain walks one imagined transaction through the directory of a configuration and
// what is stored beside it; stored may be nil. The error is one of Directory.
func Explain(ctx context.Context, cfg config.Config, stored *operate.Client, q explain.Question) (explain.Answer, error) {
	judged, err := Directory(ctx, cfg, stored)
	if err != nil {
		return explain.Answer{}, err
	}
	st, err := settings.Stated(cfg)
	if err != nil {
		return explain.Answer{}, err
	}
	w := explain.World{
		Snapshot: judged.Snapshot, Standing: func(mail.Address) gate.Standing { return gate.StandingNone }, Client: clients(cfg),
		Where:          func(s directory.Subject) string { return where(cfg, st.Where, s) },
		Network:        networks(ctx, cfg, stored),
		BindingReports: cfg.Submission.SenderBinding == bind.Report,
		Transport:      "to the mail exchangers of its domain (MX records), since no route names it",
	}
	if stored != nil {
		if w.Standing, err = standings(ctx, stored); err != nil {
			return explain.Answer{}, err
		}
	}
	return explain.Walk(w, q), nil
}

// standings reads how each account stands.
func standings(ctx context.Context, stored *operate.Client) (func(mail.Address) gate.Standing, error) {
	all := map[string]gate.Standing{}
	err := stored.AccountList(ctx, func(a operate.Account) error {
		address, err := mail.ParseAddress(a.Address, mail.UTF8)
		all[address.Key()] = gate.StandingFrozen
		if a.Standing == accounts.StandingActive.String() {
			all[address.Key()] = gate.StandingActive
		}
		return err
	})
	return func(a mail.Address) gate.Standing {
		if s, ok := all[a.Key()]; ok {
			return s
		}
		return gate.StandingNone
	}, err
}

// where says in which line an entry is stated, or by which command it was made.
func where(cfg config.Config, stated func(directory.Subject) (string, bool), s directory.Subject) string {
	if at, ok := stated(s); ok {
		return at
	}
	if s.Kind == directory.KindDomain && s.Name == cfg.Hostname.String() {
		return cfg.At("hostname").String()
	}
	return "sallyport " + s.Kind.String() + " add"
}

// clients says what the configuration makes of a client's address.
func clients(cfg config.Config) func(netip.Addr) string {
	return func(a netip.Addr) string {
		at := cfg.At("proxy.from").String()
		switch {
		case slices.ContainsFunc(cfg.Proxy.From, func(p netip.Prefix) bool { return p.Contains(a) }):
			return "a balancer (" + at + "): its connection begins with a PROXY header, and who that names is the client; it gives no right to send"
		case a.IsLoopback() || slices.Contains(cfg.Literals, a):
			return "this host; no address gives a right to send, and this one neither"
		}
		return ""
	}
}
