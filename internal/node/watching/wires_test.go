package watching

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/bind"
	"sallyport/internal/fact"
	"sallyport/internal/hijack/watch"
	"sallyport/internal/incident"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/settings"
)

// steal has a thief write to whom nobody knows, until stop says that it is enough.
func (p *post) steal(of mail.Address, stop func(submitted) bool) {
	p.t.Helper()
	for n := range 1000 {
		if stop(p.submit(of, fmt.Sprintf("v%d@remote%d.test", n, n))) {
			return
		}
	}
	p.t.Fatal("a thief is never found")
}

// told are the facts of a rule.
func (p *post) told(rule string) (all []fact.Fact) {
	p.t.Helper()
	err := p.data.Store.Facts(p.t.Context(), 1, p.data.Store.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if f.Rule == rule {
			all = append(all, f)
		}
		return true, err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

// incidents are those that there are, the oldest first.
func (p *post) incidents() (all []incident.Incident) {
	p.t.Helper()
	if err := p.Incidents.Log.List(p.t.Context(), func(i incident.Incident) (bool, error) { all = append(all, i); return true, nil }); err != nil {
		p.t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

// A thief is contained by what he does, and with the account what speaks against it: when a person has freed it, it begins anew.
func TestEvidenceIsClearedWithItsIncident(t *testing.T) {
	p := open(t)
	p.steal(p.alice, func(m submitted) bool { return m.Contained })
	if all := p.incidents(); len(all) != 1 || all[0].Rule != watch.Rule || p.raised != 1 {
		t.Fatalf("%+v, told %d times", all, p.raised)
	}
	if _, _, err := p.Incidents.Free(t.Context(), p.alice, incident.StateReleased, "me", "it was me", true); err != nil {
		t.Fatal(err)
	}
	if p.submit(p.alice, "friend@far.test").Contained {
		t.Error("it is contained anew by what was forgiven")
	}
}

// A person who stops an account and sets it free has forgiven nothing, while that is good with which the evidence was given;
// names that it was found to send as since then are forgotten all the same.
func TestAThawForgivesNothing(t *testing.T) {
	most := 0
	for _, what := range []string{"how many", "nothing was changed", "another password"} {
		p := openIn(t, foldertest.NewMachine().World(settings.World{}))
		has, err := p.data.Accounts.Credentials(p.alice)
		if err != nil || len(has) == 0 {
			t.Fatalf("%v, %v", has, err)
		}
		writes := func(n int) bool {
			return p.send(watch.Act{Account: p.alice, Used: has[:1]}, fmt.Sprintf("v%d@remote%d.test", n, n)).Contained
		}
		if what == "how many" {
			for !writes(most) {
				most++
			}
			continue
		}
		for n := range most {
			if writes(n) {
				t.Fatalf("%s: contained by %d of %d", what, n+1, most+1)
			}
		}
		if _, _, _, err := p.contain(t.Context(), incident.Incident{Account: p.alice, Rule: incident.RuleOperator, By: "me", Reason: "a leak"}); err != nil {
			t.Fatal(err)
		}
		p.data.Findings.Keep(t.Context(), p.data.Findings.Used(p.alice, true, func(mail.Domain) bool { return true }, bind.Use{Where: bind.InFrom, Address: foldertest.Address(t, "boss@local.test")}))
		if what == "another password" {
			if _, err := p.data.Accounts.SetPassword(t.Context(), p.alice, "another horse", nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := p.Incidents.Free(t.Context(), p.alice, incident.StateReleased, "me", "", false); err != nil {
			t.Fatal(err)
		}
		if n := len(p.data.Findings.List(p.alice)); n != 0 {
			t.Errorf("%s: %d names are found", what, n)
		}
		if got := writes(most); got != (what == "nothing was changed") {
			t.Errorf("%s: contained by the next stranger: %v", what, got)
		}
	}
}

// Where accounts are only observed, what would have been done is in the trace.
func TestWhatWouldBeDoneIsInTheTrace(t *testing.T) {
	p := open(t)
	change, err := p.Build(foldertest.Load(t, p.dir, "[hijack]\nmode = \"observe\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	change.Adopt()
	p.steal(p.alice, func(submitted) bool { return len(p.told(watch.RuleObserved)) == 1 })
	if len(p.incidents()) != 0 {
		t.Error("an account that is observed is contained")
	}
}

// An account in bulk may write to as many as its budget allows.
func TestWhatAnAccountInBulkMay(t *testing.T) {
	p := open(t)
	next := foldertest.Load(t, p.dir, "[budget]\nbulk_hour = 40\nbulk_day = 50\n")
	p.cfg = next
	bulk := foldertest.Address(t, "bulk@local.test")
	if _, err := p.data.Accounts.Add(t.Context(), bulk, "a long password", accounts.Sending{Role: accounts.RoleBulk}, nil); err != nil {
		t.Fatal(err)
	}
	var to []string
	for n := range 45 {
		to = append(to, fmt.Sprintf("new%d@far.test", n))
	}
	if n := p.waiting(p.submit(bulk, to...)); n != 5 {
		t.Errorf("%d of 45 wait, and 40 may leave", n)
	}
}

// With what a message was submitted whose recipients other servers refuse is used by a thief, and is revoked with him.
func TestWithWhatAThiefSignedInIsRevoked(t *testing.T) {
	p := open(t)
	has, err := p.data.Accounts.Credentials(p.alice)
	if err != nil || len(has) == 0 {
		t.Fatalf("%v, %v", has, err)
	}
	id, err := mail.NewID(time.Now(), p.o.Rand)
	if err != nil {
		t.Fatal(err)
	}
	f := fact.Accepted{At: time.Now(), Rule: "submission-sender", Message: fact.Message{Queue: id, Account: "alice@local.test"}, Recipients: []string{"x@far.test"}, Reply: mail.R(250, "2.0.0", "ok"),
		Evidence: []fact.Pair{{Name: fact.EvidenceCredential, Value: has[0].ID}}}
	if err := p.data.Trace.Write(t.Context(), f.Fact()); err != nil {
		t.Fatal(err)
	}
	for n := range 1000 {
		p.Watch.Answered(t.Context(), watch.Answer{Account: p.alice, Message: id, Refused: []mail.Address{foldertest.Address(t, fmt.Sprintf("gone%d@far.test", n))}, All: 1})
		if len(p.incidents()) > 0 {
			break
		}
	}
	if all := p.incidents(); len(all) != 1 || !slices.Contains(all[0].Used, has[0].ID) {
		t.Errorf("%+v", all)
	}
}

// What many accounts have in common is paused when they write to whom nobody knows, and goes on when a person says so.
func TestWhatManyHaveInCommonIsPaused(t *testing.T) {
	m := foldertest.NewMachine()
	p := openIn(t, m.World(settings.World{}))
	people := p.history(m)
	cafe := func(a mail.Address) watch.Act { return watch.Act{Account: a, Network: "203.0.113.0/24"} }
	var paused incident.Shared
	for n, a := range people {
		if paused = p.send(cafe(a), fmt.Sprintf("v%d@remote%d.test", n, n)).Paused; !paused.IsZero() {
			break
		}
	}
	if all := p.incidents(); len(all) != 1 || all[0].Rule != watch.RuleShared || all[0].Shared != paused || !all[0].At.Equal(m.Now()) || p.raised != 1 {
		t.Fatalf("%v is paused, told %d times, by %+v", paused, p.raised, all)
	}
	if got := p.send(cafe(p.alice), "friend@far.test"); got.Paused != paused {
		t.Errorf("what is paused goes on: %v", got.Paused)
	}
	if _, err := p.Incidents.Resume(t.Context(), paused, "me", "it is a café"); err != nil {
		t.Fatal(err)
	}
	if got := p.send(cafe(p.alice), "friend@far.test"); !got.Paused.IsZero() {
		t.Errorf("what a person let go on is paused still: %v", got.Paused)
	}
}

// history gives the site one, to which not everybody is new, with people who are at home in the office.
func (p *post) history(m *foldertest.Machine) (people []mail.Address) {
	p.t.Helper()
	for n := range 8 {
		people = append(people, foldertest.Add(p.t, p.data, fmt.Sprintf("u%d@local.test", n)))
	}
	for _, a := range append(people, p.alice) {
		p.Watch.SignedIn(p.t.Context(), watch.Act{Account: a, Network: "192.0.2.0/24"})
	}
	friend := watch.Way{Recipient: foldertest.Address(p.t, "friend@far.test")}
	facts := func(int) [][]byte { return nil }
	if _, err := p.Watch.Learn(p.t.Context(), p.alice, []watch.Acquaintance{{Way: friend, Since: m.Now().Add(-year)}}, facts); err != nil {
		p.t.Fatal(err)
	}
	var past []watch.Sending
	for n := range 400 {
		past = append(past, watch.Sending{At: m.Now().Add(time.Duration(n-400) * time.Hour), Ways: []watch.Way{friend}})
	}
	if _, err := p.Watch.LearnNormal(p.t.Context(), p.alice, past, facts); err != nil {
		p.t.Fatal(err)
	}
	m.Pass(3 * day)
	return people
}
