package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

type incidentCommands struct {
	Ls      incidentLs      `cmd:"" help:"List the accounts that were contained, the latest first."`
	Show    incidentShow    `cmd:"" help:"Show one incident: who, when, whence, on what evidence, what left, what is held."`
	Release incidentRelease `cmd:"" help:"End an incident: the account acts again, and the chosen messages leave."`
	Purge   incidentPurge   `cmd:"" help:"Remove what was sent in an incident and is still held; the evidence is kept."`
	Export  incidentExport  `cmd:"" help:"Write the signed evidence of an incident into a folder or zip file."`
}

type incidentLs struct {
	configFlag
	jsonFlag
	Account string `help:"Of this account."`
	Open    bool   `help:"Those that are not over."`
	Limit   int    `help:"At most so many."`
}

// Help shows examples.
func (incidentLs) Help() string {
	return `Examples:
  sallyport incident ls --open
  sallyport incident ls --account alice@example.org --json`
}

// Run lists incidents.
func (i incidentLs) Run(ctx context.Context, c console) error {
	r := operate.IncidentSelect{Account: i.Account, Open: i.Open, Limit: i.Limit}
	return i.operate(ctx, c, func(o *operate.Client) error {
		if i.JSON {
			return o.IncidentList(ctx, r, func(v incident.Incident) error { return printJSON(c.out, v) })
		}
		t, n := newTable(c, "NUMBER", "STATE", "SINCE", "ACCOUNT", "BY", "REASON"), 0
		err := o.IncidentList(ctx, r, func(v incident.Incident) error {
			n++
			t.row(strconv.FormatUint(v.Number, 10), v.State.String(), moment(v.At), v.Of(), v.By, v.Reason)
			return nil
		})
		if err != nil {
			return err
		}
		if n == 0 {
			c.prose("there is no incident, or none that matches\n")
			return nil
		}
		return t.flush()
	})
}

type incidentArg struct {
	configFlag
	jsonFlag
	Number uint64 `arg:"" help:"The number of the incident."`
}

type incidentShow struct{ incidentArg }

// Run shows an incident.
func (i incidentShow) Run(ctx context.Context, c console) error {
	return i.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.IncidentShow(ctx, operate.IncidentRef{Number: i.Number})
		if err != nil {
			return err
		}
		if i.JSON {
			return printJSON(c.out, v)
		}
		tellIncident(c, v)
		return nil
	})
}

// most is how many lines of one kind a person is shown; --json has all.
const most = 10

// Of what is told beside something else, few lines are shown, and fewNames names in one line.
const (
	few      = 5
	fewNames = 3
)

func tellIncident(c console, v operate.IncidentShown) {
	if v.Account.IsZero() {
		tellPause(c, v)
		return
	}
	c.prose("incident    %d, %s\naccount     %s, %s\ncontained   %s by %s\n", v.Number, v.State, v.Account,
		dash(v.Standing), moment(v.At), v.By)
	c.prose("because     %s\n", v.Reason)
	for _, e := range v.More() {
		c.prose("evidence    %s\n", e)
	}
	if v.Credential != "" {
		c.prose("used        %s, made %s\n", strings.TrimSpace(v.Credential), moment(v.CredentialOf))
	}
	for _, r := range v.Revoked {
		c.prose("revoked     %s\n", r)
	}
	for _, o := range firsts(v.Seen) {
		c.prose("seen        %s from %s at %s, program %s\n", moment(o.At), o.From(), o.Door, dash(o.Program))
	}
	if len(v.Cause.Recipients) > 0 {
		c.prose("found with  a message of <%s> to %s\n", strings.Trim(v.Cause.Sender, "<>"), some(v.Cause.Recipients))
	}
	c.prose("\nsince %s this account had %s accepted, to %s, and %s refused\n", moment(v.Since), words.Count(v.Story.Accepted, "message"),
		words.Count(v.Story.Recipients, "recipient"), words.Count(v.Story.Refused, "command"))
	c.prose("left        %s\n", words.Count(len(v.Story.Left)+v.Story.MoreLeft, "recipient"))
	for _, l := range firsts(v.Story.Left) {
		c.prose("            %s %s to %s by %s\n", moment(l.At), l.Queue, l.Recipient, dash(l.Remote))
	}
	c.prose("held        %s\n", words.Count(len(v.Held)+v.MoreHeld, "message"))
	for _, m := range firsts(v.Held) {
		c.prose("            %s %s to %s\n", moment(m.Received), m.ID, pending(m))
	}
	for _, k := range firsts(v.Kept) {
		c.prose("purged      %s %s to %s\n", moment(k.Received), k.Queue, some(k.Recipients))
	}
	for _, s := range firsts(v.Story.SignIns) {
		c.prose("signed in   %s from %s at %s, program %s: %d good, %d refused\n", moment(s.Last), s.From(),
			dash(s.Door), dash(s.Program), s.Good, s.Bad)
	}
	for _, ch := range firsts(v.Story.Changes) {
		c.prose("changed     %s %s\n", moment(ch.At), whatChanged(ch))
	}
	if v.Forward != nil {
		c.prose("forwards    to %s, since %s; nothing leaves by it while the account is contained\n",
			some(v.Forward.Targets), moment(v.Forward.Added))
	}
	for _, o := range v.Others {
		c.prose("also        %s was signed in to from there\n", o)
	}
	if v.State != incident.StateOpen {
		tellEnd(c, v)
		return
	}
	tellNext(c, v)
}

