// Package damage implements the operator actions on what the disk has damaged: list it, and
// acknowledge it.
package damage

import (
	"context"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
)

// Options are what Actions act on. Write and Now are needed with a List.
type Options struct {
	List  DamageList // of what the disk has damaged; nil: there is none
	Now   func() time.Time
	Write call.Record
}

// Actions are what an operator can do with damage.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// DamageEntry is one thing that the disk has damaged.
type DamageEntry struct {
	Number       int       `json:"number"`
	At           time.Time `json:"at"`
	Kind         string    `json:"kind"`
	File         string    `json:"file"`
	What         string    `json:"what"`
	Lost         string    `json:"lost,omitempty"`  // what it cost; "": nothing
	Aside        string    `json:"aside,omitempty"` // the file as it was found
	Acknowledged time.Time `json:"acknowledged,omitzero"`
}

// DamageList is what an operator needs of the list of damage.
type DamageList interface {
	// Count is how much is not acknowledged.
	Count() int
	All() []DamageEntry
	// Acknowledge marks entries as known, all without a number, and returns those that were not yet.
	Acknowledge(numbers ...int) ([]DamageEntry, error)
}

// Damaged is what the disk has damaged and nobody has acknowledged yet.
type Damaged struct {
	Count int `json:"count"`
	// First are the oldest of them.
	First []DamageEntry `json:"first"`
}

// mostDamaged is how much damage Status names.
const mostDamaged = 5

// DamageRef chooses damage by its numbers, or all of it.
type DamageRef struct {
	Numbers []int `json:"numbers,omitempty"`
	All     bool  `json:"all,omitempty"`
}

// DamageAcknowledged says what was acknowledged.
type DamageAcknowledged struct {
	Acknowledged []DamageEntry `json:"acknowledged"`
}

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) {
	call.Listing(routes, "damage.ls", op.DamageList)
	call.Answer(routes, "damage.acknowledge", op.DamageAcknowledge)
}

// Damaged is what the status tells; nil: nothing is to be acknowledged.
func (op *Actions) Damaged() *Damaged {
	if op.o.List == nil {
		return nil
	}
	n := op.o.List.Count()
	if n == 0 {
		return nil
	}
	d := &Damaged{Count: n}
	for _, f := range op.o.List.All() {
		if f.Acknowledged.IsZero() && len(d.First) < mostDamaged {
			d.First = append(d.First, f)
		}
	}
	return d
}

// DamageList lists what the disk has damaged: what is acknowledged too, with All.
func (op *Actions) DamageList(_ context.Context, _ call.Caller, r DamageRef, fn func(DamageEntry) error) error {
	if op.o.List == nil {
		return nil
	}
	for _, f := range op.o.List.All() {
		if !r.All && !f.Acknowledged.IsZero() {
			continue
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// DamageAcknowledge marks damage as known, so that nothing tells of it any more.
func (op *Actions) DamageAcknowledge(ctx context.Context, by call.Caller, r DamageRef) (out DamageAcknowledged, err error) {
	switch {
	case op.o.List == nil:
		return out, nil
	case !r.All && len(r.Numbers) == 0:
		return out, call.Refused("name numbers, or all")
	case r.All:
		r.Numbers = nil
	}
	if out.Acknowledged, err = op.o.List.Acknowledge(r.Numbers...); err != nil {
		return out, call.Invalid(err)
	}
	if len(out.Acknowledged) == 0 {
		return out, nil
	}
	var numbers []string
	for _, n := range out.Acknowledged {
		numbers = append(numbers, strconv.Itoa(n.Number))
	}
	told := fact.Recovered{At: op.o.Now(), Rule: fact.RuleOperator, Found: call.DoneBy(by, fact.Pair{Name: "damage acknowledged", Value: strings.Join(numbers, ", ")})}
	return out, op.o.Write(ctx, told.Fact())
}

// DamageList calls Actions.DamageList.
func (c Client) DamageList(ctx context.Context, r DamageRef, fn func(DamageEntry) error) error {
	return call.Stream(ctx, c.Client, "damage.ls", r, fn)
}

// DamageAcknowledge calls Actions.DamageAcknowledge.
func (c Client) DamageAcknowledge(ctx context.Context, r DamageRef) (DamageAcknowledged, error) {
	return call.Do[DamageAcknowledged](ctx, c.Client, "damage.acknowledge", r)
}
