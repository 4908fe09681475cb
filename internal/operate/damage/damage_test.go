package damage_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/damage"
	"sallyport/internal/fact"
	"sallyport/internal/node/metering"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// Damage is told until somebody acknowledges it, which is a fact; then it stands in the whole list alone.
func TestDamageIsAcknowledged(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			list, err := damage.Open(filepath.Join(t.TempDir(), "damage"), damage.DefaultLimits(), time.Now)
			operator.Check(t, err)
			w.With(func(o *operate.Options) { o.Damage = metering.Damaged(list) })
			c, ctx := w.Clients(t)[way], t.Context()
			listed := func(all bool) (files []string) {
				operator.Check(t, c.DamageList(ctx, operate.DamageRef{All: all}, func(e operate.DamageEntry) error { files = append(files, e.File); return nil }))
				return files
			}
			status := func() *operate.Damaged {
				s, err := c.Status(ctx)
				operator.Check(t, err)
				return s.Damage
			}
			if status() != nil || len(listed(true)) != 0 {
				t.Error("damage where there is none")
			}
			for _, file := range strings.Fields("one two three four five six seven") {
				operator.Check(t, list.Note(damage.Found{Kind: damage.Body, File: file, What: "its sum is another"}))
			}
			if d := status(); d == nil || d.Count != 7 || len(d.First) != 5 || d.First[0].File != "one" {
				t.Errorf("the status says %+v", d)
			}
			done, err := c.DamageAcknowledge(ctx, operate.DamageRef{Numbers: []int{2, 3}})
			if err != nil || len(done.Acknowledged) != 2 || done.Acknowledged[0].File != "two" || done.Acknowledged[0].Acknowledged.IsZero() {
				t.Errorf("%+v, %v", done, err)
			}
			if got := strings.Join(listed(false), " "); got != "one four five six seven" {
				t.Errorf("still listed: %s", got)
			}
			if got := listed(true); len(got) != 7 {
				t.Errorf("with all: %q", got)
			}
			if d := status(); d == nil || d.Count != 5 || d.First[1].File != "four" {
				t.Errorf("the status says %+v", d)
			}
			a, err := w.Trace(ctx, operate.Self(), operate.TraceQuery{Rules: []string{fact.RuleOperator}})
			if err != nil || len(a.Entries) != 1 || a.Entries[0].Fact.Evidence[1] != (fact.Pair{Name: "damage acknowledged", Value: "2, 3"}) {
				t.Errorf("told: %+v, %v", a, err)
			}
			for _, bad := range []operate.DamageRef{{}, {Numbers: []int{99}}} {
				_, err = c.DamageAcknowledge(ctx, bad)
				operator.WantCode(t, err, call.CodeInvalid)
			}
			done, err = c.DamageAcknowledge(ctx, operate.DamageRef{All: true})
			if err != nil || len(done.Acknowledged) != 5 || status() != nil {
				t.Errorf("%+v, %v", done, err)
			}
			if done, err = c.DamageAcknowledge(ctx, operate.DamageRef{All: true}); err != nil || len(done.Acknowledged) != 0 {
				t.Errorf("twice: %+v, %v", done, err)
			}
		})
	}
	// Without a list there is no damage, and nothing to acknowledge.
	c := operate.Direct(operator.New(t).Operator)
	if done, err := c.DamageAcknowledge(t.Context(), operate.DamageRef{All: true}); err != nil || len(done.Acknowledged) != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	operator.Check(t, c.DamageList(t.Context(), operate.DamageRef{All: true}, func(operate.DamageEntry) error {
		t.Error("damage of no list")
		return nil
	}))
}
