package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// useFreshness is how old the note of a use may grow before another one is written down.
const useFreshness = time.Hour

type storedUses struct {
	Version int                  `json:"v"`
	Uses    map[string]time.Time `json:"uses"` // by credential
	// Ends are those of the certificates that were shown then, by credential: one that was
	// renewed with the same key has another than was enrolled.
	Ends map[string]time.Time `json:"ends,omitempty"`
}

// uses is what is known of the use of an account's credentials, by their ids. It is never
// changed.
type uses struct{ last, ends map[string]time.Time }

// LastUsed returns when the account's credentials were last used, to the hour, by their
// ids; one that is missing was not yet.
func (i *Identity) LastUsed(a mail.Address) map[string]time.Time { return i.usesOf(a.Key()).last }

// Ends returns when the account's credentials end, by their ids: each by itself, or with its
// certificate as it was last shown. One that is missing has no end that is known.
func (i *Identity) Ends(a mail.Address) map[string]time.Time {
	r, used, all := i.record(a.Key()), i.usesOf(a.Key()), map[string]time.Time{}
	if r == nil {
		return all
	}
	for _, c := range r.credentials() {
		end := used.ends[c.ID]
		if end.IsZero() && c.Certificate != nil {
			end = c.Certificate.NotAfter
		}
		if end.IsZero() || !c.Expires.IsZero() && c.Expires.Before(end) {
			end = c.Expires
		}
		if !end.IsZero() {
			all[c.ID] = end
		}
	}
	return all
}

func (i *Identity) usesOf(key string) uses {
	v, _ := i.used.Load(key)
	u, _ := v.(uses)
	return u
}

// noteUse notes that a credential was used, lazily: to lose the note costs nobody anything.
// ends is the end of the certificate that was shown for it; zero: none was.
func (i *Identity) noteUse(ctx context.Context, r *record, id string, ends, now time.Time) {
	key := r.Address.Key()
	if was := i.usesOf(key); was.ends[id].Equal(ends) {
		if age := now.Sub(was.last[id]); age >= 0 && age < useFreshness {
			return
		}
	}
	i.load.Lock()
	defer i.load.Unlock()
	was, next := i.usesOf(key), uses{map[string]time.Time{}, map[string]time.Time{}}
	for _, c := range r.credentials() {
		if at, ok := was.last[c.ID]; ok {
			next.last[c.ID] = at
		}
		if at, ok := was.ends[c.ID]; ok {
			next.ends[c.ID] = at
		}
	}
	next.last[id] = now.UTC().Truncate(time.Second)
	if !ends.IsZero() {
		next.ends[id] = ends.UTC()
	}
	value, err := json.Marshal(storedUses{recordVersion, next.last, next.ends})
	if err == nil {
		err = i.storeBeside(ctx, key, usedKey(key), value)
	}
	switch {
	case err == nil:
		i.used.Store(key, next)
	case errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound):
		// The account was changed or removed in this moment; its next sign-in will tell.
	default:
		i.log(slog.LevelWarn, "the use of a credential could not be noted", key, err)
	}
}

func (i *Identity) refreshUsed(ctx context.Context) error {
	err := i.st.Scan(ctx, store.Prefix([]byte(prefixUsed)), func(k, v []byte) (bool, error) {
		var s storedUses
		err := codec.Decode(v, &s)
		if err == nil {
			err = codec.Version(s.Version, recordVersion)
		}
		if err != nil { // nothing depends on them
			i.o.Logger.Warn("the uses of credentials cannot be read", "account", keyOf(k, prefixUsed), "err", err)
			return true, nil
		}
		i.used.Store(keyOf(k, prefixUsed), uses{s.Uses, s.Ends})
		return true, nil
	})
	return wrapStore("reading the uses of credentials", err)
}
