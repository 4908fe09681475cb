package callout

import (
	"context"
	"encoding/hex"
	"io"
	"slices"
	"strings"
	"time"

	"sallyport/internal/mail"
)

// probed is what is known of a domain as a whole.
type probed struct {
	at       time.Time
	catchall bool
}

// probe asks about an address that nobody has, now and then, after the server took
// another one of the domain.
func (v *Verifier) probe(server string, s Server, d mail.Domain) {
	if !v.dueProbe(server, d) {
		return
	}
	local, err := nobody(v.o.Rand)
	if err != nil {
		return
	}
	a, err := mail.NewAddress(local, d)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), v.o.Limits.Timeout)
	defer cancel()
	r, remote, err := s.Ask(ctx, a)
	answer := judge(r, remote, err)
	if answer.Known == Unknown {
		return // it is asked again when the time comes
	}
	if v.learn(server, d, answer.Known == Yes) {
		v.o.Learnt(d, remote, answer.Known == Yes)
	}
}

// dueProbe notes that a domain is asked about now, unless it was asked not long ago
// or the server has questions enough.
func (v *Verifier) dueProbe(server string, d mail.Domain) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := v.servers[server]
	p := at.domains[d]
	if p == nil {
		p = &probed{}
		at.domains[d] = p
	} else if v.o.Now().Sub(p.at) < v.o.Limits.ProbeEvery {
		return false
	}
	if !v.spend(at) {
		return false
	}
	p.at = v.o.Now()
	return true
}

// learn notes what was found out; true when it is news.
func (v *Verifier) learn(server string, d mail.Domain, catchall bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.servers[server].domains[d]
	news := p.catchall != catchall
	p.catchall = catchall
	return news
}

// Catchall returns the domains of which the server takes any address, sorted.
func (v *Verifier) Catchall(server string) []mail.Domain {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []mail.Domain
	if at := v.servers[server]; at != nil {
		for d, p := range at.domains {
			if p.catchall {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b mail.Domain) int { return strings.Compare(a.ASCII(), b.ASCII()) })
	return out
}

// nobody makes a local-part that nobody has.
func nobody(r io.Reader) (string, error) {
	var b [10]byte
	_, err := io.ReadFull(r, b[:])
	return "sallyport-asks-" + hex.EncodeToString(b[:]), err
}
