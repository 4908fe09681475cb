package guess

import (
	"fmt"
	"net/netip"
	"time"

	"sallyport/internal/screen"
)

// Limits bounds how often wrong passwords are judged. A right one never counts against them.
type Limits struct {
	Account screen.Rate // at one account, from all networks that are new to it
	All     screen.Rate // at all accounts, from networks that are new to them
	Known   screen.Rate // at one account, from one network or device that is known to it
	Shared  screen.Rate // from one network, at all accounts that know it
	Network screen.Rate // from one network (an IPv4 /24 or IPv6 /56), at all accounts that it is new to
	Wide    int         // as many times Network has an IPv6 /48
	Widest  int         // as many times Network has an IPv4 /16 or IPv6 /32
	Repeat  screen.Rate // from one network: wrong passwords that it tried before, which are not judged

	Try      screen.Rate // from one network, once Account or All is used up
	Reserve  screen.Rate // at one account, by way of Try
	Reserves screen.Rate // at all accounts, by way of Try

	Start      int // at one account there is of each burst after a restart
	StartKnown int // from a network or device that is known there is of the burst after a restart
	StartShare int // at all accounts there is of each burst, one in so many, after a restart

	Accounts int // accounts remembered, whether they exist or not
	Pairs    int // accounts with one network or device that they know remembered
	Networks int // networks remembered, of each width and for each rate
}

// window is the time for which most bounds of guesses are.
const window = 10 * time.Minute

// DefaultLimits judges at most 10 wrong passwords in 10 minutes for one account from networks
// that are new to it, and 2,000 for all accounts; from one network 60. Beside that an owner
// has 2 tries a day from a network that has not tried, as long as there are not more than 8 an
// hour at the account. The tables take about 50 MiB when all are full.
func DefaultLimits() Limits {
	return Limits{
		Account: screen.AtMost(10, window),
		All:     screen.AtMost(2000, window),
		Known:   screen.AtMost(10, window),
		Shared:  screen.AtMost(60, window),
		Network: screen.AtMost(60, window),
		Wide:    2, Widest: 8,
		Repeat:   screen.AtMost(600, window),
		Try:      screen.Rate{Burst: 2, Every: 12 * time.Hour},
		Reserve:  screen.AtMost(8, time.Hour),
		Reserves: screen.AtMost(400, window),
		Start:    1, StartKnown: 3, StartShare: 10,
		Accounts: 32_768, Pairs: 32_768, Networks: 32_768,
	}
}

// Rule names what decided. The zero Rule refuses.
type Rule string

const (
	RuleNone    Rule = ""
	RuleWithin  Rule = "within-rates"        // no rate is exceeded
	RuleBeside  Rule = "beside-rates"        // the account's is, and this network has a try left
	RuleRepeat  Rule = "same-password"       // the same wrong password again: it is not judged
	RuleAccount Rule = "signin-account-rate" // new networks failed at this account too often
	RuleAll     Rule = "signin-all-rate"     // new networks failed at all accounts too often
	RuleKnown   Rule = "signin-known-rate"   // this known network or device failed at its account too often
	RuleShared  Rule = "signin-shared-rate"  // this network failed at the accounts that know it too often
	RuleNetwork Rule = "signin-network-rate" // this network failed at other accounts too often
)

// Attempt says who tries a password at which account.
type Attempt struct {
	Account string     // what names it for good, whether there is such an account or not
	From    netip.Addr // where the client is, not a balancer
	Known   bool       // the account signed in from this network of late
	Device  string     // what names the device that proved to be the account's own; "": none did
	Repeat  bool       // this password was tried at the account of late, and was wrong
}

// Verdict is a decision with its rule and its evidence. The zero Verdict refuses.
type Verdict struct {
	OK       bool
	Rule     Rule
	Evidence string        // in words, without line breaks; "" when OK
	Wait     time.Duration // until the same question may be answered otherwise
	Ticket   Ticket        // for Forgive, when OK
}

