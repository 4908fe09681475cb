package datafolder

import (
	"context"
	"log/slog"
	"time"

	"sallyport/internal/damage"
)

// damageFile has what was found damaged.
const damageFile = "damage.json"

// What is read through, how often, and at what rate. The store reads its own tables through.
const (
	scrubEvery = 24 * time.Hour // how often bodies of messages that wait, and mailboxes, are read through
	// leastRest is the shortest pause between two such looks, however long one takes.
	leastRest  = time.Minute
	scrubRate  = 16 << 20              // octets a second of bodies of messages that wait
	scrubPause = 10 * time.Millisecond // between two mailboxes that are read through
)

// noting puts damage on the list; the rooms log it themselves.
func (f *Folder) noting(log *slog.Logger) damage.Note {
	return func(found damage.Found) {
		if err := f.Damage.Note(found); err != nil {
			log.Error("damage is not on the list", "file", found.File, "what", found.What, "err", err)
		}
	}
}

// Scrub reads what waits in the queue and the indexes of all mailboxes through, again and again
// until ctx ends, so that rot is found before somebody needs what it hit.
func (f *Folder) Scrub(ctx context.Context, log *slog.Logger) {
	for {
		began := time.Now()
		f.scrubOnce(ctx, log)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(scrubEvery-time.Since(began), leastRest)):
		}
	}
}

func (f *Folder) scrubOnce(ctx context.Context, log *slog.Logger) {
	if r, err := f.Spool.Scrub(ctx, scrubRate); err != nil && ctx.Err() == nil {
		log.Warn("the queue was not read through", "err", err)
	} else if err == nil {
		log.Debug("queue read through", "entries", r.Verified, "damaged", r.Damaged, "repaired", r.Repaired)
	}
	all, err := f.Accounts.List(ctx)
	if err != nil {
		log.Warn("the mailboxes were not read through", "err", err)
	}
	for _, a := range all {
		if err := f.Mail.Scrub(ctx, a.Address); err != nil && ctx.Err() == nil {
			log.Warn("a mailbox was not read through", "account", a.Address.String(), "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(scrubPause):
		}
	}
}
