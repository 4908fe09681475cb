package directory

import "sallyport/internal/mail"

// Further returns those of the aliases that a directory elsewhere gives to accounts which take
// nothing from anybody: what has its address already, as an account, an alias or a contact's
// forward, stays what it is; postmaster and abuse are never given so, and neither is an
// address that two accounts claim. The others are refused.
func Further(c Config, accounts []mail.Address, aliases []Alias) (kept, refused []Alias) {
	taken := map[string]bool{}
	for _, a := range accounts {
		taken[a.Key()] = true
	}
	for _, a := range c.Aliases {
		if a.CatchAll.IsZero() {
			taken[a.Address.Key()] = true
		}
	}
	ours := map[mail.Domain]bool{}
	for _, d := range c.Domains {
		ours[d.Name] = true
		for _, a := range d.List {
			taken[a.Key()] = true
		}
	}
	claims := map[string]int{}
	for _, a := range aliases {
		claims[a.Address.Key()]++
	}
	for _, a := range aliases {
		key := a.Address.Key()
		if taken[key] || claims[key] > 1 || IsRole(a.Address) || !ours[a.Address.Domain()] {
			refused = append(refused, a)
			continue
		}
		kept = append(kept, a)
	}
	return kept, refused
}
