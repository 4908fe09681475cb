package doctor

import (
	"strings"
	"testing"
	"time"
)

// Each step that fails has a remedy, and what is unclear in a list is told where a server was asked.
func TestDirectories(t *testing.T) {
	now := time.Now()
	good := DirectoryFacts{Name: "office", Server: "ldap.test:636", Found: true, Policy: true, Pages: true, Known: true, Listed: now}
	with := func(change func(*DirectoryFacts)) DirectoryFacts {
		d := good
		change(&d)
		return d
	}
	for name, c := range map[string]struct {
		facts DirectoryFacts
		state State
		want  string
	}{
		"good":     {good, Fine, "has people"},
		"connect":  {with(func(d *DirectoryFacts) { d.Failed, d.Error = "connect", "refused" }), Wrong, "connect fails: refused"},
		"TLS":      {with(func(d *DirectoryFacts) { d.Failed, d.Error = "TLS", "another name" }), Wrong, "TLS fails"},
		"bind":     {with(func(d *DirectoryFacts) { d.Failed, d.Error = "bind", "49" }), Wrong, "bind fails"},
		"base":     {with(func(d *DirectoryFacts) { d.Failed, d.Error = "base", "32" }), Wrong, "base fails"},
		"search":   {with(func(d *DirectoryFacts) { d.Failed, d.Error = "search", "50" }), Wrong, "search fails"},
		"nobody":   {with(func(d *DirectoryFacts) { d.Found = false }), Warning, "no entry"},
		"policy":   {with(func(d *DirectoryFacts) { d.Policy = false }), Note, "password policies"},
		"pages":    {with(func(d *DirectoryFacts) { d.Pages = false }), Warning, "in pages"},
		"clear":    {with(func(d *DirectoryFacts) { d.Clear = true }), Note, "without TLS"},
		"never":    {with(func(d *DirectoryFacts) { d.Listed = time.Time{} }), Wrong, "never listed"},
		"old":      {with(func(d *DirectoryFacts) { d.Listed, d.Fault = now.Add(-25*time.Hour), "down" }), Wrong, "the last good list is of"},
		"fault":    {with(func(d *DirectoryFacts) { d.Fault = "down" }), Warning, "not taken in"},
		"disputed": {with(func(d *DirectoryFacts) { d.Disputed = []string{"a@local.test"} }), Wrong, "a@local.test"},
		"doubtful": {with(func(d *DirectoryFacts) { d.Doubtful = []string{"b@local.test: two"} }), Warning, "b@local.test"},
	} {
		found := false
		for _, f := range checkDirectories(Facts{Now: now, Server: ServerFacts{Running: true}, Directories: []DirectoryFacts{c.facts}}) {
			found = found || f.State == c.state && strings.Contains(f.What, c.want) && (f.State == Fine || f.Remedy != "")
		}
		if !found {
			t.Errorf("%s: %+v", name, checkDirectories(Facts{Now: now, Directories: []DirectoryFacts{c.facts}}))
		}
	}
	unknown := with(func(d *DirectoryFacts) { d.Known, d.Listed, d.Disputed = false, time.Time{}, []string{"a@local.test"} })
	if all := checkDirectories(Facts{Now: now, Directories: []DirectoryFacts{unknown}}); len(all) != 1 || all[0].State != Fine {
		t.Errorf("%+v", all)
	}
}
