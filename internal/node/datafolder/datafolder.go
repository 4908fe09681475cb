// Package datafolder opens what a data folder keeps (the store, the keys that the server made
// for itself, and the rooms whose state outlives a process), and closes it again.
//
// It promises that nobody else has the folder open, that a folder of a newer program is not
// touched, that an older one is brought forward before anything else reads it, and that
// nothing stays open when Open fails.
package datafolder

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/auth/dkim"
	"sallyport/internal/bind/review"
	"sallyport/internal/ca"
	"sallyport/internal/config"
	"sallyport/internal/damage"
	"sallyport/internal/directory/roster"
	"sallyport/internal/fact"
	"sallyport/internal/keyring"
	"sallyport/internal/kit/diskspace"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/nexthop/maildir"
	"sallyport/internal/node/datafolder/amounts"
	"sallyport/internal/node/datafolder/keys"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/oidc"
	"sallyport/internal/operate/format"
	"sallyport/internal/returnpath"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
	"sallyport/internal/trace"
	"sallyport/internal/trace/query"
)

// Options are what a Folder is opened with beside the configuration.
type Options struct {
	settings.World
	FS vfs.FS // of the store and the mailboxes
	// Version is the program's, which a folder that is brought forward bears.
	Version string
	// Paused says that no mail is delivered as long as the folder is open.
	Paused bool
	// Watched returns the store as the rooms are to use it; nil: as it is.
	Watched func(store.Store) store.Store
	// Observe is called with every fact as it happens; nil: nobody is.
	Observe func(fact.Fact)
	// Overlap is for how long a former key is kept that signed mail.
	Overlap func() time.Duration
	// Provider returns who judges access tokens; nil: nobody does.
	Provider func() *oidc.Judge
	// Find asks the DNS for a key, as it is published.
	Find func(context.Context, []dkim.KeyName) map[dkim.KeyName]dkim.Found
	// Elsewhere knows the passwords of accounts that come from directories; nil: there are none.
	Elsewhere accounts.Elsewhere
}

// Folder is everything in a data folder. What it exports never changes.
type Folder struct {
	*amounts.Amounts
	Store       store.Store
	Trouble     func() (store.Trouble, bool) // why the store takes nothing at present
	Damage      *damage.List                 // what the disk has damaged
	Clock       *amounts.Clock               // of what grows old
	Disks       diskspace.Disks              // that mail takes: the data folder's, and the mailboxes' where it is another
	Trace       *trace.Log
	Facts       *query.Reader // of what Trace keeps
	ReturnPaths *returnpath.Paths
	Accounts    *accounts.Identity
	DeviceCA    *ca.CA           // signs certificates of devices
	Findings    *review.Findings // of sender binding
	Spool       *spool.Spool
	Ring        *keyring.Ring // the keys that sign
	Roster      *roster.Roster
	Mailboxes   *maildir.Target
	Mail        *mailbox.Root // the same mailboxes, for those who read them
	// HijackKey is that of the fingerprints of correspondents.
	HijackKey keys.Hijack

	closed bool
}

// Open opens the folder of a configuration, or makes one. It fails when another process has
// it open. What recovery found it records as a fact.
func Open(ctx context.Context, cfg config.Config, o Options) (f *Folder, err error) {
	f = &Folder{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
			f = nil
		}
	}()
	if f.Damage, err = damage.Open(filepath.Join(cfg.Data, damageFile), damage.DefaultLimits(), o.Now); err != nil {
		return f, fmt.Errorf("data folder: %w", err)
	}
	// A folder that a newer program wrote is refused before anything in it is touched.
	if _, err := format.Check(cfg.Data, format.Steps()); err != nil {
		return f, err
	}
	var same func(a, b string) bool // of a disk in memory nothing is known
	if o.FS == vfs.Default {
		same = diskspace.Same
	}
	f.Disks = diskspace.Of(pebble.Disk(o.FS), same, cfg.Limits.Free(), cfg.Data, cfg.Maildir.Root)
	// The store comes first: it keeps every other process out of the folder, and
	// knows whether anything depends on keys that are missing.
	if f.Store, err = pebble.Open(pebble.Options{
		FS: o.FS, Dir: cfg.StoreDir(), Logger: o.Logger, Space: f.Disks[0], Damage: f.noting(o.Logger),
		LostFact: func(seq uint64) []byte { return trace.Lost(seq, o.Now()) },
	}); err != nil {
		return f, err
	}
	if a, ok := f.Store.(store.Ailing); ok {
		f.Trouble = a.Trouble
	}
	if o.Watched != nil {
		f.Store = o.Watched(f.Store)
	}
	k, err := keys.Load(cfg, f.Store.FactHead() == 0, o.Rand)
	if err != nil {
		return f, err
	}
	if err := format.Migrate(ctx, cfg.Data, f.Store, format.Steps(), o.Version, o.Logger); err != nil {
		return f, err
	}
	return f, f.open(ctx, cfg, o, k)
}

