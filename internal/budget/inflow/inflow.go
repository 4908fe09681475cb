// Package inflow limits how much mail one network may send and one mailbox may receive: messages
// and octets within an hour, connections and recipients within a minute. It promises that
//
//   - what one party brings is bounded for each mailbox, so that a mailbox that somebody
//     floods goes on taking the mail of others;
//   - what is on its way counts as it comes, so that parallel sessions get no more together
//     than one would, and what is given up again was never counted; a message counts as one when
//     it is complete, so that whoever begins many and ends none keeps nobody out;
//   - an account that is renamed has what it took, and what it brought, under its new address;
//   - messages and octets that were let through stay counted over a restart (what would fill
//     again within a minute is not written, and an abrupt end may lose as much);
//   - its memory is bounded, and who finds no free line shares one with others: want of
//     memory lets nobody through;
//   - zero Limits let nothing through.
//
// In the store it has the keys that begin with "inflow/".
package inflow

import (
	"fmt"
	"net/netip"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Limits are what is let through, and what is remembered.
type Limits struct {
	Connections     int   // that one network may open within a minute
	Recipients      int   // that one network may name within a minute
	NetworkMessages int   // that one network may bring within an hour, one for each mailbox
	NetworkOctets   int64 // of them, each message counted for each mailbox
	ShareMessages   int   // that one network may put into one mailbox within an hour
	ShareOctets     int64 // of them; and of what one account puts into one mailbox
	MailboxMessages int   // that one mailbox takes within an hour
	MailboxOctets   int64 // of them
	Replies         int   // without a sender (bounces, automatic replies) that one mailbox takes within an hour
	Lines           int   // networks, mailboxes and pairs of both that are remembered, of each; the rest shares one line
}

// DefaultLimits returns the limits where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{
		Connections: 1200, Recipients: 6000,
		NetworkMessages: 20_000, NetworkOctets: 20 << 30,
		ShareMessages: 1200, ShareOctets: 512 << 20,
		MailboxMessages: 3600, MailboxOctets: 2 << 30,
		Replies: 600,
		Lines:   200_000,
	}
}

// Rule names what decided. The zero Rule is none.
type Rule string

const (
	RuleConnections     Rule = "network-connections"
	RuleRecipients      Rule = "network-recipients"
	RuleNetworkMessages Rule = "network-messages"
	RuleNetworkOctets   Rule = "network-octets"
	RuleShareMessages   Rule = "share-messages"
	RuleShareOctets     Rule = "share-octets"
	RuleMailboxMessages Rule = "mailbox-messages"
	RuleMailboxOctets   Rule = "mailbox-octets"
	RuleReplies         Rule = "mailbox-replies"

	// Those of what mailboxes hold, which a Room decides by.
	RuleQuota       Rule = "mailbox-quota"
	RuleDomainQuota Rule = "domain-quota"
	RuleUncounted   Rule = "mailbox-uncounted" // it is not known now how full it is
)

// Rules returns every Rule, in the order in which they are told.
func Rules() []Rule {
	return []Rule{
		RuleConnections, RuleRecipients, RuleNetworkMessages, RuleNetworkOctets, RuleShareMessages,
		RuleShareOctets, RuleMailboxMessages, RuleMailboxOctets, RuleReplies,
	}
}

// unit is what octets are counted in.
const unit = 1 << 10

// units returns octets in units, rounded up.
func units(octets int64) int { return int((max(octets, 0) + unit - 1) / unit) }

// bound is one rule in figures.
type bound struct {
	most   int // messages, recipients, connections, or units
	span   time.Duration
	octets bool
}

// bound returns what a rule allows; the zero bound for no rule.
func (l Limits) bound(r Rule) bound {
	switch r {
	case RuleConnections:
		return bound{l.Connections, time.Minute, false}
	case RuleRecipients:
		return bound{l.Recipients, time.Minute, false}
	case RuleNetworkMessages:
		return bound{l.NetworkMessages, time.Hour, false}
	case RuleNetworkOctets:
		return bound{int(l.NetworkOctets / unit), time.Hour, true}
	case RuleShareMessages:
		return bound{l.ShareMessages, time.Hour, false}
	case RuleShareOctets:
		return bound{int(l.ShareOctets / unit), time.Hour, true}
	case RuleMailboxMessages:
		return bound{l.MailboxMessages, time.Hour, false}
	case RuleMailboxOctets:
		return bound{int(l.MailboxOctets / unit), time.Hour, true}
	case RuleReplies:
		return bound{l.Replies, time.Hour, false}
	}
	return bound{}
}

// rate is the bound as a bucket has it: half of it at once, the rest evenly.
func (b bound) rate() screen.Rate { return screen.AtMost(b.most, b.span) }

