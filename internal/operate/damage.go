package operate

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fact"
)

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

// DamageList is what an Operator needs of the list of damage.
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

func damageRoutes(mux *http.ServeMux, op *Operator) {
	listing(mux, "damage.ls", op.DamageList)
	answer(mux, "damage.acknowledge", op.DamageAcknowledge)
}

// damaged is what Status tells; nil: nothing is to be acknowledged.
func (op *Operator) damaged() *Damaged {
	if op.o.Damage == nil {
		return nil
	}
	n := op.o.Damage.Count()
	if n == 0 {
		return nil
	}
	d := &Damaged{Count: n}
	for _, f := range op.o.Damage.All() {
		if f.Acknowledged.IsZero() && len(d.First) < mostDamaged {
			d.First = append(d.First, f)
		}
	}
	return d
}

// DamageList lists what the disk has damaged: what is acknowledged too, with All.
func (op *Operator) DamageList(_ context.Context, _ Caller, r DamageRef, fn func(DamageEntry) error) error {
	if op.o.Damage == nil {
		return nil
	}
	for _, f := range op.o.Damage.All() {
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
func (op *Operator) DamageAcknowledge(ctx context.Context, by Caller, r DamageRef) (out DamageAcknowledged, err error) {
	switch {
	case op.o.Damage == nil:
		return out, nil
	case !r.All && len(r.Numbers) == 0:
		return out, &Error{CodeInvalid, "name numbers, or all"}
	case r.All:
		r.Numbers = nil
	}
	if out.Acknowledged, err = op.o.Damage.Acknowledge(r.Numbers...); err != nil {
		return out, invalid(err)
	}
	if len(out.Acknowledged) == 0 {
		return out, nil
	}
	var numbers []string
	for _, n := range out.Acknowledged {
		numbers = append(numbers, strconv.Itoa(n.Number))
	}
	told := fact.Recovered{At: op.o.Now(), Rule: RuleOperator, Found: doneBy(by, fact.Pair{Name: "damage acknowledged", Value: strings.Join(numbers, ", ")})}
	return out, op.o.Write(ctx, told.Fact())
}

// DamageList calls Operator.DamageList.
func (c *Client) DamageList(ctx context.Context, r DamageRef, fn func(DamageEntry) error) error {
	return stream(ctx, c, "damage.ls", r, fn)
}

// DamageAcknowledge calls Operator.DamageAcknowledge.
func (c *Client) DamageAcknowledge(ctx context.Context, r DamageRef) (DamageAcknowledged, error) {
	return call[DamageAcknowledged](ctx, c, "damage.acknowledge", r)
}
