package sender

import (
	"context"
	"slices"
	"sync"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
)

// Keys finds public keys in the DNS; the resolver bounds and remembers its answers.
type Keys struct {
	Resolver dnsx.Resolver
	// Time bounds the wait for all keys of one message; 0: only the context does.
	Time time.Duration
}

// keyTime bounds the wait for the public keys of one message; it is well within the time
// of all inspectors, so that a domain whose DNS is silent makes results temporary and
// defers nothing.
const keyTime = 20 * time.Second

// NewKeys returns Keys that wait for no answer longer than a message may.
func NewKeys(r dnsx.Resolver) Keys { return Keys{Resolver: r, Time: keyTime} }

// Find asks for keys, all at once. What the DNS did not answer in time is temporary.
func (k Keys) Find(ctx context.Context, names []dkim.KeyName) map[dkim.KeyName]dkim.Found {
	if len(names) == 0 {
		return nil
	}
	if k.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.Time)
		defer cancel()
	}
	found := make([]dkim.Found, len(names))
	var wg sync.WaitGroup
	for i, n := range names[1:] {
		wg.Go(func() { found[i+1] = k.one(ctx, n) })
	}
	found[0] = k.one(ctx, names[0])
	wg.Wait()
	out := make(map[dkim.KeyName]dkim.Found, len(names))
	for i, n := range names {
		out[n] = found[i]
	}
	return out
}

// one asks for one key. RFC 6376 §6.1.2: silence and failures of the DNS are
// temporary, a name without a record is final.
func (k Keys) one(ctx context.Context, n dkim.KeyName) dkim.Found {
	name, err := dnsx.ParseName(n.String())
	if err != nil {
		return dkim.Found{} // too long for the DNS: there can be no such key
	}
	a, err := k.Resolver.TXT(ctx, name)
	switch {
	case err == nil:
		texts := slices.Clone(a.Data)
		slices.Sort(texts) // the DNS gives them in any order
		return dkim.Found{Records: texts}
	case dnsx.Permanent(err):
		return dkim.Found{}
	}
	return dkim.Found{Temporary: true}
}
