package relay

import (
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/relayaudit"
	"sallyport/test/load/rig"
)

// speaksFirst reports whether a row talks before it is greeted.
func speaksFirst(c relayaudit.Case) bool {
	return strings.HasPrefix(strings.TrimSpace(c.Script), "{NR}") && fresh(c)
}

// fresh reports whether a row begins before the greeting is read.
func fresh(c relayaudit.Case) bool {
	return c.State == relayaudit.StateFresh || c.State == relayaudit.StateFresh587 || c.State == relayaudit.StateFresh465
}

// TestSpeaksFirst is the part of the table that talks before it is greeted, over both
// families. It has a server of its own: with a silence that a busy machine doesn't miss, and
// to which no message comes, since an address of which one was taken is greeted at once, and
// over IPv6 every row has the same.
func TestSpeaksFirst(t *testing.T) {
	t.Parallel()
	cases, err := relayaudit.Cases()
	if err != nil {
		t.Fatal(err)
	}
	s, err := rig.Prepare(t.Context(), rig.Options{
		Binary: the.binary, Dir: filepath.Join(t.TempDir(), "data"), Remote: the.sink.Addr(), IPv6: the.v6,
		Extra: "[limits]\ngreet_delay = \"3s\"\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	var all []job
	families := []int{0}
	if the.v6 {
		families = append(families, 1)
	}
	for _, c := range cases {
		if speaksFirst(c) {
			for _, f := range families {
				all = append(all, job{target: targetOf(t, s, f), cases: []relayaudit.Case{c}})
			}
		}
	}
	for i := range all {
		all[i].mode.Source = source(all[i], i)
	}
	early := 0
	for _, r := range runAll(t, all) {
		for _, f := range relayaudit.Judge(r, nil) {
			t.Errorf("%s: %s", r.Case.ID, f)
		}
		if r.Case.State != relayaudit.StateFresh {
			continue // only strangers are kept waiting
		}
		early++
		if got := r.Signature(); got != "greet:5" && got != "greet:-" {
			t.Errorf("%s at %s: %s, so that its words before the greeting went unnoticed", r.Case.ID, r.Mode.Source, got)
		}
	}
	if early < 3*len(families) {
		t.Errorf("%d rows speak first at the mx door", early)
	}
	if err := s.Mailboxes(func(m rig.Mail) error {
		t.Errorf("who spoke first left %s", m.Path)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