func tellEnd(c console, v operate.IncidentShown) {
	c.prose("ended       %s by %s: %s\n", moment(v.Closed), dash(v.ClosedBy), dash(v.ClosedFor))
}

// tellPause shows what many accounts have in common and is paused.
func tellPause(c console, v operate.IncidentShown) {
	c.prose("incident    %d, %s\npaused      %s\nsince       %s by %s\nbecause     %s\n", v.Number, v.State,
		v.Shared, moment(v.At), v.By, v.Reason)
	for _, e := range v.More() {
		c.prose("evidence    %s\n", e)
	}
	for _, o := range firsts(v.Seen) {
		c.prose("seen        %s from %s at %s, program %s\n", moment(o.At), o.From(), o.Door, dash(o.Program))
	}
	if v.State != incident.StateOpen {
		tellEnd(c, v)
		return
	}
	c.prose("\nMail that bears it is put off, but not that of accounts that used it a day before. No account is stopped. What next:\n")
	for _, a := range v.Accounts {
		c.prose("  sallyport account show %s    answers whether somebody else uses it\n", mail.ShellWord(a.String()))
	}
	c.prose("  sallyport account freeze ACCOUNT    stops one that is stolen; give it another password then\n")
	c.prose("  sallyport incident release %d    ends the pause\n", v.Number)
}

// tellNext says what a person does now.
func tellNext(c console, v operate.IncidentShown) {
	account, stops := mail.ShellWord(v.Account.String()), "it can neither sign in nor send"
	if v.ReadsOn {
		stops = "it sends nothing, and programs that sign in with what was not revoked read on"
	}
	c.prose("\nMail for the account is still delivered; %s. What next:\n", stops)
	password, does := v.NewPassword()
	if tokens := v.Tokens(); tokens != "" {
		c.prose("  %s\n", c.again(tokens))
	}
	c.prose("  %s    %s\n", c.again(password), does)
	if v.Forward != nil {
		c.prose("  sallyport forward rm %s    ends its forward, if its owner knows nothing of it\n", account)
	}
	c.prose("  sallyport incident purge %d    removes what was held since, and keeps the evidence\n", v.Number)
	c.prose("  sallyport incident export %d --to incident-%d.zip    writes the signed evidence for others\n", v.Number, v.Number)
	c.prose("  sallyport incident release %d    lets the account act again; chosen messages leave: --message ID, or --all\n", v.Number)
	c.prose("  sallyport incident release %d --false-alarm --all    nothing was wrong\n", v.Number)
}

// firsts are so many as a person reads.
func firsts[T any](all []T) []T { return all[:min(len(all), most)] }

// some names the first recipients.
func some(all []string) string {
	if len(all) <= fewNames {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:fewNames], ", ") + fmt.Sprintf(" and %d more", len(all)-fewNames)
}

type incidentRelease struct {
	incidentArg
	Message    []string `name:"message" placeholder:"ID" help:"A held message that may leave; may be given more than once. The others stay held."`
	All        bool     `help:"All held messages may leave."`
	FalseAlarm bool     `name:"false-alarm" help:"Nothing was wrong: the account acts again even if its password was revoked and there is no other yet."`
	Reason     string   `help:"Why; it stands in the trace."`
}

// Help shows examples.
func (incidentRelease) Help() string {
	return `The account needs another password first (sallyport account passwd), unless it was a
false alarm.

Examples:
  sallyport incident release 7
  sallyport incident release 7 --message 06h0jc35q52e3pmd6t61nszx
  sallyport incident release 7 --false-alarm --all --reason "the club's newsletter"`
}

