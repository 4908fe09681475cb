// Package inspection builds what judges incoming mail and its senders: the screen, sender
// authentication, content filters, and the signing of our own mail.
package inspection

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter"
	"sallyport/internal/filter/flood"
	"sallyport/internal/filter/sender"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/returnpath"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/geo"
	"sallyport/internal/screen/policy"
)

// Options are what an Inspection is given before the data folder is open; all are required.
type Options struct {
	settings.World
	Config  func() config.Config // the one in force
	InForce func() *State
}

// Inspection is that of one server.
type Inspection struct {
	// Flood counts bounces of mailboxes.
	Flood *flood.Gauge

	o  Options
	to Behind
}

// Behind is what it looks at, and whom it tells.
type Behind struct {
	Data      *datafolder.Folder
	Directory func() *directory.Snapshot
	// Came is told of what came in a domain's name.
	Came func(sender.Observation)
}

// New returns an Inspection that knows nothing of our own mail before it is opened.
func New(o Options) *Inspection {
	return &Inspection{o: o, Flood: flood.NewGauge(flood.DefaultLimits(), o.Now)}
}

// Open gives it what it looks at.
func (i *Inspection) Open(b Behind) { i.to = b }

// State is what one configuration has inspected, and how. It is never changed.
type State struct {
	Keys   sender.Keys // the way to the keys of others
	Checks *filter.Checks
	Screen *policy.Screen
}

// Build prepares what a configuration has inspected. It takes over from last (nil: there is none)
// what was learnt. There is a State even where it fails, to be retired.
func (i *Inspection) Build(cfg config.Config, last *State) (*State, error) {
	next := &State{}
	return next, errors.Join(i.buildKeys(cfg, next), i.buildChecks(cfg, next), i.buildScreen(cfg, next, last))
}

// Retire ends what only this State has.
func (s *State) Retire() {
	if s != nil {
		s.Checks.Retire()
	}
}

// buildKeys makes the way to other domains' records. As long as the same servers are asked, what
// they said stays known.
func (i *Inspection) buildKeys(cfg config.Config, next *State) error {
	resolver, err := settings.Resolver(cfg, i.o.World)
	if err != nil {
		return cfg.Fault("mx.dns", err.Error(), "")
	}
	next.Keys = sender.NewKeys(resolver)
	return nil
}

// buildChecks prepares the checks of content.
func (i *Inspection) buildChecks(cfg config.Config, next *State) error {
	o, err := settings.Checks(cfg, bounds.Intake(cfg).Header)
	if err != nil {
		return err
	}
	o.Logger, o.Named = i.o.Logger, named(next.Keys.Resolver)
	next.Checks = filter.NewChecks(o)
	return nil
}

// buildScreen reads who is kept out on port 25; the list is read anew each time.
func (i *Inspection) buildScreen(cfg config.Config, next, last *State) error {
	o, err := screenOf(cfg, next.Keys.Resolver, i.o.Logger, i.o.Now)
	if err != nil {
		return err
	}
	o.Bare = func(to mail.Address) mail.Address { return i.to.Directory().Bare(to) }
	var former *policy.Screen
	if last != nil {
		former = last.Screen
	}
	next.Screen = policy.New(o, former)
	return nil
}

// keys is the way to the keys of others, as it stands now.
func (i *Inspection) keys() sender.Keys { return i.o.InForce().Keys }

// Find asks the DNS for our own keys, as they are published.
func (i *Inspection) Find(ctx context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found {
	return i.keys().Find(ctx, names)
}

func (i *Inspection) checks() *filter.Checks { return i.o.InForce().Checks }

// Reserved are the header fields that only checks of ours may write.
func (i *Inspection) Reserved() []string { return i.checks().Reserved() }

// Screen is that in force.
func (i *Inspection) Screen() *policy.Screen { return i.o.InForce().Screen }

// Exempts reports whether the screen in force lets a client do as it likes.
func (i *Inspection) Exempts(client netip.Addr) bool { return i.Screen().Exempts(client) }

// Judge asks the screen in force.
func (i *Inspection) Judge(ctx context.Context, v access.Visitor) policy.Judgement {
	return i.Screen().Judge(ctx, v)
}

// Run rereads the files that say where addresses belong, until ctx ends.
func (i *Inspection) Run(ctx context.Context) {
	geo.Watch(ctx, func() *geo.Atlas { return i.Screen().Options().Atlas })
}

// ours reports whether a domain is ours now.
func (i *Inspection) ours(d mail.Domain) bool { return i.to.Directory().IsOurs(d) }

// Signer signs what our accounts send, and our own reports.
func (i *Inspection) Signer() sender.Signer {
	return sender.Signer{
		On: func() bool { return i.o.Config().DKIM.Sign }, Ours: i.ours, Keys: i.to.Data.Ring.Signing,
		Lasts: func() time.Duration { return i.o.Config().DKIM.Lasts }, Now: i.o.Now, Logger: i.o.Logger,
	}
}

// SignOurs returns the fields that sign a message which the server itself sends in the name of a
// domain.
func (i *Inspection) SignOurs(d mail.Domain, h message.Header, body []byte) ([]byte, error) {
	return i.Signer().SignOurs(d, h, body)
}

// bounces recognises bounces of mail that was never sent from here.
func (i *Inspection) bounces() filter.Bounces {
	return filter.Bounces{
		InForce: i.checks,
		Ours:    func(d mail.Domain) bool { return d == i.o.Config().Hostname || returnpath.Ours(i.to.Directory(), d) },
		Return:  func(a mail.Address) bool { return i.to.Data.ReturnPaths.ForForward(i.to.Directory(), a) },
		Trace:   i.to.Data.Facts, Now: i.o.Now, Flood: i.Flood,
	}
}

// Inspectors are asked at end of data in this order: who a stranger really is comes before what
// others make of it, and signing comes last. Each asks the configuration in force.
func (i *Inspection) Inspectors() []intake.Inspector {
	all := []intake.Inspector{
		sender.NewAuthenticator(sender.Authenticator{
			Hostname: i.o.Config().Hostname, Ours: i.ours,
			Policy:   func() sender.Policy { return policyOf(i.o.Config().Authentication) },
			Resolver: func() dnsx.Resolver { return i.keys().Resolver },
			Keys:     i.keys, Observe: i.to.Came, Now: i.o.Now,
		}),
		i.bounces(),
	}
	all = append(all, filter.Inspectors(config.MaxMilters, i.checks)...)
	return append(all, i.Signer())
}
