package hijack

import (
	"net"
	"strings"
	"testing"
	"time"
)

// thieves are five people and what is stolen from each: the name, an app password, a certificate
// and a token; and a password that the thief uses under another spelling of the name than the
// account has.
func (w *walk) thieves() {
	w.t.Helper()
	for n, who := range []struct{ address, typed, stolen, other string }{
		{"alice@local.test", "Alice@LOCAL.test", "password", "app to send,receive from before"},
		{"bob@local.test", "bob@local.test", "app to send,receive from before", "password"},
		{"carol@local.test", "carol@local.test", "certificate from before", "token from before"},
		{"dave@other.test", "dave@other.test", "token from before", "certificate from before"},
		{"zoe@bücher.test", "ZOE@BÜCHER.TEST", "password", "app to send,receive from before"},
	} {
		p := &person{address: who.address, typed: who.typed, from: &net.TCPAddr{IP: net.IPv4(127, 50, byte(n), 1)}}
		word := "the own password of " + who.address
		w.account(p.address, word)
		p.all = []*credential{{name: "password", kind: "password", scope: "send,receive", word: word}}
		w.gives(p, false)
		p.stolen, p.other = p.credential(who.stolen), p.credential(who.other)
		w.people = append(w.people, p)
	}
}

// A thief has one credential of each of five people, each of another kind. Before he is found every
// credential opens the doors that it is for. Then nobody sends with anything, at any door, under
// any spelling of the name, in a session or a TLS session from before or in a new one; what he used
// and what was made since reads nothing, and what else the owner has reads on. It is so
// after a kill, and after the end of the incident the owner works again, and what is dead stays so.
func TestEveryDoor(t *testing.T) {
	w := newWalk(t)
	w.thieves()
	alice, zoe := w.people[0], w.people[len(w.people)-1]
	w.everybody(before, false)
	w.nobodys(alice)
	w.spell(zoe, before)
	w.kernel(before)
	atTheSocket := w.local()

	stopped := map[*person]time.Time{}
	for n, p := range w.people {
		w.stolenBy(p, n)
		for _, kept := range w.tickets {
			kept.seal()
		}
		stopped[p] = p.blast(t)
		w.sessions(p, stopped[p])
	}
	if got := atTheSocket.say("MAIL FROM:<alice@local.test>"); !strings.HasPrefix(got, "421") && !strings.HasPrefix(got, "550 5.7.") {
		t.Errorf("the kernel's word in a session from before: %q", got)
	}
	time.Sleep(2 * time.Second) // the hold window is over
	left := recipients(w.sink)
	w.places = make(chan struct{}, 100) // most are refused
	w.everybody(contained, false)
	for _, p := range w.people {
		w.receives(p)
	}
	w.spell(zoe, contained)
	w.kernel(contained)
	for _, door := range doors() {
		if !w.resumed[door] {
			t.Errorf("%s: no TLS session from before was resumed, so that nothing is shown of them", door)
		}
	}

	must(t, w.s.Kill())
	must(t, w.s.Start(t.Context()))
	w.everybody(killed, true)
	w.kernel(killed)
	if n := recipients(w.sink); n != left {
		t.Errorf("%d recipients have mail of contained accounts", n-left)
	}

	w.release()
	letters := 1 // of the program of this host
	w.places = make(chan struct{}, 30)
	w.everybody(ended, true)
	for _, p := range w.people {
		letters += w.works(p)
	}
	w.spell(zoe, ended)
	w.kernel(ended)
	if n := waitFor(w.sink, left+letters, 30*time.Second); n != left+letters {
		t.Errorf("the owners wrote %d letters, and %d are there", letters, n-left)
	}
	t.Logf("%v tries to sign in", w.tried)
}
