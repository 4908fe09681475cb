package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/store"
	"sallyport/test/operator"
)

// pupil remembers what it is taught, and writes what is to be told of it.
type pupil struct {
	w       *operator.World
	all     []watch.Acquaintance
	changed []string // what it was told
	normal  []string // the messages that it was told of
	gone    []string
	dropped []string // of whom it was to forget everything
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
		if err := p.w.Log.Write(ctx, f); err != nil {
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

func (p *pupil) Gone(_ context.Context, a mail.Address) { p.gone = append(p.gone, a.String()) }

func (p *pupil) Dropping(of mail.Address) store.Planner {
	return func(context.Context) (store.Share, error) {
		p.dropped = append(p.dropped, of.String())
		return store.Share{}, nil
	}
}

func (p *pupil) text() string {
	var out []string
	for _, a := range p.all {
		out = append(out, a.Recipient.String()+"/"+a.Mailbox.String())
	}
	p.all = nil
	return strings.Join(out, " ")
}

// What is known of an account goes with it, and an account that comes begins with nothing, whoever had its address; one that
// is there already keeps what is known of it.
func TestWhatIsKnownGoesWithTheAccount(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	w.With(func(o *operate.Options) { o.Watch = p })
	ctx, self := t.Context(), operate.Self()
	add := operate.AccountAdd{Address: "Alice@local.test", Password: "a long password", Role: "person"}
	dropped := func(want ...string) {
		t.Helper()
		if fmt.Sprint(p.dropped) != fmt.Sprint(want) {
			t.Errorf("forgotten: %v, want %v", p.dropped, want)
		}
		p.dropped = nil
	}
	_, err := w.AccountAdd(ctx, self, add)
	operator.Check(t, err)
	dropped("alice@local.test")
	if _, err = w.AccountAdd(ctx, self, add); !errors.Is(err, accounts.ErrExists) {
		t.Errorf("it is made twice: %v", err)
	}
	dropped()
	_, err = w.AccountRemove(ctx, self, operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	dropped("alice@local.test")
}

// Who watches accounts is told of an alias that ends, since whoever still writes to it guesses nothing, and of none that is only
// made shorter.
func TestWhoWatchesHearsOfAnAliasThatEnds(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	w.With(func(o *operate.Options) { o.Watch = p })
	c := operate.Direct(w.Operator)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		w.Account(t, a)
	}
	_, err := c.AliasAdd(t.Context(), operate.AliasAdd{Name: "team@local.test", Targets: []string{"alice@local.test", "bob@local.test"}})
	operator.Check(t, err)
	for _, r := range []operate.AliasRemove{
		{Name: "team@local.test", Targets: []string{"bob@local.test"}}, {Name: "team@local.test", DryRun: true},
	} {
		_, err := c.AliasRemove(t.Context(), r)
		operator.Check(t, err)
	}
	if len(p.gone) != 0 {
		t.Errorf("it is gone before it ended: %v", p.gone)
	}
	_, err = c.AliasRemove(t.Context(), operate.AliasRemove{Name: "team@local.test"})
	operator.Check(t, err)
	if fmt.Sprint(p.gone) != "[team@local.test]" {
		t.Errorf("gone is %v", p.gone)
	}
}

func TestLearn(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	w.With(func(o *operate.Options) { o.Watch = p })
	c := operate.Direct(w.Operator)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: a, Password: "correct horse", Role: "person"})
		operator.Check(t, err)
	}
	_, err := c.AliasAdd(t.Context(), operate.AliasAdd{Name: "al@local.test", Targets: []string{"alice@local.test"}})
	operator.Check(t, err)
	learn := func(account string, to ...operate.Correspondent) operate.Learned {
		t.Helper()
		l, err := c.Learn(t.Context(), operate.Learn{Account: account, From: "a log", Correspondents: to})
		operator.Check(t, err)
		return l
	}
	carl, bob, gone := operate.Correspondent{Address: "carl@remote.test"}, operate.Correspondent{Address: "BOB@local.test"}, operate.Correspondent{Address: "gone@local.test"}
	l := learn("Alice@Local.test", carl, bob, gone)
	if got := p.text(); got != "carl@remote.test/ BOB@local.test/bob@local.test" || l != (operate.Learned{Account: "alice@local.test", Taught: 2, Gone: 1}) {
		t.Errorf("%s, %+v", got, l)
	}
	if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "correspondents learnt") || !strings.Contains(s, "from: a log") || !strings.Contains(s, "correspondents: 2") {
		t.Error(s)
	}
	if l := learn("al@local.test", carl); l.Account != "alice@local.test" || p.text() == "" {
		t.Errorf("an alias of one account: %+v", l)
	}
	for _, nobody := range []string{"mallory@remote.test", "gone@local.test", "postmaster@local.test"} {
		if l := learn(nobody, carl); l != (operate.Learned{}) || p.text() != "" {
			t.Errorf("%s: %+v", nobody, l)
		}
	}
	_, err = c.Learn(t.Context(), operate.Learn{Account: "alice@local.test", Correspondents: make([]operate.Correspondent, operate.MaxLearn+1)})
	operator.WantCode(t, err, call.CodeInvalid)
}

