package watch

import (
	"fmt"
	"testing"
	"time"

	"sallyport/internal/hijack"
)

func (w *world) normally(facts func(int) [][]byte, all ...Sending) int {
	w.t.Helper()
	n, err := w.Watch.LearnNormal(w.t.Context(), addr(w.t, "alice@local.test"), all, facts)
	must(w.t, err)
	return n
}

func (w *world) novelty() float64 { return w.priors(w.time()).Mean[0] }

func quietly(int) [][]byte { return nil }

// sentTo is a message of some time ago.
func (w *world) sentTo(ago time.Duration, who ...string) Sending {
	s := Sending{At: w.time().Add(-ago)}
	for _, a := range who {
		s.Ways = append(s.Ways, Way{Recipient: addr(w.t, a)})
	}
	return s
}

// teach teaches whom messages went to, each since the first of them, and then the messages.
func (w *world) history(all []Sending) int {
	var met []Acquaintance
	for _, s := range all {
		for _, way := range s.Ways {
			met = append(met, Acquaintance{way, s.At})
		}
	}
	w.learn(quietly, met...)
	return w.normally(quietly, all...)
}

// A site that comes with its history begins with what was normal there, at once and after a
// restart; a second run changes nothing.
func TestWhatWasNormalIsLearnt(t *testing.T) {
	w := newWorld(t, nil)
	if fresh := w.novelty(); fresh != hijack.DefaultParams().SiteNovelty.Fresh {
		t.Fatalf("a fresh site takes %v for normal", fresh)
	}
	var all []Sending
	for n := range 600 { // every third hour, and somebody new once in twenty
		who := fmt.Sprintf("c%d@remote.test", n%20)
		if n%20 == 7 {
			who = fmt.Sprintf("new%d@remote.test", n)
		}
		all = append(all, w.sentTo(time.Duration(700-n)*3*time.Hour, who))
	}
	if n := w.normally(nil, all...); n == 0 || w.novelty() != hijack.DefaultParams().SiteNovelty.Fresh {
		t.Errorf("a trial learnt %d, %v is normal", n, w.novelty())
	}
	n := w.history(all)
	got := w.novelty()
	// 200 messages' worth of the belief of a fresh site, and of 600 one in twenty is new, and the first 19.
	if want := (200*0.4 + 49) / 800; n < 550 || got < want-0.02 || got > want+0.02 {
		t.Errorf("%d messages, %v is normal, not %v", n, got, want)
	}
	if n := w.normally(quietly, all...); n != 0 || w.novelty() != got {
		t.Errorf("a second run learnt %d, %v is normal", n, w.novelty())
	}
	again, err := Open(t.Context(), w.o)
	must(t, err)
	if after := again.priors(w.time()).Mean[0]; after != got {
		t.Errorf("after a restart %v is normal, not %v", after, got)
	}
}

// What a thief sent in the past is nobody's habit, nor is what is of today.
func TestAPastTheftTeachesNothing(t *testing.T) {
	w := newWorld(t, nil)
	var all []Sending
	for n := range 100 {
		all = append(all, w.sentTo(time.Duration(400-n)*3*time.Hour, fmt.Sprintf("c%d@remote.test", n%5)))
	}
	w.history(all)
	before := w.novelty()
	var blast []Sending
	for n := range 200 {
		blast = append(blast, w.sentTo(72*time.Hour-time.Duration(n)*time.Second, fmt.Sprintf("victim%d@remote%d.test", n, n)))
	}
	if n := w.history(blast); n > 4 || w.novelty() > before+0.02 {
		t.Errorf("%d messages of a blast were learnt from, %v is normal after %v", n, w.novelty(), before)
	}
	if n := w.history([]Sending{w.sentTo(time.Hour, "c1@remote.test"), w.sentTo(-time.Hour, "c1@remote.test")}); n != 0 {
		t.Errorf("%d messages of today", n)
	}
}
