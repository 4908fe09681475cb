package hijack

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Finding is one part of the evidence.
type Finding struct {
	Signal  Signal
	Unusual float64 // how many were unusual since there is evidence
	Of      float64 // of how many; 0 for a rate
	Normal  float64 // the largest share that is normal; for a rate how many an hour
	Odds    float64 // how many times likelier a thief is than the owner
	Weighed float64 // what of it counts towards Params.Odds
}

// Findings are what speaks against the account, the strongest first; what weighs less than
// a hundredth of that is left out.
func (s State) Findings(priors Priors, p Params) []Finding {
	var out []Finding
	for i := range s.shares {
		k := SiteNovelty + Signal(i)
		d, u := &s.shares[i], p.usual(k)
		if odds := d.odds(u); odds > 1 {
			out = append(out, Finding{
				Signal: k, Unusual: float64(d.odd), Of: float64(d.of), Normal: d.normal(priors.Mean[i], u),
				Odds: max(d.evidence[0], d.evidence[1]), Weighed: odds,
			})
		}
	}
	for i := range s.paces {
		k := SitePace + Signal(i)
		d, r := &s.paces[i], p.rate(k)
		f := Finding{Signal: k, Unusual: float64(d.odd), Normal: d.normal(priors.Rate[i], r), Odds: d.evidence, Weighed: d.evidence * r.Weight}
		if slow := s.slow.evidence * r.Slowly; slow > f.Weighed {
			f.Unusual, f.Normal, f.Odds, f.Weighed = float64(s.slow.odd), d.often(priors.Rate[i], r), s.slow.evidence, slow
		}
		if f.Weighed > 1 {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		switch {
		case a.Weighed > b.Weighed:
			return -1
		case a.Weighed < b.Weighed:
			return 1
		}
		return 0
	})
	for i, f := range out {
		if f.Weighed < out[0].Weighed/100 {
			return out[:i]
		}
	}
	return out
}

// Whence are what speaks against the account of whence it is signed in with, and what they weigh together, whatever else speaks
// against it.
func (s State) Whence(priors Priors, p Params) (all []Finding, odds float64) {
	for _, k := range []Signal{PlacePace, NetworkPace} {
		i := k - SitePace
		d, r := &s.paces[i], p.rate(k)
		f := Finding{Signal: k, Unusual: float64(d.odd), Normal: d.normal(priors.Rate[i], r), Odds: d.evidence, Weighed: d.evidence * r.Weight}
		if odds += f.Weighed; f.Weighed > 1 {
			all = append(all, f)
		}
	}
	return all, odds
}

// Words say the finding to a person: "4 of 4 recipients were never written to from this
// site; normal here is at most 3 %: odds × 1,000,000".
func (f Finding) Words() string {
	odd, of := number(f.Unusual), number(f.Of)
	usual := "; normal here is at most " + percent(f.Normal) + ": odds " + OddsWords(f.Odds)
	switch f.Signal {
	case SiteNovelty:
		return odd + " of " + of + " recipients were never written to from this site" + usual
	case Strangers:
		return odd + " of " + of + " recipients have no correspondent in common with the account" + usual
	case Refusals:
		return odd + " of " + of + " recipients were refused" + usual
	case Binding:
		return odd + " of " + of + " messages claimed a sender that is not the account's" + usual
	case SitePace:
		return odd + " messages in a row to recipients never written to from this site" + f.perHour()
	case AccountPace:
		return odd + " messages in a row to recipients new to the account" + f.perHour()
	case NetworkPace:
		return odd + " sign-ins in a row from networks that the account never used" + f.perHour()
	case PlacePace:
		return odd + " sign-ins in a row from places far apart where the account never signed in" + f.perHour()
	}
	return ""
}

func (f Finding) perHour() string {
	return fmt.Sprintf("; normal here is at most one in %s: odds %s", span(1/f.Normal), OddsWords(f.Odds))
}

// span says so many hours.
func span(hours float64) string {
	if hours < 1 {
		return strconv.Itoa(int(math.Max(1, math.Round(hours*60)))) + " minutes"
	}
	return strconv.FormatFloat(hours, 'g', 2, 64) + " hours"
}

// percent says a share.
func percent(f float64) string { return strconv.FormatFloat(f*100, 'g', 2, 64) + " %" }

// OddsWords say odds to a person, with their thousands apart: "× 1,000,000".
func OddsWords(odds float64) string { return "× " + number(odds) }

// number says a number with its thousands apart.
func number(x float64) string {
	if math.IsNaN(x) || x < 0 {
		return "0"
	}
	digits := strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
