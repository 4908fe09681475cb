package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/budget/quota"
	"sallyport/internal/config"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

type accountSet struct {
	accountArg
	Role           string `enum:",person,bulk" default:"" help:"What it sends: a person's mail, or bulk (newsletters, shops). Its sessions end."`
	RecipientsHour string `placeholder:"N" help:"The most recipients within an hour; default: those of its role again."`
	RecipientsDay  string `placeholder:"N" help:"The most recipients within a day; default: those of its role again."`
	Without        string `placeholder:"NAME,..." help:"Extensions of IMAP that its programs are not offered, since one of them uses them wrongly; none: they are offered all again. Its sessions end."`
	Quota          string `placeholder:"SIZE" help:"The most that its mailbox may hold (2GiB); none: any amount; default: what its domain may again."`
	QuotaMessages  string `placeholder:"N" help:"The most messages in its mailbox; none: any number; default: what its domain may again."`
	Notify         string `placeholder:"ADDRESS" help:"Where outside its owner is told when it is contained, beside the mailbox; none: nowhere. The address before is told of the change."`
}

// Help shows examples.
func (accountSet) Help() string {
	return `A limit of recipients counts each mailbox that a message of the account goes to, at home and outside,
and is in force at once. sallyport account show tells how much of it is used.

Examples:
  sallyport account set club@example.org --recipients-hour 800 --recipients-day 2000
  sallyport account set club@example.org --recipients-hour default
  sallyport account set news@example.org --role bulk
  sallyport account set alice@example.org --quota 2GiB
  sallyport account set alice@example.org --notify alice@example.net
  sallyport account set alice@example.org --without condstore,qresync`
}

// Run changes what the account may send and hold.
func (a accountSet) Run(ctx context.Context, c console) error {
	if a.Role+a.RecipientsHour+a.RecipientsDay+a.Without+a.Quota+a.QuotaMessages+a.Notify == "" {
		return usageError{"name what to set: --role, --recipients-hour, --recipients-day, --quota, --quota-messages, --notify, --without"}
	}
	hour, day, err := limits(a.RecipientsHour, a.RecipientsDay)
	if err != nil {
		return err
	}
	octets, err := quotaFlag("--quota", a.Quota, config.ParseSize)
	if err != nil {
		return err
	}
	messages, err := quotaFlag("--quota-messages", a.QuotaMessages, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
	if err != nil {
		return err
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		account, err := o.AccountSet(ctx, operate.AccountSet{
			Address: a.Address, Role: a.Role, RecipientsHour: hour, RecipientsDay: day,
			QuotaOctets: octets, QuotaMessages: messages, Notify: a.notify(), Without: a.without(),
		})
		return a.tell(c, account, err, a.said(account), "")
	})
}

// said tells what is so now of all that was set.
func (a accountSet) said(account operate.Account) string {
	var all []string
	if r := account.Recipients; r != nil && a.Role+a.RecipientsHour+a.RecipientsDay != "" {
		all = append(all, fmt.Sprintf("may write to %s an hour and %d a day", words.Count(int(r.Most.Hour), "recipient"), r.Most.Day))
	}
	if m := account.Mailbox; m != nil && a.Quota+a.QuotaMessages != "" {
		all = append(all, "has a mailbox that may hold "+m.Quota.String()+" and holds "+holds(m.Used))
	}
	if a.Without != "" {
		all = append(all, notOffered(account))
	}
	if a.Notify != "" {
		all = append(all, toldAt(account))
	}
	if len(all) == 0 {
		return "is set"
	}
	return strings.Join(all, ", ")
}

// notify is the address outside; nil where nothing is said of it.
func (a accountSet) notify() *string {
	switch a.Notify {
	case "":
		return nil
	case "none":
		return new(string)
	}
	return &a.Notify
}

// without are the extensions that are not offered; nil where nothing is said of them.
func (a accountSet) without() *[]string {
	switch a.Without {
	case "":
		return nil
	case "none":
		return &[]string{}
	}
	names := strings.Split(a.Without, ",")
	return &names
}

// notOffered says which extensions the programs of an account are not offered.
func notOffered(a operate.Account) string {
	if len(a.Without) == 0 {
		return "is offered every extension of IMAP"
	}
	return "is not offered " + strings.Join(a.Without, ", ")
}

// toldAt says where the owner of an account is told of what becomes of it.
func toldAt(a operate.Account) string {
	if a.Notify == "" {
		return "has its owner told in its mailbox alone"
	}
	return "has its owner told at " + a.Notify + " too"
}

// limits reads two limits of recipients; nil for one that is not given.
func limits(hour, day string) (h, d *int, err error) {
	if h, err = limit("--recipients-hour", hour); err != nil {
		return nil, nil, err
	}
	d, err = limit("--recipients-day", day)
	return h, d, err
}

func limit(flag, s string) (*int, error) {
	switch s {
	case "":
		return nil, nil
	case "default":
		return new(int), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return nil, usageError{flag + ": " + mail.Printable(s, mail.WordShown) + " is no number of recipients; give one from 1 on, or default"}
	}
	return &n, nil
}

// quotaFlag reads what a mailbox may hold; nil where nothing is said.
func quotaFlag(flag, s string, parse func(string) (int64, error)) (*int64, error) {
	n := new(int64)
	switch s {
	case "":
		return nil, nil
	case "default":
		return n, nil
	case "none":
		*n = quota.Unbounded
		return n, nil
	}
	var err error
	if *n, err = parse(s); err != nil || *n < 1 {
		return nil, usageError{flag + ": " + mail.Printable(s, mail.WordShown) + " is no quota; give as much as 2GiB or 10000, none, or default"}
	}
	return n, nil
}

// holds says what is in a mailbox.
func holds(u quota.Usage) string {
	return quota.Size(u.Octets) + " in " + words.Count(int(u.Messages), "message")
}

// roomOf says how full a mailbox is.
func roomOf(r operate.Room) string {
	s := holds(r.Used)
	if !r.Quota.Bounds() {
		return s
	}
	s += fmt.Sprintf(", %d %% of %s", r.Quota.Share(r.Used), r.Quota)
	if r.Own != (quota.Quota{}) {
		s += " (its own quota)"
	}
	return s
}

// given is a limit, 0 where none is.
func given(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// usage says how much of what it may send an account has used.
func usage(a operate.Allowance) string {
	return fmt.Sprintf("%d of %d within an hour%s, %d of %d within a day%s",
		a.Used.Hour, a.Most.Hour, own(a.Own.Hour), a.Used.Day, a.Most.Day, own(a.Own.Day))
}

// cappedUsage is the usage of an account that is capped, with the reason where the figures
// alone would not show it: it asked for more at once than was left.
func cappedUsage(a operate.Allowance) string {
	if a.UsedUp() {
		return usage(a)
	}
	return usage(a) + "; at " + moment(a.Refused) + " a message asked for more than was left"
}

func own(n int) string {
	if n == 0 {
		return ""
	}
	return " (its own limit)"
}
