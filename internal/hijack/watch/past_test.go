package watch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// ago writes a fact of so long ago.
func (w *world) ago(d time.Duration, f fact.Fact) {
	w.t.Helper()
	f.At = w.time().Add(-d)
	_, err := w.st.Apply(w.t.Context(), store.Tx{Facts: fact.EncodeAll(f)}, store.Lazy)
	must(w.t, err)
}

// sentAgo writes what the trace has of a message of an account.
func (w *world) sentAgo(d time.Duration, from string, to ...string) mail.ID {
	w.t.Helper()
	id := w.nextID()
	w.ago(d, fact.Accepted{
		Session: fact.Session{Door: "submissions", Account: from},
		Message: fact.Message{Queue: id, Sender: "<" + from + ">"}, Recipients: to,
		Reply: mail.R(250, "2.0.0", "queued"),
	}.Fact())
	return id
}

// outside has every recipient leave, but those of local.test.
func outside(_, to mail.Address) []Way {
	if to.Domain().ASCII() == "local.test" {
		return []Way{{Recipient: to, Mailbox: to}}
	}
	return []Way{{Recipient: to}}
}

// months writes the trace of an honest account and its colleague, of which some messages go
// to somebody new, and returns how many do.
func (w *world) months() {
	for day := range 60 {
		ago := time.Duration(60-day) * 24 * time.Hour
		for n := range 6 {
			at := ago - time.Duration(n)*time.Hour
			w.sentAgo(at, "alice@local.test", fmt.Sprintf("friend%d@far.test", n), "bob@local.test")
			w.sentAgo(at-time.Minute, "bob@local.test", fmt.Sprintf("friend%d@far.test", n+3))
		}
		if day%3 == 0 {
			w.sentAgo(ago-7*time.Hour, "alice@local.test", fmt.Sprintf("new%d@far.test", day))
		}
		w.ago(ago,
			fact.SignIn{Session: fact.Session{Door: "submissions", Account: "alice@local.test", Peer: netip.MustParseAddr("192.0.2.7")}, Reply: mail.R(235, "2.7.0", "welcome")}.Fact())
	}
}

// first does what an honest account does on the day after an upgrade, and then what a thief
// does, and returns how many of each were taken.
func (w *world) first() (honest, stolen int) {
	for n := range 6 {
		if _, j := w.submit(fmt.Sprintf("friend%d@far.test", n), "bob@local.test"); !j.Contained {
			honest++
		}
		w.pass(20 * time.Minute)
	}
	for n := range 2 {
		if _, j := w.submit(fmt.Sprintf("newer%d@far.test", n)); !j.Contained {
			honest++
		}
		w.pass(3 * time.Hour)
	}
	for n := range 100 {
		if _, j := w.submit(fmt.Sprintf("v%d@r%d.test", n, n)); j.Contained {
			break
		}
		stolen++
		w.pass(time.Second)
	}
	return honest, stolen
}

// A server that nobody watched the accounts of begins with the history in its trace: an
// established account is not contained on the first day, and a thief is, as soon as where he
// was always watched for.
func TestTheFirstDayAfterAnUpgrade(t *testing.T) {
	w := newWorld(t, nil)
	w.months()
	w.ago(time.Hour, fact.Fact{Kind: fact.KindAccept, Account: "gone@local.test", Door: "submission", Queue: w.nextID(), Recipients: []string{"x@far.test"}})
	w.roles["gone@local.test"] = missing
	must(t, w.Past(t.Context(), outside))
	if told := w.log.String(); !strings.Contains(told, "the habits of accounts are learnt") || !strings.Contains(told, "messages=740") {
		t.Errorf("the log says\n%s", told)
	}
	taught, err := w.Learn(t.Context(), addr(t, "alice@local.test"),
		[]Acquaintance{{Way: outside(mail.Address{}, addr(t, "friend5@far.test"))[0]}, {Way: outside(mail.Address{}, addr(t, "bob@local.test"))[0]}},
		nil)
	if must(t, err); taught != 0 {
		t.Errorf("%d of two correspondents are not known, though the trace has them", taught)
	}
	taught, err = w.Learn(t.Context(), addr(t, "gone@local.test"), []Acquaintance{{Way: Way{Recipient: addr(t, "x@far.test")}}}, nil)
	if must(t, err); taught != 1 {
		t.Error("the trace taught an account that is gone")
	}
	if fresh, _ := w.origin(t.Context(), keyOf(prefixFrom, w.o.Key.Account("alice@local.test")), keyOf(prefixFrom, w.o.Key.Account("alice@local.test"), w.o.Key.Text("network", "192.0.2.0/24")), w.time()); fresh {
		t.Error("the network of two months is a new one")
	}
	if mean := w.normal.site.Priors(hijack.DefaultParams()).Mean[0]; mean > 0.2 {
		t.Errorf("%.2f of recipients are new to the site, as at one without history", mean)
	}
	w.open(nil) // what was learnt is in the store
	must(t, w.Past(t.Context(), outside))
	honest, stolen := w.first()
	if honest != 8 || stolen > 3 || len(w.found) != 1 {
		t.Errorf("%d of 8 honest messages were taken, and %d of the thief; incidents %+v", honest, stolen, w.found)
	}

	untaught := newWorld(t, nil)
	untaught.months()
	if _, without := untaught.first(); without <= stolen {
		t.Errorf("without the trace the thief has %d messages taken, with it %d: the test measures nothing", without, stolen)
	}
}

