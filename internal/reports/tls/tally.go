package tls

import (
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/tlspolicy"
)

// Bounds of what is kept of one domain and day.
const (
	maxPolicies = 8   // policies of one domain and day that were met
	maxDetails  = 100 // kinds of failures of one policy on one day
	maxReason   = 200 // octets of the reason of a failure that are kept
	maxLines    = 110 // of one policy's text
)

// tally is what happened with one policy domain on one day.
type tally struct {
	Policies []policyTally `json:"policies"`
	Lost     int           `json:"lost,omitempty"` // sessions that found no room
}

// policyTally is what happened under one policy.
type policyTally struct {
	Kind    tlspolicy.Kind `json:"kind"`
	Policy  []string       `json:"policy,omitempty"`
	Hosts   []string       `json:"hosts,omitempty"`
	Success int            `json:"success,omitempty"`
	Failure int            `json:"failure,omitempty"`
	Details []detail       `json:"details,omitempty"`
}

// detail is one kind of failure. RFC 8460 §4.3.
type detail struct {
	Result  string `json:"result-type"`
	Sender  string `json:"sending-mta-ip,omitempty"`
	Host    string `json:"receiving-mx-hostname,omitempty"`
	Address string `json:"receiving-ip,omitempty"`
	Count   int    `json:"failed-session-count"`
	Reason  string `json:"failure-reason-code,omitempty"`
}

// add counts one session.
func (t *tally) add(s tlspolicy.Session) {
	p := t.policy(policyTally{Kind: s.Kind, Policy: s.Policy[:min(len(s.Policy), maxLines)], Hosts: s.Hosts})
	if p == nil {
		t.Lost++
		return
	}
	if s.Failure == "" {
		p.Success++
		return
	}
	d := detail{Result: s.Failure, Host: s.Host, Reason: mail.Printable(s.Reason, maxReason), Count: 1}
	if s.Sender.IsValid() {
		d.Sender = s.Sender.String()
	}
	if s.Address.IsValid() {
		d.Address = s.Address.String()
	}
	p.fail(d)
}

// fail counts failures; beyond the bound they count without a detail.
func (p *policyTally) fail(d detail) {
	p.Failure += d.Count
	for i := range p.Details {
		known := &p.Details[i]
		// One reason stands for all of its kind.
		if known.Result == d.Result && known.Host == d.Host && known.Address == d.Address && known.Sender == d.Sender {
			known.Count += d.Count
			return
		}
	}
	if len(p.Details) < maxDetails {
		p.Details = append(p.Details, d)
	}
}

// policy returns the tally of a policy, nil where there is no room for another.
func (t *tally) policy(want policyTally) *policyTally {
	for i := range t.Policies {
		p := &t.Policies[i]
		if p.Kind == want.Kind && slices.Equal(p.Policy, want.Policy) {
			return p
		}
	}
	if len(t.Policies) == maxPolicies {
		return nil
	}
	t.Policies = append(t.Policies, policyTally{Kind: want.Kind, Policy: want.Policy, Hosts: want.Hosts})
	return &t.Policies[len(t.Policies)-1]
}

// merge adds what another tally counted.
func (t *tally) merge(o tally) {
	t.Lost += o.Lost
	for _, q := range o.Policies {
		p := t.policy(q)
		if p == nil {
			t.Lost += q.Success + q.Failure
			continue
		}
		p.Success += q.Success
		before := p.Failure
		for _, d := range q.Details {
			p.fail(d)
		}
		p.Failure = before + q.Failure
	}
}

// weight is how many sessions are counted.
func (t tally) weight() int {
	n := t.Lost
	for _, p := range t.Policies {
		n += p.Success + p.Failure
	}
	return n
}
