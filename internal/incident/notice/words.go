package notice

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/incident"
)

func subject(about []incident.Incident) string {
	i := about[0]
	switch {
	case len(about) > 1:
		return fmt.Sprintf("%d incidents: accounts were contained or set free", len(about))
	case i.State == incident.StateOpen && i.Account.IsZero():
		return fmt.Sprintf("Incident %d: %s is paused", i.Number, i.Of())
	case i.State == incident.StateOpen:
		return fmt.Sprintf("Incident %d: %s is contained", i.Number, i.Account)
	}
	return fmt.Sprintf("Incident %d is over: %s is %s", i.Number, i.Of(), i.State)
}

func adminText(about []incident.Incident) string {
	var b strings.Builder
	for _, i := range about {
		if i.State != incident.StateOpen {
			by := "" // an account that was removed ends its incident by that
			if i.ClosedBy != "" {
				by = ", by " + i.ClosedBy
			}
			fmt.Fprintf(&b, "Incident %d of %s is %s%s.\n%s\n\n", i.Number, i.Of(), i.State, by, i.ClosedFor)
			continue
		}
		if i.Account.IsZero() {
			pausedText(&b, i)
			continue
		}
		stops := "It neither signs in nor sends"
		if i.Known {
			stops = "It sends nothing, what was used to sign in is revoked while its other programs read on"
		}
		fmt.Fprintf(&b, "Incident %d: %s was contained at %s by %s.\n%s, and what it has in the queue is held. Mail for it is still delivered.\n\nWhy: %s\n",
			i.Number, i.Account, i.At.UTC().Format(time.RFC3339), i.By, stops, i.Reason)
		if len(about) > 1 {
			b.WriteString("\n")
			continue
		}
		for _, e := range i.More() {
			fmt.Fprintf(&b, "  %s\n", e)
		}
		for _, o := range i.Seen {
			fmt.Fprintf(&b, "Seen: %s from %s at the door %s, program %s\n", o.At.UTC().Format(time.RFC3339), o.From(), o.Door, cmp.Or(o.Program, "unknown"))
		}
		password, does := i.NewPassword()
		if i.Directory != "" {
			password += "    " + does
		}
		if tokens := i.Tokens(); tokens != "" {
			password = tokens + "\n  " + password
		}
		fmt.Fprintf(&b, "\nWhat next:\n  sallyport incident show %d\n  %s\n  sallyport incident purge %d\nand see docs/operations.md, \"An account is contained\".\n\n", i.Number, password, i.Number)
	}
	return b.String()
}

// pausedText tells of what many accounts have in common.
func pausedText(b *strings.Builder, i incident.Incident) {
	fmt.Fprintf(b, "Incident %d: %s was paused at %s by %s.\nMail that bears it is put off, but not that of accounts that used it a day before. No account is stopped.\n\nWhy: %s\n",
		i.Number, i.Of(), i.At.UTC().Format(time.RFC3339), i.By, i.Reason)
	for _, e := range i.More() {
		fmt.Fprintf(b, "  %s\n", e)
	}
	fmt.Fprintf(b, "\nWhat next:\n  sallyport incident show %d\n  sallyport incident release %d    ends the pause\n\n", i.Number, i.Number)
}

// contactText is for a place that whoever has the password cannot read.
func contactText(i incident.Incident) string {
	if i.State != incident.StateOpen {
		return ownerText(i)
	}
	var b strings.Builder
	b.WriteString(ownerText(i))
	for _, o := range i.Seen {
		fmt.Fprintf(&b, "\nIt was used at %s from %s, with the program %s.", o.At.UTC().Format(time.RFC3339), o.From(), cmp.Or(o.Program, "unknown"))
	}
	if len(i.Seen) > 0 {
		b.WriteString("\nIf that was you, say so when you ask.\n")
	}
	b.WriteString("\nThis address was given as the one at which you are told, beside your mailbox.\n")
	return b.String()
}

// postmasterText is for the place outside of somebody whose mailbox gets what the administrator is told.
func postmasterText(i incident.Incident) string {
	if i.State != incident.StateOpen {
		return adminText([]incident.Incident{i})
	}
	return "Your account gets what the postmaster of this server is told, and you may not be able to read that there now:\n\n" +
		adminText([]incident.Incident{i}) + "This address was given as the one at which you are told, beside your mailbox.\n"
}

// replacedText does not tell the address that takes the place: who reads this may not be
// meant to know it.
func replacedText(c directory.Contact, f directory.FormerContact) string {
	where := "another address is told"
	if c.Address.IsZero() {
		where = "no address outside is told"
	}
	return "An administrator of the mail server decided at " + f.Until.UTC().Format(time.RFC3339) + " that " + where + " from then on\nwhat becomes of the account " +
		c.Account.String() + ". This is the last notice to this address.\n\nIf that surprises you, please ask whoever administers your mail, by telephone or in person.\n"
}

func ownerText(i incident.Incident) string {
	if i.State != incident.StateOpen {
		return "Your account " + i.Account.String() + " may sign in and send again.\n"
	}
	if i.Rule == incident.RuleOperator {
		return stoppedText(i)
	}
	stops := "it cannot sign in or send. You still get mail."
	if i.Known {
		stops = "it cannot send, and what was used to sign in opens nothing any more. You still get mail,\nand programs that sign in with something else still read it."
	}
	return "Somebody else seems to use your account " + i.Account.String() + ". It was stopped at " + i.At.UTC().Format(time.RFC3339) +
		":\n" + stops + "\n\nPlease ask whoever administers your mail for a new password, by telephone or in person.\nWhoever had the old one may have read your mail.\n"
}

// stoppedText is for the owner of an account that a person froze.
func stoppedText(i incident.Incident) string {
	why := ""
	if i.Reason != incident.NoReason {
		why = "Why: " + i.Reason + "\n\n"
	}
	return "An administrator of the mail server stopped your account " + i.Account.String() + " at " + i.At.UTC().Format(time.RFC3339) +
		":\nit cannot sign in or send. You still get mail.\n\n" + why + "Please ask whoever administers your mail, by telephone or in person.\n"
}
