package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

type accountCommands struct {
	Add      accountAdd      `cmd:"" help:"Make an account."`
	Passwd   accountPasswd   `cmd:"" help:"Change a password; live sessions of the account end."`
	Ls       accountLs       `cmd:"" help:"List the accounts."`
	Show     accountShow     `cmd:"" help:"Show one account."`
	Set      accountSet      `cmd:"" help:"Change how many recipients an account may write to, how much its mailbox may hold, what its programs are offered, and where outside its owner is told."`
	App      appCommands     `cmd:"" help:"Passwords of an account for one device or program each."`
	SignIn   accountSignIn   `cmd:"" help:"Say with what an account may sign in. Its sessions end."`
	Freeze   accountFreeze   `cmd:"" help:"Stop an account at once: no sign-in, sessions end, its queue is held. It still receives."`
	Thaw     accountThaw     `cmd:"" help:"Let a frozen account act again, and release its queue."`
	Settings accountSettings `cmd:"" help:"Print what a mail program wants to know, or a profile for Apple's devices."`
	Rename   accountRename   `cmd:"" help:"Give an account another address. Its mailbox, its credentials and all that names it come along; its sessions end."`
	Rm       accountRm       `cmd:"" help:"Remove an account. Its mailbox stays; what it has in the queue is held."`
}

type accountArg struct {
	configFlag
	jsonFlag
	Address string `arg:"" help:"The account's full address."`
}

type accountAdd struct {
	accountArg
	passwordFlags
	Role           string `enum:"person,bulk" default:"person" help:"What it sends: a person's mail, or bulk (newsletters, shops)."`
	RecipientsHour string `placeholder:"N" help:"The most recipients within an hour; without it those of its role (budget.person_hour, budget.bulk_hour)."`
	RecipientsDay  string `placeholder:"N" help:"The most recipients within a day; without it those of its role."`
}

// Help shows examples.
func (accountAdd) Help() string {
	return `Examples:
  sallyport account add alice@example.org                      asks for a password
  sallyport account add alice@example.org --generate           makes and prints one
  pass mail/alice | sallyport account add alice@example.org --password-stdin
  sallyport account add news@example.org --role bulk --generate
  sallyport account add scanner@example.org --recipients-hour 20 --recipients-day 100 --generate`
}

// Run makes the account.
func (a accountAdd) Run(ctx context.Context, c console) error {
	hour, day, err := limits(a.RecipientsHour, a.RecipientsDay)
	if err != nil {
		return err
	}
	password, err := a.password(ctx, c, a.Address)
	if err != nil {
		return err
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountAdd(ctx, operate.AccountAdd{Address: a.Address, Password: password, Role: a.Role, RecipientsHour: given(hour), RecipientsDay: given(day)})
		return a.tell(c, account, err, "added", a.shown(password))
	})
}

type accountPasswd struct {
	accountArg
	passwordFlags
	Directory bool `help:"Set none: the password that the account's directory knows counts again, after it was revoked here and changed there."`
}

// Help shows examples.
func (accountPasswd) Help() string {
	return `Examples:
  sallyport account passwd alice@example.org                   asks for the new one
  sallyport account passwd alice@example.org --generate        makes and prints one
  sallyport account passwd alice@example.org --directory       it was changed in the directory`
}

// Run changes the password.
func (a accountPasswd) Run(ctx context.Context, c console) error {
	if a.Directory && (a.Generate || a.PasswordStdin) {
		return usageError{"--directory sets no password: leave out --generate and --password-stdin"}
	}
	if a.Directory {
		return a.operate(ctx, c, func(o *operate.Client) error {
			account, err := o.AccountPassword(ctx, operate.AccountPassword{Address: a.Address, Elsewhere: true})
			return a.tell(c, account, err, "signs in with the password of its directory again", "")
		})
	}
	password, err := a.password(ctx, c, a.Address)
	if err != nil {
		return err
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountPassword(ctx, operate.AccountPassword{Address: a.Address, Password: password})
		return a.tell(c, account, err, "has a new password", a.shown(password))
	})
}

type accountFreeze struct {
	accountArg
	Reason string `help:"Why; it stands in the trace and in listings, and the owner is told."`
	Quiet  bool   `help:"Tell the owner nothing, neither now nor when it is over."`
}

// Help shows examples.
func (accountFreeze) Help() string {
	return `Examples:
  sallyport account freeze alice@example.org --reason "password seen in a leak"
  sallyport account passwd alice@example.org --generate && sallyport account thaw alice@example.org

It begins an incident; see: sallyport incident ls
The owner is told in the mailbox, and outside where an address is set for that.`
}

// Run freezes the account.
func (a accountFreeze) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountFreeze(ctx, operate.AccountReason{Address: a.Address, Reason: a.Reason, Quiet: a.Quiet})
		return a.tell(c, account, err, fmt.Sprintf("is frozen, its queue is held, %s ended", words.Count(account.SessionsEnded, "session")), "")
	})
}

type accountThaw struct{ accountArg }

// Help says what becomes of the queue.
func (accountThaw) Help() string {
	return `What the account has in the queue leaves. Where evidence began the incident that this ends, it
stays held, message by message, since a thief may have written it; see:
  sallyport queue ls --account alice@example.org
  sallyport queue release ID`
}

