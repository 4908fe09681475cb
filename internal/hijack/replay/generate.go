package replay

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// Made is a site that is made up: people in groups who write to each other and outside,
// come and go, hold sessions at their desks, announce, sell, answer strangers, travel, and
// mistype.
type Made struct {
	People int
	Days   int
	Seed   uint64
}

// What is normal among made-up people. The figures are those of real logs: one recipient
// a message in the middle, 31 in one of a hundred, a fifth of deliveries to the outside,
// three in a hundred to somebody new to the site, and one or two in ten to somebody new
// to the account.
const (
	groupSize     = 12
	perDay        = 2.0  // messages of the person in the middle
	perDaySpread  = 1.1  // of its logarithm
	mostPerDay    = 60.0 // of the busiest
	outsideShare  = 0.25 // of an account's choices
	newColleague  = 0.12 // share of choices that are somebody new, in the middle
	newSpread     = 0.8  // of its logarithm
	newOutside    = 0.2  // share of choices outside that are somebody new
	wroteFirst    = 0.3  // share of those who wrote first
	popular       = 0.5  // share of those whom others may know
	copied        = 0.16 // share of messages with more than one recipient
	assistants    = 40   // one for so many people
	desks         = 150  // one support desk for so many people
	sales         = 60   // one for so many people who mostly writes to somebody new outside
	salesOutside  = 0.8
	salesNew      = 0.6
	perDesk       = 12.0 // messages of strangers that a desk answers a day
	monthlyChurn  = 0.02
	sessionLength = 4 // messages on average
)

// person is one of the made-up people.
type person struct {
	name      string
	group     int
	rate      float64 // messages a day
	novelty   float64
	from      int // the day on which it comes, and goes
	until     int
	inside    []*person
	outside   []string
	assistant bool
	desk      bool
	sales     bool
}

// maker makes the log.
type maker struct {
	Made
	chance    *rand.Rand
	people    []*person
	strangers int
	log       []Message
}

// Make makes up a log.
func (o Made) Make() []Message {
	m := &maker{Made: o, chance: rand.New(rand.NewPCG(o.Seed, 0xbead))}
	for i := range o.People {
		m.people = append(m.people, m.person(i, 0))
	}
	joined := 0.0
	for d := range o.Days {
		if joined += float64(o.People) * monthlyChurn / 30; joined >= 1 && len(m.people) > 1 {
			joined--
			m.people[m.chance.IntN(len(m.people))].until = d
			m.people = append(m.people, m.person(len(m.people), d))
		}
		for _, p := range m.people {
			if d >= p.from && d < p.until {
				m.day(p, d)
			}
		}
	}
	slices.SortStableFunc(m.log, func(a, b Message) int { return a.At.Compare(b.At) })
	return m.log
}

// person makes the i-th.
func (m *maker) person(i, day int) *person {
	p := &person{name: "p" + strconv.Itoa(i), group: i / groupSize, from: day, until: m.Days}
	p.rate = math.Min(mostPerDay, perDay*math.Exp(perDaySpread*m.chance.NormFloat64()))
	p.novelty = math.Min(0.6, newColleague*math.Exp(newSpread*m.chance.NormFloat64()))
	p.assistant = i%assistants == assistants/2
	p.desk = i%desks == desks/2
	p.sales = i%sales == sales/3
	if day > 0 {
		// Whoever comes new sits with some group, and knows nobody.
		p.group = m.chance.IntN(max(1, m.People/groupSize))
		p.novelty = math.Max(p.novelty, 0.3)
	}
	return p
}

// day makes what one does on a day: sessions at the desk, in each some messages after
// each other.
func (m *maker) day(p *person, d int) {
	rate := p.rate
	if d%7 >= 5 {
		rate /= 10
	}
	for left := m.poisson(rate); left > 0; {
		n := min(left, 1+m.poisson(sessionLength-1))
		left -= n
		at := time.Duration(d)*day + 8*time.Hour + time.Duration(m.chance.Float64()*10*float64(time.Hour))
		for range n {
			m.message(p, at)
			at += time.Duration(20+m.chance.ExpFloat64()*240) * time.Second
		}
	}
	m.mishaps(p, d)
	if p.desk && d%7 < 5 {
		m.answer(p, d)
	}
	if p.assistant && m.chance.Float64() < 1.0/20 {
		m.announce(p, d)
	}
}

