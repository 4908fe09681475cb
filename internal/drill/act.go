package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/drill/sink"
	"sallyport/internal/drill/stage"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/mail"
)

// Domains of the rehearsal's own; nobody has them (RFC 6761 §6.2).
const (
	remoteDomain   = "remote.drill.test"
	innocentDomain = "innocent.drill.test"
)

// act is one scenario under way, with a server of its own.
type act struct {
	o      Options
	dir    string
	stage  *stage.Stage
	sinks  [2]*sink.Sink // for the outside, and for servers behind us
	domain string        // of ours, in which the stand-ins are
	alice  stage.Account
	bob    stage.Account
	carol  stage.Account
	known  []string // addresses that the server behind us has
	behind bool     // every domain has a server behind
	seen   verdict.Seen
	looked bool // everything in seen was read already

	mu   sync.Mutex
	rand *rand.Rand
	pass sync.RWMutex // held for writing while time passes for who comes again
}

// begin starts a server for a scenario.
func begin(ctx context.Context, o Options, name string) (a *act, err error) {
	a = &act{o: o, seen: verdict.Seen{Scenario: name, Innocent: innocentDomain, Bounds: verdict.DefaultBounds()}}
	a.rand = rand.New(rand.NewPCG(o.Seed, seedOf(name)))
	defer func() {
		if err != nil {
			err = errors.Join(err, a.end())
		}
	}()
	if a.dir, err = os.MkdirTemp("", "sallyport-drill"); err != nil {
		return a, err
	}
	if a.sinks[0], err = sink.New(func(to string) bool { return strings.HasPrefix(to, "nobody") }); err != nil {
		return a, err
	}
	if a.sinks[1], err = sink.New(a.unknownBehind); err != nil {
		return a, err
	}
	if err = a.open(ctx, new(stage.Clock)); err != nil {
		return a, err
	}
	if err = a.stage.Add(ctx, a.standIns()...); err == nil {
		a.stage.Clock.Advance(age)
	}
	return a, err
}

// age is how long the server has run when a scenario begins. A fresh one judges fewer passwords,
// and cannot know yet what was never sent from here.
const age = 15 * 24 * time.Hour

func seedOf(name string) (n uint64) {
	for _, c := range name {
		n = n*31 + uint64(c)
	}
	return n
}

// open starts the server in the folder of the act.
func (a *act) open(ctx context.Context, clock *stage.Clock) (err error) {
	if a.stage, err = stage.Open(ctx, a.setting(clock)); err != nil {
		return err
	}
	cfg := a.stage.Config
	a.seen.Ours, a.domain = nil, cfg.Domains[0].Name.ASCII()
	i := slices.IndexFunc(cfg.Domains, func(d config.Domain) bool { return !d.Deliver.Behind() })
	if a.behind = i < 0; !a.behind {
		a.domain = cfg.Domains[i].Name.ASCII()
	}
	for _, d := range cfg.Domains {
		a.seen.Ours = append(a.seen.Ours, d.Name.ASCII())
	}
	a.cast()
	if a.known == nil {
		a.known = []string{"postmaster@" + a.domain}
		for _, s := range a.standIns() {
			a.known = append(a.known, s.Address)
		}
	}
	b := &a.seen.Bounds
	b.MessageOctets = cfg.Limits.MessageSize + headerAdded
	b.Leak = cfg.Hijack.Bounds.Burst
	b.Memory += cfg.Limits.UnjudgedMemory
	return nil
}

// headerAdded is how much a message may grow by what the server puts before it.
const headerAdded = 64 << 10

func (a *act) setting(clock *stage.Clock) stage.Options {
	return stage.Options{
		Config: a.o.Config, Dir: a.dir,
		Sinks: stage.Sinks{Outside: a.sinks[0].Addr(), Behind: a.sinks[1].Addr()}, Clock: clock,
		Logger: a.o.Logger,
	}
}

// cast names the stand-ins; their passwords follow from the seed, since the server is
// reached from this host alone and its folder goes away.
func (a *act) cast() {
	if a.alice.Address != "" {
		return
	}
	for i, who := range []*stage.Account{&a.alice, &a.bob, &a.carol} {
		*who = stage.Account{
			Address:  []string{"alice", "bob", "carol"}[i] + ".drill@" + a.domain,
			Password: fmt.Sprintf("%016x-%016x", a.rand.Uint64(), a.rand.Uint64()),
		}
	}
}