// Run thaws the account.
func (a accountThaw) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountThaw(ctx, operate.AccountRef{Address: a.Address})
		what := "is active again, its queue is released"
		if n := account.KeptBack; n > 0 {
			what = fmt.Sprintf("is active again; %s in its queue, each of them held, since a thief may have written it: sallyport queue ls --account %s", words.Are(n, "message"), mail.ShellWord(account.Address))
		}
		return a.tell(c, account, err, what, "")
	})
}

type accountRm struct{ accountArg }

// Run removes the account.
func (a accountRm) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountRemove(ctx, operate.AccountRef{Address: a.Address})
		if err := a.tell(c, account, err, "is removed; its mailbox stays on disk", ""); err != nil || a.JSON || len(account.NamedBy) == 0 {
			return err
		}
		c.printf("it is still a target of %s, and gets nothing there; see: sallyport alias ls\n", strings.Join(account.NamedBy, ", "))
		return nil
	})
}

type accountShow struct{ accountArg }

// Run shows the account.
func (a accountShow) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountShow(ctx, operate.AccountRef{Address: a.Address})
		if err != nil || a.JSON {
			return a.tell(c, account, err, "", "")
		}
		c.prose("address           %s\nstanding          %s\n", account.Address, account.Standing)
		for _, n := range account.FormerNames {
			c.prose("before            %s, until %s\n", n.Address, moment(n.Until))
		}
		if account.FrozenReason != "" {
			c.prose("frozen because    %s\n", account.FrozenReason)
		}
		if account.ReadsOn {
			c.prose("is read on        with what was not revoked\n")
		}
		if account.Directory != "" {
			c.prose("comes from        the directory %s, as %s\n", account.Directory, account.DN)
		}
		if account.MayNotSend {
			c.prose("may not send      so its directory says\n")
		}
		if account.SignIn != "any" {
			c.prose("signs in with     %s\n", account.SignIn)
		}
		if account.QueueHeld != "" {
			c.prose("queue held        %s\n", account.QueueHeld)
		}
		c.prose("role              %s\nmade              %s\npassword changed  %s\n", account.Role, moment(account.Created), moment(account.PasswordChanged))
		c.prose("last sign-in      %s\nopen sessions     %s\n", lastSignIn(account.LastSignIn), c.again(openSessions(account)))
		if g := account.Guessed; g != nil {
			tellGuesses(c, *g)
		}
		if r := account.Recipients; r != nil {
			c.prose("recipients        %s\n", usage(*r))
			if !r.Refused.IsZero() {
				c.prose("last refused      %s, for want of recipients that it may still write to\n", moment(r.Refused))
			}
		}
		if m := account.Mailbox; m != nil {
			c.prose("mailbox           %s\n", roomOf(*m))
		}
		for _, name := range account.NamedBy {
			c.prose("also receives for %s\n", name)
		}
		for _, as := range account.SendsAs {
			c.prose("also sends as     %s\n", as)
		}
		if len(account.ForwardsTo) > 0 {
			c.prose("forwards to       %s%s\n", strings.Join(account.ForwardsTo, ", "), forwardState(account))
		}
		if account.Notify != "" {
			c.prose("owner told at     %s\n", account.Notify)
		}
		if len(account.Without) > 0 {
			c.prose("not offered       %s\n", strings.Join(account.Without, ", "))
		}
		for _, i := range firsts(account.Incidents) {
			c.prose("incident          %d, %s, of %s: %s\n", i.Number, i.State, moment(i.At), i.Reason)
		}
		if account.Story != nil {
			tellStory(c, *account.Story)
		}
		return nil
	})
}

// forwardState says what becomes of the mailbox of an account with a forward.
func forwardState(a operate.Account) string {
	switch {
	case a.ForwardAsleep:
		return " (asleep: forwards are off)"
	case a.ForwardKeeps:
		return " (the mailbox keeps a copy)"
	}
	return ""
}

type accountLs struct {
	configFlag
	jsonFlag
}

// Run lists the accounts.
func (a accountLs) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		if a.JSON {
			return o.AccountList(ctx, func(v operate.Account) error { return printJSON(c.out, v) })
		}
		var all []operate.Account
		if err := o.AccountList(ctx, func(v operate.Account) error { all = append(all, v); return nil }); err != nil {
			return err
		}
		return tableOf(c, all).flushOr("there is no account")
	})
}

// tableOf lists accounts, with where they come from if any comes from elsewhere.
func tableOf(c console, all []operate.Account) *table {
	head, elsewhere := []string{"ADDRESS", "STANDING", "ROLE", "MADE", "REASON"}, slices.ContainsFunc(all, func(v operate.Account) bool { return v.Directory != "" })
	if elsewhere {
		head = append(head, "DIRECTORY")
	}
	t := newTable(c, head...)
	for _, v := range all {
		row := []string{v.Address, v.Standing, v.Role, moment(v.Created), dash(v.FrozenReason)}
		if elsewhere {
			row = append(row, dash(v.Directory))
		}
		t.row(row...)
	}
	return t
}

// tell prints what became of an account. password is shown when it was made here.
func (a accountArg) tell(c console, v operate.Account, err error, what, password string) error {
	if err != nil {
		return err
	}
	if a.JSON {
		return printJSON(c.out, struct {
			operate.Account
			Password string `json:"password,omitempty"`
		}{v, password})
	}
	c.printf("%s %s\n", v.Address, c.again(what))
	if password != "" {
		c.printf("password: %s\n", password)
	}
	return nil
}
