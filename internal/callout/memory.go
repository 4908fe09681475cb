package callout

import (
	"time"

	"sallyport/internal/mail"
)

// Remembered is what a server said of an address, and for how long it counts.
type Remembered struct {
	Server, Address string
	Answer          Answer
	At              time.Time // when it was said
	Until           time.Time // when it is asked again
}

// Remembered calls fn for what is remembered and counts now, in no order, until it
// returns false.
func (v *Asker) Remembered(fn func(Remembered) bool) {
	for _, place := range v.places() {
		for k, n := range place.cache.All() {
			if v.age(n) >= place.ttl+place.grace {
				continue
			}
			if !fn(Remembered{Server: k.server, Address: k.address, Answer: n.answer, At: n.at, Until: n.at.Add(place.ttl)}) {
				return
			}
		}
	}
}

// Forget ends what is remembered of the addresses that match, and returns how many
// answers that were: the server is asked again.
func (v *Asker) Forget(match func(server, address string) bool) (forgotten int) {
	for _, place := range v.places() {
		for k := range place.cache.All() {
			if !match(k.server, k.address) {
				continue
			}
			if place.cache.Drop(k) {
				forgotten++
			}
		}
	}
	return forgotten
}

// Refused notes that a server refused a recipient for good at a delivery: that it takes
// mail for it does not count any more, nor by grace.
func (v *Asker) Refused(server string, a mail.Address) {
	v.positive.Drop(key{server, a.String()})
}
