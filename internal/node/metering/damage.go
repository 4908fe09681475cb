package metering

import (
	"sallyport/internal/damage"
	"sallyport/internal/operate"
	"sallyport/internal/store"
)

// Damaged shows the list of damage to the operator.
func Damaged(list *damage.List) operate.DamageList { return damaged{list} }

type damaged struct{ list *damage.List }

// Count implements operate.DamageList.
func (d damaged) Count() int {
	_, n := d.list.Open()
	return n
}

// All implements operate.DamageList.
func (d damaged) All() []operate.DamageEntry {
	all, _ := d.list.All()
	return entries(all)
}

// Acknowledge implements operate.DamageList.
func (d damaged) Acknowledge(numbers ...int) ([]operate.DamageEntry, error) {
	done, err := d.list.Acknowledge(numbers...)
	return entries(done), err
}

func entries(all []damage.Noted) (out []operate.DamageEntry) {
	for _, n := range all {
		out = append(out, operate.DamageEntry{
			Number: n.Number, At: n.At, Kind: string(n.Kind), File: n.File, What: n.What, Lost: n.Lost,
			Aside: n.Aside, Acknowledged: n.Acknowledged,
		})
	}
	return out
}

// Ailing tells the operator why the database takes nothing, as it says itself; nil: it never tells.
func Ailing(trouble func() (store.Trouble, bool)) func() *operate.Database {
	if trouble == nil {
		return nil
	}
	return func() *operate.Database {
		t, ails := trouble()
		if !ails {
			return nil
		}
		return &operate.Database{Since: t.Since, Cause: t.Cause, Full: t.Full, Tries: t.Tries, Last: t.Last, Next: t.Next}
	}
}
