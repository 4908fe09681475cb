package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sallyport/internal/kit/safefile"
	"sallyport/internal/operate"
)

type certCRL struct {
	configFlag
	Authority int    `placeholder:"N" help:"That of one authority (default: those of all)."`
	Out       string `placeholder:"FILE" help:"Replace this file, whole and at once, in place of printing."`
}

// Help shows examples.
func (certCRL) Help() string {
	return `This is for other programs that trust the authority, such as Dovecot and nginx: this server asks
its enrollments alone. A list is good for 7 days; make it anew every hour, and after a revocation.

Examples:
  sallyport cert crl --out /etc/dovecot/devices.crl
  sallyport cert crl | openssl crl -noout -text`
}

// Run makes the lists.
func (a certCRL) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		var text strings.Builder
		var faults []error
		err := o.CertCRL(ctx, operate.CertCRL{Authority: a.Authority}, func(l operate.RevocationList) error {
			text.WriteString(l.PEM)
			if l.Fault != "" {
				faults = append(faults, fmt.Errorf("authority %d has no list: %s", l.Authority, l.Fault))
			}
			return nil
		})
		if err != nil {
			return err
		}
		return errors.Join(append(faults, public(c, a.Out, text.String()))...)
	})
}

// errNoAuthority says what makes the first.
var errNoAuthority = errors.New("there is no authority yet: the first certificate makes it, or sallyport cert ca rollover")

// public prints PEM, or replaces a file with it.
func public(c console, path, text string) error {
	switch {
	case text == "":
		return errNoAuthority
	case path != "":
		return safefile.Replace(path, []byte(text), 0o644)
	}
	c.lines(text)
	return nil
}

type caCommands struct {
	Show     caShow     `cmd:"" help:"Show the authorities: which one signs, when each ends, where its key lies."`
	Export   caExport   `cmd:"" help:"Print the certificates of the authorities, for others that are to trust them."`
	Rollover caRollover `cmd:"" help:"Make a new authority, which signs from now on."`
}

type caShow struct {
	configFlag
	jsonFlag
}

// Run shows the authorities.
func (a caShow) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		if a.JSON {
			return o.CAList(ctx, func(v operate.DeviceAuthority) error { return printJSON(c.out, v) })
		}
		found := false
		err := o.CAList(ctx, func(v operate.DeviceAuthority) error {
			found = true
			showAuthority(c, v)
			return nil
		})
		if err == nil && !found {
			return errNoAuthority
		}
		return err
	})
}

func showAuthority(c console, v operate.DeviceAuthority) {
	state := "signs nothing new; what it signed goes on"
	switch {
	case !v.Distrusted.IsZero():
		state = "not to be trusted since " + moment(v.Distrusted)
	case v.Signs:
		state = "signs new certificates"
	}
	c.printf("authority %d  %s\n", v.Number, v.Name)
	c.printf("  state   %s\n", state)
	c.printf("  time    %s to %s\n", moment(v.Made), moment(v.Ends))
	c.printf("  sha256  %s\n", v.Fingerprint)
	c.printf("  key     %s\n", v.Key)
	if v.KeyFault != "" {
		c.printf("          cannot be used: %s\n", v.KeyFault)
	}
}

type caExport struct {
	configFlag
	Out string `placeholder:"FILE" help:"Replace this file, whole and at once, in place of printing."`
}

// Help says what it is for.
func (caExport) Help() string {
	return `Certificates alone are printed, never a key, and none of an authority whose key was stolen. Who
trusts them must ask the revocation lists, too: sallyport cert crl. Nobody needs them to sign in here.

Examples:
  sallyport cert ca export --out /etc/nginx/devices.pem`
}

// Run prints the certificates.
func (a caExport) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		var text strings.Builder
		err := o.CAList(ctx, func(v operate.DeviceAuthority) error {
			if v.Distrusted.IsZero() {
				text.WriteString(v.Certificate)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return public(c, a.Out, text.String())
	})
}

type caRollover struct {
	configFlag
	jsonFlag
	Stolen bool `help:"Somebody else has the keys of those before: nobody is to trust them any more."`
}

// Help says when.
func (caRollover) Help() string {
	return `Make a new one a year before the old one ends, or when its key was lost or stolen. Nobody is locked
out by it: the enrolled keys sign in here, whoever certified them. Others that trust the authority
get the new file of sallyport cert ca export; both are in it until the old one ends.

Examples:
  sallyport cert ca rollover
  sallyport cert ca rollover --stolen`
}

// Run makes the authority.
func (a caRollover) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.CARollover(ctx, operate.CARollover{Stolen: a.Stolen})
		if err != nil {
			return err
		}
		if a.JSON {
			return printJSON(c.out, v)
		}
		showAuthority(c, v)
		return nil
	})
}
