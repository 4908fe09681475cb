// Package budget decides how many recipients an account, or a forward, may still
// write to. It promises that
//
//   - within any hour and any day no more are let through than the limits say, by
//     whatever clock time they came;
//   - a clock that is set back gives nothing anew, and takes nothing for longer than a
//     day by the clock as it then goes;
//   - a Count only ever forgets what is older than the time that a limit looks at;
//   - the zero Limits let nobody through.
//
// It knows nothing of accounts, mail and disks: time passes in, and values come out.
package budget

import (
	"strconv"
	"time"
)

// Limits are the most recipients within any hour and within any day.
type Limits struct {
	Hour int `json:"hour"`
	Day  int `json:"day"`
}

// Or returns l with what it leaves out (0) taken from standard.
func (l Limits) Or(standard Limits) Limits {
	if l.Hour == 0 {
		l.Hour = standard.Hour
	}
	if l.Day == 0 {
		l.Day = standard.Day
	}
	return l
}

// Use is how many recipients were counted within the last hour and the last day.
type Use struct {
	Hour int `json:"hour"`
	Day  int `json:"day"`
}

// Rule names what decided. The zero Rule is none.
type Rule string

const (
	RuleWithin Rule = "recipients-within" // nothing speaks against it
	RuleHour   Rule = "recipients-hour"   // the limit of an hour is reached
	RuleDay    Rule = "recipients-day"    // the limit of a day is reached
)

// Verdict is the answer about some more recipients. The zero Verdict refuses.
type Verdict struct {
	OK   bool
	Rule Rule
	Used int // recipients within the time of the rule, with what is under way
	Most int // its limit
	// Again is when as many fit in, if nothing more is counted until then; zero where
	// more are asked for than the limit ever lets through, and where OK.
	Again time.Time
}

// Span is the time that the rule looks at, in words: "an hour".
func (v Verdict) Span() string {
	if v.Rule == RuleDay {
		return "a day"
	}
	return "an hour"
}

// Words say what was found: "300 recipients within an hour, and the limit is 300".
func (v Verdict) Words() string {
	return strconv.Itoa(v.Used) + " recipients within " + v.Span() + ", and the limit is " + strconv.Itoa(v.Most)
}

// Decide says whether n more recipients fit in, where so many were counted and so many
// more are under way: asked for, and neither counted nor given up yet. The stricter
// of two limits that are both reached is the one that lasts longer.
func Decide(c Count, underWay, n int, now time.Time, l Limits) Verdict {
	if n < 0 || underWay < 0 {
		return Verdict{}
	}
	c = c.moved(slotOf(now))
	u := Use{Hour: sum(c.hour[:]), Day: sum(c.day[:])}
	switch {
	case n > room(l.Day, u.Day, underWay):
		return Verdict{Rule: RuleDay, Used: u.Day + underWay, Most: l.Day, Again: again(now, c, underWay, dayOf, l.Day-n)}
	case n > room(l.Hour, u.Hour, underWay):
		return Verdict{Rule: RuleHour, Used: u.Hour + underWay, Most: l.Hour, Again: again(now, c, underWay, hourOf, l.Hour-n)}
	}
	return Verdict{OK: true, Rule: RuleWithin}
}

// room is what a limit leaves. It cannot overflow, whatever was counted.
func room(most, used, underWay int) int {
	if used >= most {
		return 0
	}
	return max(most-used-underWay, 0)
}
