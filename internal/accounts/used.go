package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
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
}

// LastUsed returns when the account's credentials were last used, to the hour, by their
// ids; one that is missing was not yet.
func (i *Identity) LastUsed(a mail.Address) map[string]time.Time { return i.usesOf(a.Key()) }

func (i *Identity) usesOf(key string) map[string]time.Time {
	v, _ := i.used.Load(key)
	uses, _ := v.(map[string]time.Time)
	return uses
}

// noteUse notes that a credential was used, lazily: to lose the note costs nobody anything.
func (i *Identity) noteUse(ctx context.Context, r *record, id string, now time.Time) {
	key := r.Address.Key()
	if age := now.Sub(i.usesOf(key)[id]); age >= 0 && age < useFreshness {
		return
	}
	i.load.Lock()
	defer i.load.Unlock()
	next := map[string]time.Time{}
	for _, c := range r.credentials() {
		if at, ok := i.usesOf(key)[c.ID]; ok {
			next[c.ID] = at
		}
	}
	next[id] = now.UTC().Truncate(time.Second)
	value, err := json.Marshal(storedUses{recordVersion, next})
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
		i.used.Store(keyOf(k, prefixUsed), maps.Clone(s.Uses))
		return true, nil
	})
	return wrapStore("reading the uses of credentials", err)
}
