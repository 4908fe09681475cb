package main

import (
	"context"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/trust/guard"
)

type statusCommand struct {
	configFlag
	jsonFlag
}

// Run shows the state of everything. It fails where the database takes nothing, or not all could be told.
func (s statusCommand) Run(ctx context.Context, c console) error {
	return s.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.Status(ctx)
		if err != nil {
			return err
		}
		if s.JSON {
			err = printJSON(c.out, v)
		} else {
			statusOf(c, v)
		}
		if err == nil && (v.Database != nil || len(v.Missing) > 0) {
			return errSilent
		}
		return err
	})
}

// statusOf tells the state of everything.
func statusOf(c console, v operate.Status) {
	c.prose("%s, for %s\n", v.Hostname, strings.Join(v.Domains, ", "))
	serverState(c, v)
	c.prose("accounts  %d, %d of them frozen\n", v.Accounts, v.Frozen)
	if v.Incidents > 0 {
		c.prose("          %s open; see: sallyport incident ls --open\n", words.Count(v.Incidents, "incident"))
	}
	if n := v.Notices; n != nil && n.Nobody {
		c.prose("          the administrator was not told of %s: no mailbox here is the postmaster's\n", words.Count(n.Untold, "change"))
	} else if n != nil {
		c.prose("          the administrator is to be told of %s by mail, within the hour\n", words.Count(n.Untold, "change"))
	}
	if w := v.Webhook; w != nil {
		webhookState(c, *w)
	}
	for _, a := range v.Capped {
		c.prose("          %s is capped: %s\n", a.Address, cappedUsage(a.Allowance))
	}
	for _, l := range v.Limited[:min(len(v.Limited), few)] {
		c.prose("          %s met %s at %s; see: sallyport screen ls\n", l.About, l.Rule, moment(l.Last))
	}
	if f := v.Filling; f != nil {
		filling(c, *f)
	}
	for _, r := range v.GuessedAt[:min(len(v.GuessedAt), few)] {
		c.prose("          somebody guesses the password of %s: %s\n", r.Account, guessed(r))
	}
	if n := v.Guessed - few; n > 0 {
		c.prose("          and of %s more\n", words.Count(n, "account"))
	}
	bindingStatus(c, v.Binding)
	trustedNetworks(c, v.Networks)
	directories(c, v)
	c.prose("queue     %s, %d of them held, %s\n", words.Count(v.Queue.Messages, "message"), v.Queue.Held, fact.Octets(v.Queue.Octets))
	for _, r := range v.Queue.Why {
		c.prose("          held: %d, the oldest for %s, because: %s\n", r.Messages, time.Since(r.Oldest).Round(time.Second), r.Reason)
	}
	if d := v.Damage; d != nil {
		c.prose("damage    %d not acknowledged; see: sallyport damage ls\n", d.Count)
		for _, f := range d.First {
			damaged(c, f)
		}
	}
	health(c, v.Health)
	c.prose("trace     %s, %d of them under the last signed checkpoint (%s)\n",
		words.Count(int(v.Trace.Facts), "fact"), v.Trace.Signed, moment(v.Trace.SignedAt))
	missing(c, v.Missing)
}

// serverState tells of the server that runs, and of its database where that takes nothing.
func serverState(c console, v operate.Status) {
	if v.Server == nil {
		c.prose("server    not running\n")
	} else {
		c.prose("server    running for %s, pid %d\n", time.Since(v.Server.Started).Round(time.Second), v.Server.PID)
		for _, door := range []string{"mx", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "sendmail"} {
			if at := v.Server.Listen[door]; len(at) > 0 {
				c.prose("          %s on %s\n", door, strings.Join(at, ", "))
			}
		}
	}
	d := v.Database
	switch {
	case d == nil:
		return
	case d.Full:
		c.prose("database  waits for space since %s: %s\n", moment(d.Since), d.Cause)
	default:
		c.prose("database  failed at %s, and is being opened anew: %s\n", moment(d.Since), d.Cause)
		if d.Tries > 0 {
			c.prose("          %s in vain, the last for: %s\n", words.Count(d.Tries, "try"), d.Last)
		}
	}
	c.prose("          mail is put off meanwhile (452), and it ends by itself when the disk is well again; see: sallyport doctor\n")
}

// missing tells what could not be told, by why.
func missing(c console, all []operate.Missing) {
	var whys []string
	what := map[string][]string{}
	for _, m := range all {
		if what[m.Why] == nil {
			whys = append(whys, m.Why)
		}
		what[m.Why] = append(what[m.Why], m.What)
	}
	for _, why := range whys {
		c.prose("not known %s: %s\n", strings.Join(what[why], ", "), why)
	}
}

// filling tells of mailboxes that are nearly full.
func filling(c console, f operate.Filling) {
	c.prose("          %s nearly full, %d of them full\n", words.Are(f.Nearly, "mailbox"), f.Full)
	for _, m := range f.First[:min(len(f.First), few)] {
		of := "the mailbox of " + m.Account
		if m.Account == "" {
			of = "all mailboxes of " + m.Domain
		}
		since := ""
		if !m.Full.IsZero() {
			since = ", and mail is refused since " + moment(m.Full)
		}
		c.prose("          %s: %s, %d %% of %s%s\n", of, holds(m.Used), m.Share, m.Quota, since)
	}
}

