package explain

import (
	"fmt"
	"net/netip"
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/trust"
)

// World is what a transaction is walked through.
type World struct {
	Snapshot *directory.Snapshot
	// Standing tells how an account stands, and of one that may not act why, as in "is frozen";
	// gate.StandingNone where there is none.
	Standing func(account mail.Address) (s gate.Standing, why string)
	// Barred says why an account does not sign in by that, as in "takes no tokens"; "": it does.
	Barred func(account mail.Address, by gate.Auth) string
	// Door says why nobody comes by a door; "": it is there.
	Door func(gate.Door) string
	// Form reads the form of a recipient.
	Form func(a mail.Address, bounce bool) Form
	// Where says where an entry was made: a file and line, or the command; "": nowhere in
	// particular.
	Where func(directory.Subject) string
	// Client says what the configuration makes of an address; "": nothing.
	Client func(netip.Addr) string
	// Network returns the network that signs in as an account which a client lies in, where it
	// stands, and why it does not count now; "": it does, or would. False: it lies in none.
	Network func(netip.Addr) (n trust.Network, at, why string, ok bool)
	// BindingReports says that senders of ours which are not the account's are taken for now
	// (submission.sender_binding).
	BindingReports bool
	// Transport says how mail for a domain that is not ours leaves without a route.
	Transport string
}

// Form is what the form of a recipient says, beside what the directory knows of it. The zero Form
// says nothing.
type Form struct {
	Stands mail.Address    // for whom it stands, as a signed return path does; zero: for itself
	Class  directory.Class // what it is, whatever the directory knows; with gate.DestinationUnknown it says nothing
	Says   string          // what was found
}

// Stage is a part of a transaction.
type Stage string

// The stages, in order.
const (
	StageDoor      Stage = "door"
	StageClient    Stage = "client"
	StageSignIn    Stage = "sign-in"
	StageSender    Stage = "MAIL FROM"
	StageRecipient Stage = "RCPT TO"
	StageDelivery  Stage = "delivery"
	StageNotWalked Stage = "not walked"
)

// Step is one thing that was found on the way.
type Step struct {
	Stage Stage  `json:"stage"`
	Says  string `json:"says"`
	// Rule and Reply are of the decision that a step tells; empty where it tells none.
	Rule  gate.Rule `json:"rule,omitempty"`
	Reply string    `json:"reply,omitempty"` // as SMTP has it: code, enhanced code, text
	At    string    `json:"at,omitempty"`    // where the entry was made that it speaks of
}

// Answer is what became of a Question.
type Answer struct {
	Steps  []Step    `json:"steps"`
	Action string    `json:"action"` // "accept-local", "relay", "defer" or "refuse"
	Rule   gate.Rule `json:"rule"`
	Reply  string    `json:"reply"`
	Remedy string    `json:"remedy,omitempty"` // what would change a no; "" for nothing
}

// Walk answers a Question. It is pure, as far as the World is.
func Walk(w World, q Question) Answer {
	k := walker{w: w, q: q}
	if host, err := mail.NewAddress("postmaster", w.Snapshot.Hostname()); q.Postmaster && err == nil {
		k.q.To = host
	}
	k.facts = gate.Facts{Door: q.Door, Peer: gate.PeerStranger, Auth: gate.AuthNone, Standing: gate.StandingNone}
	k.say(StageDoor, "%s", doorWords(q.Door))
	if why := w.Door(q.Door); why != "" {
		k.say(StageDoor, "%s: what follows is what would be if it were there", why)
	}
	k.client()
	k.signIn()
	k.network()
	if v := k.sender(); v.Action != gate.AcceptLocal {
		return k.answer(v)
	}
	return k.answer(k.recipient())
}

type walker struct {
	w       World
	q       Question
	account mail.Address // who is signed in
	facts   gate.Facts
	steps   []Step
}

func (k *walker) say(s Stage, format string, args ...any) {
	k.steps = append(k.steps, Step{Stage: s, Says: fmt.Sprintf(format, args...)})
}

// about is say for an entry of the directory.
func (k *walker) about(s Stage, entry directory.Subject, format string, args ...any) {
	k.say(s, format, args...)
	if entry.Name != "" {
		k.steps[len(k.steps)-1].At = k.w.Where(entry)
	}
}

func (k *walker) verdict(s Stage, v gate.Verdict) {
	k.steps = append(k.steps, Step{Stage: s, Says: ruleWords(v.Rule), Rule: v.Rule, Reply: v.Reply.String()})
}

func doorWords(d gate.Door) string {
	switch d {
	case gate.DoorMX:
		return "mx: port 25, where the world writes to us; nothing that comes by it ever leaves"
	case gate.DoorSubmission:
		return "submission: ports 587 and 465, where our people send after signing in"
	case gate.DoorSendmail:
		return "sendmail: the command of this host, which knows who calls it by the user id"
	}
	return d.String()
}