// Whom somebody else may have written to is not known to the account.
func TestAnIncidentTeachesNothing(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	w.With(func(o *operate.Options) { o.Watch = p })
	c, _, _ := w.Contained(t)
	i, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	operator.Check(t, err)
	at := func(d time.Duration) operate.Correspondent {
		return operate.Correspondent{Address: "v" + d.String()[:1] + "@remote.test", Since: i.Since.Add(d)}
	}
	l, err := c.Learn(t.Context(), operate.Learn{Account: "alice@local.test", Correspondents: []operate.Correspondent{at(-time.Hour), at(0), at(time.Hour)}})
	operator.Check(t, err)
	sent := func(d time.Duration) operate.SentMessage {
		return operate.SentMessage{At: i.Since.Add(d), To: []string{"a@remote.test", "b@remote.test"}}
	}
	if l, err := c.Learn(t.Context(), operate.Learn{Account: "alice@local.test", Messages: []operate.SentMessage{sent(-time.Hour), sent(0), sent(time.Hour), {To: []string{"c@remote.test"}}}}); err != nil || l.Normal != 1 || fmt.Sprint(p.normal) != "[alice@local.test 2]" {
		t.Errorf("normal: %+v, %v, %v", l, err, p.normal)
	}
	if l.Misused != 2 || len(p.all) != 1 || !p.all[0].Since.Before(i.Since) {
		t.Errorf("%+v: %s", l, p.text())
	}
	if v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1}); err != nil || v.State != incident.StateOpen {
		t.Errorf("%v, %v", v.State, err)
	}
}

// An account that has another name by now had its incident all the same, and who has the former one had none.
func TestAnIncidentOfAFormerNameTeachesNothing(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	withMailboxes(w, t, vfs.NewMem())
	w.With(func(o *operate.Options) { o.Watch = p })
	c, _, _ := w.Contained(t)
	i, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	operator.Check(t, err)
	_, err = c.AccountPassword(t.Context(), operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
	operator.Check(t, err)
	_, err = c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1, All: true})
	operator.Check(t, err)
	_, err = operate.Direct(w.Operator).AccountRename(t.Context(), operate.AccountRename{Address: "alice@local.test", To: "smith@local.test"})
	operator.Check(t, err)
	w.Account(t, "alice@local.test")
	for account, misused := range map[string]int{"smith@local.test": 1, "alice@local.test": 0} {
		l, err := operate.Direct(w.Operator).Learn(t.Context(), operate.Learn{Account: account, Correspondents: []operate.Correspondent{{Address: "v@remote.test", Since: i.Since}}})
		if err != nil || l.Misused != misused {
			t.Errorf("%s: %+v, %v", account, l, err)
		}
	}
}

// Who watches accounts is told when one reaches others from now on, and of no trial.
func TestWhoWatchesIsToldWhatIsChanged(t *testing.T) {
	w := operator.New(t)
	p := &pupil{w: w}
	w.With(func(o *operate.Options) { o.Watch = p })
	c := operate.Direct(w.Operator)
	for _, a := range []string{"alice@local.test", "bob@local.test"} {
		_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: a, Password: "correct horse", Role: "person"})
		operator.Check(t, err)
	}
	for _, dry := range []bool{true, false} {
		_, err := c.ForwardAdd(t.Context(), operate.ForwardAdd{Account: "Alice@local.test", Targets: []string{"x@mallory.test"}, DryRun: dry})
		operator.Check(t, err)
		_, err = c.DelegateAdd(t.Context(), operate.DelegateChange{Account: "alice@local.test", Address: "bob@local.test", DryRun: dry})
		operator.Check(t, err)
	}
	want := "alice@local.test: its forward leads to x@mallory.test as well; alice@local.test: it may send as bob@local.test"
	if got := strings.ToLower(strings.Join(p.changed, "; ")); got != want {
		t.Errorf("%s", got)
	}
}
