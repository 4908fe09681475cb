package replay

import (
	"time"

	"sallyport/internal/hijack"
)

// server is what a server keeps for the detector: who knows whom, what is normal, and a
// state for each account.
type server struct {
	params   hijack.Params
	key      hijack.Key
	book     *Book
	site     hijack.Site
	network  hijack.Attribute // the one that all honest people sit in
	accounts map[string]*account
	ours     map[hijack.Fingerprint]bool // accounts; other servers say whether the others exist
}

// account is one sender. A thief gets a copy.
type account struct {
	name    string
	who     hijack.Fingerprint
	state   hijack.State
	waiting []waiting // oldest first
	asked   time.Time // when those who wait asked last
	first   time.Time // message
	last    time.Time
	sent    int // messages
	fresh   int // recipients new to it
	all     int // recipients
}

// waiting are recipients of one message for whom the bucket had no room.
type waiting struct {
	since time.Time
	n     int
	away  int // of these, those that other servers will say of whether they exist
	all   int // recipients of the message
}

// askAgain is how often those who wait ask.
const askAgain = 6 * time.Minute

func newServer(p hijack.Params) *server {
	key, _ := hijack.NewKey([]byte("a key that only makes names short"[:hijack.KeyOctets]))
	return &server{params: p, key: key, book: newBook(nil), accounts: map[string]*account{}, ours: map[hijack.Fingerprint]bool{}}
}

// account returns the one of a name.
func (s *server) account(name string) *account {
	a := s.accounts[name]
	if a == nil {
		a = &account{name: name, who: s.key.Account(name)}
		s.accounts[name], s.ours[a.who] = a, true
	}
	return a
}

// people are the fingerprints of names.
func (s *server) people(names []string) []hijack.Fingerprint {
	out := make([]hijack.Fingerprint, len(names))
	for i, n := range names {
		out[i] = s.key.Account(n)
	}
	return out
}

// result is what came of a message.
type result struct {
	recipients hijack.Recipients
	verdict    hijack.Verdict
	now        int // recipients that are handed over at once, but for the hold window
	held       int // of these, those that wait for it
	away       int // of these, those that other servers say of whether they exist
}

// submit has an account submit a message, as the server does it: classified, judged, and
// learnt from unless the account is contained.
func (s *server) submit(a *account, book *Book, to []hijack.Fingerprint, invalid int, at time.Time, priors hijack.Priors) result {
	r := hijack.Classify(book, a.who, to, at, s.params)
	r.Invalid, r.Elsewhere = invalid, s.elsewhere(to)
	out := result{recipients: r}
	a.state, out.verdict = hijack.Advance(a.state, hijack.Submitted{At: at, Recipients: r}, priors, s.params)
	if out.verdict.Contain {
		return out
	}
	book.Learn(hijack.Wrote(a.who, to, at))
	fresh := r.NewToAccount + r.NewToSite
	out.away = r.Elsewhere
	if n := fresh - out.verdict.Leave; n > 0 {
		if len(a.waiting) == 0 {
			a.asked = at
		}
		a.waiting = append(a.waiting, waiting{at, n, min(n, r.Elsewhere), r.Total()})
		out.away -= min(n, r.Elsewhere)
	}
	out.now = r.Known + r.Recent + out.verdict.Leave
	if out.verdict.Hold > 0 {
		// Those that somebody here wrote to leave first.
		out.held = max(0, out.verdict.Leave-r.NewToAccount)
	}
	return out
}

// elsewhere is how many of them are nobody's account here.
func (s *server) elsewhere(to []hijack.Fingerprint) int {
	away := map[hijack.Fingerprint]bool{}
	for _, f := range to {
		if !s.ours[f] {
			away[f] = true
		}
	}
	return len(away)
}

// answered has other servers say that so many of a message's recipients exist, but for some.
func (s *server) answered(a *account, gone, of, all int, at time.Time, priors hijack.Priors) (v hijack.Verdict) {
	if of > 0 {
		a.state, v = hijack.Advance(a.state, hijack.Answered{At: at, Refused: min(gone, of), Of: of, All: all}, priors, s.params)
	}
	return v
}

// drain lets those who wait ask until a moment; left is told who leaves when.
func (s *server) drain(a *account, until time.Time, priors hijack.Priors, left func(w waiting, n int, at time.Time)) {
	for len(a.waiting) > 0 && !a.asked.Add(askAgain).After(until) {
		a.asked = a.asked.Add(askAgain)
		n := 0
		for _, w := range a.waiting {
			n += w.n
		}
		var v hijack.Verdict
		a.state, v = hijack.Advance(a.state, hijack.Waiting{At: a.asked, Recipients: n}, priors, s.params)
		for v.Leave > 0 && len(a.waiting) > 0 {
			w := &a.waiting[0]
			k := min(v.Leave, w.n)
			v.Leave -= k
			w.n -= k
			s.answered(a, 0, min(k, w.away), w.all, a.asked, priors)
			w.away -= min(k, w.away)
			left(*w, k, a.asked)
			if w.n == 0 {
				a.waiting = a.waiting[1:]
			}
		}
	}
}
