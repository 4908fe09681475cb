package doctor

import "fmt"

// checkDamage tells what the disk has damaged, until somebody has acknowledged it.
func checkDamage(f Facts) (all []Finding) {
	for _, d := range f.Damage {
		what := d.What
		if d.Lost != "" {
			what += "; lost: " + d.Lost
		} else {
			what += "; nothing is lost"
		}
		remedy := fmt.Sprintf("look into the health of the disk (smartctl -a, dmesg) and of the memory, then: sallyport damage acknowledge %d",
			d.Number)
		if d.Aside != "" {
			remedy += "; the file as it was found is " + d.Aside
		}
		all = append(all, Finding{"damage", d.File, Wrong, what, remedy})
	}
	return all
}
