package signin

import (
	"maps"
	"slices"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// live knows the signed-in sessions of each account, so that they can be bounded and ended.
type live struct {
	mu sync.Mutex
	by map[string]map[*Visit]session // by the account's key
}

// session is what is told of a session that is still open, and what it rests on.
type session struct {
	since time.Time
	as    fact.Session
	proof accounts.Proof
	scope accounts.Scope
}

// add reports false when the account has as many sessions of the scope as it may.
func (l *live) add(v *Visit, s session, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := s.proof.Address.Key()
	set, n := l.by[key], 0
	for _, other := range set {
		if other.scope == s.scope {
			n++
		}
	}
	if n >= most {
		return false
	}
	if set == nil {
		set = map[*Visit]session{}
		l.by[key] = set
	}
	set[v] = s
	return true
}

// update replaces what is told of a session, if it is still open.
func (l *live) update(v *Visit, as fact.Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	set := l.by[v.proof.Address.Key()]
	if s, ok := set[v]; ok {
		s.as = as
		set[v] = s
	}
}

func (l *live) remove(account mail.Address, v *Visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := account.Key()
	delete(l.by[key], v)
	if len(l.by[key]) == 0 {
		delete(l.by, key)
	}
}

// those returns the sessions of an account whose proof is one that ends.
func (l *live) those(account mail.Address, ends func(accounts.Proof) bool) (set []*Visit) {
	l.mu.Lock()
	all := maps.Clone(l.by[account.Key()])
	l.mu.Unlock()
	for v, s := range all {
		if ends(s.proof) {
			set = append(set, v)
		}
	}
	return set
}

// all returns what is told of every one.
func (l *live) all() []session {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []session
	for _, set := range l.by {
		out = slices.AppendSeq(out, maps.Values(set))
	}
	return out
}
