package incidents_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/incident"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/internal/spool"
	"sallyport/test/operator"
)

func TestAnIncidentIsReadable(t *testing.T) {
	w := operator.New(t)
	c, before, after := w.Contained(t)
	if before.State != "held with its account" || after.State != before.State {
		t.Errorf("the queue holds %q and %q", before.State, after.State)
	}
	v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	operator.Check(t, err)
	if v.State != incident.StateOpen || v.Account.String() != "alice@local.test" || v.Standing != "frozen" || len(v.Held) != 2 || v.Odds != 1e6 || v.Evidence[0][:6] != "4 of 4" {
		t.Errorf("%+v", v)
	}
	if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "incident 1 raised") || !strings.Contains(s, "odds x 1,000,000") {
		t.Error(s)
	}
	_, err = c.IncidentShow(t.Context(), operate.IncidentRef{Number: 2})
	operator.WantCode(t, err, call.CodeNotFound)
	a, err := c.AccountShow(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	if len(a.Incidents) != 1 || a.Story == nil || len(a.Story.Changes) == 0 {
		t.Errorf("%+v", a)
	}
	s, err := c.Status(t.Context())
	if operator.Check(t, err); s.Incidents != 1 {
		t.Errorf("status tells of %d incidents", s.Incidents)
	}
}

// Whoever has the stolen password does not get back in because somebody was in a hurry.
func TestAnIncidentNeedsAnotherPassword(t *testing.T) {
	w := operator.New(t)
	c, before, after := w.Contained(t)
	_, err := c.AccountThaw(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1})
	operator.WantCode(t, err, call.CodeInvalid)
	for _, next := range []string{"sallyport account passwd alice@local.test --generate", "sallyport incident release 1 --false-alarm"} {
		if !strings.Contains(err.Error(), next) {
			t.Errorf("what comes next cannot be copied: %v", err)
		}
	}
	if a, _ := w.Identity.Lookup(operator.Address(t, "alice@local.test")); a.Standing.String() != "frozen" {
		t.Fatalf("the account is %s", a.Standing)
	}
	_, err = c.AccountPassword(t.Context(), operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
	operator.Check(t, err)
	end, err := c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, Messages: []string{before.ID}})
	operator.Check(t, err)
	if !end.Freed || end.Released != 1 || end.Held != 1 || end.Incident.State != incident.StateReleased {
		t.Errorf("%+v", end)
	}
	for id, want := range map[string]string{before.ID: "waiting", after.ID: "held"} {
		if m, err := c.QueueShow(t.Context(), operate.QueueRef{ID: id}); err != nil || m.State != want {
			t.Errorf("%s is %q, want %q: %v", id, m.State, want, err)
		}
	}
	// What was held back may still go, or be removed.
	end, err = c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1})
	if operator.Check(t, err); end.Purged != 1 || end.Freed {
		t.Errorf("%+v", end)
	}
}

