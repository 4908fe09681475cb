package trust

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/kit/words"
)

// Sighting is what a client did that is not signed in.
type Sighting struct {
	From    netip.Addr
	MX      bool   // on port 25; else where our people hand in mail
	Name    string // of HELO or EHLO; "": none
	Domain  string // that it sends from and that is not ours; "": none
	Account string // at which it failed to sign in; "": none
	At      time.Time
}

// Trip is what ends trust.
type Trip struct {
	Network string // of the table; "": every network
	Why     string
}

// Tripwire remembers what is done behind trusted addresses. The zero Tripwire remembers
// nothing yet. It is used by one goroutine at a time.
type Tripwire struct {
	behind map[netip.Addr]*behind
	local  set // domains that wrote from addresses that are not public, since a public client last came
}

// behind is what is done behind one address.
type behind struct {
	since                    time.Time
	last                     time.Time
	names, domains, accounts set
}

// set holds texts, no more than are needed to say that there are too many.
type set map[string]bool

func (s *set) add(text string, l Limits, most int) (n int) {
	if text = strings.ToLower(text); text == "" {
		return len(*s)
	}
	text = text[:min(len(text), l.NameOctets)]
	if *s == nil {
		*s = set{}
	}
	if len(*s) <= most {
		(*s)[text] = true
	}
	return len(*s)
}

// See takes a sighting, and says what it ends; false: nothing.
func (w *Tripwire) See(s Sighting, t *Table, l Limits) (Trip, bool) {
	s.From = s.From.Unmap()
	n, trusted := t.Of(s.From)
	if trusted {
		if why := w.at(s, l).tell(s, l); why != "" {
			return Trip{n.Name, fmt.Sprintf("strangers come through %s: %s", s.From, why)}, true
		}
	}
	if !s.MX || s.Domain == "" && !Public(s.From) {
		return Trip{}, false
	}
	if Public(s.From) && !trusted {
		w.local = nil
		return Trip{}, false
	}
	if w.local.add(s.Domain, l, l.Local) >= l.Local {
		return Trip{"", fmt.Sprintf("client addresses seem to be lost: mail from %s of others came to port 25 out of addresses that are not public, %s the last, and no public client between",
			words.Count(l.Local, "domain"), s.From)}, true
	}
	return Trip{}, false
}

// tell adds the sighting, and says what is too much of it; "": nothing.
func (b *behind) tell(s Sighting, l Limits) string {
	names, domains, accounts := b.names.add(s.Name, l, l.Names), b.domains.add(s.Domain, l, l.Domains), b.accounts.add(s.Account, l, l.Accounts)
	switch {
	case domains >= l.Domains:
		return "they send from " + words.Count(domains, "domain") + " of others"
	case accounts >= l.Accounts:
		return "they failed to sign in as " + words.Count(accounts, "account")
	case names >= l.Names:
		return "they give " + words.Count(names, "name")
	}
	return ""
}

// at returns what is remembered of an address, and makes room for it.
func (w *Tripwire) at(s Sighting, l Limits) *behind {
	b := w.behind[s.From]
	if b != nil && s.At.Sub(b.since) < l.Window && !s.At.Before(b.since) {
		b.last = s.At
		return b
	}
	if w.behind == nil {
		w.behind = map[netip.Addr]*behind{}
	}
	if b == nil && len(w.behind) >= l.Addresses {
		w.forget()
	}
	b = &behind{since: s.At, last: s.At}
	w.behind[s.From] = b
	return b
}

// forget drops the address that was silent for longest.
func (w *Tripwire) forget() {
	var oldest netip.Addr
	for a, b := range w.behind {
		if !oldest.IsValid() || b.last.Before(w.behind[oldest].last) {
			oldest = a
		}
	}
	delete(w.behind, oldest)
}

// Reset forgets what was done behind a network's addresses, since a person was told of it;
// "": everything.
func (w *Tripwire) Reset(network string, t *Table) {
	for a := range w.behind {
		if n, _ := t.Of(a); network == "" || n.Name == network {
			delete(w.behind, a)
		}
	}
	if network == "" {
		w.local = nil
	}
}