func (k *walker) client() {
	c := k.q.Client
	if !c.IsValid() {
		k.say(StageClient, "any address: none is asked for, and none gives a right to send")
		return
	}
	if n, at, _, ok := k.w.Network(c); ok {
		k.say(StageClient, "%s: of the network %s, which signs in as %s where our people send, and gives no right elsewhere", c, n.Name, n.Account)
		k.steps[len(k.steps)-1].At = at
		return
	}
	if says := k.w.Client(c); says != "" {
		k.say(StageClient, "%s: %s", c, says)
		return
	}
	k.say(StageClient, "%s: a stranger; no address gives a right to send", c)
}

// network signs in a client of a trusted network that nobody else signs in, with a sender of
// its account.
func (k *walker) network() {
	if !k.q.Client.IsValid() || !k.account.IsZero() || k.q.Door != gate.DoorSubmission {
		return
	}
	n, at, why, ok := k.w.Network(k.q.Client)
	switch {
	case !ok:
		return
	case why != "":
		k.say(StageSignIn, "the network %s, which signs in as %s, does not count: %s", n.Name, n.Account, why)
	case !k.active(n.Account):
		k.say(StageSignIn, "the network %s signs in as %s, which is no account that may act now", n.Name, n.Account)
	case k.w.Snapshot.Ownership(n.Account, k.q.From) != gate.OwnershipOwned:
		k.say(StageSignIn, "the network %s signs in as %s with senders of that account alone, and this is none: it is asked to sign in", n.Name, n.Account)
	default:
		k.say(StageSignIn, "%s, by the network %s, while it is proven that client addresses arrive as they are", n.Account, n.Name)
		k.account, k.facts.Auth, k.facts.Peer, k.facts.Standing = n.Account, gate.AuthNetworkAccount, gate.PeerProvenNetwork, gate.StandingActive
	}
	k.steps[len(k.steps)-1].At = at
}

// active reports whether an account may act.
func (k *walker) active(account mail.Address) bool {
	s, _ := k.w.Standing(account)
	return s == gate.StandingActive
}

// signIn: who may not act is refused like who gave a wrong password, and goes on as nobody.
func (k *walker) signIn() {
	a := k.q.Account
	switch {
	case a.IsZero() && k.q.Door == gate.DoorSendmail:
		k.say(StageSignIn, "nobody: a user of this host without an account is turned away at once (554 5.7.1)")
		return
	case a.IsZero():
		k.say(StageSignIn, "nobody")
		return
	case k.q.Door == gate.DoorMX:
		k.say(StageSignIn, "nobody: AUTH is not offered at this door, so that %s cannot sign in", a)
		return
	}
	entry := directory.Subject{Kind: directory.KindAccount, Name: a.String()}
	standing, why := k.w.Standing(a)
	byPassword := "it is answered like a wrong password (535 5.7.8)"
	if k.q.Door == gate.DoorSendmail {
		byPassword = "no password is asked for"
	}
	barred := ""
	if k.q.Door != gate.DoorSendmail {
		barred = k.w.Barred(a, k.q.Auth)
	}
	switch {
	case standing == gate.StandingActive && barred != "":
		k.about(StageSignIn, entry, "%s %s: %s, and the session goes on as nobody's", a, barred, byPassword)
	case standing == gate.StandingActive:
		k.about(StageSignIn, entry, "%s, by %s", a, k.auth())
		k.account, k.facts.Auth, k.facts.Standing = a, k.auth(), standing
	case standing == gate.StandingFrozen:
		k.about(StageSignIn, entry, "%s %s: %s, and what follows is what a session meets that was open before", a, why, byPassword)
		k.account, k.facts.Auth, k.facts.Standing = a, k.auth(), standing
	case k.q.Door == gate.DoorSendmail:
		k.say(StageSignIn, "%s is no account: a user of this host who is to send as it is turned away at once (554 5.7.1)", a)
	default:
		k.say(StageSignIn, "%s is no account: %s, and the session goes on as nobody's", a, byPassword)
	}
}

func (k *walker) auth() gate.Auth {
	if k.q.Door == gate.DoorSendmail {
		return gate.AuthLocalUID
	}
	return k.q.Auth
}

func (k *walker) sender() gate.Verdict {
	k.facts.Ownership = k.w.Snapshot.Ownership(k.account, k.q.From)
	a, named := k.q.From.Address()
	reason, owned := k.w.Snapshot.Owner(k.account).Reason(a)
	switch {
	case !named:
		k.say(StageSender, "the null sender, of bounces and receipts")
	case k.facts.Ownership == gate.OwnershipForeign:
		k.say(StageSender, "%s is of no domain of ours", a)
	case owned:
		k.about(StageSender, reason, "%s is the account's to use: %s %s", a, reason.Kind, reason.Name)
	case k.account.IsZero():
		k.say(StageSender, "%s is of a domain of ours, and nobody signed in for it", a)
	default:
		k.say(StageSender, "%s is of a domain of ours, and not %s's to use", a, k.account)
	}
	v := gate.DecideMail(k.facts)
	k.verdict(StageSender, v)
	if handedIn := k.q.Door == gate.DoorSubmission || k.q.Door == gate.DoorSendmail; !k.w.BindingReports || !handedIn || !k.account.IsASCII() || v.Rule != gate.RuleSenderNotOwned || k.facts.Ownership != gate.OwnershipOurs {
		return v
	}
	// What is taken leaves with the account's own address, on the account's own right.
	k.say(StageSender, "sender binding only reports for now: it is noted, and taken with %s as its sender", k.account)
	k.q.From = mail.PathOf(k.account)
	k.facts.Ownership = k.w.Snapshot.Ownership(k.account, k.q.From)
	v = gate.DecideMail(k.facts)
	k.verdict(StageSender, v)
	return v
}

