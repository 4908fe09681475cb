package incident

import (
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
)

// Story is what the trace tells of an account since a moment: what a person asks who
// wants to know whether somebody else uses it.
type Story struct {
	Account string    `json:"account"` // as it is called now
	Since   time.Time `json:"since"`
	// Accepted are messages, Recipients those that they name; Left are those whom another
	// server or a mailbox has taken it for, the latest first.
	Accepted   int       `json:"accepted"`
	Recipients int       `json:"recipients"`
	Refused    int       `json:"refused"` // commands, senders and recipients
	Left       []Leaving `json:"left,omitempty"`
	MoreLeft   int       `json:"more_left,omitempty"` // that do not stand in Left
	// Reports are recipients of reports that the server wrote in the account's name, who did not
	// get them. They are no evidence.
	Reports int       `json:"reports_failed,omitempty"`
	SignIns []SignIns `json:"sign_ins,omitempty"`
	// Bad are all sign-ins that were refused: those of somebody who had no password, and
	// those of the account that it may not have.
	Bad     BadSignIns `json:"bad_sign_ins,omitzero"`
	Changes []Change   `json:"changes,omitempty"` // of the account, its forward, its rights
	// Cut: the trace has more than was read, or than was kept.
	Cut bool `json:"cut,omitempty"`
}

// Leaving is one recipient who has a message.
type Leaving struct {
	Queue     mail.ID   `json:"queue"`
	Recipient string    `json:"recipient"`
	At        time.Time `json:"at"`
	Remote    string    `json:"remote"`
}

// SignIns are those from one address with one program; or from one network, where the
// trace summed up what strangers did.
type SignIns struct {
	Peer    netip.Addr   `json:"peer,omitzero"`
	Network netip.Prefix `json:"network,omitzero"` // in place of Peer
	Door    string       `json:"door"`
	Program string       `json:"program,omitempty"`
	Good    int          `json:"good"`
	Bad     int          `json:"bad"`
	First   time.Time    `json:"first"`
	Last    time.Time    `json:"last"`
}

// From says whence they came, within a sentence.
func (s SignIns) From() string {
	switch {
	case s.Peer.IsValid():
		return s.Peer.String()
	case s.Network.IsValid():
		return s.Network.String()
	}
	return "unknown networks" // the trace sums up without them where they are too many
}

// BadSignIns are sign-ins that were refused, by network, the latest first.
type BadSignIns struct {
	Count int       `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	From  []BadFrom `json:"from,omitempty"`
	More  int       `json:"more,omitempty"` // of networks that do not stand in From, or are unknown
}

// BadFrom are those from one network.
type BadFrom struct {
	Network netip.Prefix `json:"network"`
	Count   int          `json:"count"`
}

// Change is one change of what the account is or may.
type Change struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	To   []string  `json:"to,omitempty"` // where an alias, forward or contact leads to since
	By   string    `json:"by,omitempty"`
}

// Bounds of what one story holds.
const (
	maxLeft    = 1000 // messages that left, of one story; more are counted
	maxSignIns = 200  // sign-ins of one story, and as many networks from which one was tried in vain
	maxChanges = 200  // changes of the account that one story tells
)

// Name is an address that an account had from one moment until before another; a zero To is that
// it still has it.
type Name struct {
	Account  mail.Address
	From, To time.Time
}

// Has reports whether a fact is of who was called so then. Whoever had the address before or
// has it since is somebody else.
func (n Name) Has(f fact.Fact) bool {
	return f.Account == n.Account.String() && !f.At.Before(n.From) && (n.To.IsZero() || f.At.Before(n.To))
}

// Tell makes the story of an account, under all names that it had, the present one last, out of
// facts in any order; those of others, and what is older than since, are passed over.
func Tell(names []Name, since time.Time, facts []fact.Fact) Story {
	s := Story{Since: since}
	if len(names) > 0 {
		s.Account = names[len(names)-1].Account.String()
	}
	sorted := slices.Clone(facts)
	slices.SortStableFunc(sorted, func(a, b fact.Fact) int { return b.At.Compare(a.At) }) // the latest first
	for _, f := range sorted {
		if !f.At.Before(since) && slices.ContainsFunc(names, func(n Name) bool { return n.Has(f) }) {
			s.add(f)
		}
	}
	return s
}

func (s *Story) add(f fact.Fact) {
	switch f.Kind {
	case fact.KindAccept:
		s.Accepted++
		s.Recipients += len(f.Recipients) + f.Cut
	case fact.KindRefuse:
		s.Refused += max(f.Count, 1)
	case fact.KindOutcome:
		if f.Reply.OK() {
			s.left(f)
		}
		if f.Rule == fact.RuleReportFailed {
			s.Reports += len(f.Recipients)
		}
	case fact.KindAuth:
		s.signIn(f)
	case fact.KindAccount, fact.KindDirectory, fact.KindIncident:
		by, _ := f.Find("by uid")
		if len(s.Changes) < maxChanges {
			s.Changes = append(s.Changes, Change{f.At, f.Text, f.Recipients, by})
		}
	}
}

func (s *Story) left(f fact.Fact) {
	all := f.Recipients
	if f.Recipient != "" {
		all = append(slices.Clone(all), f.Recipient)
	}
	for _, r := range all {
		if len(s.Left) == maxLeft {
			s.MoreLeft++
			continue
		}
		s.Left = append(s.Left, Leaving{f.Queue, r, f.At, f.Remote})
	}
}

func (s *Story) signIn(f fact.Fact) {
	count, last := max(f.Count, 1), f.At
	if f.Summed() {
		last = f.Until
	}
	if !f.Reply.OK() {
		s.Bad.add(f, count, last)
	}
	at := slices.IndexFunc(s.SignIns, func(o SignIns) bool {
		return o.Peer == f.Peer && o.Network == f.Network && o.Door == f.Door && o.Program == f.Hello
	})
	if at < 0 {
		if len(s.SignIns) == maxSignIns {
			s.Cut = true
			return
		}
		at = len(s.SignIns)
		s.SignIns = append(s.SignIns, SignIns{Peer: f.Peer, Network: f.Network, Door: f.Door, Program: f.Hello})
	}
	o := &s.SignIns[at]
	o.First, o.Last = f.At, later(o.Last, last)
	if f.Reply.OK() {
		o.Good += count
	} else {
		o.Bad += count
	}
}

// add counts what one fact tells of.
func (b *BadSignIns) add(f fact.Fact, count int, last time.Time) {
	b.Count += count
	b.First, b.Last = f.At, later(b.Last, last)
	n := f.Network
	if f.Peer.IsValid() {
		n = screen.Network(f.Peer)
	}
	at := slices.IndexFunc(b.From, func(o BadFrom) bool { return o.Network == n })
	switch {
	case at >= 0:
		b.From[at].Count += count
	case !n.IsValid() || len(b.From) == maxSignIns:
		b.More += count
	default:
		b.From = append(b.From, BadFrom{n, count})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