// A thaw ends an incident that evidence began as its release does: nobody said what of the queue is the owner's, and
// nothing of it leaves. What a person froze a person thaws, with all that it has.
func TestAThawLetsNothingOfAThiefGo(t *testing.T) {
	w := operator.New(t)
	c, before, after := w.Contained(t)
	_, err := c.AccountPassword(t.Context(), operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
	operator.Check(t, err)
	a, err := c.AccountThaw(t.Context(), operate.AccountRef{Address: "ALICE@local.test"})
	operator.Check(t, err)
	if a.Standing != "active" || a.KeptBack != 2 || a.QueueHeld != "" {
		t.Errorf("%+v", a)
	}
	states := func(want string) {
		t.Helper()
		for _, id := range []string{before.ID, after.ID} {
			if m, err := c.QueueShow(t.Context(), operate.QueueRef{ID: id}); err != nil || m.State != want {
				t.Errorf("%s is %q, want %q: %v", id, m.State, want, err)
			}
		}
	}
	states("held")
	v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	if operator.Check(t, err); v.State != incident.StateReleased || v.ClosedFor != "thawed" {
		t.Errorf("%+v", v)
	}
	// Again is harmless, and lets nothing go either.
	a, err = c.AccountThaw(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	if operator.Check(t, err); a.Standing != "active" || a.KeptBack != 0 {
		t.Errorf("%+v", a)
	}
	states("held")
	for _, id := range []string{before.ID, after.ID} {
		_, err = c.QueueRelease(t.Context(), operate.QueueChange{Select: operate.Select{IDs: []string{id}}})
		operator.Check(t, err)
	}
	_, err = c.AccountFreeze(t.Context(), operate.AccountReason{Address: "alice@local.test", Reason: "asks for it"})
	operator.Check(t, err)
	states("held with its account")
	a, err = c.AccountThaw(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	if operator.Check(t, err); a.KeptBack != 0 {
		t.Errorf("%+v", a)
	}
	states("waiting")
}

func TestAFalseAlarmLetsAllGo(t *testing.T) {
	w := operator.New(t)
	c, before, after := w.Contained(t)
	end, err := c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, All: true, FalseAlarm: true, Reason: "her newsletter"})
	operator.Check(t, err)
	if !end.Freed || end.Released != 2 || end.Held != 0 || !strings.Contains(end.Incident.ClosedFor, "her newsletter") {
		t.Errorf("%+v", end)
	}
	for _, id := range []string{before.ID, after.ID} {
		if m, err := c.QueueShow(t.Context(), operate.QueueRef{ID: id}); err != nil || m.State != "waiting" {
			t.Errorf("%s is %q: %v", id, m.State, err)
		}
	}
	end, err = c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, All: true})
	if operator.Check(t, err); end.Freed || end.Released != 0 {
		t.Errorf("it ended twice: %+v", end)
	}
}

// What a thief sent is removed and remembered; what its owner sent before stays.
func TestAPurgeKeepsTheEvidence(t *testing.T) {
	w := operator.New(t)
	c, before, after := w.Contained(t)
	end, err := c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1})
	operator.Check(t, err)
	if end.Purged != 1 || end.Freed {
		t.Errorf("%+v", end)
	}
	_, err = c.QueueShow(t.Context(), operate.QueueRef{ID: after.ID})
	operator.WantCode(t, err, call.CodeNotFound)
	v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	operator.Check(t, err)
	if v.State != incident.StateOpen || v.Purged != 1 || len(v.Kept) != 1 || v.Kept[0].Header != "Subject: x" || v.Kept[0].Recipients[0] != "bob@local.test" {
		t.Errorf("%+v", v)
	}
	_, err = c.AccountPassword(t.Context(), operate.AccountPassword{Address: "alice@local.test", Password: "another horse"})
	operator.Check(t, err)
	end, err = c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1})
	operator.Check(t, err)
	if !end.Freed || end.Held != 1 || end.Incident.State != incident.StatePurged {
		t.Errorf("%+v", end)
	}
	m, err := c.QueueShow(t.Context(), operate.QueueRef{ID: before.ID})
	if operator.Check(t, err); m.State != "held" {
		t.Errorf("the owner's message is %s", m.State)
	}
}

