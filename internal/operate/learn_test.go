package operate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
)

// pupil remembers what it is taught, and writes what is to be told of it.
type pupil struct {
	w       *world
	all     []watch.Acquaintance
	changed []string // what it was told
	normal  []string // the messages that it was told of
}

func (p *pupil) Learn(ctx context.Context, _ mail.Address, all []watch.Acquaintance, facts func(int) [][]byte) (int, error) {
	p.all = append(p.all, all...)
	if facts == nil {
		return len(all), nil
	}
	for _, b := range facts(len(all)) {
		f, err := fact.Decode(b)
		if err != nil {
			return 0, err
		}
		if err := p.w.trace.Write(ctx, f); err != nil {
			return 0, err
		}
	}
	return len(all), nil
}

func (p *pupil) LearnNormal(_ context.Context, of mail.Address, all []watch.Sending, facts func(int) [][]byte) (int, error) {
	for _, s := range all {
		p.normal = append(p.normal, fmt.Sprint(of, " ", len(s.Ways)))
	}
	return len(all), nil
}

func (p *pupil) Changed(_ context.Context, of mail.Address, what string) {
	p.changed = append(p.changed, of.String()+": "+what)
}

func (p *pupil) text() string {
	var out []string
	for _, a := range p.all {
		out = append(out, a.Recipient.String()+"/"+a.Mailbox.String())
	}
	p.all = nil
	return strings.Join(out, " ")
}

func TestLearn(t *testing.T) {
	w := newWorld(t)
	p := &pupil{w: w}
	w.o.Watch = p
	c := Direct(w.Operator)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := c.AccountAdd(t.Context(), AccountAdd{Address: a, Password: "correct horse", Role: "person"})
		check(t, err)
	}
	_, err := c.AliasAdd(t.Context(), AliasAdd{Name: "al@local.test", Targets: []string{"alice@local.test"}})
	check(t, err)
	learn := func(account string, to ...Correspondent) Learned {
		t.Helper()
		l, err := c.Learn(t.Context(), Learn{Account: account, From: "a log", Correspondents: to})
		check(t, err)
		return l
	}
	carl, bob, gone := Correspondent{Address: "carl@remote.test"}, Correspondent{Address: "BOB@local.test"}, Correspondent{Address: "gone@local.test"}
	l := learn("Alice@Local.test", carl, bob, gone)
	if got := p.text(); got != "carl@remote.test/ BOB@local.test/bob@local.test" || l != (Learned{Account: "alice@local.test", Taught: 2, Gone: 1}) {
		t.Errorf("%s, %+v", got, l)
	}
	if s := w.story(t, "alice@local.test"); !strings.Contains(s, "correspondents learnt") || !strings.Contains(s, "from: a log") || !strings.Contains(s, "correspondents: 2") {
		t.Error(s)
	}
	if l := learn("al@local.test", carl); l.Account != "alice@local.test" || p.text() == "" {
		t.Errorf("an alias of one account: %+v", l)
	}
	for _, nobody := range []string{"mallory@remote.test", "gone@local.test", "postmaster@local.test"} {
		if l := learn(nobody, carl); l != (Learned{}) || p.text() != "" {
			t.Errorf("%s: %+v", nobody, l)
		}
	}
	_, err = c.Learn(t.Context(), Learn{Account: "alice@local.test", Correspondents: make([]Correspondent, MaxLearn+1)})
	wantCode(t, err, CodeInvalid)
}

// Whom somebody else may have written to is not known to the account.
func TestAnIncidentTeachesNothing(t *testing.T) {
	w := newWorld(t)
	p := &pupil{w: w}
	w.o.Watch = p
	c, _, _ := contained(t, w)
	i, err := c.IncidentShow(t.Context(), IncidentRef{Number: 1})
	check(t, err)
	at := func(d time.Duration) Correspondent {
		return Correspondent{Address: "v" + d.String()[:1] + "@remote.test", Since: i.Since.Add(d)}
	}
	l, err := c.Learn(t.Context(), Learn{Account: "alice@local.test", Correspondents: []Correspondent{at(-time.Hour), at(0), at(time.Hour)}})
	check(t, err)
	sent := func(d time.Duration) SentMessage {
		return SentMessage{At: i.Since.Add(d), To: []string{"a@remote.test", "b@remote.test"}}
	}
	if l, err := c.Learn(t.Context(), Learn{Account: "alice@local.test", Messages: []SentMessage{sent(-time.Hour), sent(0), sent(time.Hour), {To: []string{"c@remote.test"}}}}); err != nil || l.Normal != 1 || fmt.Sprint(p.normal) != "[alice@local.test 2]" {
		t.Errorf("normal: %+v, %v, %v", l, err, p.normal)
	}
	if l.Misused != 2 || len(p.all) != 1 || !p.all[0].Since.Before(i.Since) {
		t.Errorf("%+v: %s", l, p.text())
	}
	if v, err := c.IncidentShow(t.Context(), IncidentRef{Number: 1}); err != nil || v.State != incident.StateOpen {
		t.Errorf("%v, %v", v.State, err)
	}
}

// Who watches accounts is told when one reaches others from now on, and of no trial.
func TestWhoWatchesIsToldWhatIsChanged(t *testing.T) {
	w := newWorld(t)
	p := &pupil{w: w}
	w.o.Watch = p
	c := Direct(w.Operator)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := c.AccountAdd(t.Context(), AccountAdd{Address: a, Password: "correct horse", Role: "person"})
		check(t, err)
	}
	for _, dry := range []bool{true, false} {
		_, err := c.ForwardAdd(t.Context(), ForwardAdd{Account: "Alice@local.test", Targets: []string{"x@mallory.test"}, DryRun: dry})
		check(t, err)
		_, err = c.DelegateAdd(t.Context(), DelegateChange{Account: "alice@local.test", Address: "bob@local.test", DryRun: dry})
		check(t, err)
	}
	want := "alice@local.test: its forward leads to x@mallory.test as well; alice@local.test: it may send as bob@local.test"
	if got := strings.ToLower(strings.Join(p.changed, "; ")); got != want {
		t.Errorf("%s", got)
	}
}