// Judge reports whether the password is to be judged: it was let pass, and is not one that is
// known to be wrong.
func (v Verdict) Judge() bool { return v.OK && v.Rule != RuleRepeat }

// Ticket is what an attempt was charged with. The zero Ticket is nothing.
type Ticket struct{ claims []claim }

// networks are those that an address counts for: the narrowest first.
type networks [3]netip.Prefix

// networksOf returns the networks of an address. A site has an IPv6 /56 or /48 of its own
// (RFC 6177 §2), who routes their own a /32; neighbours at one host have one IPv4 /16.
func networksOf(a netip.Addr) (n networks) {
	a = a.Unmap().WithZone("")
	bits := [3]int{56, 48, 32}
	if a.Is4() {
		bits = [3]int{24, 24, 16}
	}
	for i, b := range bits {
		n[i], _ = a.Prefix(b) // the zero Prefix is that of all who have no address
	}
	return n
}

// pair is an account with a network or a device that it knows.
type pair struct {
	account string
	network netip.Prefix
	device  string
}

// Limiter remembers failed sign-ins. It is not safe for concurrent use.
type Limiter struct {
	limits Limits
	// read is what the caller's clock said last, passed the time that it has gone forward by.
	read, passed time.Time

	account, reserve     *table[string]
	all, reserves        *table[struct{}]
	known                *table[pair]
	shared, repeat, try  *table[netip.Prefix]
	narrow, wide, widest *table[netip.Prefix]
}

// New starts at now, without memory: at accounts there is little at once, and the rest of each
// burst comes with time, as if all of it had been used up before.
func New(l Limits, now time.Time) *Limiter {
	share := func(r screen.Rate) int { return r.Burst / max(1, l.StartShare) }
	networks := func(r screen.Rate) *table[netip.Prefix] { return newTable[netip.Prefix](r, l.Networks) }
	g := &Limiter{
		limits: l, read: now, passed: now,
		account:  newTableSince[string](l.Account, l.Accounts, now, l.Start),
		reserve:  newTableSince[string](l.Reserve, l.Accounts, now, l.Start),
		all:      newTableSince[struct{}](l.All, 1, now, share(l.All)),
		reserves: newTableSince[struct{}](l.Reserves, 1, now, share(l.Reserves)),
		known:    newTableSince[pair](l.Known, l.Pairs, now, l.StartKnown),
		shared:   networks(l.Shared), repeat: networks(l.Repeat), try: networks(l.Try),
		narrow: networks(l.Network), wide: networks(l.Network.Times(l.Wide)), widest: networks(l.Network.Times(l.Widest)),
	}
	return g
}

// Adjust replaces the rates. What was counted is kept, and judged by the new ones; how much is
// remembered stays as it was.
func (g *Limiter) Adjust(l Limits) {
	l.Accounts, l.Pairs, l.Networks = g.limits.Accounts, g.limits.Pairs, g.limits.Networks
	g.limits = l
	g.account.rate, g.reserve.rate, g.all.rate, g.reserves.rate = l.Account, l.Reserve, l.All, l.Reserves
	g.known.rate, g.shared.rate, g.repeat.rate, g.try.rate = l.Known, l.Shared, l.Repeat, l.Try
	g.narrow.rate, g.wide.rate, g.widest.rate = l.Network, l.Network.Times(l.Wide), l.Network.Times(l.Widest)
}

// claim is one bucket that a way takes from.
type claim struct {
	rule Rule   // of the refusal where it is empty
	who  string // whose it is, in words
	bucket
}

// bucket is one of a table.
type bucket interface {
	wait(now time.Time) time.Duration
	take(now time.Time)
	giveBack(now time.Time)
	of() screen.Rate
}

type bucketOf[K comparable] struct {
	t *table[K]
	k K
}

func (b bucketOf[K]) wait(now time.Time) time.Duration { return b.t.Wait(b.k, now) }
func (b bucketOf[K]) take(now time.Time)               { b.t.Take(b.k, now) }
func (b bucketOf[K]) giveBack(now time.Time)           { b.t.GiveBack(b.k, now) }
func (b bucketOf[K]) of() screen.Rate                  { return b.t.rate }

