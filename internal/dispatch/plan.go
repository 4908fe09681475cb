package dispatch

import (
	"net"
	"strconv"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
	"sallyport/internal/spool"
)

// destKey names a destination: what shares a queue, workers and a fate.
type destKey string

const localKey destKey = "mailbox"

// ourName is who answered, in outcomes that dispatch itself makes.
const ourName = "sallyport"

// forwardName is who answered, where a forward stands for a delivery.
const forwardName = "forward"

// group is what one message has for one destination.
type group struct {
	key    destKey
	target nexthop.Target
	index  []int // places in the claim's pending recipients
	to     []nexthop.Recipient
}

// plan is what to do with a claimed message: groups to deliver, outcomes already
// known, or a reason to hold it.
type plan struct {
	groups   []group
	outcomes []mail.Outcome // one per pending recipient
	spoken   []bool         // whose outcome is known; all others stay pending
	hold     string
	forwards map[int]sendOn // how the deliveries to accounts that forward are carried on, by place
	more     bool           // some of them wait for the next attempt
}

// planner holds the values that a plan depends on.
type planner struct {
	dir   *directory.Snapshot
	local nexthop.Target
	route func(directory.Route) nexthop.Target
	world func(mail.Address) (nexthop.Target, bool)
	// behind returns the way to a server behind us.
	behind func(directory.Server) nexthop.Target
	// forwards are the deliveries to accounts that forward, of which so many leave in
	// one attempt.
	forwards map[int]sendOn
	most     int
	// had are the mailboxes, by key, that got their copy in an earlier attempt.
	had map[string]bool
	// low: the disk has no room for what would be sent on.
	low bool
	// waits are the recipients that are not to be tried yet.
	waits map[int]bool
}

// diskLow is the answer for mail that is not sent on for want of room.
func diskLow() mail.Reply { return mail.R(452, "4.3.1", "the disk of this server is nearly full") }

// plan groups the pending recipients.
func (p planner) plan(pending []spool.RecipientState) plan {
	out := plan{outcomes: make([]mail.Outcome, len(pending)), spoken: make([]bool, len(pending)), forwards: p.forwards}
	at := map[destKey]int{}
	leaving := map[string]bool{} // accounts
	for i, r := range pending {
		if p.waits[i] {
			continue
		}
		s := p.forwards[i]
		if s.leaves() && p.low {
			out.outcomes[i] = mail.Outcome{Recipient: r.Recipient.Address, Reply: diskLow(), Remote: ourName}
			out.spoken[i] = true
			continue
		}
		if key := s.account.Key(); s.leaves() && !leaving[key] {
			if len(leaving) == p.most {
				out.more = true
				continue
			}
			leaving[key] = true
		}
		if reply := s.instead(); !reply.IsZero() {
			out.outcomes[i] = mail.Outcome{Recipient: r.Recipient.Address, Reply: reply, Remote: forwardName}
			out.spoken[i] = true
			continue
		}
		g, reply := p.destination(r)
		if !reply.IsZero() {
			out.outcomes[i] = mail.Outcome{Recipient: r.Recipient.Address, Reply: reply, Remote: ourName}
			out.spoken[i] = true
			continue
		}
		if g.key == localKey && p.had[r.Mailbox.Key()] {
			out.outcomes[i] = mail.Outcome{Recipient: r.Recipient.Address, Reply: mail.R(250, "2.0.0", "the mailbox has it already"), Remote: ourName}
			out.spoken[i] = true
			continue
		}
		if g.target == nil {
			return plan{hold: unreachable(r)}
		}
		n, ok := at[g.key]
		if !ok {
			n = len(out.groups)
			at[g.key] = n
			out.groups = append(out.groups, g)
		}
		out.groups[n].index = append(out.groups[n].index, i)
		out.groups[n].to = append(out.groups[n].to, nexthop.Recipient{Recipient: r.Recipient, Mailbox: r.Mailbox, Detail: r.Detail})
	}
	return out
}

// unreachable says why a message is held that can go nowhere.
func unreachable(r spool.RecipientState) string {
	if r.Kind == spool.KindLocal {
		return "its domain " + host(r.Mailbox) + " is not configured any more"
	}
	return "nothing says how " + r.Recipient.Address.String() + " is reached"
}

// destination finds where one recipient goes. No target and no reply means that
// the message must be held.
func (p planner) destination(r spool.RecipientState) (group, mail.Reply) {
	switch r.Kind {
	case spool.KindLocal:
		return p.inside(r.Mailbox), mail.Reply{}
	case spool.KindOutbound:
		// Put and Claim verified that the Grant covers this recipient; a claim is
		// the only way to be here.
		a := r.Recipient.Address
		if route, ok := p.dir.Route(a.Domain()); ok {
			return group{key: routeKey(route), target: p.route(route)}, mail.Reply{}
		}
		if target, ok := p.outside(a); ok {
			return group{key: destKey("mx " + host(a)), target: target}, mail.Reply{}
		}
		return group{}, mail.R(451, "4.4.4", "no route leads to "+host(a))
	}
	return group{}, mail.Reply{}
}

// inside finds where mail for a recipient of ours goes: into its mailbox, or to the
// server behind us that has its domain now. A domain that is not ours any more has
// neither: a server behind us is only dialled as it is configured.
func (p planner) inside(mailbox mail.Address) group {
	d, ours := p.dir.Domain(mailbox.Domain())
	switch {
	case ours && d.Deliver.Behind() && p.behind != nil:
		return group{key: behindKey(d.Server), target: p.behind(d.Server)}
	case ours && d.Deliver == directory.DeliverMaildir, !ours && mailbox.Domain() == p.dir.Hostname():
		return group{key: localKey, target: p.local}
	}
	return group{}
}

// behindKey names a server behind us: what shares connections and a fate.
func behindKey(h directory.Server) destKey {
	return destKey("behind " + strconv.FormatBool(h.LMTP) + " " + h.String() + " " + strconv.Itoa(int(h.TLS)) + " " + strconv.Quote(h.CA))
}

// outside finds where mail goes that no route leads to. A domain that has become
// ours since the message was accepted is not outside: the message waits.
func (p planner) outside(a mail.Address) (nexthop.Target, bool) {
	if p.world == nil || p.dir.IsOurs(a.Domain()) {
		return nil, false
	}
	return p.world(a)
}

func host(a mail.Address) string {
	if ip, literal := a.Literal(); literal {
		return mail.FormatLiteral(ip)
	}
	return a.Domain().ASCII()
}

// routeKey names a next hop: what shares connections and a fate.
func routeKey(r directory.Route) destKey {
	return destKey(net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))) +
		" " + strconv.Itoa(int(r.TLS)) + " " + strconv.Quote(r.User) + strconv.Quote(r.PasswordFile) + strconv.Quote(r.CA))
}