// standIns are the accounts of the rehearsal, with those that the configuration names as
// postmasters.
func (a *act) standIns() []stage.Account {
	all := []stage.Account{a.alice, a.bob, a.carol}
	named := []mail.Address{a.stage.Config.Postmaster}
	for _, d := range a.stage.Config.Domains {
		named = append(named, d.Postmaster)
	}
	for _, p := range named {
		known := p.IsZero() || slices.ContainsFunc(all, func(s stage.Account) bool { return s.Address == p.String() })
		if !known && slices.Contains(a.seen.Ours, p.Domain().ASCII()) &&
			!slices.ContainsFunc(a.stage.Config.Aliases, func(x config.Alias) bool { return x.Address == p }) {
			all = append(all, stage.Account{Address: p.String(), Password: a.alice.Password + "-" + p.String()})
		}
	}
	return all
}

func (a *act) unknownBehind(to string) bool { return !slices.Contains(a.known, to) }

// end stops everything and removes the folder.
func (a *act) end() error {
	var errs []error
	if a.stage != nil {
		errs = append(errs, a.stage.Close())
		a.stage = nil
	}
	for _, s := range a.sinks {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if a.dir != "" {
		errs = append(errs, os.RemoveAll(a.dir))
	}
	return errors.Join(errs...)
}

// look lets the hold window pass, waits until nothing changes any more and reads what is left
// behind.
func (a *act) look(ctx context.Context) error {
	a.stage.Clock.Advance(a.stage.Config.Hijack.Hold + time.Minute)
	if err := a.stage.Settle(ctx, settleTime); err != nil {
		return err
	}
	a.seen.Left, a.seen.Boxes, a.seen.Queue, a.seen.Facts, a.seen.Contained = nil, nil, nil, nil, nil
	for i, s := range a.sinks {
		for _, m := range s.Kept() {
			l := stage.Letter(m.Head)
			l.From, l.To, l.Size = m.From, m.To, m.Size
			if i == 0 {
				a.seen.Left = append(a.seen.Left, l)
			} else {
				l.Boxed, l.Junk = true, marked(m.Head)
				a.seen.Boxes = append(a.seen.Boxes, l)
			}
		}
	}
	return a.stage.Look(ctx, &a.seen)
}

// junkField is by which a server behind us learns what to keep apart, as a mailbox of ours does by its folder.
const junkField = "\r\nX-Sallyport-Junk: "

// marked reports whether a message is marked as junk in its header.
func marked(head []byte) bool {
	header, _, _ := bytes.Cut(head, []byte("\r\n\r\n"))
	return bytes.Contains(append([]byte("\r\n"), header...), []byte(junkField))
}

// settleTime is how long the server may take to become quiet.
const settleTime = 15 * time.Second

func (a *act) acknowledged(k verdict.Ack) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen.Acks = append(a.seen.Acks, k)
}

// peer is an address of some network, another one each time.
func (a *act) peer() netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		ip := netip.AddrFrom4([4]byte{
			byte(1 + a.rand.IntN(222)), byte(a.rand.IntN(256)), byte(a.rand.IntN(256)),
			byte(1 + a.rand.IntN(254)),
		})
		if ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
			return ip
		}
	}
}

// each calls fn for 0 to n-1, so many at once.
func each(n, atOnce int, fn func(i int)) {
	next := make(chan int)
	var all sync.WaitGroup
	for range min(n, atOnce) {
		all.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

// memoryLook is how often the memory of a beset server is looked at.
const memoryLook = 100 * time.Millisecond

// besieged runs attack while it watches memory, and fills in the siege.
func (a *act) besieged(hostile int, attack func()) {
	before := a.stage.Octets()
	s := &verdict.Siege{Hostile: hostile}
	a.seen.Siege = s
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			s.Memory = max(s.Memory, int64(m.HeapInuse+m.StackInuse))
			select {
			case <-done:
				return
			case <-time.After(memoryLook):
			}
		}
	}()
	attack()
	close(done)
	<-watched
	a.seen.Grown = a.stage.Octets() - before
}