// open opens each room.
func (f *Folder) open(ctx context.Context, cfg config.Config, o Options, k keys.Keys) (err error) {
	f.HijackKey = k.Hijack
	if f.Clock, err = amounts.OpenClock(ctx, f.Store, o.World); err != nil {
		return err
	}
	f.Trace, err = trace.Open(ctx, f.Store, trace.Options{
		Origin: k.Trace.Origin(), Key: k.Trace, CheckpointDir: cfg.CheckpointDir(), Limits: bounds.Trace(cfg),
		Now: o.Now, Age: f.Clock.Age, Rand: o.Rand, Logger: o.Logger, Observe: o.Observe,
		Damage: f.noting(o.Logger),
	})
	if err != nil {
		return err
	}
	f.Facts, err = query.New(query.Options{Store: f.Store, Log: f.Trace, Limits: query.DefaultLimits(), Logger: o.Logger})
	if err != nil {
		return err
	}
	f.ReturnPaths = returnpath.New(returnpath.Options{
		Keys: k.Returns, Note: returnpath.NoteIn(cfg.KeysDir()), Now: o.Now, Logger: o.Logger,
	})
	f.Accounts, err = accounts.Open(ctx, f.Store, accounts.Options{
		Limits: bounds.Accounts(cfg, o.Processors.Count()), Mechanisms: settings.Mechanisms(cfg),
		Elsewhere: o.Elsewhere, Provider: o.Provider, Now: o.Now, Age: f.Clock.Age, Logger: o.Logger,
		Rand: o.Rand,
	})
	if err != nil {
		return err
	}
	if f.DeviceCA, err = ca.New(f.Store, f.deviceCA(cfg, o)); err != nil {
		return err
	}
	f.Amounts, err = amounts.Open(ctx, f.Store, cfg, amounts.Options{
		World: o.World, Clock: f.Clock, Accounts: f.Accounts.List, Waiting: f.waiting,
		Usage: func(ctx context.Context, a mail.Address) (mailbox.Usage, error) { return f.Mail.Usage(ctx, a) },
	})
	if err != nil {
		return err
	}
	if f.Findings, err = review.Open(ctx, f.Store, review.Options{Limits: review.DefaultLimits(), Now: o.Now, Logger: o.Logger}); err != nil {
		return err
	}
	var found spool.Report
	f.Spool, found, err = spool.Open(ctx, f.Store, spool.Options{
		Key: k.Grant, Policy: bounds.Retry(cfg), Limits: bounds.Spool(cfg), Paused: o.Paused, Now: o.Now,
		Passed: f.Clock.Now, Logger: o.Logger, Damage: f.noting(o.Logger),
	})
	if err != nil {
		return err
	}
	if err := f.recordRecovery(ctx, found, o); err != nil {
		return err
	}
	f.Ring, err = keyring.Open(ctx, f.Store, keyring.Options{
		Limits: keyring.DefaultLimits(), Overlap: o.Overlap, Find: o.Find, Now: o.Now, Age: f.Clock.Age, Rand: o.Rand, Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	f.Roster, err = roster.Open(ctx, f.Store, roster.Options{Limits: roster.DefaultLimits(), Logger: o.Logger})
	if err != nil {
		return err
	}
	if err := f.openMailboxes(cfg, o); err != nil {
		return err
	}
	return f.follow(ctx, o)
}

func (f *Folder) deviceCA(cfg config.Config, o Options) ca.Options {
	return ca.Options{
		Host: cfg.Hostname, Keys: cfg.KeysDir(), Holding: f.Accounts.Holding, Limits: ca.DefaultLimits(),
		Now: o.Now, Age: f.Clock.Age, Rand: o.Rand, Logger: o.Logger,
	}
}

// follow takes mailboxes to the names of their accounts where the process before this one was
// ended in the middle. What cannot be moved stays where it is until the next start.
func (f *Folder) follow(ctx context.Context, o Options) error {
	moves, err := f.Accounts.Moves(ctx)
	for _, m := range moves {
		if err := f.Mailboxes.Follow(m.From, m.To); err != nil {
			o.Logger.Error("the mailbox of a renamed account could not be moved", "account", m.To.String(), "err", err)
			continue
		}
		err = errors.Join(err, f.Accounts.Moved(ctx, m.From))
	}
	return err
}

// Close releases the folder; of nil, and a second time, it does nothing.
func (f *Folder) Close() error {
	if f == nil || f.Store == nil || f.closed {
		return nil
	}
	f.closed = true
	if f.Amounts != nil {
		f.Quota.Close()
	}
	if f.Mail != nil {
		f.Mail.Close()
	}
	return f.Store.Close()
}

// recordRecovery tells what the queue looked like when it was opened, if there was
// anything to tell.
func (f *Folder) recordRecovery(ctx context.Context, r spool.Report, o Options) error {
	if r.Entries+r.Damaged+r.Orphans+r.Repaired == 0 {
		return nil
	}
	told := fact.Recovered{At: o.Now(), Rule: RuleRecovery, Entries: r.Entries}
	for _, p := range []struct {
		name  string
		value int
	}{{"resumed", r.Resumed}, {"held", r.Held}, {"damaged", r.Damaged}, {"orphans", r.Orphans}, {"repaired", r.Repaired}} {
		told.Found = append(told.Found, fact.Pair{Name: p.name, Value: fmt.Sprint(p.value)})
	}
	if r.Damaged > 0 {
		o.Logger.Error("damaged messages are in quarantine", "count", r.Damaged)
	}
	o.Logger.Info("queue recovered", "entries", r.Entries, "resumed", r.Resumed, "held", r.Held, "damaged", r.Damaged,
		"orphans", r.Orphans, "repaired", r.Repaired, "took", r.Took)
	return f.Trace.Write(ctx, told.Fact())
}