// What a thief sent before the upgrade is no habit: neither do his victims become
// correspondents, nor is it normal afterwards to write to so many.
func TestTheTraceOfAThiefTeachesNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.months()
	for n := range 1000 {
		w.sentAgo(30*time.Hour-time.Duration(n)*time.Second, "alice@local.test", fmt.Sprintf("victim%d@far.test", n))
	}
	must(t, w.Past(t.Context(), outside))
	var all []Acquaintance
	for n := range 1000 {
		all = append(all, Acquaintance{Way: Way{Recipient: addr(t, fmt.Sprintf("victim%d@far.test", n))}})
	}
	taught, err := w.Learn(t.Context(), addr(t, "alice@local.test"), all, nil)
	if must(t, err); taught < 990 {
		t.Errorf("%d of 1000 victims are correspondents", 1000-taught)
	}
	if _, stolen := w.first(); stolen > 3 {
		t.Errorf("the thief has %d messages taken", stolen)
	}
}

// What is refused elsewhere is learnt as well, so that a newsletter of which some are always
// refused is as usual. That correspondents of before are gone says nothing, and teaches nothing.
func TestThePastHasRefusals(t *testing.T) {
	answered := func(w *world, ago time.Duration, rule string, to ...string) {
		id := w.sentAgo(ago, "alice@local.test", to...)
		w.ago(ago-time.Second, fact.Outcome{Rule: rule, Message: fact.Message{Queue: id, Account: "alice@local.test"}, Recipients: to, Remote: "mx.far.test"}.Fact())
	}
	taught := func(w *world) (odds, normal float64) {
		must(t, w.Past(t.Context(), outside))
		a, err := w.enter(t.Context(), addr(t, "alice@local.test"))
		must(t, err)
		defer a.mu.Unlock()
		return w.refused(a.state)
	}
	reader := func(n int) string { return fmt.Sprintf("reader%d@far.test", n) }
	rule := func(n int) string { return map[bool]string{true: "failed", false: "delivered"}[n%10 == 0] }
	w, v := newWorld(t, nil), newWorld(t, nil)
	var readers []string
	for n := range 200 {
		answered(w, 40*24*time.Hour-time.Duration(n)*time.Hour, rule(n), reader(n))
		if readers = append(readers, reader(n)); len(readers) == 50 {
			answered(v, 60*24*time.Hour-time.Duration(n)*time.Hour, "delivered", readers...)
			readers = nil
		}
	}
	for n := range 200 {
		answered(v, 40*24*time.Hour-time.Duration(n)*time.Hour, rule(n), reader(n))
	}
	without, _ := w.refused(hijack.State{})
	if with, normal := taught(w); !(with > 0 && with < without/10) || normal < 0.1 {
		t.Errorf("two refusals are worth %g with a past of them, %g without; %.3f are refused at most as is normal, though a tenth was: each recipient counts once", with, without, normal)
	}
	if with, normal := taught(v); !(with > without) || normal > 0.02 {
		t.Errorf("two refusals are worth %g where correspondents were refused, %g without; %.3f are as is normal", with, without, normal)
	}
}