// trustedNetworks tells how the networks fare that sign in as accounts.
func trustedNetworks(c console, all []guard.Report) {
	for _, n := range all {
		from := make([]string, len(n.From))
		for i, p := range n.From {
			from[i] = p.String()
		}
		c.prose("network   %s (%s) signs in as %s: %s\n", n.Name, strings.Join(from, ", "), n.Account, n.State)
		if n.Why != "" {
			c.prose("          %s\n", n.Why)
		}
		if n.State == guard.StateClosed {
			c.prose("          it stays closed until: sallyport account thaw %s\n", mail.ShellWord(n.Account))
		}
	}
}

// directories tells how directories fare that accounts and recipients come from.
func directories(c console, v operate.Status) {
	for _, d := range v.Directories {
		c.prose("directory %s: %s", d.Name, words.Count(d.People, "person"))
		if d.Recipients > 0 {
			c.prose(", %s of servers behind", words.Count(d.Recipients, "recipient"))
		}
		if d.Listed.IsZero() {
			c.prose(", never listed: nobody knows who exists\n")
		} else {
			c.prose(", listed %s ago\n", time.Since(d.Listed).Round(time.Second))
		}
		if d.Fault != "" {
			c.prose("          since %s there is no newer list: %s\n", moment(d.Since), d.Fault)
		}
		for _, a := range d.Disputed {
			c.prose("          %s is an account from elsewhere too, and can do nothing until it is in one place alone\n", a)
		}
		for _, a := range d.Doubtful {
			c.prose("          not clear: %s\n", a)
		}
		if d.Nameless > 0 {
			c.prose("          %s without an address in these domains\n", words.Count(d.Nameless, "entry"))
		}
		if d.Elsewhere > 0 {
			c.prose("          %s of the tree that other servers hold, which are not asked\n", words.Count(d.Elsewhere, "part"))
		}
	}
	for _, a := range v.NotTheirs {
		c.prose("          not given by a directory, since it is somebody else's or nobody's to have: %s\n", a)
	}
}

// health tells what comes before trouble.
func health(c console, h operate.Health) {
	if !h.Oldest.IsZero() {
		c.prose("          the oldest that is not held waits for %s\n", time.Since(h.Oldest).Round(time.Second))
	}
	if h.DiskTotal > 0 {
		c.prose("disk      %s free of %s\n", fact.Octets(int64(h.DiskFree)), fact.Octets(int64(h.DiskTotal)))
	}
	if h.DiskLow {
		c.prose("          less than limits.min_free is free: no mail is accepted, and none goes into mailboxes; see: sallyport doctor\n")
	}
	if r := h.ReturnPath; r != nil {
		c.prose("bounces   return paths %s\n", r.Words(time.Now()))
	}
	if !h.CertificateExpires.IsZero() {
		c.prose("tls       %s\n", certificateTime(h.CertificateBegins, h.CertificateExpires, time.Now()))
	}
	if e := h.Ending; e != nil {
		c.prose("          %s within 30 days, the first for %s of %s at %s; see: sallyport cert ls\n",
			endSoon(e.Certificates), e.First.Name, e.First.Account, moment(e.First.Ends))
	}
	if a := h.Authority; a != nil {
		if a.KeyFault != "" {
			c.prose("          authority %d for devices cannot sign: %s\n", a.Number, a.KeyFault)
		} else {
			c.prose("          authority %d for devices ends at %s; make a new one with: sallyport cert ca rollover\n",
				a.Number, moment(a.Ends))
		}
	}
	for _, t := range h.Tokens {
		c.prose("route     %s: mail waits for a token since %s: %s\n", strings.Join(t.Routes, ", "), moment(t.Since), t.Fault)
	}
	if o := h.Obtained; o != nil {
		if o.Chain == "" {
			c.prose("tls       there is no certificate yet: no STARTTLS, and nobody can sign in\n")
		}
		if o.Fault != "" {
			c.prose("          none was obtained: %s\n          next attempt at %s, or with the next: sallyport reload\n",
				o.Fault, moment(o.Next))
		}
	}
}

// certificateTime says from when until when the certificate is good.
func certificateTime(begins, expires, now time.Time) string {
	days := func(d time.Duration) string { return words.Count(int(d.Hours()/24), "day") }
	switch {
	case !now.Before(expires):
		return "the certificate expired on " + expires.Local().Format(time.DateOnly) + ", " + days(now.Sub(expires)) +
			" ago: clients refuse to speak to this server; see: sallyport doctor"
	case now.Before(begins):
		return "the certificate is not valid before " + moment(begins) + ": clients refuse to speak to this server; see: sallyport doctor"
	}
	return "the certificate expires on " + expires.Local().Format(time.DateOnly) + ", in " + days(expires.Sub(now))
}

// webhookState tells of incidents that another program was not told of.
func webhookState(c console, w webhook.State) {
	if w.Waiting > 0 {
		c.prose("          the webhook at %s was not told of %s yet, the first of %s\n", w.Host,
			words.Count(w.Waiting, "change"), moment(w.Since))
	}
	if w.Fault != "" {
		c.prose("          the webhook at %s: %s; tried again at %s\n", w.Host, w.Fault, moment(w.Next))
	}
	if w.GivenUp > 0 {
		c.prose("          the webhook at %s was never told of %s that took days\n", w.Host, words.Count(int(w.GivenUp), "change"))
	}
}

func endSoon(n int) string {
	if n == 1 {
		return "1 certificate ends"
	}
	return words.Count(n, "certificate") + " end"
}
