package operate

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/spool"
)

// contained is alice, contained on evidence while she has two messages in the queue, one
// of which she sent before.
func contained(t *testing.T, w *world) (c *Client, before, after Message) {
	t.Helper()
	c = Direct(w.Operator)
	_, err := c.AccountAdd(t.Context(), AccountAdd{Address: "alice@local.test", Password: "correct horse", Role: "person"})
	check(t, err)
	old := w.put(t, "alice@local.test")
	held, err := w.accounts.Credentials(address(t, "alice@local.test"))
	check(t, err)
	time.Sleep(2 * time.Millisecond)
	since := time.Now()
	time.Sleep(2 * time.Millisecond)
	spam := w.put(t, "alice@local.test")
	_, _, _, err = w.o.Incidents.Contain(t.Context(), incident.Incident{
		Account: address(t, "ALICE@Local.Test"), Rule: "hijack", By: "the detector", Reason: "4 of 4 recipients never seen at this site", Since: since, Odds: 1e6,
		Evidence: []string{"4 of 4 recipients never seen at this site; normal here 3 %: odds x 1,000,000"},
		Used:     []string{held[0].ID},
		Cause:    incident.Cause{Sender: "alice@local.test", Recipients: []string{"v1@remote.test"}},
	}, fact.Pair{Name: "by", Value: "the detector"})
	check(t, err)
	for _, m := range []struct {
		id  string
		out *Message
	}{{old.String(), &before}, {spam.String(), &after}} {
		*m.out, err = c.QueueShow(t.Context(), QueueRef{ID: m.id})
		check(t, err)
	}
	return c, before, after
}

func TestAnIncidentIsReadable(t *testing.T) {
	w := newWorld(t)
	c, before, after := contained(t, w)
	if before.State != "held with its account" || after.State != before.State {
		t.Errorf("the queue holds %q and %q", before.State, after.State)
	}
	v, err := c.IncidentShow(t.Context(), IncidentRef{Number: 1})
	check(t, err)
	if v.State != incident.StateOpen || v.Account.String() != "alice@local.test" || v.Standing != "frozen" || len(v.Held) != 2 || v.Odds != 1e6 || v.Evidence[0][:6] != "4 of 4" {
		t.Errorf("%+v", v)
	}
	if s := w.story(t, "alice@local.test"); !strings.Contains(s, "incident 1 raised") || !strings.Contains(s, "odds x 1,000,000") {
		t.Error(s)
	}
	_, err = c.IncidentShow(t.Context(), IncidentRef{Number: 2})
	wantCode(t, err, CodeNotFound)
	a, err := c.AccountShow(t.Context(), AccountRef{Address: "alice@local.test"})
	check(t, err)
	if len(a.Incidents) != 1 || a.Story == nil || len(a.Story.Changes) == 0 {
		t.Errorf("%+v", a)
	}
	s, err := c.Status(t.Context())
	if check(t, err); s.Incidents != 1 {
		t.Errorf("status tells of %d incidents", s.Incidents)
	}
}

// Whoever has the stolen password does not get back in because somebody was in a hurry.
func TestAnIncidentNeedsAnotherPassword(t *testing.T) {
	w := newWorld(t)
	c, before, after := contained(t, w)
	_, err := c.AccountThaw(t.Context(), AccountRef{Address: "alice@local.test"})
	wantCode(t, err, CodeInvalid)
	_, err = c.IncidentRelease(t.Context(), IncidentRelease{Number: 1})
	wantCode(t, err, CodeInvalid)
	if a, _ := w.accounts.Lookup(address(t, "alice@local.test")); a.Standing.String() != "frozen" {
		t.Fatalf("the account is %s", a.Standing)
	}
	_, err = c.AccountPassword(t.Context(), AccountPassword{Address: "alice@local.test", Password: "another horse"})
	check(t, err)
	end, err := c.IncidentRelease(t.Context(), IncidentRelease{Number: 1, Messages: []string{before.ID}})
	check(t, err)
	if !end.Freed || end.Released != 1 || end.Held != 1 || end.Incident.State != incident.StateReleased {
		t.Errorf("%+v", end)
	}
	for id, want := range map[string]string{before.ID: "waiting", after.ID: "held"} {
		if m, err := c.QueueShow(t.Context(), QueueRef{ID: id}); err != nil || m.State != want {
			t.Errorf("%s is %q, want %q: %v", id, m.State, want, err)
		}
	}
	// What was held back may still go, or be removed.
	end, err = c.IncidentPurge(t.Context(), IncidentPurge{Number: 1})
	if check(t, err); end.Purged != 1 || end.Freed {
		t.Errorf("%+v", end)
	}
}

