// Package letters builds the notices that the server itself sends, to people and to a webhook: of
// incidents, expiring certificates, held bounces, and mailboxes that are nearly full.
package letters

import (
	"context"
	"sync"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/expiry"
	"sallyport/internal/filter/flood"
	"sallyport/internal/incident"
	"sallyport/internal/incident/notice"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// Options are what Letters are written with; all are required.
type Options struct {
	settings.World
	Config    func() config.Config // the one in force
	Data      *datafolder.Folder
	Directory func() *directory.Snapshot
	Handoff   func(spool.Claim)
	// Sign returns the header fields that sign a letter of a domain.
	Sign func(from mail.Domain, h message.Header, body []byte) ([]byte, error)
	// Flood counts the bounces of mailboxes.
	Flood *flood.Gauge
}

// Letters are those of one server. What it exports never changes.
type Letters struct {
	Notices *notice.Notices // tells of incidents
	Webhook *webhook.Hook   // tells another program of them

	o        Options
	post     *notify.Post     // writes them
	warnings *expiry.Warnings // tells of certificates that end
	digest   *flood.Digest    // tells of bounces that were held
}

// Open returns Letters of which none is written before Run.
func Open(o Options) *Letters {
	l := &Letters{o: o}
	log, d := incident.NewLog(o.Data.Store), o.Data
	l.post = &notify.Post{
		Hostname: o.Config().Hostname, Directory: o.Directory, Queue: d.Spool, Handoff: o.Handoff,
		Sign: o.Sign, Commands: o.Commands, Now: o.Now, Rand: o.Rand, Logger: o.Logger,
	}
	l.Notices = notice.New(notice.Options{
		Log: log, Store: d.Store, Directory: o.Directory, Post: l.post, Limits: notice.DefaultLimits(),
		Now: o.Now, Logger: o.Logger,
	})
	l.Webhook = webhook.New(webhook.Options{
		Hostname: o.Config().Hostname, Log: log, Store: d.Store, Dial: o.Dial, Write: d.Trace.Write,
		Limits: webhook.DefaultLimits(), Now: o.Now, Age: d.Clock.Age, Logger: o.Logger,
	})
	l.warnings = expiry.New(expiry.Options{
		Store: d.Store, Directory: o.Directory, Post: l.post, Endings: d.Accounts.Endings,
		Authority: d.DeviceCA.Signing, Limits: expiry.DefaultLimits(), Now: o.Now, Age: d.Clock.Age,
		Logger: o.Logger,
	})
	l.digest = flood.NewDigest(flood.Options{
		Gauge: o.Flood, Queue: d.Spool, Store: d.Store, Send: l.post.Send, Limits: flood.DefaultLimits(),
		Now: o.Now, Logger: o.Logger,
	})
	return l
}

// Wake has incidents told of now: there is a new one.
func (l *Letters) Wake() {
	l.Notices.Wake()
	l.Webhook.Wake()
}

// Run writes them until ctx ends.
func (l *Letters) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, run := range []func(context.Context){l.Notices.Run, l.Webhook.Run, l.warnings.Run, l.digest.Run, l.tendQuota} {
		running.Go(func() { run(ctx) })
	}
	running.Wait()
}

// Moving plans what is kept of an account under its address, for when it is renamed.
func (l *Letters) Moving(from, to mail.Address) []store.Planner {
	return []store.Planner{notice.Moving(l.o.Data.Store, from, to), expiry.Moving(l.o.Data.Store, from, to)}
}