// What contains an account again adds to its incident; evidence is not given up because
// a person was quicker, nor forgotten because one follows.
func TestAnAccountHasOneOpenIncident(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	c := operate.Direct(w.Operator)
	a, err := c.AccountFreeze(t.Context(), operate.AccountReason{Address: "Alice@LOCAL.test", Reason: "odd"})
	operator.Check(t, err)
	if a.Incident != 1 {
		t.Errorf("incident %d", a.Incident)
	}
	held, err := w.Identity.Credentials(operator.Address(t, "alice@local.test"))
	operator.Check(t, err)
	i, _, _, err := w.Options.Incidents.Contain(t.Context(), incident.Incident{Account: operator.Address(t, "alice@local.test"), Rule: "hijack", By: "the detector", Reason: "evidence", Odds: 5, Used: []string{held[0].ID}})
	operator.Check(t, err)
	if i.Number != 1 || i.Rule != "hijack" || i.Reason != "odd" || !strings.Contains(strings.Join(i.Evidence, " "), "evidence") {
		t.Errorf("%+v", i)
	}
	_, err = c.AccountThaw(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	operator.WantCode(t, err, call.CodeInvalid)
	_, err = c.AccountRemove(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	if i, err = w.Options.Incidents.Log.Get(t.Context(), 1); err != nil || i.State != incident.StateReleased {
		t.Errorf("%+v, %v", i, err)
	}
	// A namesake is another account.
	w.Account(t, "alice@local.test")
	a, err = c.AccountFreeze(t.Context(), operate.AccountReason{Address: "alice@local.test"})
	if operator.Check(t, err); a.Incident != 2 {
		t.Errorf("incident %d", a.Incident)
	}
	if _, _, _, err := w.Options.Incidents.Contain(t.Context(), incident.Incident{Account: operator.Address(t, "nobody@local.test"), Rule: "hijack", Reason: "x"}); err == nil {
		t.Error("nobody was contained")
	}
	if errors.Is(err, spool.ErrHeld) {
		t.Error(err)
	}
}

// An incident tells whether its account is read on: one is of which it is known with what it was misused.
func TestAnIncidentTellsWhoReadsOn(t *testing.T) {
	w := operator.New(t)
	c, _, _ := w.Contained(t)
	if v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1}); err != nil || v.ReadsOn {
		t.Errorf("an account of which nobody knows how it was misused: %+v, %v", v, err)
	}
	_, err := c.AccountAdd(t.Context(), operate.AccountAdd{Address: "bob@local.test", Password: "correct horse", Role: "person"})
	operator.Check(t, err)
	_, _, _, err = w.Options.Incidents.Contain(t.Context(), incident.Incident{Account: operator.Address(t, "bob@local.test"), Rule: "hijack", By: "the detector", Reason: "x", Known: true})
	operator.Check(t, err)
	if v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 2}); err != nil || !v.ReadsOn {
		t.Errorf("one of which it is known: %+v, %v", v, err)
	}
}

// An incident that is over touches nothing that came after it: what is held then is another incident's, or is held for another
// reason, and an account that is made anew is somebody else's.
func TestAnIncidentThatIsOverTouchesNothingLater(t *testing.T) {
	w := operator.New(t)
	c, _, _ := w.Contained(t)
	_, err := c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, FalseAlarm: true})
	operator.Check(t, err)
	time.Sleep(2 * time.Millisecond)
	later := w.Put(t, "alice@local.test").String()
	_, err = c.QueueHold(t.Context(), operate.QueueChange{Select: operate.Select{IDs: []string{later}}, Reason: "looks odd"})
	operator.Check(t, err)
	v, err := c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1})
	if operator.Check(t, err); len(v.Held) != 2 || v.Standing != "active" {
		t.Errorf("%d are held of it, %s", len(v.Held), v.Standing)
	}
	_, err = c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, Messages: []string{later}})
	operator.WantCode(t, err, call.CodeNotFound)
	end, err := c.IncidentPurge(t.Context(), operate.IncidentPurge{Number: 1, All: true})
	if operator.Check(t, err); end.Purged != 2 {
		t.Errorf("%d are purged", end.Purged)
	}
	end, err = c.IncidentRelease(t.Context(), operate.IncidentRelease{Number: 1, All: true})
	if operator.Check(t, err); end.Released != 0 {
		t.Errorf("%d are released", end.Released)
	}
	if m, err := c.QueueShow(t.Context(), operate.QueueRef{ID: later}); err != nil || m.State != "held" {
		t.Errorf("what came later is %q: %v", m.State, err)
	}
	_, err = c.AccountRemove(t.Context(), operate.AccountRef{Address: "alice@local.test"})
	operator.Check(t, err)
	time.Sleep(2 * time.Millisecond)
	w.Account(t, "alice@local.test")
	if v, err = c.IncidentShow(t.Context(), operate.IncidentRef{Number: 1}); err != nil || v.Standing != "" {
		t.Errorf("a namesake stands for the account of an incident: %q, %v", v.Standing, err)
	}
}
