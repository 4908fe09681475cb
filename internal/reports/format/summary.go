package format

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Filter chooses what a Summary counts. The zero Filter chooses everything.
type Filter struct {
	Domain string    // the policy domain, or the author's, or a parent of it; "": any
	Since  time.Time // reports of periods that end later
}

// Source is everything that several reports say about one address.
type Source struct {
	Address  netip.Addr `json:"source"`
	Name     string     `json:"name,omitempty"` // that the DNS has for it, where it was asked
	From     []string   `json:"from"`           // the domains that it sends as
	Messages int        `json:"messages"`
	Passed   int        `json:"passed"`  // DKIM or SPF spoke for the author
	BySPF    int        `json:"by_spf"`  // of those
	ByDKIM   int        `json:"by_dkim"` // of those
	Refused  int        `json:"refused"` // rejected
	Junked   int        `json:"quarantined"`
	// Others are domains that are not the author's, and for which SPF or DKIM passed:
	// who sends, or who passed it on.
	Others    []string `json:"others,omitempty"`
	Forwarded int      `json:"forwarded,omitempty"` // which receivers took for forwarded or mailing lists
	Advice    string   `json:"advice"`
}

// Failed returns how many messages neither SPF nor DKIM spoke for.
func (s Source) Failed() int { return s.Messages - s.Passed }

// Summary is what a number of reports say.
type Summary struct {
	Reports    int
	Duplicates int // that were not counted again
	Receivers  []string
	Begin, End time.Time // of the whole
	Messages   int
	Passed     int
	Sources    []Source // most failures first
	Policies   map[string]string
}

// Summarize counts reports, each once, by source.
func Summarize(all []Report, f Filter) Summary {
	out := Summary{Policies: map[string]string{}}
	seen, receivers, sources := map[string]bool{}, map[string]bool{}, map[netip.Addr]*tally{}
	for _, r := range all {
		if !f.Since.IsZero() && !r.End.After(f.Since) {
			continue
		}
		id := strings.Join([]string{r.Organisation, r.ID, r.Policy.Domain, fmt.Sprint(r.Begin.Unix())}, "\x00")
		if r.ID == "" { // what the report lacks, its rows have to tell
			id = fmt.Sprint(id, r.Records)
		}
		if seen[id] {
			out.Duplicates++
			continue
		}
		counted := 0
		for _, rec := range r.Records {
			if !f.covers(r.Policy.Domain, rec.Identifiers.HeaderFrom) {
				continue
			}
			counted++
			add(sources, rec)
		}
		if counted == 0 {
			continue
		}
		seen[id], receivers[r.Organisation] = true, true
		out.Policies[r.Policy.Domain] = r.Policy.P
		out.Reports++
		if out.Begin.IsZero() || r.Begin.Before(out.Begin) {
			out.Begin = r.Begin
		}
		if r.End.After(out.End) {
			out.End = r.End
		}
	}
	out.Receivers = slices.Sorted(maps.Keys(receivers))
	for _, t := range sources {
		s := t.source()
		out.Messages += s.Messages
		out.Passed += s.Passed
		out.Sources = append(out.Sources, s)
	}
	slices.SortFunc(out.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(b.Failed(), a.Failed()), cmp.Compare(b.Messages, a.Messages), a.Address.Compare(b.Address))
	})
	return out
}

func (f Filter) covers(policy, from string) bool {
	d := strings.ToLower(f.Domain)
	return d == "" || policy == d || from == d || strings.HasSuffix(from, "."+d)
}

// tally is a Source that is being counted.
type tally struct {
	Source
	from, others map[string]bool
}

func add(sources map[netip.Addr]*tally, rec Record) {
	ip, err := netip.ParseAddr(rec.Row.Source)
	if err != nil {
		return // a reader lets none through
	}
	t := sources[ip]
	if t == nil {
		t = &tally{Source: Source{Address: ip}, from: map[string]bool{}, others: map[string]bool{}}
		sources[ip] = t
	}
	n, e := rec.Row.Count, rec.Row.Evaluated
	t.Messages += n
	t.note(t.from, rec.Identifiers.HeaderFrom)
	if rec.Aligned() {
		t.Passed += n
	}
	if e.SPF == Pass {
		t.BySPF += n
	}
	if e.DKIM == Pass {
		t.ByDKIM += n
	}
	switch e.Disposition {
	case "reject":
		t.Refused += n
	case "quarantine":
		t.Junked += n
	}
	for _, why := range e.Reasons {
		if why.Type == "forwarded" || why.Type == "mailing_list" || why.Type == "trusted_forwarder" {
			t.Forwarded += n
			break
		}
	}
	for _, d := range rec.Results.DKIM {
		if d.Result == Pass && e.DKIM != Pass {
			t.note(t.others, d.Domain)
		}
	}
	for _, s := range rec.Results.SPF {
		if s.Result == Pass && e.SPF != Pass {
			t.note(t.others, s.Domain)
		}
	}
}

// maxNames bounds the names that are kept of one source.
const maxNames = 10

func (t *tally) note(set map[string]bool, name string) {
	if name != "" && len(set) < maxNames {
		set[name] = true
	}
}

func (t *tally) source() Source {
	s := t.Source
	s.From, s.Others = slices.Sorted(maps.Keys(t.from)), slices.Sorted(maps.Keys(t.others))
	s.Advice = s.advise()
	return s
}

// Passes is the advice about a source with which nothing is wrong.
const Passes = "passes"

// advise says in words what a source is and what to do about it.
func (s Source) advise() string {
	as := strings.Join(s.From, ", ")
	switch {
	case s.Failed() == 0 && s.ByDKIM == s.Messages:
		return Passes
	case s.Failed() == 0:
		return "passes, some of it by SPF alone, which no forwarding survives: let it sign with a DKIM key of " + as
	case s.Forwarded >= s.Failed():
		return "receivers take it for mail that was forwarded or went through a list: it is lost once the policy is reject, unless it is signed with DKIM and passed on unchanged"
	case len(s.Others) > 0:
		return "SPF or DKIM speaks for " + strings.Join(s.Others, ", ") + ", and not for " + as + ": if you use that service, let it sign with a DKIM key of " + as +
			"; if it only passes mail on, nothing needs to be done; if you know it not, p=quarantine or p=reject keeps its mail out"
	case s.Passed > 0:
		return "neither SPF nor DKIM speaks for a part of it: find what there sends as " + as + " without signing, or who forwards through it"
	}
	return "neither SPF nor DKIM speaks for it: if it is yours, let it send through your own server, or add it to SPF and let it sign; if not, p=quarantine or p=reject keeps its mail out"
}
