package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// changedText is how much is kept of what was changed.
const changedText = 400

func changedKey(account hijack.Fingerprint) []byte { return keyOf(prefixChanged, account) }

// Changed tells that the account may reach somebody whom it could not: its forward leads to
// others outside, or it may send as somebody else. A theft often begins with it. What says in
// words what was done.
func (w *Watch) Changed(ctx context.Context, of mail.Address, what string) {
	now := w.o.Now()
	w.event(ctx, Act{Account: of}, hijack.ForwardChanged{At: w.o.Passed()}, store.Mutation{
		Key:   append(changedKey(w.o.Key.Account(of.Key())), encodeTime(now)...),
		Value: []byte(fact.Clean(what, changedText)),
	})
}

// change is one thing that was changed.
type change struct {
	at   time.Time
	what string
}

// words say it to a person.
func (c change) words() string { return c.at.UTC().Format(time.RFC3339) + " " + c.what }

// changes are those of an account that are part of what it did of late: the earliest of them
// came at most evidencePause before since, and each at most so long before the next.
func (w *Watch) changes(ctx context.Context, who hijack.Fingerprint, since time.Time) (out []change) {
	prefix := changedKey(who)
	err := w.o.Store.Scan(ctx, store.Prefix(prefix), func(k, v []byte) (bool, error) {
		if at := k[len(prefix):]; len(at) == 8 {
			out = append(out, change{decodeTime(at, since), string(v)})
		}
		return true, nil
	})
	if err != nil {
		w.o.Logger.Warn("an incident does not say what was changed before it", "err", err)
	}
	for i, c := range slices.Backward(out) {
		if since.Sub(c.at) > evidencePause {
			return out[i+1:]
		}
		since = earlier(since, c.at)
	}
	return out
}

// changedWords are what an incident says of changes.
func changedWords(all []change) (out []string) {
	for _, c := range all {
		out = append(out, fmt.Sprintf("%s: a theft is likelier to have begun then", c.words()))
	}
	return out
}

// fadeChanged forgets what was changed long before anything that happens now.
func (w *Watch) fadeChanged(ctx context.Context, now time.Time) (gone []store.Mutation, err error) {
	err = w.o.Store.Scan(ctx, store.Prefix([]byte(prefixChanged)), func(k, _ []byte) (bool, error) {
		if at := k[max(len(prefixChanged), len(k)-8):]; w.o.Age(decodeTime(at, now)) > w.o.Limits.SharedFor {
			gone = append(gone, store.Mutation{Key: slices.Clone(k), Delete: true})
		}
		return len(gone) < fadeMost, nil
	})
	return gone, err
}
