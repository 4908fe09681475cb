package hijack

import "math"

// Signal is one kind of evidence. The zero Signal is none.
type Signal uint8

const (
	// SiteNovelty is the share of a message's recipients that nobody here ever wrote to.
	SiteNovelty Signal = 1 + iota
	// Strangers is the share with whom the account has no correspondent in common.
	Strangers
	// Refusals is the share of recipients that were refused.
	Refusals
	// Binding is whether a sender was claimed that is not the account's.
	Binding
	// SitePace is how fast messages to recipients new to the site follow each other.
	SitePace
	// AccountPace is how fast messages to recipients new to the account do.
	AccountPace
	// NetworkPace is how fast sign-ins from new networks do.
	NetworkPace
	// PlacePace is how fast sign-ins from new places far apart do.
	PlacePace

	shares = int(Binding)            // signals that are a share of something
	paces  = int(PlacePace) - shares // signals that are a rate
)

// String names the signal.
func (k Signal) String() string {
	names := [...]string{
		"", "new to the site", "strangers", "refused recipients", "failed sender binding",
		"pace of recipients new to the site", "pace of recipients new to the account", "pace of new networks",
		"pace of new places",
	}
	if int(k) >= len(names) {
		return ""
	}
	return names[k]
}

// bets are how sure a detector is of a thief: the share of what it looks at that is
// unusual when a thief sends. The first finds a blast, in which nearly all is, the second
// one that is mixed with ordinary mail, of which Usual.Mix is unusual.
const (
	bets = 2
	sure = 0.95
)

// mostEvidence bounds evidence, so that it stays a number, and a year of it is no more
// than a night of it.
const mostEvidence = 1e12

// quiet is the evidence that there always is while nothing is unusual.
const quiet = 3

// detector bets against one signal's being usual. Its evidence is a sum over all moments
// at which a theft may have begun of the odds for it (Shiryaev and Roberts; in the form
// of Shin, Ramdas and Rinaldo, "E-detectors").
type detector struct {
	n, s     float32 // the baseline: how much was judged, and how much of it was unusual
	of, odd  float32 // since there is evidence: how much was looked at, and how much of it was unusual
	evidence [bets]float64
}

// normal is the largest share that is normal: the baseline with the prior, a margin on
// top, and never above the cap.
func (d *detector) normal(prior float64, p *Usual) float64 {
	m := p.Margin*(prior*p.Strength+float64(d.s))/(p.Strength+float64(d.n)) + p.Floor
	return math.Min(p.Cap, m)
}

// observe takes a share f in [0,1] of so many into the evidence. begin is how many times
// as likely as at any other moment a theft began before it. Where it is but a part of an
// observation, that part is staked: the mean of the stake's worth is still no more than it.
func (d *detector) observe(f, of, begin, part, normal, mix float64) {
	if d.evidence[0]+d.evidence[1] < quiet {
		d.of, d.odd = 0, 0
	}
	d.of += float32(of)
	d.odd += float32(f * of)
	for i, q := range [bets]float64{sure, mix} {
		if q <= normal {
			// A bet on less than what is normal would win by what is usual.
			continue
		}
		e := 1 + part*(q-normal)/(normal*(1-normal))*(f-normal)
		d.evidence[i] = math.Min(mostEvidence, (part*begin+d.evidence[i])*e)
	}
}

// forget ends the evidence.
func (d *detector) forget() {
	d.of, d.odd, d.evidence = 0, 0, [bets]float64{}
}

// odds is the evidence as it counts.
func (d *detector) odds(p *Usual) float64 { return p.Sure*d.evidence[0] + p.Mixed*d.evidence[1] }

// pace bets against the rate of something: that it comes Times as often as is normal.
type pace struct {
	n, hours float32 // the baseline: how many there were in how long
	odd      float32 // how many since there is evidence
	evidence float64
}

// begin lets a row begin where there is none: this may be the first of it, and is no more.
func (d *pace) begin() {
	if d.evidence < 1 {
		d.odd, d.evidence = 1, 1
	}
}

// normal is the highest rate an hour that is normal.
func (d *pace) normal(prior float64, p *Rate) float64 { return d.within(prior, p, p.Cap) }

// often is the same for the patient bet.
func (d *pace) often(prior float64, p *Rate) float64 { return d.within(prior, p, p.Often) }

func (d *pace) within(prior float64, p *Rate, most float64) float64 {
	r := p.Margin * (prior*p.Hours + float64(d.n)) / (p.Hours + float64(d.hours))
	return math.Max(p.Floor, math.Min(math.Max(most, 2*prior), r))
}

// pass lets time pass in which nothing came.
func (d *pace) pass(hours, normal float64, p *Rate) {
	d.evidence *= math.Exp(-(p.Times - 1) * normal * hours)
	if d.evidence < 0.1 {
		d.odd = 0 // a new row begins
	}
}

// patience is the second bet on a pace, which shares its baseline.
type patience struct {
	evidence float64
	odd      float32 // how many since there is evidence
}

// pass lets time pass in which nothing came.
func (d *patience) pass(hours, normal float64, p *Rate) {
	d.evidence *= math.Exp(-(p.Patient - 1) * normal * hours)
	if d.evidence < 0.1 {
		d.odd = 0
	}
}

// count takes one more into the evidence.
func (d *patience) count(p *Rate) {
	d.odd++
	d.evidence = math.Min(mostEvidence, 1+d.evidence*p.Patient)
}

// count takes one more into the evidence.
func (d *pace) count(p *Rate) {
	d.odd++
	d.evidence = math.Min(mostEvidence, 1+d.evidence*p.Times)
}
