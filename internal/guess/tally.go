package guess

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// TallyLimits bounds what is remembered of who is being guessed at.
type TallyLimits struct {
	Quiet    time.Duration // after which nobody is guessed at any more
	Wrong    int           // different wrong passwords that are guessing; fewer are mistakes
	Accounts int           // accounts remembered
	Networks int           // networks remembered of each
	Told     int           // accounts that are told of as newly guessed at, within Quiet
}

// DefaultTallyLimits calls it guessing from ten wrong passwords on, or once a rate refused, until
// an hour is quiet.
func DefaultTallyLimits() TallyLimits {
	return TallyLimits{Quiet: time.Hour, Wrong: 10, Accounts: 4096, Networks: 16, Told: 100}
}

// Source is how often one network tried.
type Source struct {
	Network netip.Prefix `json:"network"`
	Known   bool         `json:"known,omitempty"` // the account signed in from there of late
	Tries   int          `json:"tries"`
}

// Report is what was tried at one account since it was last quiet.
type Report struct {
	Account string    `json:"account"`
	Since   time.Time `json:"since"`
	Last    time.Time `json:"last"`
	Wrong   int       `json:"wrong"`   // different wrong passwords that were judged
	Refused int       `json:"refused"` // tries that were not judged since a rate was used up
	Sources []Source  `json:"sources"` // those that tried most first
	Others  int       `json:"others"`  // tries from networks that are not among them
}

// Tally counts failed sign-ins at accounts that exist, for people. It decides nothing, and is not
// safe for concurrent use.
type Tally struct {
	limits   TallyLimits
	accounts map[string]*count
	told     []time.Time // when accounts were told of, of late
}

type count struct {
	since, last    time.Time
	wrong, refused int
	sources        map[netip.Prefix]*Source
	others         int
	told           bool
}

// NewTally starts with no memory.
func NewTally(l TallyLimits) *Tally { return &Tally{limits: l, accounts: map[string]*count{}} }

// Wrong counts a password that was judged, and was wrong.
func (t *Tally) Wrong(a Attempt, now time.Time) { t.note(a, now).wrong++ }

// Refused counts an attempt that a rate refused.
func (t *Tally) Refused(a Attempt, now time.Time) { t.note(a, now).refused++ }

// Forget drops what was tried at an account that is no more.
func (t *Tally) Forget(account string) { delete(t.accounts, account) }

// note returns the count of an attempt's account.
func (t *Tally) note(a Attempt, now time.Time) *count {
	c, ok := t.accounts[a.Account]
	if !ok || t.quiet(c, now) {
		if !ok && len(t.accounts) >= t.limits.Accounts {
			t.forget(now)
		}
		c = &count{since: now, sources: map[netip.Prefix]*Source{}}
		t.accounts[a.Account] = c
	}
	c.last = now
	n := networksOf(a.From)[0]
	s, ok := c.sources[n]
	switch {
	case ok:
		s.Tries++
	case len(c.sources) < t.limits.Networks:
		c.sources[n] = &Source{Network: n, Known: a.Known, Tries: 1}
	default:
		c.others++
	}
	return c
}

func (t *Tally) quiet(c *count, now time.Time) bool { return now.Sub(c.last) >= t.limits.Quiet }

// forget makes room: all that are quiet go, and where that is not enough an eighth of the others,
// those that were tried least, so that few tries at many accounts do not hide many at one.
func (t *Tally) forget(now time.Time) {
	var tried []string
	for account, c := range t.accounts {
		if t.quiet(c, now) {
			delete(t.accounts, account)
			continue
		}
		tried = append(tried, account)
	}
	slices.SortFunc(tried, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.accounts[a].tries(), t.accounts[b].tries()), cmp.Compare(a, b))
	})
	most := t.limits.Accounts - 1 - t.limits.Accounts/8
	for _, account := range tried[:max(0, len(tried)-max(0, most))] {
		delete(t.accounts, account)
	}
}

func (c *count) tries() int { return c.wrong + c.refused }

// guessed reports whether what was counted is guessing, and not somebody's mistakes.
func (t *Tally) guessed(c *count, now time.Time) bool {
	return !t.quiet(c, now) && (c.wrong >= t.limits.Wrong || c.refused > 0)
}

// At returns what was tried at an account; false: nobody guesses there.
func (t *Tally) At(account string, now time.Time) (Report, bool) {
	c, ok := t.accounts[account]
	if !ok || !t.guessed(c, now) {
		return Report{}, false
	}
	return c.report(account), true
}

// All returns the accounts that are being guessed at, those with the most tries first.
func (t *Tally) All(now time.Time) (all []Report) {
	for account, c := range t.accounts {
		if t.guessed(c, now) {
			all = append(all, c.report(account))
		}
	}
	slices.SortFunc(all, func(a, b Report) int {
		return cmp.Or(cmp.Compare(b.Wrong+b.Refused, a.Wrong+a.Refused), cmp.Compare(a.Account, b.Account))
	})
	return all
}

// Count returns how many accounts are being guessed at.
func (t *Tally) Count(now time.Time) (n int) {
	for _, c := range t.accounts {
		if t.guessed(c, now) {
			n++
		}
	}
	return n
}

// Begun returns the accounts that are being guessed at and were not told of, each once until it
// was quiet, and no more at once and within Quiet than Told.
func (t *Tally) Begun(now time.Time) (begun []Report) {
	t.told = slices.DeleteFunc(t.told, func(at time.Time) bool { return now.Sub(at) >= t.limits.Quiet })
	for _, r := range t.All(now) {
		if c := t.accounts[r.Account]; !c.told && len(t.told) < t.limits.Told {
			c.told, t.told, begun = true, append(t.told, now), append(begun, r)
		}
	}
	return begun
}

func (c *count) report(account string) Report {
	r := Report{Account: account, Since: c.since, Last: c.last, Wrong: c.wrong, Refused: c.refused, Others: c.others}
	for _, s := range c.sources {
		r.Sources = append(r.Sources, *s)
	}
	slices.SortFunc(r.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Tries, a.Tries), a.Network.Compare(b.Network))
	})
	return r
}
