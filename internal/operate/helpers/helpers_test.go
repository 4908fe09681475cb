package helpers_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/helpers"
	"sallyport/test/operator"
)

// Each question is a fact of who asks for what before it is answered; one that cannot be recorded is not
// answered, and what is no question is refused.
func TestAQuestionIsAFactFirst(t *testing.T) {
	var told []fact.Fact
	var fails error
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	d := helpers.Desk{Now: func() time.Time { return at }, Write: func(_ context.Context, facts ...fact.Fact) error {
		told = append(told, facts...)
		return fails
	}}
	routes, by := call.NewRoutes(), call.Caller{UID: 4711, Known: true}
	what := func(words []string) string { return "the trace" + helpers.About(words) }
	helpers.Answer(routes, "one", d, what, func(context.Context, call.Caller, []string) (string, error) { return "answered", nil })
	helpers.Listing(routes, "many", d, what, func(_ context.Context, _ call.Caller, _ []string, fn func(string) error) error {
		return errors.Join(fn("first"), fn("last"))
	})
	helpers.Refuse(routes, d)
	if code, said := operator.Asks(routes, by, "one", `["alice"]`); code != http.StatusOK || !strings.Contains(said, "answered") {
		t.Errorf("%d %s", code, said)
	}
	if code, said := operator.Asks(routes, by, "many", `[]`); code != http.StatusOK || !strings.Contains(said, "first") || !strings.Contains(said, "last") || !strings.Contains(said, `"end":true`) {
		t.Errorf("%d %s", code, said)
	}
	if len(told) != 2 || told[0].Text != "a helper asked for the trace about alice" || told[1].Text != "a helper asked for the trace" {
		t.Fatalf("%+v", told)
	}
	for _, f := range told {
		if f.Kind != fact.KindAsk || f.Rule != helpers.RuleHelper || !f.At.Equal(at) || !slices.Equal(f.Evidence, []fact.Pair{{Name: "by uid", Value: "4711"}}) {
			t.Errorf("%+v", f)
		}
	}
	if code, said := operator.Asks(routes, by, "other", `{}`); code != http.StatusForbidden || !strings.Contains(said, "helpers may ask") {
		t.Errorf("%d %s", code, said)
	}
	if len(told) != 3 || told[2].Text != `a helper asked for "other", and was refused` || told[2].Rule != helpers.RuleHelper {
		t.Errorf("%+v", told)
	}
	if code, _ := operator.Asks(routes, by, "x%1b[2J", `{}`); code != http.StatusForbidden || len(told) != 4 || strings.Contains(told[3].Text, "\x1b") {
		t.Errorf("%d, %+v", code, told)
	}
	fails = errors.New("the disk is full")
	if code, said := operator.Asks(routes, by, "other", `{}`); code != http.StatusForbidden || !strings.Contains(said, "helpers may ask") {
		t.Errorf("%d %s", code, said)
	}
	for _, action := range []string{"one", "many"} {
		if code, said := operator.Asks(routes, by, action, `[]`); code == http.StatusOK || !strings.Contains(said, "the disk is full") || strings.Contains(said, "answered") || strings.Contains(said, "first") {
			t.Errorf("%s: %d %s", action, code, said)
		}
	}
	nowhere := call.NewRoutes()
	helpers.Answer(nowhere, "one", helpers.Desk{Now: d.Now}, what, func(context.Context, call.Caller, []string) (string, error) { return "answered", nil })
	if code, said := operator.Asks(nowhere, by, "one", `[]`); code == http.StatusOK || strings.Contains(said, "answered") {
		t.Errorf("with nowhere to record it: %d %s", code, said)
	}
}

// Of many words the first are named.
func TestAbout(t *testing.T) {
	for want, words := range map[string][]string{
		"":                              nil,
		" about a":                      {"a"},
		" about a, b, c, d, e":          {"a", "b", "c", "d", "e"},
		" about a, b, c, d, e and more": {"a", "b", "c", "d", "e", "f"},
	} {
		if got := helpers.About(words); got != want {
			t.Errorf("%v: %q", words, got)
		}
	}
}
