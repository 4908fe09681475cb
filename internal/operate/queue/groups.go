package queue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
)

// MaxGroups is how many groups one summary of the queue tells apart; what is in further
// ones is summed up in one without a name.
const MaxGroups = 10_000

// QueueSummary asks what waits, summed up.
type QueueSummary struct {
	Select
	By string `json:"by"` // ByDestination or ByAccount
}

// What a summary tells apart.
const (
	ByDestination = "destination" // the domain of a recipient
	ByAccount     = "account"     // who answers for the message
)

// GroupStrangers is what no account answers for: strangers' mail, and our own
// notifications.
const GroupStrangers = "nobody here"

// QueueGroup is what waits for one destination, or of one account. A message for several
// destinations counts at each of them.
type QueueGroup struct {
	Name       string    `json:"name"` // "" for what is beyond MaxGroups
	Messages   int       `json:"messages"`
	Held       int       `json:"held"`       // of Messages
	Recipients int       `json:"recipients"` // who do not have it and may still get it
	Octets     int64     `json:"octets"`
	Oldest     time.Time `json:"oldest"`           // received
	Reason     string    `json:"reason,omitempty"` // why the newest that says so waits
}

// QueueSummary calls fn for each group, the largest first.
func (op *Actions) QueueSummary(ctx context.Context, _ call.Caller, r QueueSummary, fn func(QueueGroup) error) error {
	f, err := op.filter(r.Select)
	switch {
	case err != nil:
		return err
	case r.By != ByDestination && r.By != ByAccount:
		return call.Refused("the queue is summed up by " + ByDestination + " or by " + ByAccount)
	}
	groups := map[string]*QueueGroup{}
	err = op.o.Queue.List(ctx, f, func(e spool.Entry) (bool, error) {
		for name, n := range waitingBy(e, r.By) {
			op.addTo(groups, name, n, e)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	all := make([]QueueGroup, 0, len(groups))
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b QueueGroup) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(b.Recipients, a.Recipients), cmp.Compare(a.Name, b.Name))
	})
	for _, g := range all {
		if err := fn(g); err != nil {
			return err
		}
	}
	return nil
}

// waitingBy counts the recipients who still wait, by group.
func waitingBy(e spool.Entry, by string) map[string]int {
	out := map[string]int{}
	for _, r := range e.Recipients {
		if r.State != spool.StatePending && r.State != spool.StateUntold {
			continue
		}
		switch {
		case by == ByAccount && e.Account.IsZero():
			out[GroupStrangers]++
		case by == ByAccount:
			out[e.Account.String()]++
		default:
			out[destinationOf(r.Recipient.Address)]++
		}
	}
	return out
}

// destinationOf returns the domain of an address, or its literal.
func destinationOf(a mail.Address) string {
	if d := a.Domain(); !d.IsZero() {
		return d.String()
	}
	text := a.String()
	return text[strings.LastIndexByte(text, '@')+1:]
}

func (op *Actions) addTo(groups map[string]*QueueGroup, name string, recipients int, e spool.Entry) {
	g := groups[name]
	if g == nil && len(groups) >= MaxGroups {
		name = ""
		g = groups[name]
	}
	if g == nil {
		g = &QueueGroup{Name: name, Oldest: e.Received}
		groups[name] = g
	}
	m := op.Message(e)
	g.Messages++
	g.Recipients += recipients
	g.Octets += e.Size
	if m.State != StateWaiting {
		g.Held++
	}
	if e.Received.Before(g.Oldest) {
		g.Oldest = e.Received
	}
	// The listing goes from the oldest to the newest.
	if why := m.Why(); why != "" {
		g.Reason = why
	}
}

// QueueSummary calls Actions.QueueSummary.
func (c Client) QueueSummary(ctx context.Context, r QueueSummary, fn func(QueueGroup) error) error {
	return call.Stream(ctx, c.Client, "queue.summary", r, fn)
}
