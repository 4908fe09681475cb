package filter_test

import (
	"strings"
	"testing"

	"sallyport/internal/filter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/intake"
)

// What a script of Rspamd's asked for in the place of a refusal is told with it.
func TestWhatAScriptOfRspamdAsksFor(t *testing.T) {
	for action, want := range map[rspamd.Action]intake.Action{rspamd.NoAction: intake.Pass, rspamd.Quarantine: intake.Junk, rspamd.Discard: intake.Hold} {
		f := filter.RspamdFinding(rspamd.Answer{Action: action, Word: "reject", Instead: rspamd.Reject, Score: 16, Required: 15}, filter.SpamJunk, false)
		if told := "reject, for which it asks for " + action.String() + ", score 16.00 of 15.00"; f.Action != want || !strings.Contains(noted(f.Notes), told) {
			t.Errorf("%v: %v, %v", action, f.Action, f.Notes)
		}
	}
}

// 451 belongs to "soft reject" alone: what says the same each time would never get in. What
// nobody can read stays unanswered.
func TestWhatRspamdPutsOff(t *testing.T) {
	for action, want := range map[rspamd.Action]intake.Action{
		rspamd.ActionUnknown: intake.ActionUnknown, rspamd.NoAction: intake.Pass, rspamd.Greylist: intake.Pass, rspamd.Custom: intake.Pass,
		rspamd.AddHeader: intake.Junk, rspamd.RewriteSubject: intake.Junk, rspamd.Quarantine: intake.Junk,
		rspamd.SoftReject: intake.Defer, rspamd.Reject: intake.Refuse, rspamd.Discard: intake.Hold,
	} {
		f := filter.RspamdFinding(rspamd.Answer{Action: action, Word: "tag\x1bit", Score: 5, Required: 15}, filter.SpamJunk, false)
		if f.Action != want {
			t.Errorf("%v: %v, want %v", action, f.Action, want)
		}
		if action == rspamd.Custom && !strings.Contains(noted(f.Notes), `custom action "tag\x1bit", score 5.00 of 15.00`) {
			t.Errorf("notes %v", f.Notes)
		}
	}
}
