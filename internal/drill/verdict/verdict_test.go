package verdict

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func refusal(rule string, count int) fact.Fact {
	return fact.Fact{Kind: fact.KindRefuse, Rule: rule, Count: count, At: noon}
}

// id is a queue identifier, another one for each n.
func id(t *testing.T, n int) mail.ID {
	t.Helper()
	x, err := mail.NewID(noon.Add(time.Duration(n)*time.Millisecond), strings.NewReader("123456789"))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// whole are the facts of a message that came in and was taken for everybody.
func wholeStory(q mail.ID, account string, to ...string) []fact.Fact {
	return []fact.Fact{
		{Kind: fact.KindAccept, Queue: q, Account: account, At: noon, Recipients: to},
		{Kind: fact.KindOutcome, Rule: "delivered", Queue: q, At: noon, Recipients: to},
	}
}

// good is a scenario in which everything was tried and all went well.
func goodScenario(t *testing.T) Seen {
	in, out := id(t, 1), id(t, 2)
	s := Seen{
		Scenario: "all", Bounds: DefaultBounds(), Ours: []string{"ours.test"}, Innocent: "innocent.test", Smuggled: true, Bombed: true, Flooded: true,
		Acks:  []Ack{{ID: "a", To: []string{"bob@ours.test"}, Size: 10}, {ID: "b", To: []string{"x@remote.test"}, Size: 10}},
		Boxes: []Letter{{ID: "a", Actor: Owner, Account: "alice@ours.test", From: "alice@ours.test", Authors: []string{"alice@ours.test"}, To: []string{"bob@ours.test"}, Queue: in.String(), Boxed: true, Size: 10}},
		Left:  []Letter{{ID: "b", Actor: Owner, Account: "alice@ours.test", From: "prvs=1234abcd=alice@ours.test", Authors: []string{"Alice@ours.test"}, To: []string{"x@remote.test"}, Queue: out.String(), Size: 10}},
		Facts: slices.Concat(wholeStory(in, "alice@ours.test", "bob@ours.test"), wholeStory(out, "alice@ours.test", "x@remote.test"), []fact.Fact{
			refusal("relay-denied", 100), refusal("author-not-owned", 3), refusal("no-such-user", 5),
			refusal("message-too-large", 2), refusal("bounce-forged", 9), refusal("protocol", 1),
		}),
		Stolen: []string{"carol@ours.test"}, Contained: []Contained{{"carol@ours.test", noon.Add(2 * time.Second)}},
		Verified: &Verified{Records: 12}, Asked: []Asked{{Queue: in.String()}},
		Siege: &Siege{Hostile: 50, Honest: 3, Slowest: time.Second, Memory: 1 << 20}, Wait: &Wait{Took: time.Minute, Most: 2 * time.Hour},
	}
	s.Bounds.MessageOctets, s.Bounds.Leak = 1000, 30
	s.Facts = append(s.Facts, fact.Fact{Kind: fact.KindAccept, Account: "carol@ours.test", At: noon, Queue: id(t, 3)})
	return s
}

func states(s Seen) map[Promise]State {
	out := map[Promise]State{}
	for _, v := range Judge(Measures(s)) {
		out[v.Promise] = v.State
	}
	return out
}

// A scenario in which all went well keeps every promise, and each thing that goes wrong breaks
// the one promise that it is about, by as much as it went wrong.
func TestEachBreachBreaksItsPromise(t *testing.T) {
	for p, state := range states(goodScenario(t)) {
		if state != Kept {
			t.Errorf("%s: %s", p, state)
		}
	}
	for name, c := range map[string]struct {
		breaks Promise
		over   float64
		by     func(*Seen)
	}{
		"a stranger's message left": {NoRelay, 1, func(s *Seen) { s.add(t, Letter{ID: "x", Actor: Stranger, To: []string{"y@remote.test"}}) }},
		"by the forward of a stopped one": {NoRelay, 1, func(s *Seen) {
			s.Forwards, s.Frozen = []string{"f@remote.test"}, "carol@ours.test"
			s.add(t, Letter{ID: "x", Actor: Stranger, To: []string{"f@remote.test"}})
		}},
		"another's From": {NoLie, 1, func(s *Seen) {
			s.add(t, Letter{ID: "x", Actor: Liar, Account: "alice@ours.test", Authors: []string{"bob@ours.test"}, To: []string{"y@remote.test"}})
		}},
		"a From of two": {NoLie, 1, func(s *Seen) {
			s.add(t, Letter{ID: "x", Actor: Liar, Account: "alice@ours.test", Authors: []string{"alice@ours.test", "bob@ours.test"}, To: []string{"y@remote.test"}})
		}},
		"a From that nobody reads": {NoLie, 1, func(s *Seen) {
			s.add(t, Letter{ID: "x", Actor: Liar, Account: "alice@ours.test", Unread: true, To: []string{"y@remote.test"}})
		}},
		"another's envelope": {NoLie, 1, func(s *Seen) {
			s.add(t, Letter{ID: "x", Actor: Liar, Account: "alice@ours.test", From: "bob@ours.test", To: []string{"y@remote.test"}})
		}},
		"a stranger as one of ours": {NoLie, 1, func(s *Seen) {
			s.box(t, Letter{ID: "x", Actor: Stranger, From: "bob@ours.test", To: []string{"bob@ours.test"}})
		}},
		"a hidden message":           {NoLie, 1, func(s *Seen) { s.box(t, Letter{ID: "x", Actor: Smuggler, To: []string{"bob@ours.test"}}) }},
		"a thief who is not stopped": {NoHijack, 1, func(s *Seen) { s.Contained = nil }},
		"a thief who reaches 31": {NoHijack, 1, func(s *Seen) {
			s.add(t, Letter{ID: "x", Actor: Thief, Account: "carol@ours.test", Authors: []string{"carol@ours.test"}, From: "carol@ours.test", To: many(31)})
		}},
		"a thief who is stopped too late": {NoHijack, 5, func(s *Seen) { s.Contained[0].At = noon.Add(65 * time.Second) }},
		"mail of a stopped account": {NoHijack, 1, func(s *Seen) {
			s.Facts = append(s.Facts, fact.Fact{Kind: fact.KindAccept, Account: "carol@ours.test", At: noon.Add(time.Minute)})
		}},
		"a 250 for what is nowhere":        {NoFalse250, 1, func(s *Seen) { s.Acks = append(s.Acks, Ack{ID: "lost", To: []string{"bob@ours.test"}}) }},
		"a 250 for one who has nothing":    {NoFalse250, 1, func(s *Seen) { s.Acks[1].To = append(s.Acks[1].To, "z@remote.test") }},
		"a bounce to an innocent":          {NoBackscatter, 1, func(s *Seen) { s.add(t, Letter{To: []string{"who@innocent.test"}}) }},
		"a message too large":              {NoBomb, 24, func(s *Seen) { s.box(t, Letter{ID: "x", Actor: Bomber, To: []string{"bob@ours.test"}, Size: 1024}) }},
		"octets on disk":                   {NoBomb, 1, func(s *Seen) { s.Grown = s.Bounds.Disk + 41 }},
		"memory":                           {NoBomb, 7, func(s *Seen) { s.Siege.Memory = s.Bounds.Memory + 7 }},
		"an honest message refused":        {NoBomb, 1, func(s *Seen) { s.Siege.Failed = 1 }},
		"honest mail slow":                 {NoBomb, 2, func(s *Seen) { s.Siege.Slowest = 12 * time.Second }},
		"honest mail put off too long":     {NoBomb, 60, func(s *Seen) { s.Siege.PutOff = s.Bounds.Again + time.Minute }},
		"a slow sender served for ever":    {NoBomb, 3, func(s *Seen) { s.Wait.Left = 3 }},
		"a slow sender served too long":    {NoBomb, 60, func(s *Seen) { s.Wait.Took = s.Wait.Most + time.Minute }},
		"a bounce of nothing, in a box":    {NoBomb, 1, func(s *Seen) { s.box(t, Letter{ID: "x", Actor: Bouncer, To: []string{"bob@ours.test"}}) }},
		"an answer not told":               {NoOpenQuestion, 1, func(s *Seen) { s.Facts = slices.Delete(s.Facts, 1, 2) }},
		"an arrival not told":              {NoOpenQuestion, 1, func(s *Seen) { s.Facts = slices.Delete(s.Facts, 0, 1) }},
		"a fault in the chain":             {NoOpenQuestion, 2, func(s *Seen) { s.Verified.Faults = []string{"one", "two"} }},
		"a message that can't be followed": {NoOpenQuestion, 1, func(s *Seen) { s.Asked[0].Lacking = "how it left is not told" }},
		"a refusal without a rule":         {NoOpenQuestion, 4, func(s *Seen) { s.Facts = append(s.Facts, refusal("", 4)) }},
	} {
		s := goodScenario(t)
		c.by(&s)
		for _, v := range Judge(Measures(s)) {
			switch {
			case v.Promise != c.breaks && v.State != Kept:
				t.Errorf("%s: %s is %s: %+v", name, v.Promise, v.State, v.Breaches())
			case v.Promise == c.breaks && (v.State != Broken || v.Breaches()[0].Over() != c.over):
				t.Errorf("%s: %s is %s by %+v, want %v", name, v.Promise, v.State, v.Breaches(), c.over)
			}
		}
	}
}

// add has a letter leave, and the trace tell of it.
func (s *Seen) add(t *testing.T, l Letter) {
	q := id(t, 100+len(s.Left))
	l.Queue = q.String()
	s.Left = append(s.Left, l)
	s.Facts = append(s.Facts, wholeStory(q, "", l.To...)...)
}

// box does the same for a mailbox.
func (s *Seen) box(t *testing.T, l Letter) {
	q := id(t, 200+len(s.Boxes))
	l.Queue, l.Boxed = q.String(), true
	s.Boxes = append(s.Boxes, l)
	s.Facts = append(s.Facts, wholeStory(q, "", l.To...)...)
}

func many(n int) (all []string) {
	for i := range n {
		all = append(all, string(rune('a'+i))+"@remote.test")
	}
	return all
}

// A message that came back to its sender is not lost, if the notification is there.
func TestWhatCameBackIsNotLost(t *testing.T) {
	s := goodScenario(t)
	sent, told := id(t, 7), id(t, 8)
	s.Acks = append(s.Acks, Ack{ID: "back", To: []string{"gone@remote.test"}})
	s.Facts = append(s.Facts, fact.Fact{Kind: fact.KindAccept, Queue: sent, MessageID: "<" + MessageID("back") + ">"}, fact.Fact{Kind: fact.KindNotify, Queue: told, About: sent})
	if states(s)[NoFalse250] != Broken {
		t.Error("a notification that is nowhere counts")
	}
	s.Boxes = append(s.Boxes, Letter{Queue: told.String(), Boxed: true})
	s.Facts = append(s.Facts, wholeStory(told, "", "alice@ours.test")...)
	if states(s)[NoFalse250] != Kept {
		t.Error("what came back counts as lost")
	}
}

// Nothing seen is nothing tested, and a figure that is no number is none that holds.
func TestNothingSeenKeepsNothing(t *testing.T) {
	for p, state := range states(Seen{Scenario: "none", Bounds: DefaultBounds()}) {
		if state != NotTested {
			t.Errorf("%s: %s", p, state)
		}
	}
	v := Judge([]Measure{{Promise: NoRelay, Found: math.NaN(), Most: 1, Tried: 1}})[0]
	if v.State != Broken || !math.IsInf(v.Breaches()[0].Over(), 1) {
		t.Errorf("%+v", v)
	}
	// What was not tried does not keep a promise that something else broke, in either order.
	for _, all := range [][]Measure{{{Promise: NoLie, Found: 1}, {Promise: NoLie, Tried: 1}}, {{Promise: NoLie, Tried: 1}, {Promise: NoLie, Found: 1}}} {
		if v := Judge(all)[1]; v.State != Broken {
			t.Errorf("%+v", v)
		}
	}
}

// Figures of several scenarios are one: counts are added up, times and sizes are the largest.
func TestFigures(t *testing.T) {
	v := Verdict{Measures: []Measure{
		{Scenario: "a", What: "mail", Unit: "messages", Found: 2, Most: 1, Tried: 3}, {Scenario: "b", What: "mail", Unit: "messages", Found: 1, Most: 1, Tried: 4},
		{Scenario: "a", What: "time", Unit: "seconds", Found: 2, Most: 9, Tried: 1}, {Scenario: "b", What: "time", Unit: "seconds", Found: 5, Most: 9, Tried: 1},
	}}
	f := v.Figures()
	if len(f) != 2 || f[0].Found != 3 || f[0].Tried != 7 || !slices.Equal(f[0].Scenarios, []string{"a"}) || f[1].Found != 5 || f[1].Scenarios != nil {
		t.Errorf("%+v", f)
	}
	if v.Tried() != 7 {
		t.Errorf("tried %d", v.Tried())
	}
	for want, got := range map[string]string{
		"0": Thousands(0), "999": Thousands(999), "1,000": Thousands(1000), "45,012": Thousands(45012), "-1,000": Thousands(-1000), "-100": Thousands(-100),
		"1.5 s": Amount(1.5, "seconds"), "163.2 s": Amount(163.2, "seconds"),
		"5.2 min": Amount(315, "seconds"), "2.0 h": Amount(7290, "seconds"),
		"52.5 MB": Amount(52494336, "octets"), "3 octets": Amount(3, "octets"),
		"1.3 GB": Amount(1.3e9, "octets"), "2.0 kB": Amount(2000, "octets"),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Promises and states are words for machines, and come back from them.
func TestWords(t *testing.T) {
	for _, p := range Promises() {
		text, err := json.Marshal(Verdict{Promise: p, State: Broken})
		var back Verdict
		if err != nil || json.Unmarshal(text, &back) != nil || back.Promise != p || back.State != Broken || p.Plain() == "" || p.Read() == "" {
			t.Errorf("%s: %+v %v", text, back, err)
		}
	}
	var p Promise
	var s State
	if p.UnmarshalText([]byte("none")) == nil || s.UnmarshalText([]byte("fine")) == nil {
		t.Error("what is no word is read")
	}
}

// A recipient of ours whose quoted local-part holds a foreign address is one of ours, as a catch-all takes it: what lies in
// its mailbox is not lost. An innocent's is an innocent's.
func TestAnAtWithinAName(t *testing.T) {
	s := goodScenario(t)
	s.Acks[0].To = []string{`"r1@remote.test"@ours.test`}
	if states(s)[NoFalse250] != Kept {
		t.Error("what a catch-all took is called lost")
	}
	s = goodScenario(t)
	s.Left = append(s.Left, Letter{To: []string{`"bob@ours.test"@innocent.test`}})
	if states(s)[NoBackscatter] != Broken {
		t.Error("a bounce to an innocent is not seen")
	}
}