func (k *walker) recipient() gate.Verdict {
	class, to := k.class()
	if len(class.Ask) > 0 {
		k.say(StageRecipient, "the server behind us is asked whether %s exists; where it says yes:", placesOf(class.Ask))
		class = class.Resolve(func(directory.Mailbox) directory.Answer { return directory.AnswerYes })
	}
	k.facts.Destination = class.Destination
	v := gate.Decide(k.facts, gate.Subject{Transaction: imagined(), Account: k.account, Sender: k.q.From, Recipient: to})
	k.verdict(StageRecipient, v)
	switch v.Action {
	case gate.AcceptLocal:
		k.delivery(class)
	case gate.Relay:
		k.transport()
	}
	return v
}

// class is what the recipient is, and for whom it stands: what its form says goes before what the
// directory says.
func (k *walker) class() (directory.Class, mail.Address) {
	to := k.q.To
	form := k.w.Form(to, k.q.Door == gate.DoorMX && k.facts.Ownership == gate.OwnershipNull)
	if form.Says != "" {
		k.say(StageRecipient, "%s: %s", to, form.Says)
	}
	if !form.Stands.IsZero() {
		to = form.Stands
	}
	if form.Class.Destination != gate.DestinationUnknown {
		return form.Class, to
	}
	class, way := k.w.Snapshot.Explain(k.account, to)
	if len(way) == 0 {
		k.say(StageRecipient, "%s: %s", to, classWords(class.Rule))
	}
	for _, s := range way {
		k.about(StageRecipient, s.Entry, "%s%s", strings.Repeat("  ", s.Depth), stepWords(s))
	}
	return class, to
}

// imagined is a queue id: a grant needs one, and no decision depends on which.
func imagined() mail.ID {
	id, err := mail.ParseID(strings.Repeat("0", mail.IDLength-1) + "1")
	if err != nil {
		return mail.ID{}
	}
	return id
}

func (k *walker) delivery(c directory.Class) {
	for _, m := range c.Mailboxes {
		if !m.Behind.IsZero() {
			d, _ := k.w.Snapshot.Domain(m.Behind.Domain())
			k.about(StageDelivery, d.Subject(), "to %s at the server behind us, %s", m.Behind, d.Server)
			continue
		}
		k.say(StageDelivery, "into the mailbox of %s", m.Account)
		if f, ok := k.w.Snapshot.Forwards(m.Account); ok && c.Destination != gate.DestinationForwardReturn {
			k.about(StageDelivery, f.Subject(), "and on to %s by the forward of %s, which answers for it%s", addresses(f.Targets), m.Account, k.waits(m.Account))
		}
	}
	for _, a := range c.Missing {
		k.say(StageDelivery, "nobody gets what an alias leads to %s: there is no such mailbox", a)
	}
}

func (k *walker) waits(account mail.Address) string {
	if k.active(account) {
		return ""
	}
	return ": it waits while the account may not send"
}

func (k *walker) transport() {
	d := k.q.To.Domain()
	r, ok := k.w.Snapshot.Route(d)
	if !ok {
		k.say(StageDelivery, "%s", k.w.Transport)
		return
	}
	name := r.Domain.String()
	if r.Domain.IsZero() {
		name = "*"
	}
	k.about(StageDelivery, directory.Subject{Kind: directory.KindRoute, Name: name}, "to %s port %d by the route of %s", r.Host, r.Port, name)
}

func (k *walker) answer(v gate.Verdict) Answer {
	k.say(StageNotWalked, "%s", notWalked(k.q, v))
	return Answer{Steps: k.steps, Action: v.Action.String(), Rule: v.Rule, Reply: v.Reply.String(), Remedy: k.remedy(v.Rule)}
}

func notWalked(q Question, v gate.Verdict) string {
	switch {
	case v.Action != gate.AcceptLocal && v.Action != gate.Relay:
		return "what the moment adds could only refuse as well: limits, guesses, room on the disk"
	case q.Door == gate.DoorMX:
		who := "ADDRESS"
		if q.Client.IsValid() {
			who = q.Client.String()
		}
		return "who is kept out on port 25, by your list and those of others, of which `sallyport screen test " + who +
			"` tells (with --hello, --from and --to); what depends on the moment (limits, room on the disk) and on the message (SPF, DKIM, DMARC, filters, sizes), which can still refuse"
	}
	return "what depends on the moment (limits and budgets, guesses, containment, room on the disk) and on the message (the authors in its header must be the account's too; filters, sizes), which can still refuse"
}