// Run releases an incident.
func (i incidentRelease) Run(ctx context.Context, c console) error {
	return i.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.IncidentRelease(ctx, operate.IncidentRelease{
			Number: i.Number, Messages: i.Message, All: i.All, FalseAlarm: i.FalseAlarm, Reason: i.Reason,
		})
		return i.tell(c, v, err)
	})
}

type incidentPurge struct {
	incidentArg
	All bool `help:"Also what the account had sent before the incident began."`
}

// Help shows examples.
func (incidentPurge) Help() string {
	return `Examples:
  sallyport incident purge 7`
}

// Run purges an incident.
func (i incidentPurge) Run(ctx context.Context, c console) error {
	return i.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.IncidentPurge(ctx, operate.IncidentPurge{Number: i.Number, All: i.All})
		return i.tell(c, v, err)
	})
}

// tell says what became of an incident.
func (i incidentArg) tell(c console, v operate.IncidentEnd, err error) error {
	if err != nil {
		return err
	}
	if i.JSON {
		return printJSON(c.out, v)
	}
	if v.Purged > 0 {
		c.prose("%s removed; their envelopes and headers are kept: sallyport incident show %d\n",
			words.Count(v.Purged, "message"), v.Incident.Number)
	}
	if v.Released > 0 {
		c.prose("%s may leave\n", words.Count(v.Released, "message"))
	}
	if v.Held > 0 {
		c.prose("%s still held; see: sallyport queue ls --account %s --held\n", words.Are(v.Held, "message"), mail.ShellWord(v.Incident.Account.String()))
	}
	switch {
	case v.Freed && v.Incident.Account.IsZero():
		c.prose("%s is not paused any more; incident %d is %s\n", v.Incident.Of(), v.Incident.Number, v.Incident.State)
	case v.Freed:
		c.prose("%s is active again; incident %d is %s\n", v.Incident.Account, v.Incident.Number, v.Incident.State)
	case v.Incident.State != incident.StateOpen && v.Purged+v.Released == 0:
		c.prose("incident %d is %s already, and nothing was done\n", v.Incident.Number, v.Incident.State)
	case v.Incident.State == incident.StateOpen:
		password, does := v.Incident.NewPassword()
		c.prose("%s stays contained until it has another password: %s (%s), then sallyport incident release %d\n",
			v.Incident.Account, c.again(password), does, v.Incident.Number)
	}
	return nil
}

// tellStory answers whether an account is misused, on one screen.
func tellStory(c console, s incident.Story) {
	c.prose("since %s\n", moment(s.Since))
	c.prose("  sent            %s to %s, %s refused, %s left\n", words.Count(s.Accepted, "message"), words.Count(s.Recipients, "recipient"), words.Count(s.Refused, "command"),
		words.Count(len(s.Left)+s.MoreLeft, "recipient"))
	if s.Reports > 0 {
		c.prose("  reports         %s did not get the reports that the server wrote in its name, which is no evidence\n",
			words.Count(s.Reports, "recipient"))
	}
	for _, in := range firsts(s.SignIns) {
		c.prose("  signed in       %s from %s at %s, program %s: %d good, %d refused\n", moment(in.Last),
			in.From(), dash(in.Door), dash(in.Program), in.Good, in.Bad)
	}
	if b := s.Bad; b.Count > 0 {
		c.prose("  bad sign-ins    %d, the last at %s%s\n", b.Count, moment(b.Last), badFrom(b))
	}
	for _, ch := range firsts(s.Changes) {
		c.prose("  changed         %s %s\n", moment(ch.At), fact.Clean(whatChanged(ch), mail.TextShown))
	}
}

// badFrom says from which networks nobody got in.
func badFrom(b incident.BadSignIns) string {
	var from []string
	for _, f := range firsts(b.From) {
		from = append(from, fmt.Sprintf("%d from %s", f.Count, f.Network))
	}
	more := b.More
	for _, f := range b.From[len(from):] {
		more += f.Count
	}
	if more > 0 {
		from = append(from, fmt.Sprintf("%d from others", more))
	}
	return ": " + strings.Join(from, ", ")
}

// whatChanged says where an alias, a forward or a contact leads to since.
func whatChanged(ch incident.Change) string {
	if len(ch.To) == 0 {
		return ch.What
	}
	return ch.What + ": " + some(ch.To)
}
