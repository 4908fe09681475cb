package main

import (
	"context"
	"os"

	"sallyport/internal/operate"
)

type dkimCommands struct {
	Ls       dkimLs       `cmd:"" help:"List the keys, and where each stands in its life."`
	Show     dkimShow     `cmd:"" help:"Print the DNS records of a domain's keys, ready to paste."`
	Rotate   dkimRotate   `cmd:"" help:"Make new keys for a domain, its first ones or the next; they sign when the DNS shows them."`
	Check    dkimCheck    `cmd:"" help:"Ask the DNS for a domain's keys now; exit with 1 if it does not show them."`
	Activate dkimActivate `cmd:"" help:"Let new keys sign at once, whatever the DNS shows."`
	Import   dkimImport   `cmd:"" help:"Take over a private key that another program signed with."`
	Rm       dkimRm       `cmd:"" help:"Remove a key; mail is not signed with it any more."`
}

type dkimArg struct {
	configFlag
	jsonFlag
	Domain string `arg:"" help:"The domain."`
}

type dkimLs struct {
	configFlag
	jsonFlag
	Domain string `arg:"" optional:"" help:"The domain (default: all)."`
}

// Run lists the keys.
func (a dkimLs) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		if a.JSON {
			return o.DKIMList(ctx, operate.DKIMRef{Domain: a.Domain}, func(k operate.DKIMKey) error { return printJSON(c.out, k) })
		}
		t := newTable(c, "DOMAIN", "SELECTOR", "ALGORITHM", "STATE", "SINCE", "SIGNS", "SEEN IN DNS")
		err := o.DKIMList(ctx, operate.DKIMRef{Domain: a.Domain}, func(k operate.DKIMKey) error {
			t.row(k.Domain, k.Selector, k.Algorithm, k.State, moment(k.Since), signs(k), moment(k.Seen))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("there is no key")
	})
}

func signs(k operate.DKIMKey) string {
	switch {
	case !k.Lost.IsZero() && k.Signs:
		return "yes, by order; DNS shows it not"
	case !k.Lost.IsZero():
		return "no: lost from the DNS"
	case k.Signs:
		return "yes"
	}
	return "no"
}

type dkimShow struct{ dkimArg }

// Help shows an example.
func (dkimShow) Help() string {
	return `Examples:
  sallyport dkim show example.org            lines for a zone file
  sallyport dkim show example.org --json     name and text apart, for a web form`
}

// Run prints the records.
func (a dkimShow) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		n := 0
		err := o.DKIMList(ctx, operate.DKIMRef{Domain: a.Domain}, func(k operate.DKIMKey) error {
			n++
			if a.JSON {
				return printJSON(c.out, k)
			}
			c.printf("; %s, %s since %s\n", k.Algorithm, k.State, moment(k.Since))
			c.lines(k.Zone + "\n")
			return nil
		})
		if err == nil && n == 0 {
			c.printf("%s has no keys; sallyport dkim rotate makes them\n", a.Domain)
			return errSilent
		}
		return err
	})
}

type dkimRotate struct {
	dkimArg
	Activate bool `help:"Let them sign at once, whatever the DNS shows: for a domain whose mail never leaves, or records that this host cannot see."`
}

// Help says how a rotation goes.
func (dkimRotate) Help() string {
	return `New keys sign nothing until the DNS shows their records; the server looks by itself, and
sallyport dkim check looks now. Then the old keys retire. Leave their records in the DNS until
the trace says that they can go (dkim.overlap).

Examples:
  sallyport dkim rotate example.org          prints the records to publish
  sallyport dkim check example.org           after you did`
}

// Run makes keys.
func (a dkimRotate) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		ref := operate.DKIMRef{Domain: a.Domain}
		keys, err := o.DKIMRotate(ctx, ref)
		if err == nil && a.Activate {
			keys, err = o.DKIMActivate(ctx, ref)
		}
		if err != nil || a.JSON {
			return a.tell(c, keys, err)
		}
		if !a.Activate {
			c.printf("; publish these records; mail is signed with the keys when the DNS shows them\n")
		}
		for _, k := range keys.Keys {
			if k.State != "retired" && (k.State == "new" || a.Activate) {
				c.lines(k.Zone + "\n")
			}
		}
		return nil
	})
}

type dkimCheck struct{ dkimArg }

// Run asks the DNS.
func (a dkimCheck) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		keys, err := o.DKIMCheck(ctx, operate.DKIMRef{Domain: a.Domain})
		if err := a.tell(c, keys, err); err != nil {
			return err
		}
		for _, k := range keys.Keys {
			if k.Sight != "published" {
				return errSilent
			}
		}
		return nil
	})
}

type dkimActivate struct {
	dkimArg
	Selector string `help:"Only the key with this selector."`
}

// Run activates new keys.
func (a dkimActivate) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		keys, err := o.DKIMActivate(ctx, operate.DKIMRef{Domain: a.Domain, Selector: a.Selector})
		return a.tell(c, keys, err)
	})
}

type dkimImport struct {
	dkimArg
	Selector string `arg:"" help:"The selector under which its record is published."`
	File     string `arg:"" type:"existingfile" help:"The private key: in PEM, or of Ed25519 in base64."`
}

// Help shows an example.
func (dkimImport) Help() string {
	return `Example:
  sallyport dkim import example.org mail2023 /etc/opendkim/keys/example.org/mail2023.private
  sallyport dkim import example.org mail2023e /var/lib/rspamd/dkim/example.org.mail2023e.key
  sallyport dkim check example.org`
}

// Run takes a key over.
func (a dkimImport) Run(ctx context.Context, c console) error {
	text, err := os.ReadFile(a.File)
	if err != nil {
		return err
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		keys, err := o.DKIMImport(ctx, operate.DKIMImport{Domain: a.Domain, Selector: a.Selector, PEM: string(text)})
		return a.tell(c, keys, err)
	})
}

type dkimRm struct {
	dkimArg
	Selector string `arg:"" help:"The key's selector."`
}

// Run removes a key.
func (a dkimRm) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		keys, err := o.DKIMRemove(ctx, operate.DKIMRef{Domain: a.Domain, Selector: a.Selector})
		return a.tell(c, keys, err)
	})
}

// tell prints what became of a domain's keys.
func (a dkimArg) tell(c console, keys operate.DKIMKeys, err error) error {
	if err != nil {
		return err
	}
	if a.JSON {
		return printJSON(c.out, keys)
	}
	for _, k := range keys.Keys {
		if k.Sight != "" {
			c.printf("%s  %s\n", k.Name, k.Sight)
		}
	}
	for _, change := range keys.Changes {
		c.printf("%s\n", change)
	}
	return nil
}
