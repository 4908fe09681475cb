package replay

import (
	"slices"
	"time"

	"sallyport/internal/hijack"
)

// How often honest people do what thieves do too: what chance a day, or a message, has.
const (
	signIns      = 5.0  // a day, from where they always do
	journey      = 0.02 // a day on which they sign in from up to six new networks
	newPhone     = 1.0 / 300
	newForward   = 1.0 / 400
	wrongSender  = 1.0 / 500 // a program that claims a wrong sender, and does not give up
	mistyped     = 0.008     // messages with a recipient that is refused at once
	gone         = 0.02      // messages to the outside with one that is refused by their server
	goneInAList  = 0.02      // recipients of an announcement
	sendersTried = 2         // until the program is set right
)

// mishaps makes what happens on a day beside messages.
func (m *maker) mishaps(p *person, d int) {
	at := func() time.Time {
		return epoch(time.Duration(d)*day + 7*time.Hour + time.Duration(m.chance.Float64()*13*float64(time.Hour)))
	}
	add := func(e hijack.Event, at time.Time) { m.log = append(m.log, Message{At: at, From: p.name, Event: e}) }
	for range m.poisson(signIns) {
		when := at()
		add(hijack.SignedIn{At: when}, when)
	}
	if m.chance.Float64() < journey {
		when := at()
		for range 1 + m.chance.IntN(6) {
			add(hijack.SignedIn{At: when, NewNetwork: true, NewPlace: true}, when)
			when = when.Add(time.Duration(m.chance.ExpFloat64() * float64(time.Hour)))
		}
	}
	if m.chance.Float64() < newPhone {
		when := at()
		add(hijack.SignedIn{At: when, NewNetwork: true, NewPlace: true, NewProgram: true}, when)
	}
	if m.chance.Float64() < newForward {
		when := at()
		add(hijack.ForwardChanged{At: when}, when)
	}
	if m.chance.Float64() < wrongSender {
		when := at()
		for i := range 5 * sendersTried {
			when = when.Add(time.Minute)
			add(hijack.BindingFailed{At: when, Sender: hijack.Fingerprint(1 + i/5)}, when)
		}
	}
}

// refusals makes what is refused of a message: by this server, or by another one.
func (m *maker) refusals(msg *Message, many bool) {
	if many {
		msg.Invalid = m.poisson(goneInAList * float64(len(msg.To)))
		return
	}
	if m.chance.Float64() < mistyped {
		msg.Invalid = 1
	}
	if m.chance.Float64() < gone && slices.ContainsFunc(msg.To, isOutside) {
		msg.Gone = 1
	}
}
