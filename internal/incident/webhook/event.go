package webhook

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"sallyport/internal/incident"
	"sallyport/internal/mail"
)

// change is what became of an incident. The zero change is none.
type change string

const (
	raised  change = "raised"
	cleared change = "cleared"
)

// event is one thing to tell.
type event struct {
	incident incident.Incident
	change   change
}

// at is when it happened.
func (e event) at() time.Time {
	if e.change == cleared {
		return e.incident.Closed.UTC()
	}
	return e.incident.At.UTC()
}

// id names the event, the same at each try. The receiver may get those of several servers, and
// of one whose data folder was made anew; a full stop would be read as the end of it.
func (e event) id(host mail.Domain) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %s %d", host.ASCII(), e.incident.Number, e.change, e.at().UnixNano()))
	return fmt.Sprintf("incident-%d-%s-%s", e.incident.Number, e.change, hex.EncodeToString(sum[:8]))
}

// payload is the body of a request.
type payload struct {
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"` // when it happened
	Data data      `json:"data"`
}

// data is an incident as it is told. Whom was written to stays here; how many is told.
type data struct {
	Host     string    `json:"host"`
	Number   uint64    `json:"number"`
	Account  string    `json:"account,omitempty"`
	Shared   string    `json:"paused,omitempty"` // what accounts have in common, in words
	State    string    `json:"state"`
	Rule     string    `json:"rule"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Odds     float64   `json:"odds,omitempty"`
	Since    time.Time `json:"since"`
	Accounts []string  `json:"accounts,omitempty"`
	Evidence []string  `json:"evidence,omitempty"`
	// Credential is what was used, Revoked what is worth nothing any more.
	Credential string            `json:"credential,omitempty"`
	Revoked    []string          `json:"revoked,omitempty"`
	Seen       []incident.Origin `json:"seen,omitempty"`
	Sender     string            `json:"sender,omitempty"` // of the message that gave cause
	MessageID  string            `json:"message_id,omitempty"`
	Recipients int               `json:"recipients,omitempty"`
	ClosedBy   string            `json:"closed_by,omitempty"`
	ClosedFor  string            `json:"closed_for,omitempty"`
	Purged     int               `json:"purged,omitempty"`
	// Cut: there was more than a request holds; sallyport incident show has it.
	Cut bool `json:"cut,omitempty"`
}

// body writes an event within a bound of octets, at least 16 KiB. Lists lose their ends, which are the weaker evidence.
func (e event) body(host mail.Domain, most int) ([]byte, error) {
	i := e.incident
	d := data{
		Host: host.ASCII(), Number: i.Number, State: i.State.String(), Rule: i.Rule, By: i.By, Reason: i.Reason, Odds: i.Odds, Since: i.Since.UTC(), Evidence: i.More(),
		Credential: i.Credential, Revoked: i.Revoked, Seen: i.Seen, Sender: i.Cause.Sender, MessageID: i.Cause.MessageID, Recipients: len(i.Cause.Recipients),
	}
	if !i.Account.IsZero() {
		d.Account = i.Account.String()
	}
	if !i.Shared.IsZero() {
		d.Shared = i.Shared.String()
	}
	for _, a := range i.Accounts {
		d.Accounts = append(d.Accounts, a.String())
	}
	if e.change == raised {
		d.State = incident.StateOpen.String() // as it was then, whenever it is told
	} else {
		d.ClosedBy, d.ClosedFor, d.Purged = i.ClosedBy, i.ClosedFor, i.Purged
	}
	for {
		b, err := json.Marshal(payload{Type: "incident." + string(e.change), Time: e.at(), Data: d})
		if err != nil || len(b) <= most {
			return b, err
		}
		if len(d.Accounts)+len(d.Evidence)+len(d.Revoked)+len(d.Seen) == 0 {
			return nil, fmt.Errorf("webhook: incident %d does not go into %d octets", i.Number, most)
		}
		d.Cut, d.Accounts, d.Evidence, d.Revoked, d.Seen = true, half(d.Accounts), half(d.Evidence), half(d.Revoked), half(d.Seen)
	}
}

func half[T any](all []T) []T { return all[:len(all)/2] }

// order is that in which events are told.
func order(a, b event) int {
	return cmp.Or(cmp.Compare(a.incident.Number, b.incident.Number), -cmp.Compare(a.change, b.change)) // raised, then cleared
}