// message makes one message to one or several.
func (m *maker) message(p *person, at time.Duration) {
	n := 1
	if m.chance.Float64() < copied {
		n = 2 + int(math.Min(20, math.Exp(1.0*m.chance.NormFloat64()+0.5)))
	}
	var to []string
	for range n {
		if who := m.recipient(p, at); who != "" && !slices.Contains(to, who) {
			to = append(to, who)
		}
	}
	m.submit(Message{At: epoch(at), From: p.name, To: to}, false)
}

// submit adds a message that has recipients.
func (m *maker) submit(msg Message, many bool) {
	if len(msg.To) > 0 {
		m.refusals(&msg, many)
		m.log = append(m.log, msg)
	}
}

// recipient chooses one: mostly somebody whom the person wrote to before.
func (m *maker) recipient(p *person, at time.Duration) string {
	if m.chance.Float64() < outsideShare || p.sales && m.chance.Float64() < salesOutside {
		return m.outsider(p, at)
	}
	if len(p.inside) == 0 || m.chance.Float64() < p.novelty {
		if q := m.colleague(p, int(at/day)); q != nil {
			if !slices.Contains(p.inside, q) {
				p.inside = append(p.inside, q)
			}
			return q.name
		}
	}
	if len(p.inside) == 0 {
		return ""
	}
	return p.inside[m.early(len(p.inside))].name
}

// colleague is somebody of the same group, somebody whom a correspondent knows, or anybody.
func (m *maker) colleague(p *person, d int) *person {
	for range 8 {
		q := m.people[m.chance.IntN(len(m.people))]
		switch x := m.chance.Float64(); {
		case x < 0.4:
			q = m.people[min(len(m.people)-1, p.group*groupSize+m.chance.IntN(groupSize))]
		case x < 0.85 && len(p.inside) > 0:
			if via := p.inside[m.chance.IntN(len(p.inside))]; len(via.inside) > 0 {
				q = via.inside[m.chance.IntN(len(via.inside))]
			}
		}
		if q != p && d >= q.from && d < q.until {
			return q
		}
	}
	return nil
}

// outsider is somebody outside: mostly known, or new, and then often one who wrote first.
func (m *maker) outsider(p *person, at time.Duration) string {
	fresh := newOutside
	if p.sales {
		fresh = salesNew
	}
	if len(p.outside) > 0 && m.chance.Float64() >= fresh {
		return p.outside[m.early(len(p.outside))]
	}
	var who string
	if m.strangers > 20 && m.chance.Float64() < popular {
		who = "o" + strconv.Itoa(m.early(m.strangers))
	} else {
		who = "o" + strconv.Itoa(m.strangers)
		m.strangers++
	}
	if m.chance.Float64() < wroteFirst {
		m.log = append(m.log, Message{At: epoch(max(0, at-2*time.Hour)), From: who, To: []string{p.name}, In: true})
	}
	if !slices.Contains(p.outside, who) {
		p.outside = append(p.outside, who)
	}
	return who
}

// isOutside reports whether a made-up name is nobody's of the site.
func isOutside(name string) bool { return name[0] == 'o' }

// answer makes what a support desk does: strangers write, and it answers.
func (m *maker) answer(p *person, d int) {
	for range m.poisson(perDesk) {
		at := time.Duration(d)*day + 8*time.Hour + time.Duration(m.chance.Float64()*10*float64(time.Hour))
		who := "o" + strconv.Itoa(m.strangers)
		m.strangers++
		m.log = append(m.log, Message{At: epoch(at), From: who, To: []string{p.name}, In: true},
			Message{At: epoch(at + time.Hour), From: p.name, To: []string{who}})
	}
}

// announce makes a message to a group, several groups, or all.
func (m *maker) announce(p *person, d int) {
	most := len(m.people)
	if m.chance.Float64() < 0.8 {
		most = min(most, groupSize*(1+m.chance.IntN(5)))
	}
	first := 0
	if most < len(m.people) {
		first = m.chance.IntN(len(m.people) - most)
	}
	var to []string
	for _, q := range m.people[first : first+most] {
		if q != p && d >= q.from && d < q.until {
			to = append(to, q.name)
		}
	}
	at := time.Duration(d)*day + 9*time.Hour + time.Duration(m.chance.IntN(3600))*time.Second
	m.submit(Message{At: epoch(at), From: p.name, To: to}, true)
}

// early chooses one of n, the first ones the likeliest.
func (m *maker) early(n int) int {
	x := m.chance.Float64()
	return min(n-1, int(float64(n)*x*x))
}

// poisson chooses how many come where so many are expected.
func (m *maker) poisson(mean float64) int {
	n, p := 0, math.Exp(-mean)
	for x := m.chance.Float64(); x > p; x *= m.chance.Float64() {
		n++
	}
	return n
}
