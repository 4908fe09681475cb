package survey

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/explain"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
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
		Snapshot: judged.Snapshot, Client: clients(cfg), Door: doors(cfg),
		Standing:       func(mail.Address) (gate.Standing, string) { return gate.StandingNone, "" },
		Barred:         func(mail.Address, gate.Auth) string { return "" },
		Where:          func(s directory.Subject) string { return where(cfg, st.Where, s) },
		Network:        networks(ctx, cfg, stored),
		BindingReports: cfg.Submission.SenderBinding == bind.Report,
		Transport:      "to the mail exchangers of its domain (MX records), since no route names it",
	}
	known := people{}
	if stored != nil {
		if known, err = peopleOf(ctx, stored); err != nil {
			return explain.Answer{}, err
		}
		w.Standing, w.Barred = known.standing, known.barred(cfg)
	}
	if w.Form, err = forms(ctx, cfg, judged.Snapshot, known, stored); err != nil {
		return explain.Answer{}, err
	}
	return explain.Walk(w, q), nil
}

// doors says which doors there are.
func doors(cfg config.Config) func(gate.Door) string {
	return func(d gate.Door) string {
		for _, key := range []struct {
			door  gate.Door
			there bool
			name  string
		}{
			{gate.DoorMX, len(cfg.Listen.MX) > 0, "listen.mx"},
			{gate.DoorSubmission, len(cfg.Listen.Submission)+len(cfg.Listen.Submissions) > 0, "listen.submission and listen.submissions"},
			{gate.DoorSendmail, cfg.Sendmail.Socket != "", "listen.sendmail"},
		} {
			if d == key.door && !key.there {
				return "the configuration opens no such door (" + key.name + ")"
			}
		}
		return ""
	}
}

// people are the accounts that are stored, by their Key.
type people map[string]person

type person struct {
	address mail.Address
	stands  gate.Standing
	why     string // it may not act
	signIn  accounts.Policy
}

// peopleOf reads all accounts.
func peopleOf(ctx context.Context, stored *operate.Client) (people, error) {
	all := people{}
	return all, stored.AccountList(ctx, func(a operate.Account) error {
		p := person{stands: gate.StandingFrozen, why: "is " + a.Standing}
		var err error
		p.address, err = mail.ParseAddress(a.Address, mail.UTF8)
		p.signIn, _ = accounts.ParsePolicy(a.SignIn) // of a record that cannot be read: by nothing
		switch active := a.Standing == accounts.StandingActive.String(); {
		case active && a.MayNotSend:
			p.why = "may not send, as the directory " + a.Directory + " says"
		case active:
			p.stands, p.why = gate.StandingActive, ""
		}
		all[p.address.Key()] = p
		return err
	})
}

func (all people) standing(a mail.Address) (gate.Standing, string) {
	if p, ok := all[a.Key()]; ok {
		return p.stands, p.why
	}
	return gate.StandingNone, ""
}

// barred says by what an account does not sign in.
func (all people) barred(cfg config.Config) func(mail.Address, gate.Auth) string {
	kinds := map[gate.Auth]accounts.Kind{gate.AuthPassword: accounts.KindPassword, gate.AuthToken: accounts.KindToken, gate.AuthCertificate: accounts.KindCertificate}
	return func(a mail.Address, by gate.Auth) string {
		switch p := all[a.Key()]; {
		case by == gate.AuthToken && cfg.OIDC.Issuer == "":
			return "cannot sign in with a token, since no provider of tokens is named ([oidc])"
		case !p.signIn.Takes(kinds[by]) && !(by == gate.AuthPassword && p.signIn.Takes(accounts.KindApp)):
			return "does not sign in with a " + by.String() + " alone, but by the rule " + p.signIn.String()
		}
		return ""
	}
}

// forms reads what the form of a recipient says, with the keys that the data folder has: nothing
// is made, and nothing noted.
func forms(ctx context.Context, cfg config.Config, dir *directory.Snapshot, known people, stored *operate.Client) (func(mail.Address, bool) explain.Form, error) {
	keys, err := returnpath.ReadKeys(cfg.KeysDir())
	if err != nil {
		return nil, err
	}
	rules := settings.ReturnRules(cfg)
	if rules.Mode != returnpath.ModeOff {
		if rules.Since, err = returnpath.NoteIn(cfg.KeysDir()).Read(); err != nil {
			return nil, err
		}
	}
	p := returnpath.Reader(keys, rules, time.Now)
	for _, who := range known {
		p.Learn([]mail.Address{who.address})
	}
	return func(a mail.Address, bounce bool) explain.Form {
		r := p.Read(dir, a, bounce)
		if r.Class.Rule == returnpath.RuleForwardNoOwner && stored != nil {
			p.Follow(renamed(ctx, known, stored))
			r = p.Read(dir, a, bounce)
		}
		f := explain.Form{Stands: r.Address, Class: r.Class, Says: r.Note}
		if !r.Address.IsZero() {
			f.Says = "the return path of mail of " + r.Address.String() + " (" + r.Note + "), for whom it stands"
		} else if words := formWords(r.Class.Rule); r.Decides() && words != "" {
			f.Says = words
		}
		return f
	}, nil
}

// renamed are the former addresses of accounts, with those that they have now.
func renamed(ctx context.Context, known people, stored *operate.Client) map[mail.Address]mail.Address {
	all := map[mail.Address]mail.Address{}
	for _, who := range known {
		shown, err := stored.AccountShow(ctx, operate.AccountRef{Address: who.address.String()})
		if err != nil {
			continue // it was removed meanwhile
		}
		for _, n := range shown.FormerNames {
			if former, err := mail.ParseAddress(n.Address, mail.UTF8); err == nil {
				all[former] = who.address
			}
		}
	}
	return all
}

// formWords say how the return path of a forward was read.
func formWords(rule string) string {
	switch rule {
	case returnpath.RuleForward:
		return "the return path of a forward of ours, for bounces to the account that owns it"
	case returnpath.RuleForwardForged:
		return "it has the form of a forward's return path, and was not made here"
	case returnpath.RuleForwardStale:
		return "a forward's return path that was made too long ago (forward.return_age)"
	case returnpath.RuleForwardNoOwner:
		return "a forward's return path whose account is there no more"
	}
	return ""
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