// words say the bound: "512 MiB within an hour".
func (b bound) words(what string) string {
	amount := fmt.Sprint(b.most, " ", what)
	if b.octets {
		amount = sized(b.most)
	}
	if b.span == time.Minute {
		return amount + " within a minute"
	}
	return amount + " within an hour"
}

// sized writes units for people.
func sized(n int) string {
	for _, s := range []struct {
		size int
		name string
	}{{1 << 20, "GiB"}, {1 << 10, "MiB"}} {
		if n >= s.size && n%s.size == 0 {
			return fmt.Sprint(n/s.size, " ", s.name)
		}
	}
	return fmt.Sprint(n, " KiB")
}

// what a rule counts, in a word; octets are said by their size.
func (r Rule) what() string {
	switch r {
	case RuleConnections:
		return "connections"
	case RuleRecipients:
		return "recipients"
	case RuleReplies:
		return "messages without a sender"
	}
	return "messages"
}

// Verdict is the answer about something more. The zero Verdict refuses.
type Verdict struct {
	OK    bool
	Rule  Rule
	About string        // whose bound it is: "network 192.0.2.0/24"
	Bound string        // "1200 messages within an hour"
	Wait  time.Duration // until it may be let through; screen.Forever: it is more than ever is
	// Of a quota: Lasting says that it has been used up for long, and Found what there is.
	Lasting bool
	Found   string
}

// Words say what was found, for the trace.
func (v Verdict) Words() string {
	if v.Found != "" {
		return v.Found
	}
	return v.About + " may have " + v.Bound
}

// Reply answers what was refused. It names the rule and says when to come again: 452, which
// programs try again on, or 552 for a message that is larger than is ever taken at once.
// RFC 5321 §4.2.3, RFC 3463 §3.3
func (v Verdict) Reply() mail.Reply {
	text := v.About + " has reached " + v.Bound
	if v.Rule == "" {
		return mail.R(451, "4.7.1", "no more mail is taken now; try again later")
	}
	if v.Rule.isQuota() {
		return v.ofQuota()
	}
	if v.Wait == screen.Forever {
		return mail.R(552, v.status("5.3.4", "5.2.3"),
			"the message is larger than "+v.About+" may have at once, of "+v.Bound+" ("+string(v.Rule)+")")
	}
	text += " (" + string(v.Rule) + "); try again in " + waiting(v.Wait)
	switch v.Rule {
	case RuleConnections:
		return mail.R(421, "4.7.1", text)
	case RuleRecipients:
		return mail.R(450, "4.7.1", text)
	}
	return mail.R(452, v.status("4.7.1", "4.2.2"), text)
}

// ofQuota answers who writes to a mailbox that holds as much as it may. How much that is, is for
// its owner to know. RFC 3463 §3.3: a full mailbox is emptied by its owner, so that one comes
// again, at first.
func (v Verdict) ofQuota() mail.Reply {
	rule := " (" + string(v.Rule) + ")"
	switch {
	case v.Rule == RuleUncounted:
		return mail.R(451, "4.3.0", "it is not known now how full this mailbox is"+rule+"; try again later")
	case v.Wait == screen.Forever:
		return mail.R(552, "5.2.3", "the message is larger than "+v.About+" may hold"+rule)
	}
	text := v.About + " is full" + rule
	if v.Rule == RuleDomainQuota {
		text = v.About + " are full" + rule
	}
	if v.Lasting {
		return mail.R(552, "5.2.2", text+", and has been for days; reach its owner in another way")
	}
	return mail.R(452, "4.2.2", text+"; try again later")
}

// status tells what is a network's fault from what a mailbox has no room for.
func (v Verdict) status(network, mailbox string) string {
	switch v.Rule {
	case RuleMailboxMessages, RuleMailboxOctets, RuleReplies, RuleShareOctets:
		return mailbox
	}
	return network
}

// waiting says a wait to somebody who comes again, rounded up.
func waiting(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprint(max(int((d+time.Second-1)/time.Second), 1), " seconds")
	}
	return fmt.Sprint(int((d+time.Minute-1)/time.Minute), " minutes")
}

// Source is who brings a message. The zero Source has no bound of its own: a program on this
// host, which may speak for anybody.
type Source struct {
	name    string
	network bool
}

// Stranger returns the source of a client that has not signed in.
func Stranger(a netip.Addr) Source {
	if a = a.Unmap(); !a.IsValid() || a.IsLoopback() {
		return Source{}
	}
	return Source{screen.Network(a).String(), true}
}

// Account returns the source of somebody who has: how many messages it sends its own budget
// bounds, and how much of it goes into one mailbox is bounded here.
func Account(a mail.Address) Source { return Source{name: a.Key()} }

// String names the source for people.
func (s Source) String() string {
	if s.network {
		return "network " + s.name
	}
	return "account " + s.name
}
