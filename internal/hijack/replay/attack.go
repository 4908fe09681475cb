package replay

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"sallyport/internal/hijack"
)

// classes of victims, in the order in which they are told.
const (
	established = "established"
	dormant     = "dormant"
	highNovelty = "high-novelty"
	unused      = "new"
)

func classes() []string { return []string{established, dormant, highNovelty, unused} }

// raid lets thieves in at several moments of a log, and collects what they got.
type raid struct {
	server  *server
	chance  *rand.Rand // who is chosen
	seed    uint64
	drawn   uint64 // victims: what chance a thief has depends on this alone
	each    int    // victims of a class at a moment
	only    string
	names   []string
	made    uint64
	took    map[[2]string][]loot  // by class and scenario
	fixed   map[[2]string][][]int // by class and scenario: what fixed limits let through
	crowds  []crowd
	crowded int // moments at which a crowd was let in
}

// names are those of all accounts, sorted.
func (s *server) names() []string { return slices.Sorted(maps.Keys(s.accounts)) }

// wave lets thieves into some accounts of each class.
func (r *raid) wave(at time.Time) {
	victims := r.victims(at)
	colleagues := r.colleagues(at)
	for _, class := range classes() {
		all := victims[class]
		if len(all) == 0 {
			continue
		}
		for range min(r.each, len(all)) {
			name := all[r.chance.IntN(len(all))]
			for _, sc := range scenarios() {
				r.one(class, name, sc, colleagues, at)
			}
		}
	}
	if established := victims[established]; r.crowded < 3 && len(established) >= 5 {
		r.crowded++
		r.crowds = append(r.crowds, r.crowd(established, colleagues, at))
	}
}

// one lets one thief in.
func (r *raid) one(class, name string, sc scenario, colleagues []hijack.Fingerprint, at time.Time) {
	v := r.victim(name, colleagues, at)
	if r.only != "" && !slices.Contains(strings.Split(r.only, ","), sc.name) {
		return
	}
	if sc.knows && len(v.contacts) == 0 || len(colleagues) == 0 {
		return
	}
	key := [2]string{class, sc.name}
	r.took[key] = append(r.took[key], r.server.steal(v, sc.steps(v), at))
	if len(r.fixed[key]) < 3 {
		r.fixed[key] = append(r.fixed[key], fixed(sc.steps(v)))
	}
}

// victim is an account as a thief finds it.
func (r *raid) victim(name string, colleagues []hijack.Fingerprint, at time.Time) *victim {
	r.drawn++
	v := &victim{account: *r.server.account(name), colleagues: colleagues, chance: rand.New(rand.NewPCG(r.seed, r.drawn)), made: &r.made}
	v.waiting = slices.Clone(v.waiting)
	for who, since := range r.server.book.Known(v.who) {
		if at.Sub(since) >= hijack.Settled {
			v.contacts = append(v.contacts, who)
		}
	}
	if hours := at.Sub(v.first).Hours(); v.sent > 0 && hours > 1 {
		v.perHour = float64(v.all) / hours
	}
	return v
}

// colleagues are all whom somebody at the site wrote to two days ago or longer.
func (r *raid) colleagues(at time.Time) []hijack.Fingerprint {
	var out []hijack.Fingerprint
	for who, since := range r.server.book.site {
		if at.Sub(since) >= 2*day {
			out = append(out, who)
		}
	}
	slices.Sort(out)
	return out
}

// victims sorts the accounts into classes. Whoever of the log has not sent yet is new.
func (r *raid) victims(at time.Time) map[string][]string {
	enough := 30
	for enough > 5 && r.atLeast(enough) < 10 {
		enough /= 2
	}
	out := map[string][]string{}
	var busy []string
	for _, name := range r.names {
		a := r.server.account(name)
		idle := at.Sub(a.last)
		switch {
		case a.sent == 0:
			out[unused] = append(out[unused], name)
		case a.sent >= enough && idle < 14*day:
			out[established] = append(out[established], name)
			busy = append(busy, name)
		case a.sent >= enough*2/3 && idle >= 30*day:
			out[dormant] = append(out[dormant], name)
		}
	}
	novelty := func(name string) float64 {
		a := r.server.account(name)
		return float64(a.fresh) / float64(max(1, a.all))
	}
	slices.SortStableFunc(busy, func(a, b string) int { return cmp.Compare(novelty(b), novelty(a)) })
	if n := len(busy); n >= 5 {
		out[highNovelty] = busy[:max(1, n/10)]
	}
	return out
}

func (r *raid) atLeast(sent int) (n int) {
	for _, a := range r.server.accounts {
		if a.sent >= sent {
			n++
		}
	}
	return n
}