func TestAFalseAlarmLetsAllGo(t *testing.T) {
	w := newWorld(t)
	c, before, after := contained(t, w)
	end, err := c.IncidentRelease(t.Context(), IncidentRelease{Number: 1, All: true, FalseAlarm: true, Reason: "her newsletter"})
	check(t, err)
	if !end.Freed || end.Released != 2 || end.Held != 0 || !strings.Contains(end.Incident.ClosedFor, "her newsletter") {
		t.Errorf("%+v", end)
	}
	for _, id := range []string{before.ID, after.ID} {
		if m, err := c.QueueShow(t.Context(), QueueRef{ID: id}); err != nil || m.State != "waiting" {
			t.Errorf("%s is %q: %v", id, m.State, err)
		}
	}
	end, err = c.IncidentRelease(t.Context(), IncidentRelease{Number: 1, All: true})
	if check(t, err); end.Freed || end.Released != 0 {
		t.Errorf("it ended twice: %+v", end)
	}
}

// What a thief sent is removed and remembered; what its owner sent before stays.
func TestAPurgeKeepsTheEvidence(t *testing.T) {
	w := newWorld(t)
	c, before, after := contained(t, w)
	end, err := c.IncidentPurge(t.Context(), IncidentPurge{Number: 1})
	check(t, err)
	if end.Purged != 1 || end.Freed {
		t.Errorf("%+v", end)
	}
	_, err = c.QueueShow(t.Context(), QueueRef{ID: after.ID})
	wantCode(t, err, CodeNotFound)
	v, err := c.IncidentShow(t.Context(), IncidentRef{Number: 1})
	check(t, err)
	if v.State != incident.StateOpen || v.Purged != 1 || len(v.Kept) != 1 || v.Kept[0].Header != "Subject: x" || v.Kept[0].Recipients[0] != "bob@local.test" {
		t.Errorf("%+v", v)
	}
	_, err = c.AccountPassword(t.Context(), AccountPassword{Address: "alice@local.test", Password: "another horse"})
	check(t, err)
	end, err = c.IncidentPurge(t.Context(), IncidentPurge{Number: 1})
	check(t, err)
	if !end.Freed || end.Held != 1 || end.Incident.State != incident.StatePurged {
		t.Errorf("%+v", end)
	}
	m, err := c.QueueShow(t.Context(), QueueRef{ID: before.ID})
	if check(t, err); m.State != "held" {
		t.Errorf("the owner's message is %s", m.State)
	}
}

// What contains an account again adds to its incident; evidence is not given up because
// a person was quicker, nor forgotten because one follows.
func TestAnAccountHasOneOpenIncident(t *testing.T) {
	w := newWorld(t)
	w.account(t, "alice@local.test")
	c := Direct(w.Operator)
	a, err := c.AccountFreeze(t.Context(), AccountReason{Address: "Alice@LOCAL.test", Reason: "odd"})
	check(t, err)
	if a.Incident != 1 {
		t.Errorf("incident %d", a.Incident)
	}
	held, err := w.accounts.Credentials(address(t, "alice@local.test"))
	check(t, err)
	i, _, _, err := w.o.Incidents.Contain(t.Context(), incident.Incident{Account: address(t, "alice@local.test"), Rule: "hijack", By: "the detector", Reason: "evidence", Odds: 5, Used: []string{held[0].ID}})
	check(t, err)
	if i.Number != 1 || i.Rule != "hijack" || i.Reason != "odd" || !strings.Contains(strings.Join(i.Evidence, " "), "evidence") {
		t.Errorf("%+v", i)
	}
	_, err = c.AccountThaw(t.Context(), AccountRef{Address: "alice@local.test"})
	wantCode(t, err, CodeInvalid)
	_, err = c.AccountRemove(t.Context(), AccountRef{Address: "alice@local.test"})
	check(t, err)
	if i, err = w.o.Incidents.Log.Get(t.Context(), 1); err != nil || i.State != incident.StateReleased {
		t.Errorf("%+v, %v", i, err)
	}
	// A namesake is another account.
	w.account(t, "alice@local.test")
	a, err = c.AccountFreeze(t.Context(), AccountReason{Address: "alice@local.test"})
	if check(t, err); a.Incident != 2 {
		t.Errorf("incident %d", a.Incident)
	}
	if _, _, _, err := w.o.Incidents.Contain(t.Context(), incident.Incident{Account: address(t, "nobody@local.test"), Rule: "hijack", Reason: "x"}); err == nil {
		t.Error("nobody was contained")
	}
	if errors.Is(err, spool.ErrHeld) {
		t.Error(err)
	}
}
