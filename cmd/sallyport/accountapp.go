package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/kit/timespan"
	"sallyport/internal/kit/words"
	"sallyport/internal/operate"
)

type appCommands struct {
	Add appAdd `cmd:"" help:"Make a password for one device, and show it this once."`
	Ls  appLs  `cmd:"" help:"List what an account has to sign in with, and when it was last used."`
	Rm  appRm  `cmd:"" help:"Revoke an app password; the sessions that were opened with it end."`
}

type appAdd struct {
	accountArg
	Name    string        `arg:"" help:"What it is for: phone, laptop, scanner."`
	Scope   string        `default:"send,receive" help:"What it may be used for: send, receive, or send,receive."`
	Network []string      `placeholder:"NETWORK" help:"It may be used from here alone, such as 192.0.2.0/24; may be repeated."`
	Lasts   timespan.Flag `placeholder:"DURATION" help:"It ends after so long, such as 90d; without this it stays until it is revoked."`
}

// Help shows examples.
func (appAdd) Help() string {
	return `The password is made here, has no blanks, and is kept nowhere. It signs in with the account's
address and never does more than its scope. Frozen accounts sign in with nothing.

Examples:
  sallyport account app add alice@example.org phone
  sallyport account app add scans@example.org scanner --scope send --network 192.0.2.0/28
  sallyport account app add alice@example.org "hotel laptop" --lasts 14d`
}

// Run makes the password.
func (a appAdd) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.AppAdd(ctx, operate.AppAdd{
			Account: a.Address, Name: a.Name, Scope: a.Scope, Networks: a.Network,
			Lasts: time.Duration(a.Lasts),
		})
		if err != nil {
			return err
		}
		if a.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s for %s of %s, to %s%s\npassword: %s\n", v.ID, v.Name, v.Account, v.Scope, bounds(v), v.Password)
		return nil
	})
}

// bounds says what bounds a credential beside its scope.
func bounds(v operate.Credential) (s string) {
	if len(v.Networks) > 0 {
		s = ", from " + strings.Join(v.Networks, ", ") + " alone"
	}
	if !v.Expires.IsZero() {
		s += ", until " + moment(v.Expires)
	}
	return s
}

type appLs struct{ accountArg }

// Run lists the credentials.
func (a appLs) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		ref := operate.AccountRef{Address: a.Address}
		if a.JSON {
			return o.AppList(ctx, ref, func(v operate.Credential) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ID", "KIND", "NAME", "FOR", "MADE", "LAST USED", "ENDS", "NETWORKS")
		err := o.AppList(ctx, ref, func(v operate.Credential) error {
			t.row(v.ID, v.Kind, dash(v.Name), v.Scope, moment(v.Created), moment(v.LastUsed),
				moment(v.Expires), dash(strings.Join(v.Networks, ", ")))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("the account has no app password")
	})
}

type appRm struct {
	accountArg
	Credential string `arg:"" name:"app-password" help:"Its id or its name, from account app ls."`
}

// Run revokes the password.
func (a appRm) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.AppRemove(ctx, operate.CredentialRef{Account: a.Address, Credential: a.Credential})
		return a.revoked(c, v, err)
	})
}

// revoked tells which credential of the account opens nothing any more.
func (a accountArg) revoked(c console, v operate.Credential, err error) error {
	if err != nil {
		return err
	}
	if a.JSON {
		return printJSON(c.out, v)
	}
	c.printf("%s (%s) of %s is revoked, %s ended\n", v.ID, v.Name, v.Account, words.Count(v.SessionsEnded, "session"))
	return nil
}

type accountSignIn struct {
	accountArg
	With        string `arg:"" enum:"any,password,app,certificate,both,token" help:"any: whatever it has; password: its password or app passwords; app: app passwords alone; certificate: certificates alone; both: a certificate, and a password of either kind; token: access tokens of the provider ([oidc]) alone."`
	WithoutAuth bool   `help:"Who shows the account's certificate sends without AUTH, as many programs do; with any or certificate."`
}

// Help shows examples.
func (accountSignIn) Help() string {
	return `With app the account's own password opens nothing: what is asked of a person once is not what
a phone keeps. Make the app passwords first.

Examples:
  sallyport account app add alice@example.org phone
  sallyport account sign-in alice@example.org app`
}

// Run changes the way to sign in.
func (a accountSignIn) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.AccountSignIn(ctx, operate.AccountSignIn{Address: a.Address, Policy: a.With, Alone: a.WithoutAuth})
		return a.tell(c, v, err, fmt.Sprintf("signs in with %s, %s ended", v.SignIn, words.Count(v.SessionsEnded, "session")), "")
	})
}