func from[K comparable](t *table[K], k K) bucket { return bucketOf[K]{t, k} }

// way is one of the ways that an attempt has: it is open where none of its buckets is empty.
type way struct {
	rule   Rule // of the verdict that lets pass
	claims []claim
}

// ways returns those of an attempt, in the order in which they are tried.
func (g *Limiter) ways(a Attempt) []way {
	n := networksOf(a.From)
	here := "network " + n[0].String()
	switch {
	case a.Repeat && (a.Known || a.Device != ""):
		return []way{{RuleRepeat, nil}}
	case a.Repeat:
		return []way{{RuleRepeat, []claim{{RuleNetwork, here, from(g.repeat, n[0])}}}}
	case a.Device != "":
		p := pair{account: a.Account, device: a.Device}
		return []way{{RuleWithin, []claim{{RuleKnown, "known device " + a.Device, from(g.known, p)}}}}
	case a.Known:
		p := pair{account: a.Account, network: screen.Network(a.From)}
		return []way{{RuleWithin, []claim{
			{RuleKnown, "known network " + p.network.String(), from(g.known, p)},
			{RuleShared, "network " + p.network.String() + " at accounts that know it", from(g.shared, p.network)},
		}}}
	}
	at := []claim{{RuleNetwork, here, from(g.narrow, n[0])}, {RuleNetwork, "network " + n[2].String(), from(g.widest, n[2])}}
	if n[1] != n[0] {
		at = append(at, claim{RuleNetwork, "network " + n[1].String(), from(g.wide, n[1])})
	}
	main := way{RuleWithin, append(at[:len(at):len(at)],
		claim{RuleAccount, "new networks at this account", from(g.account, a.Account)},
		claim{RuleAll, "new networks at all accounts", from(g.all, struct{}{})})}
	beside := way{RuleBeside, append(at[:len(at):len(at)],
		claim{RuleAccount, here + " beside the account's rate", from(g.try, n[1])},
		claim{RuleAccount, "new networks beside the account's rate", from(g.reserve, a.Account)},
		claim{RuleAll, "new networks beside the rate of all accounts", from(g.reserves, struct{}{})})}
	return []way{main, beside}
}

// Begin decides whether a password may be judged now, and counts it as wrong at once, so that
// passwords which are judged side by side cannot exceed a rate. Forgive must follow when it
// was right, or was not judged after all. A refusal counts nothing, and is that of the first
// way.
func (g *Limiter) Begin(a Attempt, now time.Time) Verdict {
	now = g.moved(now)
	var refused Verdict
	for i, w := range g.ways(a) {
		v := w.open(now)
		if v.OK {
			for _, c := range w.claims {
				c.take(now)
			}
			return v
		}
		if i == 0 {
			refused = v
		}
		refused.Wait = min(refused.Wait, v.Wait)
	}
	return refused
}

// open says whether a way is open now.
func (w way) open(now time.Time) Verdict {
	v := Verdict{OK: true, Rule: w.rule, Ticket: Ticket{w.claims}}
	for _, c := range w.claims {
		wait := c.wait(now)
		if wait <= v.Wait {
			continue
		}
		r := c.of()
		v = Verdict{Rule: c.rule, Wait: wait, Evidence: fmt.Sprintf("%s used up %d at once and 1 every %v; next in %v",
			c.who, r.Burst, r.Every.Round(time.Millisecond), wait.Round(time.Millisecond))}
	}
	return v
}

// Forgive undoes what Begin counted: the password was right, or was not judged.
func (g *Limiter) Forgive(t Ticket, now time.Time) {
	now = g.moved(now)
	for _, c := range t.claims {
		c.giveBack(now)
	}
}

// moved returns the time by which buckets fill: a clock that is set back neither fills nor
// closes any.
func (g *Limiter) moved(now time.Time) time.Time {
	g.passed = g.passed.Add(max(0, now.Sub(g.read)))
	g.read = now
	return g.passed
}
