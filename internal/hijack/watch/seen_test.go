package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
)

// at is what somebody does from an address.
func (w *world) at(c accounts.Credential, peer, program string) Act {
	w.t.Helper()
	ip := netip.MustParseAddr(peer)
	network, err := ip.Prefix(24)
	must(w.t, err)
	return Act{
		Account: addr(w.t, "alice@local.test"), Used: []accounts.Credential{c}, Network: network.String(), Program: program,
		Session: fact.Session{Peer: ip, Door: "submissions", Hello: program}, Began: w.time(),
	}
}

// mails has somebody write to one recipient.
func (w *world) mails(by Act, to string) Judged {
	w.t.Helper()
	j := w.Submitted(w.t.Context(), Submission{Act: by, ID: w.nextID(), Ways: []Way{{Recipient: addr(w.t, to)}}})
	j.Done(true)
	return j
}

// seenIn are whence an incident says that the account was used.
func (w *world) seenIn() (all []string) {
	w.t.Helper()
	if len(w.found) != 1 {
		w.t.Fatalf("%d incidents", len(w.found))
	}
	for _, o := range w.found[0].Seen {
		all = append(all, o.Peer.String()+" "+o.Program)
	}
	return all
}

// Whoever completes the evidence need not be the thief: an incident says from where else something unusual was done since it
// began, first of all whence it was found. What was done before, and what is not unusual, it does not say.
func TestAnIncidentSaysWhenceElse(t *testing.T) {
	most := strangers(t)
	w := newWorld(t, nil)
	w.friend("friend@remote.test")
	w.mails(w.at(app("desk"), "192.0.2.9", "old"), "early@far.test")
	w.mails(w.at(app("desk"), "192.0.2.9", "old"), "friend@remote.test")
	w.pass(2 * evidencePause)
	w.mails(w.at(app("desk"), "192.0.2.7", "desk"), "friend@remote.test")
	thief, began := w.at(app("stolen"), "203.0.113.9", "thief"), w.time()
	w.pass(time.Minute)
	for n := 0; n < most-2; n++ {
		w.mails(thief, fmt.Sprintf("v%d@remote%d.test", n, n))
		w.pass(time.Second)
	}
	for n := 0; len(w.found) == 0 && n < 9; n++ {
		w.mails(w.at(app("phone"), "198.51.100.4", "phone"), fmt.Sprintf("new%d@far.test", n))
	}
	if got := w.seenIn(); !slices.Equal(got, []string{"198.51.100.4 phone", "203.0.113.9 thief"}) {
		t.Errorf("seen: %q", got)
	}
	if i := w.found[0]; !i.Since.Equal(began) {
		t.Errorf("it begins at %s, and the session of the thief at %s", i.Since, began)
	}
	if o := w.found[0].Seen[1]; !o.At.Before(w.time()) {
		t.Errorf("the thief was seen at %s, and it is found at %s", o.At, w.time())
	}
}

// Of places far apart, all that made the evidence are told.
func TestEachPlaceIsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.SignedIn(t.Context(), w.at(app("desk"), "192.0.2.7", "desk"))
	w.pass(48 * time.Hour)
	var from []string
	for n := 0; len(w.found) == 0 && n < 9; n++ {
		from = append(from, fmt.Sprintf("%d.1.2.3 bot", 30+n))
		peer, _, _ := strings.Cut(from[n], " ")
		w.SignedIn(t.Context(), w.at(app("stolen"), peer, "bot"))
		w.pass(time.Minute)
	}
	got := w.seenIn()
	slices.Sort(got)
	if !slices.Equal(got, from) {
		t.Errorf("seen: %q, of %q", got, from)
	}
}

// What is remembered of places is bounded, and goes with the end of an incident.
func TestPlacesAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	for n := range 3 * seenMost {
		w.mails(w.at(app("desk"), fmt.Sprintf("192.0.2.%d", n), "desk"), fmt.Sprintf("v%d@remote.test", n%2))
		w.SignedIn(t.Context(), w.at(app("desk"), fmt.Sprintf("%d.1.2.3", 30+n), "desk"))
	}
	a, err := w.enter(t.Context(), addr(t, "alice@local.test"))
	must(t, err)
	most, full := len(a.seen), cap(a.seen)
	a.mu.Unlock()
	w.unpin(a)
	if most > seenMost || full > 2*seenMost+2 {
		t.Errorf("%d places are remembered, in room for %d", most, full)
	}
}
