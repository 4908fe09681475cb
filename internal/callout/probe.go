package callout

import (
	"context"
	"encoding/hex"
	"io"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// The rules of what is found out about a domain as a whole.
const (
	RuleTakesAnybody    = "server-behind-takes-anybody"
	RuleKnowsRecipients = "server-behind-knows-recipients"
)

// probed is what is known of a domain as a whole.
type probed struct {
	at       time.Time
	catchall bool
}

// probe asks about an address that nobody has, now and then, after the server took
// another one of the domain.
func (v *Asker) probe(server string, s Server, d mail.Domain) {
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
		v.tell(d, remote, answer.Known == Yes)
	}
}

// catchallHint says what helps where a server takes any address.
const catchallHint = "give the domain a recipients_file, or mend that server"

// tell tells the operator that a server takes any address of a domain, so that no callout
// protects it, or that it does not any more.
func (v *Asker) tell(d mail.Domain, remote string, catchall bool) {
	f := fact.Alarm{
		At: v.o.Now(), Rule: RuleTakesAnybody, Remote: remote,
		Text: "the server behind " + d.String() + " takes any recipient, so that asking it protects nobody: " + catchallHint,
	}
	if catchall {
		v.o.Logger.Warn("a server behind us takes any recipient, so that asking it protects nobody",
			"domain", d.String(), "remote", remote, "hint", catchallHint)
	} else {
		f.Rule, f.Text = RuleKnowsRecipients, "the server behind "+d.String()+" does not take any recipient any more"
		v.o.Logger.Warn("a server behind us does not take any recipient any more", "domain", d.String(), "remote", remote)
	}
	if err := v.o.Journal.Write(context.Background(), f.Fact()); err != nil {
		v.o.Logger.Error("fact not recorded", "kind", string(fact.KindAlarm), "err", err)
	}
}

// dueProbe notes that a domain is asked about now, unless it was asked not long ago
// or the server has questions enough.
func (v *Asker) dueProbe(server string, d mail.Domain) bool {
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
func (v *Asker) learn(server string, d mail.Domain, catchall bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	p := v.servers[server].domains[d]
	news := p.catchall != catchall
	p.catchall = catchall
	return news
}

// nobody makes a local-part that nobody has.
func nobody(r io.Reader) (string, error) {
	var b [10]byte
	_, err := io.ReadFull(r, b[:])
	return "sallyport-asks-" + hex.EncodeToString(b[:]), err
}
