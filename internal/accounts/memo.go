package accounts

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// memoKey stands for one password tried at one revision of one account. It is a
// MAC under a key of this process, so that what is remembered is worth nothing
// to whoever reads the memory of another process or a core file's strings.
type memoKey [sha256.Size]byte

// memoKeyOf is injective before the MAC: every part has its length before it.
func memoKeyOf(key []byte, account string, revision uint64, password string, context ...[]byte) memoKey {
	m := hmac.New(sha256.New, key)
	put := func(part []byte) {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part))))
		m.Write(part)
	}
	put([]byte(account))
	put(binary.BigEndian.AppendUint64(nil, revision))
	put([]byte(password))
	for _, c := range context {
		put(c)
	}
	return memoKey(m.Sum(nil))
}

// memo remembers keys for a time, and never more than its bound: the oldest goes
// first. Whoever uses it locks it.
type memo struct {
	max     int
	ttl     time.Duration
	entries map[memoKey]*list.Element
	byAge   *list.List // of memoEntry, the oldest first
}

type memoEntry struct {
	key     memoKey
	account string
	until   time.Time
}

func newMemo(max int, ttl time.Duration) *memo {
	return &memo{max: max, ttl: ttl, entries: map[memoKey]*list.Element{}, byAge: list.New()}
}

// adjust replaces the bounds; what is too much goes, the oldest first. What is
// remembered for longer than a shorter time allows is not believed any more.
func (m *memo) adjust(max int, ttl time.Duration) {
	m.max, m.ttl = max, ttl
	for m.byAge.Len() > m.max {
		m.remove(m.byAge.Front())
	}
}

// has reports whether k was put less than the time to live ago. A clock that was
// set back does not lengthen it.
func (m *memo) has(k memoKey, now time.Time) bool {
	e, ok := m.entries[k]
	if !ok {
		return false
	}
	until := e.Value.(memoEntry).until
	if now.Before(until) && until.Sub(now) <= m.ttl {
		return true
	}
	m.remove(e)
	return false
}

func (m *memo) put(k memoKey, account string, now time.Time) {
	if e, ok := m.entries[k]; ok {
		m.remove(e)
	}
	for m.byAge.Len() > 0 {
		first := m.byAge.Front()
		if m.byAge.Len() < m.max && now.Before(first.Value.(memoEntry).until) {
			break
		}
		m.remove(first)
	}
	m.entries[k] = m.byAge.PushBack(memoEntry{key: k, account: account, until: now.Add(m.ttl)})
}

// drop forgets all of one account.
func (m *memo) drop(account string) {
	for e := m.byAge.Front(); e != nil; {
		next := e.Next()
		if e.Value.(memoEntry).account == account {
			m.remove(e)
		}
		e = next
	}
}

func (m *memo) remove(e *list.Element) {
	delete(m.entries, e.Value.(memoEntry).key)
	m.byAge.Remove(e)
}
