package intake_test

import (
	"strings"
	"testing"
	"time"

	"sallyport/internal/intake"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/policy"
	"sallyport/internal/smtp/server"
)

func screenOf(t *testing.T, text string, slow time.Duration) *policy.Screen {
	t.Helper()
	l, err := access.Parse(strings.NewReader(text))
	must(t, err)
	return policy.New(policy.Options{List: l, Slow: slow, Time: time.Second, Now: time.Now}, nil)
}

// Who is kept out is told the same of whoever exists or not, leaves one fact with the line,
// and meets the gate for relaying; who signs in is not screened.
func TestScreened(t *testing.T) {
	const slow = 50 * time.Millisecond
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), screen: screenOf(t, `
refuse recipient bob@local.test this address is closed
refuse sender    spam.test      no thanks
defer  hello     never.test
slow   network   198.51.100.0/24
`, slow)})
	c := w.connect(server.KindMX)
	c.want(c.from("<x@spam.test>"), 250)
	for _, to := range []string{"<alice@local.test>", "<nobody@local.test>"} {
		if r := c.to(to); r.String() != "550 5.7.1 refused by this server's list: no thanks" {
			t.Errorf("%s: %s", to, r)
		}
	}
	c.want(c.to("<y@remote.test>"), 550)
	var rules []string
	for _, f := range w.facts() {
		rules = append(rules, f.Rule)
		if f.Rule == "screen-list" && (!f.stranger || f.Text != "line 3: refuse sender spam.test" || f.Sender != "<x@spam.test>" || len(f.Recipients) != 1) {
			t.Errorf("the fact is %+v", f)
		}
	}
	if strings.Join(rules, " ") != "screen-list screen-list relay-denied" {
		t.Errorf("the rules are %v", rules)
	}

	// A slowed one waits at each recipient and is taken; the message says by which line.
	c = w.connect(server.KindMX)
	c.want(c.from("<x@far.test>"), 250)
	began := time.Now()
	c.want(c.to("<alice@local.test>"), 250)
	if took := time.Since(began); took < slow {
		t.Errorf("it waited %s", took)
	}
	c.want(c.to("<bob@local.test>"), 550)
	c.want(c.data(strings.Replace(message, "alice@local.test", "x@far.test", 1)), 250)
	noted := false
	for _, f := range w.facts() {
		for _, p := range f.Evidence {
			noted = noted || p.Name == "screen" && p.Value == "line 5: slow network 198.51.100.0/24"
		}
	}
	if !noted {
		t.Error("the accepted message does not say that it was slowed")
	}

	c = w.signedIn("alice@local.test")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<bob@local.test>"), 250) // who signed in is not screened
}
