package returnpath

import (
	"sync"

	"sallyport/internal/mail"
	"sallyport/internal/returnpath/srs"
)

// owners knows whose return path a reference is. It remembers accounts for good, in some
// hundred octets each.
type owners struct {
	mu    sync.RWMutex
	known map[string]struct{} // accounts by key
	owner map[srs.Ref]mail.Address
}

func (o *owners) learn(key srs.Key, accounts []mail.Address) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known == nil {
		o.known, o.owner = map[string]struct{}{}, map[srs.Ref]mail.Address{}
	}
	for _, a := range accounts {
		if _, ok := o.known[a.Key()]; !ok {
			o.known[a.Key()] = struct{}{}
			o.owner[key.Ref(a)] = a
		}
	}
}

// follow leads the references of accounts that have another address now to that. Whoever gets
// a former address later is learnt anew.
func (o *owners) follow(key srs.Key, renamed map[mail.Address]mail.Address) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for former, now := range renamed {
		delete(o.known, former.Key())
		o.owner[key.Ref(former)] = now
	}
}

func (o *owners) of(ref srs.Ref) (mail.Address, bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	a, ok := o.owner[ref]
	return a, ok
}
