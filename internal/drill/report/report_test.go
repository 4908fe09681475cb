package report

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"sallyport/internal/drill"
	"sallyport/internal/drill/verdict"
)

func example(found float64) drill.Report {
	all := []verdict.Measure{
		{Promise: verdict.NoRelay, Scenario: "stranger", What: "messages of people without an account that left", Unit: "messages", Found: found, Tried: 45000, Examples: []string{"ad1 to <b>r1@remote.test</b>"}},
		{Promise: verdict.NoHijack, Scenario: "password", What: "recipients whom a thief's mail reached", Unit: "recipients", Found: 2, Most: 30, Tried: 3},
		{Promise: verdict.NoBomb, Scenario: "slow", What: "nothing was tried", Unit: "messages"},
	}
	return drill.Report{
		Host: "mx.local.test", Seed: 7, Took: 90 * time.Second, Verdicts: verdict.Judge(all),
		Played: []drill.Played{
			{Scenario: drill.Scenario{Name: "stranger", Title: "The stranger of 1997", Story: "A stranger."}},
			{Scenario: drill.Scenario{Name: "forward", Title: "A forward"}, Fault: "this configuration forwards to nobody elsewhere", Lacking: true},
		},
	}
}

// The text fits 80 columns, and says of each promise what it did, by how much and where.
func TestText(t *testing.T) {
	for _, c := range []struct {
		found      float64
		want, lack []string
	}{
		{0, []string{"mx.local.test: 2 promises kept, none broken, 5 not tested.", "\n1. No stranger relays                                         kept\n", "Tried 45,000 times.", "\n   - recipients whom a thief's mail reached: 2 (at most 30)\n", "not played: this configuration forwards"}, []string{"BROKEN", "nothing was tried", "WRONG"}},
		{4, []string{"mx.local.test: 1 of 7 promises broken.", "No stranger relays                                         BROKEN\n", "   ! messages of people without an account that left: 4\n       4 too many, in: stranger\n       such as ad1 to"}, []string{"WRONG"}},
	} {
		var b bytes.Buffer
		if err := Text(&b, example(c.found)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
				t.Errorf("%d columns: %s", utf8.RuneCountInString(line)-1, line)
			}
		}
		for _, w := range c.want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("no %q in\n%s", w, b.String())
			}
		}
		for _, w := range c.lack {
			if strings.Contains(b.String(), w) {
				t.Errorf("%q in\n%s", w, b.String())
			}
		}
	}
}

// The page stands alone, and what others wrote is text in it.
func TestHTML(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, example(4)); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"1 of 7 promises broken", "&lt;b&gt;r1@remote.test&lt;/b&gt;", `<span class="badge broken">broken</span>`, `<span class="badge not-tested">not tested</span>`, "4 too many, in: stranger"} {
		if !strings.Contains(b.String(), w) {
			t.Errorf("no %q in\n%s", w, b.String())
		}
	}
	for _, w := range []string{"<script", "href=", "src=", "http://", "https://", "url("} {
		if strings.Contains(b.String(), w) {
			t.Errorf("%q", w)
		}
	}
}

// What could not be played is no success.
func TestAFaultIsTold(t *testing.T) {
	r := example(0)
	r.Played[0].Fault = "no disk"
	if !r.Broken() || Summary(r) != "1 of 2 scenarios could not be played" {
		t.Errorf("%v %s", r.Broken(), Summary(r))
	}
	if example(0).Broken() || !example(1).Broken() {
		t.Error("the report does not know what is broken")
	}
}
