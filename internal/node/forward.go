package node

import (
	"io"
	"path/filepath"
	"sync"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/returnpath/srs"
)

// forwardKeyFile authenticates the return paths of forwards. Unlike the other keys it
// may be made at any time: a lost one only makes the return paths that are out in the
// world look forged.
const forwardKeyFile = "forward.key"

func loadForwardKey(cfg config.Config, rnd io.Reader) (srs.Key, error) {
	path := filepath.Join(cfg.KeysDir(), forwardKeyFile)
	secret, err := loadOrMakeKey(path, true, func() ([]byte, error) { return randomKey(rnd) })
	if err != nil {
		return srs.Key{}, err
	}
	k, err := srs.NewKey(secret)
	if err != nil {
		return srs.Key{}, damagedKey(path, err)
	}
	return k, nil
}

// returns knows whose return path an address is. It remembers accounts for good, in
// some hundred octets each: whether one still exists the directory tells.
type returns struct {
	key    srs.Key
	maxAge time.Duration
	now    func() time.Time

	mu    sync.RWMutex
	known map[string]struct{} // accounts by key
	owner map[srs.Ref]mail.Address
}

func newReturns(key srs.Key, maxAge time.Duration, now func() time.Time) *returns {
	return &returns{key: key, maxAge: maxAge, now: now, known: map[string]struct{}{}, owner: map[srs.Ref]mail.Address{}}
}

// adjust replaces the age up to which return paths are taken.
func (r *returns) adjust(maxAge time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.maxAge = maxAge
}

// learn adds accounts.
func (r *returns) learn(accounts []mail.Address) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range accounts {
		if _, ok := r.known[a.Key()]; !ok {
			r.known[a.Key()] = struct{}{}
			r.owner[r.key.Ref(a)] = a
		}
	}
}

// The rules by which an address in the form of a return path got its class.
const (
	ruleReturn        = "forward-return"
	ruleReturnForged  = "forward-return-forged"
	ruleReturnStale   = "forward-return-stale"
	ruleReturnNoOwner = "forward-return-no-owner"
)

// classify tells what an address is that has the form of a return path, in a domain
// of ours; false for every other one, and for a mailbox or alias that happens to bear
// such a name.
func (r *returns) classify(dir *directory.Snapshot, a mail.Address) (directory.Class, bool) {
	if _, ours := dir.Domain(a.Domain()); !ours || !srs.Is(a) {
		return directory.Class{}, false
	}
	if named := dir.Classify(a).Rule; named == directory.RuleAccount || named == directory.RuleAlias {
		return directory.Class{}, false
	}
	refused := directory.Class{Destination: gate.DestinationForwardForged, Rule: ruleReturnForged}
	r.mu.RLock()
	maxAge := r.maxAge
	r.mu.RUnlock()
	ref, err := r.key.Open(a, maxAge, r.now())
	if err != nil {
		if err == srs.ErrStale {
			refused.Rule = ruleReturnStale
		}
		return refused, true
	}
	r.mu.RLock()
	owner, ok := r.owner[ref]
	r.mu.RUnlock()
	c := dir.Classify(owner)
	switch {
	case !ok || c.Destination != gate.DestinationUnavailable && c.Rule != directory.RuleAccount:
		refused.Rule = ruleReturnNoOwner
		return refused, true
	case c.Destination == gate.DestinationUnavailable:
		return c, true
	}
	c.Destination, c.Rule = gate.DestinationForwardReturn, ruleReturn
	return c, true
}
