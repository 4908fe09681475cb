package dispatch

import (
	"net"
	"strconv"

	"sallyport/internal/deliver"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// destKey names a destination: what shares a queue, workers and a fate.
type destKey string

const localKey destKey = "mailbox"

// group is what one message has for one destination.
type group struct {
	key    destKey
	target deliver.Target
	index  []int // places in the claim's pending recipients
	to     []deliver.Recipient
}

// plan is what to do with a claimed message: groups to deliver, outcomes already
// known, or a reason to hold it.
type plan struct {
	groups   []group
	outcomes []mail.Outcome // one per pending recipient; filled where known
	known    []bool
	hold     string
}

// planner holds the values that a plan depends on.
type planner struct {
	dir    *directory.Snapshot
	active func(mail.Address) bool
	local  deliver.Target
	route  func(directory.Route) deliver.Target
}

// plan groups the pending recipients. A message whose account may not send is held
// whole: nothing of it leaves until a person has looked.
func (p planner) plan(e spool.Entry, pending []spool.RecipientState) plan {
	out := plan{outcomes: make([]mail.Outcome, len(pending)), known: make([]bool, len(pending))}
	if !e.Account.IsZero() && !p.active(e.Account) {
		out.hold = "the account " + e.Account.String() + " may not send"
		return out
	}
	at := map[destKey]int{}
	for i, r := range pending {
		g, reply := p.destination(r)
		if !reply.IsZero() {
			out.outcomes[i] = mail.Outcome{Recipient: r.Recipient.Address, Reply: reply, Remote: "sallyport"}
			out.known[i] = true
			continue
		}
		if g.target == nil {
			out.hold = "nothing says how " + r.Recipient.Address.String() + " is reached"
			return out
		}
		n, ok := at[g.key]
		if !ok {
			n = len(out.groups)
			at[g.key] = n
			out.groups = append(out.groups, g)
		}
		out.groups[n].index = append(out.groups[n].index, i)
		out.groups[n].to = append(out.groups[n].to, deliver.Recipient{Recipient: r.Recipient, Mailbox: r.Mailbox, Detail: r.Detail})
	}
	return out
}

// destination finds where one recipient goes. No target and no reply means that
// the message must be held.
func (p planner) destination(r spool.RecipientState) (group, mail.Reply) {
	switch r.Kind {
	case spool.KindLocal:
		return group{key: localKey, target: p.local}, mail.Reply{}
	case spool.KindOutbound:
		// Put and Claim verified that the Grant covers this recipient; a claim is
		// the only way to be here.
		route, ok := p.dir.Route(r.Recipient.Address.Domain())
		if !ok {
			return group{}, mail.R(451, "4.4.4", "no route leads to "+r.Recipient.Address.Domain().ASCII())
		}
		return group{key: routeKey(route), target: p.route(route)}, mail.Reply{}
	}
	return group{}, mail.Reply{}
}

// routeKey names a next hop: what shares connections and a fate.
func routeKey(r directory.Route) destKey {
	return destKey(net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))) + " " + strconv.Itoa(int(r.TLS)) + " " + r.User)
}
