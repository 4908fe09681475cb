package directory

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Further returns those of the aliases that a directory elsewhere gives to accounts which take
// nothing from anybody: what has its address already, as an account, an alias or a contact's
// forward, stays what it is; postmaster and abuse are never given so, and neither is an
// address that two accounts claim, or that is somebody else's with a detail. The others are refused.
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
		if taken[key] || claims[key] > 1 || IsRole(a.Address) || !ours[a.Address.Domain()] || takesDetail(c, taken, a) {
			refused = append(refused, a)
			continue
		}
		kept = append(kept, a)
	}
	return kept, refused
}

// takesDetail reports whether an alias has the name of somebody else with a detail: "alice+bank" is alice's.
func takesDetail(c Config, taken map[string]bool, a Alias) bool {
	base, ok := DetailOf(c, a.Address)
	own := func(t mail.Address) bool { return t.Key() == base.Key() }
	return ok && taken[base.Key()] && !slices.ContainsFunc(a.Targets, own)
}

// DetailOf returns whose detail an address is that a directory elsewhere gives, if somebody has that name; false:
// nobody's, as with all separators but "+", which stand in names as well.
func DetailOf(c Config, a mail.Address) (base mail.Address, ok bool) {
	local, _, parted := strings.Cut(a.Local(), "+")
	if c.Detail != '+' || !parted || local == "" {
		return mail.Address{}, false
	}
	base, err := a.WithLocal(local)
	return base, err == nil
}