// refused is what two refusals are worth to an account of which something is known, and how many are refused at most as is normal.
func (w *world) refused(s hijack.State) (odds, normal float64) {
	for range 2 {
		s, _ = hijack.Advance(s, hijack.Answered{At: w.time(), Refused: 1, Of: 1, All: 1}, w.priors(w.time()), hijack.DefaultParams())
	}
	for _, f := range s.Findings(w.priors(w.time()), hijack.DefaultParams()) {
		if f.Signal == hijack.Refusals {
			return f.Odds, f.Normal
		}
	}
	return 0, 0
}

// Of the trace only what an account sent itself teaches, and a message is one however its fact
// was split.
func TestThePastIsReadMessageByMessage(t *testing.T) {
	w := newWorld(t, nil)
	id := w.sentAgo(50*time.Hour, "alice@local.test", "a@far.test", "b@far.test")
	w.ago(50*time.Hour, fact.Fact{Kind: fact.KindAccept, Part: 1, Account: "alice@local.test", Door: "submissions", Queue: id, Recipients: []string{"c@far.test"}})
	w.sentAgo(49*time.Hour, "alice@local.test", "a@far.test", "c@far.test")
	w.ago(48*time.Hour, fact.Fact{Kind: fact.KindAccept, Account: "alice@local.test", Door: "report", Queue: w.nextID(), Recipients: []string{"d@far.test"}})
	w.ago(48*time.Hour, fact.Fact{Kind: fact.KindAccept, Door: "mx", Queue: w.nextID(), Recipients: []string{"alice@local.test"}})
	must(t, w.Past(t.Context(), outside))
	if told := w.log.String(); !strings.Contains(told, "messages=2 correspondents=3 ") {
		t.Errorf("the log says\n%s", told)
	}
}

// Learning may be interrupted anywhere: it goes on where it was, and comes to what it comes to in
// one go. Where accounts are watched already nothing is learnt, and the bound holds.
func TestThePastIsResumedAndBounded(t *testing.T) {
	states := func(w *world) (out []string) {
		for _, prefix := range []string{prefixPair, prefixSite, prefixFrom, keyNormal} {
			must(w.t, w.st.Scan(w.t.Context(), store.Prefix([]byte(prefix)), func(k, v []byte) (bool, error) {
				out = append(out, fmt.Sprintf("%x %x", k, v))
				return true, nil
			}))
		}
		must(w.t, w.st.Scan(w.t.Context(), store.Prefix([]byte(prefixState)), func(k, v []byte) (bool, error) {
			out = append(out, fmt.Sprintf("%x %x", k, v[8:])) // but for how often it was written
			return true, nil
		}))
		return out
	}
	whole := newWorld(t, nil)
	whole.months()
	must(t, whole.Past(t.Context(), outside))
	for _, after := range []int{1, 2} {
		w := newWorld(t, nil)
		w.months()
		w.o.Store = &failing{Store: w.st, after: after + 1}
		if err := w.Past(t.Context(), outside); !errors.Is(err, errPower) {
			t.Fatalf("after %d acts: %v", after, err)
		}
		w.open(nil)
		must(t, w.Past(t.Context(), outside))
		if got, want := states(w), states(whole); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("interrupted after %d acts, %d keys are learnt; %d in one go", after, len(got), len(want))
		}
	}

	watched := newWorld(t, nil)
	watched.months()
	watched.submit("x@far.test")
	must(t, watched.Past(t.Context(), outside))
	if strings.Contains(watched.log.String(), "habits") {
		t.Error("the trace was learnt from though accounts were watched")
	}

	few := newWorld(t, nil)
	few.months()
	few.o.Limits.PastFacts = 100
	must(t, few.Past(t.Context(), outside))
	if !strings.Contains(few.log.String(), "facts=100\n") {
		t.Errorf("more than 100 facts are read:\n%s", few.log.String())
	}
	off := newWorld(t, func(s *Settings) { s.Mode = hijack.Off })
	off.months()
	must(t, off.Past(t.Context(), outside))
	if len(states(off)) > 0 {
		t.Error("where nobody watches, something was learnt")
	}
}

var errPower = errors.New("the power went out")

// failing is a store of which only so many acts happen.
type failing struct {
	store.Store
	after int
}

func (f *failing) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if f.after--; f.after < 0 {
		return 0, errPower
	}
	return f.Store.Apply(ctx, tx, d)
}

// missing is an account that is no more.
var missing = accounts.Account{Standing: accounts.StandingUnlisted}
