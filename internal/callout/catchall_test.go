package callout

import (
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Catchall returns the domains of which the server takes any address, sorted.
func (v *Asker) Catchall(server string) []mail.Domain {
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
