package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/words"
	"sallyport/internal/node/survey/surroundings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/operate/doctor/gather"
)

type doctorCommand struct {
	configFlag
	jsonFlag
	All      bool   `short:"a" help:"What is fine, too."`
	Outbound string `placeholder:"DOMAIN" help:"Try to reach port 25 of this domain's mail exchanger, such as one of yours elsewhere."`
}

// Help says what is looked at.
func (doctorCommand) Help() string {
	return `Looks at the DNS (address, reverse name, MX, SPF and what it says of this server, DKIM, DMARC, MTA-STS and
TLS-RPT of each domain; whether the name servers invent or validate), at who answers on each port and on next hops, at directories (LDAP), at the certificate, the clock, the
disk, owners and modes of files, limits of process and kernel, and the queue. Says in words what is
wrong and what helps. Exits with 1 when something is wrong, 0 when there are only warnings.

It asks the name servers of mx.dns, for names of your own, for one that cannot exist, and for
` + gather.DNSSECProbe + `, and the token endpoints of routes for a token. Nothing is sent to anybody else, unless --outbound names a domain.

Examples:
  sallyport doctor
  sallyport doctor --all --outbound example.net
  sallyport doctor --json              one finding a line`
}

// Run looks and tells.
func (d doctorCommand) Run(ctx context.Context, c console) error {
	cfg, err := config.Load(d.Config)
	if err != nil {
		return err
	}
	known := d.ask(ctx, c, cfg)
	known.Server.Here, known.Outbound, known.Logger = version(), d.Outbound, quiet(c)
	facts := surroundings.Gather(ctx, cfg, known)
	if err := ctx.Err(); err != nil {
		return err
	}
	return d.tell(c, doctor.Examine(facts))
}

// ask asks the running server, or the data folder, about the queue, the domains, the
// keys that sign, and a certificate that is obtained.
func (d doctorCommand) ask(ctx context.Context, c console, cfg config.Config) (known surroundings.Options) {
	if _, err := os.Stat(cfg.StoreDir()); errors.Is(err, os.ErrNotExist) {
		return surroundings.Options{Queue: doctor.QueueFacts{Known: true}} // a folder is not made by looking at it
	}
	answers := false // a server, and not this process
	err := d.operate(ctx, c, func(o *operate.Client) error {
		answers = o.InServer()
		v, err := o.Status(ctx)
		if err != nil {
			return err
		}
		knownBy(&known, v)
		err = o.DamageList(ctx, operate.DamageRef{}, func(d operate.DamageEntry) error {
			known.Damage = append(known.Damage, doctor.DamageFacts{
				Number: d.Number, File: d.File, What: d.What, Lost: d.Lost, Aside: d.Aside,
			})
			return nil
		})
		if err != nil {
			return err
		}
		return o.DKIMList(ctx, operate.DKIMRef{}, func(k operate.DKIMKey) error {
			known.Keys = append(known.Keys, k)
			return nil
		})
	})
	if err != nil {
		why := strings.TrimPrefix(err.Error(), "sallyport: ")
		known.Queue, known.KeysFault = doctor.QueueFacts{Why: why, Root: os.Geteuid() == 0}, why
		if !known.Server.Running {
			known.Server = silent(answers, err, why)
		}
	}
	return known
}

// silent is what is known of a server that did not say how it fares: whether one answers, and else whether
// nobody could ask, or somebody has the data folder open.
func silent(answers bool, err error, why string) doctor.ServerFacts {
	switch {
	case answers:
		return doctor.ServerFacts{Running: true, Fault: why}
	case errors.Is(err, fs.ErrPermission):
		return doctor.ServerFacts{Unasked: why}
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EWOULDBLOCK):
		return doctor.ServerFacts{Holds: true}
	}
	return doctor.ServerFacts{}
}

// knownBy takes in what a Status tells a doctor.
func knownBy(known *surroundings.Options, v operate.Status) {
	if v.Server != nil {
		known.Networks = v.Networks
		known.Server = doctor.ServerFacts{Running: true, PID: v.Server.PID, Version: v.Server.Version}
	}
	if d := v.Database; d != nil {
		known.Server.Database = &doctor.DatabaseFacts{Since: d.Since, Cause: d.Cause, Full: d.Full, Tries: d.Tries, Last: d.Last}
	}
	for _, m := range v.Missing {
		known.Server.Missing = append(known.Server.Missing, m.What+" ("+m.Why+")")
	}
	known.Domains, known.Obtained, known.Tokens, known.Directories = v.Domains, v.Health.Obtained, v.Health.Tokens, v.Directories
	known.Queue = doctor.QueueFacts{Known: true, Messages: v.Queue.Messages, Held: v.Queue.Held}
	for _, r := range v.Queue.Why {
		known.Queue.HeldFor = append(known.Queue.HeldFor, doctor.HeldFacts{
			Reason: r.Reason, Messages: r.Messages, Oldest: time.Since(r.Oldest),
		})
	}
	if !v.Health.Oldest.IsZero() {
		known.Queue.Oldest = time.Since(v.Health.Oldest)
	}
	known.Telling, known.Filling = telling(v), v.Filling
}

// telling is who was not told of incidents.
func telling(v operate.Status) (f doctor.TellingFacts) {
	if n := v.Notices; n != nil && n.Nobody {
		f.Untold = n.Untold
	}
	f.Inside = v.Inside
	if w := v.Webhook; w != nil {
		f.Webhook, f.Waiting, f.Fault = w.Host, w.Waiting, w.Fault
	}
	return f
}

func (d doctorCommand) tell(c console, all []doctor.Finding) error {
	count := map[doctor.State]int{}
	for _, f := range all {
		count[f.State]++
		if d.JSON {
			if err := printJSON(c.out, f); err != nil {
				return err
			}
			continue
		}
		if f.State == doctor.Fine && !d.All {
			continue
		}
		c.prose("%-8s %s: %s: %s\n", f.State, f.Check, f.Subject, f.What)
		if f.Remedy != "" {
			c.prose("         -> %s\n", c.again(f.Remedy))
		}
	}
	if !d.JSON {
		c.prose("%s: %d wrong, %d to be watched, %d unknown, %d to know\n", words.Count(len(all), "check"),
			count[doctor.Wrong], count[doctor.Warning], count[doctor.Unknown], count[doctor.Note])
	}
	if count[doctor.Wrong] > 0 {
		return errSilent
	}
	return nil
}
