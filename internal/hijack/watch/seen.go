package watch

import (
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
)

// seenMost is from how many places it is remembered of one account that something unusual was done, the latest: so many new
// ones are evidence by themselves.
const seenMost = 5

// originOf says whence something is done, or was.
func originOf(by Act, now time.Time) incident.Origin {
	return incident.Origin{
		Peer: by.Session.Peer, Door: by.Session.Door, Program: fact.Clean(by.Session.Hello, mail.PieceShown), TLS: by.Session.TLS, Conn: by.Session.Conn, At: earlier(by.Handed, now),
	}
}

// same reports whether two are the same program at the same place.
func same(one, other incident.Origin) bool {
	return one.Peer == other.Peer && one.Door == other.Door && one.Program == other.Program
}

// sees remembers whence something unusual is done; the lock is held. It is kept in memory: whoever was seen
// before a restart is in the trace.
func (a *account) sees(by Act, now time.Time) {
	if by.Session.Door == "" {
		return // nobody knows
	}
	o := originOf(by, now)
	a.seen = append(slices.DeleteFunc(a.seen, func(s incident.Origin) bool { return same(s, o) }), o)
	a.seen = slices.Delete(a.seen, 0, max(0, len(a.seen)-seenMost))
}

// seenBy are whence an account was used in what an incident tells of: first of all what it was found by, and then where
// else something unusual was done since it began. Either of them may be the thief.
func (a *account) seenBy(by Act, now time.Time) (out []incident.Origin) {
	a.mu.Lock()
	defer a.mu.Unlock()
	found := originOf(by, now)
	if found.Door != "" { // else nobody knows any more who handed in what other servers refuse
		out = append(out, found)
	}
	for _, s := range a.seen {
		if !same(s, found) {
			out = append(out, s)
		}
	}
	return out
}
