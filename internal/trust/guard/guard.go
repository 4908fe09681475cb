package guard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trust"
)

// Rule names what contains the account of a network.
const Rule = "network-trust"

// detector is who contains it, in words.
const detector = "the tripwire of trusted networks"

// Limits bounds the looking.
type Limits struct {
	Look  time.Duration // between two looks at this host's addresses and gateways
	Share int           // how many times as long as a look took is waited at least
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits { return Limits{Look: 500 * time.Millisecond, Share: 50} }

// Settings are what a configuration says.
type Settings struct {
	Table     *trust.Table
	Balancers []netip.Prefix
	Trust     trust.Limits
}

// Options is what a Guard needs; all of it.
type Options struct {
	Store store.Store
	// Look sees this host's addresses.
	Look func() (trust.Host, error)
	// Account returns an account as it stands.
	Account func(mail.Address) (accounts.Account, bool)
	// Contain stops an account, in one act; it is incident.Keeper.Contain.
	Contain func(ctx context.Context, i incident.Incident, by ...fact.Pair) (incident.Incident, accounts.Account, int, error)
	Limits  Limits
	Now     func() time.Time
	// Passed is the time by which evidence grows old, whatever the clock was set to; nil: Now.
	Passed func() time.Time
	Logger *slog.Logger
}

// Guard guards all trusted networks. All methods may be called concurrently.
type Guard struct {
	o Options

	mu       sync.Mutex
	set      Settings
	host     trust.Host
	fault    string // why the host could not be looked at; "": it could
	evidence trust.Evidence
	wire     trust.Tripwire
	// tripped are the networks whose account is to be contained and is not yet, and why.
	tripped map[string]trust.Trip
}

const recordVersion = 1

type record struct {
	Version int `json:"v"`
	trust.Evidence
}

func evidenceKey() []byte { return store.SpaceTrust.Key([]byte("evidence")) }

// Open reads what was seen before.
func Open(ctx context.Context, o Options) (*Guard, error) {
	if o.Passed == nil {
		o.Passed = o.Now
	}
	g := &Guard{o: o, tripped: map[string]trust.Trip{}}
	value, err := o.Store.Get(ctx, evidenceKey())
	if errors.Is(err, store.ErrNotFound) {
		return g, nil
	}
	var r record
	if err == nil {
		err = codec.Decode(value, &r)
	}
	if err == nil {
		err = codec.Version(r.Version, recordVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("guard: reading which public clients were seen: %w", err)
	}
	g.evidence = r.Evidence
	return g, nil
}

// Adjust puts settings in force. Networks that there were none of before are looked at first.
func (g *Guard) Adjust(s Settings) {
	g.mu.Lock()
	g.set = s
	g.host.Balancers = s.Balancers
	g.mu.Unlock()
	g.look()
}

// Run looks at this host every while, until ctx ends.
func (g *Guard) Run(ctx context.Context) {
	wait := g.o.Limits.Look
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		begun := time.Now() // a span of this process: the clock of the server may stand still in a test
		g.look()
		g.retry(ctx)
		wait = max(g.o.Limits.Look, time.Duration(g.o.Limits.Share)*time.Since(begun))
	}
}

// look sees this host's addresses, where there is any network for which they matter.
func (g *Guard) look() {
	g.mu.Lock()
	idle := len(g.set.Table.Networks()) == 0
	g.mu.Unlock()
	if idle {
		return
	}
	h, err := g.o.Look()
	g.mu.Lock()
	defer g.mu.Unlock()
	h.Balancers = g.set.Balancers
	changed := !h.Equal(g.host)
	g.host = h
	was := g.fault
	g.fault = ""
	if err != nil {
		g.fault = err.Error()
	}
	switch {
	case g.fault != "" && was == "":
		g.o.Logger.Error("no trusted network counts, since this host's addresses and gateways can't be seen", "err", err)
	case changed:
		g.o.Logger.Info("addresses that never count for a trusted network", "own", len(h.Own),
			"gateways", h.Gateways, "containers", h.Bridges)
	}
}

// Account returns the account that a client is taken for, without any other proof; false: for
// none. why says why the address does not count now although it lies in a network; "": it does.
func (g *Guard) Account(a netip.Addr) (n trust.Network, why string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, ok = g.set.Table.Of(a)
	if !ok {
		return n, "", false
	}
	return n, g.refuses(n, a), true
}

// refuses says why a client is not taken for its network; "": it is. The caller holds mu.
func (g *Guard) refuses(n trust.Network, a netip.Addr) string {
	if t, ok := g.tripped[n.Name]; ok {
		return t.Why
	}
	if account, ok := g.o.Account(n.Account); !ok || account.Standing != accounts.StandingActive {
		return "the account " + n.Account.String() + " does not exist, or may not act now"
	}
	return trust.Judge(a, g.host, g.evidence, g.set.Trust, g.o.Passed())
}

// Counts reports whether a client is taken for the account.
func (g *Guard) Counts(a netip.Addr, account mail.Address) bool {
	n, why, ok := g.Account(a)
	return ok && why == "" && n.Account.Key() == account.Key()
}

// Clear reports whether a client may hand in mail in clear text: exactly where it is taken for
// its network.
func (g *Guard) Clear(a netip.Addr) bool {
	_, why, ok := g.Account(a)
	return ok && why == ""
}

// Saw takes what a client did that is not signed in. When it returns, whatever that ends has
// ended.
func (g *Guard) Saw(ctx context.Context, s trust.Sighting) {
	s.At = g.o.Now()
	g.mu.Lock()
	if len(g.set.Table.Networks()) == 0 {
		g.mu.Unlock()
		return
	}
	var seen *trust.Evidence
	if s.MX {
		if next, changed := g.evidence.With(s.From, g.host, g.set.Table, g.set.Trust, g.o.Passed()); changed {
			g.evidence, seen = next, &next
		}
	}
	trip, tripped := g.wire.See(s, g.set.Table, g.set.Trust)
	if tripped {
		g.trip(trip)
	}
	g.mu.Unlock()
	if seen != nil {
		g.keep(ctx, *seen)
	}
	if tripped {
		g.contain(ctx, &s)
	}
}

// trip notes what is to be contained: a network that no client is taken for now is left, since
// nothing comes in by it. The caller holds mu.
func (g *Guard) trip(t trust.Trip) {
	for _, n := range g.set.Table.Networks() {
		account, ok := g.o.Account(n.Account)
		if t.Network != "" && t.Network != n.Name || !ok || account.Standing != accounts.StandingActive || !g.proven(n) {
			continue
		}
		g.tripped[n.Name] = t
	}
	g.wire.Reset(t.Network, g.set.Table)
}

// proven reports whether the evidence for any of a network's addresses stands. The caller holds mu.
func (g *Guard) proven(n trust.Network) bool {
	for _, p := range n.From {
		if g.evidence.Lacks(p.Addr(), g.set.Trust, g.o.Passed()) == "" {
			return true
		}
	}
	return false
}

// retry tries again to contain what could not be contained.
func (g *Guard) retry(ctx context.Context) { g.contain(ctx, nil) }

// contain contains the accounts of the networks that are tripped; seen is what tripped them,
// where that is known.
func (g *Guard) contain(ctx context.Context, seen *trust.Sighting) {
	g.mu.Lock()
	type one struct {
		network trust.Network
		trip    trust.Trip
	}
	var all []one
	for _, n := range g.set.Table.Networks() {
		if t, ok := g.tripped[n.Name]; ok {
			all = append(all, one{n, t})
		}
	}
	g.mu.Unlock()
	for _, c := range all {
		i := incident.Incident{
			Account: c.network.Account, Rule: Rule, By: detector,
			Reason:   "the network " + c.network.Name + " is not trusted any more: " + c.trip.Why,
			Evidence: []string{c.trip.Why},
		}
		if seen != nil {
			i.Seen = []incident.Origin{{Peer: seen.From, Program: seen.Name, Door: door(seen.MX), At: seen.At}}
		}
		raised, _, ended, err := g.o.Contain(context.WithoutCancel(ctx), i,
			fact.Pair{Name: "by", Value: detector}, fact.Pair{Name: "network", Value: c.network.Name})
		if err != nil {
			g.o.Logger.Error("a network that must not be trusted any more could not be closed for good; it is closed until the next start",
				"network", c.network.Name, "err", err)
			continue
		}
		g.mu.Lock()
		delete(g.tripped, c.network.Name)
		g.mu.Unlock()
		g.o.Logger.Error("a network is not trusted any more, until a person says so",
			"network", c.network.Name, "account", c.network.Account.String(), "incident", raised.Number,
			"why", c.trip.Why, "sessions", ended)
	}
}

func door(mx bool) string {
	if mx {
		return "mx"
	}
	return "submission"
}

// keep writes down which public clients were seen; what is lost by a crash is seen again.
func (g *Guard) keep(ctx context.Context, e trust.Evidence) {
	value, err := json.Marshal(record{recordVersion, e})
	if err == nil {
		_, err = g.o.Store.Apply(context.WithoutCancel(ctx), store.Tx{Mutations: []store.Mutation{{Key: evidenceKey(), Value: value}}}, store.Lazy)
	}
	if err != nil {
		g.o.Logger.Warn("that a public client was seen is not written down", "err", err)
	}
}

// State says whether a network is trusted. The zero State is unknown.
type State string

// The states that there are.
const (
	StateOpen    State = "open"    // its clients are taken for its account
	StateWaiting State = "waiting" // for proof that addresses of clients arrive as they are
	StateClosed  State = "closed"  // a person has to open it
)

// Report tells how a network fares.
type Report struct {
	Name    string         `json:"name"`
	From    []netip.Prefix `json:"from"`
	Account string         `json:"account"`
	State   State          `json:"state"`
	Why     string         `json:"why,omitempty"` // it is not open
}

// Reports tells how each network fares, in the order of the configuration.
func (g *Guard) Reports() (all []Report) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.set.Table.Networks() {
		r := Report{Name: n.Name, From: n.From, Account: n.Account.String(), State: StateOpen}
		account, ok := g.o.Account(n.Account)
		switch t, tripped := g.tripped[n.Name]; {
		case tripped:
			r.State, r.Why = StateClosed, t.Why
		case !ok:
			r.State, r.Why = StateClosed, "there is no account "+n.Account.String()
		case account.Standing != accounts.StandingActive:
			r.State, r.Why = StateClosed, "the account is "+account.Standing.String()+": "+account.FrozenReason
		case g.fault != "":
			r.State, r.Why = StateWaiting, g.fault
		case !g.proven(n):
			r.State = StateWaiting
			if len(n.From) > 0 {
				r.Why = g.evidence.Lacks(n.From[0].Addr(), g.set.Trust, g.o.Passed())
			}
		}
		all = append(all, r)
	}
	return all
}

// Count is how many networks there are in each state.
func (g *Guard) Count() map[State]int {
	n := map[State]int{}
	for _, r := range g.Reports() {
		n[r.State]++
	}
	return n
}
