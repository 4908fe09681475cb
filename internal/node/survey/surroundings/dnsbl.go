package surroundings

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/dnsbl"
)

// examineLists asks each list that others keep for its test entries: one that lists nobody,
// or everybody, is worse than none. All are asked side by side, each within a time of its own,
// so that a slow one lets no other look dead.
func examineLists(ctx context.Context, r dnsbl.Resolver, lists []dnsbl.List, each time.Duration) []doctor.Finding {
	found := make([]doctor.Finding, len(lists))
	var all sync.WaitGroup
	for i, l := range lists {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, each)
			defer cancel()
			found[i] = examineList(ctx, r, l)
		})
	}
	all.Wait()
	return found
}

func examineList(ctx context.Context, r dnsbl.Resolver, l dnsbl.List) doctor.Finding {
	listed, unlisted := l.Test(ctx, r)
	f := doctor.Finding{Check: "dnsbl", Subject: l.Zone.String(), State: doctor.Fine, What: "it answers, and lists its test entry alone"}
	if l.Of == dnsbl.Client && strings.Contains(listed.About, ":") {
		f.What = "it answers about IPv6 addresses alone, and lists its test entry alone"
	}
	switch {
	case listed.Fault != "":
		f.State, f.What = doctor.Wrong, "it lists nobody: "+listed.Fault
		f.Remedy = "many lists refuse questions from public resolvers: use a name server of your own (mx.dns), or ask the list's operator"
	case len(unlisted.Codes) > 0:
		f.State, f.What = doctor.Wrong, fmt.Sprintf("it lists everybody: %s stands in it, which no list may hold (RFC 5782)", unlisted.About)
		f.Remedy = "remove [dnsbl.\"" + l.Zone.String() + "\"]: lists that are given up often answer so"
	case !listed.Listed():
		f.State, f.What = doctor.Wrong, fmt.Sprintf("it does not list its test entry, %s, so that it may list nobody", listed.About)
		f.Remedy = "look whether the list still exists, and which answers it gives (answers)"
	case unlisted.Fault != "":
		f.State, f.What = doctor.Unknown, "it lists its test entry, and whether it lists everybody is not known: "+unlisted.Fault
		f.Remedy = "ask again later"
	}
	return f
}
