package callout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	smtpclient "sallyport/internal/smtp/client"
)

// people is a server that takes those whom it names, after a while, and counts who
// asks about whom.
type people struct {
	mu    sync.Mutex
	takes map[string]bool
	all   bool
	err   error
	slow  time.Duration
	asked []string
	busy  int
	most  int
}

func (p *people) Ask(ctx context.Context, a mail.Address) (mail.Reply, string, error) {
	p.mu.Lock()
	p.asked = append(p.asked, a.String())
	p.busy++
	p.most = max(p.most, p.busy)
	takes, err, slow := p.all || p.takes[a.String()], p.err, p.slow
	p.mu.Unlock()
	defer func() { p.mu.Lock(); p.busy--; p.mu.Unlock() }()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return mail.Reply{}, "inner", ctx.Err()
	}
	switch {
	case err != nil:
		return mail.Reply{}, "inner", err
	case takes:
		return mail.R(250, "2.1.5", "ok"), "inner", nil
	}
	return mail.R(550, "5.1.1", "who?"), "inner", nil
}

// questions returns how often somebody asked about an address that was meant.
func (p *people) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, a := range p.asked {
		if !strings.HasPrefix(a, "sallyport-asks-") {
			n++
		}
	}
	return n
}

func (p *people) set(edit func()) { p.mu.Lock(); edit(); p.mu.Unlock() }

type world struct {
	*Asker
	t      *testing.T
	server *people
	learnt []string
}

func newWorld(t *testing.T, edit func(*Limits)) *world {
	t.Helper()
	w := &world{t: t, server: &people{takes: map[string]bool{"alice@x.test": true}}}
	l := DefaultLimits()
	if edit != nil {
		edit(&l)
	}
	v, err := Build(Options{Limits: l, Now: time.Now, Rand: rand.New(rand.NewSource(1)), Logger: slog.New(slog.DiscardHandler), Journal: w}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Asker = v
	return w
}

// Write implements Journal.
func (w *world) Write(_ context.Context, facts ...fact.Fact) error {
	for _, f := range facts {
		w.learnt = append(w.learnt, fmt.Sprint(f.Rule, " ", f.Remote, " ", f.Text))
	}
	return nil
}

func (w *world) ask(a string) Answer {
	w.t.Helper()
	return w.askFrom("192.0.2.1", a)
}

func (w *world) askFrom(client, a string) Answer {
	w.t.Helper()
	addr, err := mail.ParseAddress(a, mail.UTF8)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.Ask(w.t.Context(), "inner:25", w.server, netip.MustParseAddr(client), addr)
}

func (w *world) want(a string, k Knowledge, questions int) Answer {
	w.t.Helper()
	got := w.ask(a)
	if got.Known != k {
		w.t.Errorf("%s is %d (%s), want %d", a, got.Known, got.Why, k)
	}
	if n := w.server.questions(); n != questions {
		w.t.Errorf("after %s there were %d questions, want %d", a, n, questions)
	}
	return got
}

func TestAnswersAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("alice@x.test", Yes, 1)
		w.want("bob@x.test", No, 2)
		w.want("alice@x.test", Yes, 2)
		w.want("bob@x.test", No, 2)
		// Capitals are another address, for all that we know.
		w.want("Alice@x.test", No, 3)
		time.Sleep(5*time.Minute + time.Second)
		w.server.set(func() { w.server.takes["bob@x.test"] = true })
		w.want("bob@x.test", Yes, 4)
		w.want("alice@x.test", Yes, 4)
		time.Sleep(time.Hour)
		w.server.set(func() { delete(w.server.takes, "alice@x.test") })
		w.want("alice@x.test", No, 5)
		if taken, refused := w.positive.Len(), w.negative.Len(); taken > 2 || refused > 3 {
			t.Errorf("%d and %d are remembered", taken, refused)
		}
	})
}

func TestWhatIsNotKnownIsNotGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("alice@x.test", Yes, 1)
		w.server.set(func() { w.server.err = errors.New("down") })
		// Nothing of it is remembered.
		for i := range 3 {
			w.want("bob@x.test", Unknown, 2+i)
		}
		// Who was known stays so for the grace time, and no longer.
		time.Sleep(2 * time.Hour)
		if a := w.want("alice@x.test", Yes, 5); a.Age < 2*time.Hour || a.Why != "down" {
			t.Errorf("%+v", a)
		}
		time.Sleep(24 * time.Hour)
		w.want("alice@x.test", Unknown, 6)
		// A server that never answers costs the time of a question.
		w.server.set(func() { w.server.err, w.server.slow = nil, time.Hour })
		began := time.Now()
		w.want("carol@x.test", Unknown, 7)
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestManyWaitForOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Waiting = 50 })
		w.server.slow = time.Second
		var wait sync.WaitGroup
		var mu sync.Mutex
		count, why := map[Knowledge]int{}, map[string]int{}
		for i := range 60 {
			wait.Go(func() {
				a := w.askFrom(fmt.Sprintf("192.0.%d.1", i), "alice@x.test")
				mu.Lock()
				defer mu.Unlock()
				count[a.Known]++
				why[a.Why]++
			})
		}
		wait.Wait()
		if count[Yes] != 50 || count[Unknown] != 10 || why["too many wait for the server behind"] != 10 || w.server.questions() != 1 {
			t.Errorf("%v, %v after %d questions", count, why, w.server.questions())
		}
		// One that goes away takes the question from nobody else.
		ctx, cancel := context.WithCancel(t.Context())
		wait.Go(func() {
			if a := w.Ask(ctx, "inner:25", w.server, netip.Addr{}, mustAddress(t, "dora@x.test")); a.Known != Unknown || a.Why != "no answer came in the time that there was" || a.Remote != "inner:25" {
				t.Errorf("%+v", a)
			}
		})
		synctest.Wait()
		if dora := mustAddress(t, "dora@x.test"); !w.Asks("inner:25", dora) || w.Asks("other:25", dora) {
			t.Error("who is being asked about, and where, is not known")
		}
		cancel()
		w.want("dora@x.test", No, 2)
		wait.Wait()
		if w.Asks("inner:25", mustAddress(t, "dora@x.test")) {
			t.Error("a question that was answered is called under way")
		}
	})
}

func mustAddress(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestQuestionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Rate = 10 })
		known := 0
		for i := range 1000 {
			if w.askFrom(fmt.Sprintf("10.%d.%d.1", i/250, i%250), fmt.Sprintf("u%d@x.test", i)).Known != Unknown {
				known++
			}
			time.Sleep(time.Millisecond)
		}
		if n := w.server.questions(); n != known || n > 10 || n < 5 {
			t.Errorf("%d questions and %d answers in a second", n, known)
		}
		// Another server has a rate of its own.
		other := &people{takes: map[string]bool{"u999@x.test": true}}
		if a := w.Ask(t.Context(), "other:25", other, netip.Addr{}, mustAddress(t, "u999@x.test")); a.Known != Yes {
			t.Errorf("%+v", a)
		}
	})
}

// A dictionary of unknown addresses displaces nobody who is known.
func TestAFloodOfUnknownDisplacesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(l *Limits) { l.Entries, l.Rate = 100, 1_000_000 })
		w.want("alice@x.test", Yes, 1)
		for i := range 5000 {
			w.ask(fmt.Sprintf("u%d@x.test", i))
		}
		w.want("alice@x.test", Yes, 5001)
		if refused := w.negative.Len(); refused > 100 {
			t.Errorf("%d refused ones are remembered", refused)
		}
	})
}

func TestAServerThatTakesAnybodyIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.want("bob@x.test", No, 1)
		synctest.Wait()
		if n := len(w.server.asked); n != 1 {
			t.Errorf("a no was followed by %d questions", n-1)
		}
		w.want("alice@x.test", Yes, 2)
		synctest.Wait()
		if n := len(w.server.asked); n != 3 || len(w.Catchall("inner:25")) > 0 || len(w.learnt) > 0 {
			t.Errorf("asked %v, learnt %v", w.server.asked, w.learnt)
		}
		w.server.set(func() { w.server.all = true })
		time.Sleep(13 * time.Hour)
		w.want("alice@x.test", Yes, 3)
		synctest.Wait()
		if got := fmt.Sprint(w.Catchall("inner:25"), w.learnt); got != "[x.test] [server-behind-takes-anybody inner the server behind x.test takes any recipient, so that asking it protects nobody: give the domain a recipients_file, or mend that server]" {
			t.Error(got)
		}
		w.server.set(func() { w.server.all = false })
		time.Sleep(13 * time.Hour)
		w.want("alice@x.test", Yes, 4)
		synctest.Wait()
		if got := fmt.Sprint(w.Catchall("inner:25"), w.learnt[1:]); got != "[] [server-behind-knows-recipients inner the server behind x.test does not take any recipient any more]" {
			t.Error(got)
		}
	})
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		code     int
		enhanced string
		want     Knowledge
	}{
		{250, "", Yes}, {251, "", Yes}, {252, "2.1.5", Yes},
		{550, "", No}, {550, "5.1.1", No}, {550, "5.1.10", No}, {551, "", No}, {552, "5.2.2", No}, {553, "5.1.3", No}, {554, "5.2.1", No}, {556, "", No}, {550, "5.6.7", No}, {550, "5.5.0", No}, {550, "5.4.1", No}, {501, "5.1.3", No},
		// Refusals of us, or of how we ask.
		{550, "5.7.1", Unknown}, {554, "5.7.1", Unknown}, {554, "", Unknown}, {530, "5.7.0", Unknown}, {530, "", Unknown}, {503, "", Unknown}, {500, "", Unknown}, {521, "", Unknown}, {501, "5.0.0", Unknown},
		{503, "5.5.1", Unknown}, {530, "5.5.1", Unknown}, {500, "5.5.2", Unknown}, {554, "5.5.1", Unknown}, {504, "5.5.4", Unknown},
		{450, "4.2.0", Unknown}, {451, "", Unknown}, {452, "4.2.2", Unknown}, {421, "", Unknown},
		{354, "", Unknown}, {0, "", Unknown}, {999, "", Unknown},
	} {
		if got := judge(mail.R(c.code, c.enhanced, "x"), "inner", nil); got.Known != c.want || (got.Known == Unknown) != (got.Why != "") {
			t.Errorf("%d %s: %+v, want %d", c.code, c.enhanced, got, c.want)
		}
	}
	if a := judge(mail.R(250, "", "ok"), "inner", io.EOF); a.Known != Unknown {
		t.Errorf("an error became %+v", a)
	}
	refusal := &smtpclient.ReplyError{Reply: mail.R(550, "5.1.0", "no null sender"), Stage: smtpclient.StageMail}
	if a := judge(mail.Reply{}, "inner", refusal); a.Known != Unknown || a.Reply.Code != 550 {
		t.Errorf("a refused sender became %+v", a)
	}
}

func TestOptionsAreRequired(t *testing.T) {
	for _, edit := range []func(*Options){
		func(o *Options) { o.Limits.Entries = 0 }, func(o *Options) { o.Limits.Share = 0 }, func(o *Options) { o.Limits.GuessTime = 0 }, func(o *Options) { o.Limits.Timeout = 0 }, func(o *Options) { o.Limits.Grace = -1 },
		func(o *Options) { o.Now = nil }, func(o *Options) { o.Rand = nil }, func(o *Options) { o.Journal = nil },
	} {
		o := Options{Limits: DefaultLimits(), Now: time.Now, Rand: rand.New(rand.NewSource(1)), Logger: slog.Default(), Journal: &world{}}
		edit(&o)
		if _, err := Build(o, nil); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
