package incident

import (
	"testing"

	"sallyport/internal/accounts"
)

// The account is read on only where it is known with what it was misused, evidence decided, and
// it acted until then.
func TestWhoIsReadOn(t *testing.T) {
	for name, row := range map[string]struct {
		rule   string
		known  bool
		frozen bool
		reads  bool
	}{
		"evidence, known":              {"hijack", true, false, true},
		"evidence, not known":          {"hijack", false, false, false},
		"a person":                     {RuleOperator, true, false, false},
		"evidence, after a person did": {"hijack", true, true, false},
	} {
		s := newSite(t)
		alice := s.account("alice@local.test")
		phone := s.app(alice, "phone")
		if row.frozen {
			_, err := s.ids.Freeze(t.Context(), alice, "by hand", nil)
			must(t, err)
		}
		i := s.found("alice@local.test", phone.ID)
		i.Rule, i.Known = row.rule, row.known
		_, a, _, err := s.Contain(t.Context(), i, by())
		must(t, err)
		if a.Standing != accounts.StandingFrozen || a.ReadsOn != row.reads {
			t.Errorf("%s: %s, read on %v", name, a.Standing, a.ReadsOn)
		}
		s.raised = nil
		s.begin()
		if a, _ := s.ids.Get(alice); a.ReadsOn != row.reads {
			t.Errorf("%s: after a start read on %v", name, a.ReadsOn)
		}
	}
}
