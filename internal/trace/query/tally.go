package query

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace/index"
)

// Bounds of a Tally.
const (
	// MaxTallied is how many accounts a Tally tells apart; what is of further ones is
	// counted as Beyond.
	MaxTallied = 10_000
	// MaxTalliedNetworks is how many networks of an account it names; further ones count.
	MaxTalliedNetworks = 32
)

// TalliedKinds are the kinds of facts that a Tally counts.
func TalliedKinds() []fact.Kind {
	return []fact.Kind{fact.KindAuth, fact.KindAccept, fact.KindForward, fact.KindRefuse, fact.KindOutcome}
}

// Tallied is what one account did, as far as facts tell. Networks are /24 and /64.
type Tallied struct {
	Account    string `json:"account"`
	Messages   int    `json:"messages"`   // that were accepted from it
	Recipients int    `json:"recipients"` // of those
	Forwarded  int    `json:"forwarded"`  // recipients to whom its mail was sent on
	Refused    int    `json:"refused"`    // how often we refused what it asked for
	Failed     int    `json:"failed"`     // recipients whom other servers refused for good
	// Reports is how many recipients of reports that the server wrote in its name did not get them.
	Reports    int              `json:"reports_failed,omitempty"`
	SignIns    int              `json:"sign_ins"`
	SignInsBad int              `json:"sign_ins_failed"`
	First      time.Time        `json:"first"`
	Last       time.Time        `json:"last"`
	Networks   []TalliedNetwork `json:"networks,omitempty"` // whence it signed in, the busiest first
	// Beyond is how many sign-ins came from networks that are not named.
	Beyond int `json:"networks_beyond,omitempty"`
}

// TalliedNetwork is a network from which an account signed in.
type TalliedNetwork struct {
	Network netip.Prefix `json:"network"`
	SignIns int          `json:"sign_ins"`
}

// Tally sums up facts by account. Make it with NewTally; the facts of one message follow
// each other, in either direction of time.
type Tally struct {
	by     map[string]*tallied
	Beyond int // facts of accounts beyond MaxTallied
}

type tallied struct {
	Tallied
	networks map[netip.Prefix]int
	last     mail.ID // the message that was counted last: a fact may be split
}

// NewTally returns an empty Tally.
func NewTally() *Tally { return &Tally{by: map[string]*tallied{}} }

// Add counts one fact; those of no account, and of other kinds, count nothing.
func (t *Tally) Add(f fact.Fact) {
	if f.Account == "" || !slices.Contains(TalliedKinds(), f.Kind) {
		return
	}
	key := index.Address(f.Account)
	a := t.by[key]
	if a == nil && len(t.by) >= MaxTallied {
		t.Beyond++
		return
	}
	if a == nil {
		a = &tallied{Tallied: Tallied{Account: f.Account, First: f.At, Last: f.At}, networks: map[netip.Prefix]int{}}
		t.by[key] = a
	}
	a.add(f)
}

func (a *tallied) add(f fact.Fact) {
	until := f.At
	times := 1
	if f.Summed() {
		until, times = f.Until, max(f.Count, 1)
	}
	if f.At.Before(a.First) {
		a.First = f.At
	}
	if until.After(a.Last) {
		a.Last = until
	}
	recipients := len(f.Recipients)
	if f.Recipient != "" {
		recipients++
	}
	switch f.Kind {
	case fact.KindAccept:
		if f.Queue.IsZero() || f.Queue != a.last {
			a.Messages++
		}
		a.last = f.Queue
		a.Recipients += recipients
	case fact.KindForward:
		if !f.About.IsZero() {
			a.Forwarded += recipients
		}
	case fact.KindRefuse:
		a.Refused += times
	case fact.KindOutcome:
		switch f.Rule {
		case "failed":
			a.Failed += recipients
		case fact.RuleReportFailed:
			a.Reports += recipients
		}
	case fact.KindAuth:
		a.signIn(f, times)
	}
}

func (a *tallied) signIn(f fact.Fact, times int) {
	if !f.Reply.OK() {
		a.SignInsBad += times
		return
	}
	a.SignIns += times
	network := f.Network
	if f.Peer.IsValid() {
		network = index.Stranger(f.Peer)
	}
	if _, known := a.networks[network]; !network.IsValid() || !known && len(a.networks) >= MaxTalliedNetworks {
		a.Beyond += times
		return
	}
	a.networks[network] += times
}

// Accounts returns what was counted, the most recipients first.
func (t *Tally) Accounts() []Tallied {
	out := make([]Tallied, 0, len(t.by))
	for _, a := range t.by {
		for n, times := range a.networks {
			a.Networks = append(a.Networks, TalliedNetwork{n, times})
		}
		slices.SortFunc(a.Networks, func(x, y TalliedNetwork) int {
			return cmp.Or(cmp.Compare(y.SignIns, x.SignIns), x.Network.Addr().Compare(y.Network.Addr()))
		})
		out = append(out, a.Tallied)
	}
	slices.SortFunc(out, func(x, y Tallied) int {
		return cmp.Or(cmp.Compare(y.Recipients, x.Recipients), cmp.Compare(y.Refused, x.Refused), cmp.Compare(x.Account, y.Account))
	})
	return out
}
