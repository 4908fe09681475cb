package survey

import (
	"context"
	"fmt"
	"time"

	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/dnsbl"
)

// examineLists asks each list that others keep for its test entries: one that lists nobody,
// or everybody, is worse than none. all bounds the questions.
func examineLists(ctx context.Context, r dnsbl.Resolver, lists []dnsbl.List, all time.Duration) (found []doctor.Finding) {
	ctx, cancel := context.WithTimeout(ctx, all)
	defer cancel()
	for _, l := range lists {
		listed, unlisted := l.Test(ctx, r)
		f := doctor.Finding{Check: "dnsbl", Subject: l.Zone.String(), State: doctor.Fine, What: "it answers, and lists its test entry alone"}
		switch {
		case listed.Fault != "":
			f.State, f.What = doctor.Wrong, "it lists nobody: "+listed.Fault
			f.Remedy = "many lists refuse questions from public resolvers: use a name server of your own (mx.dns), or ask the list's operator"
		case len(unlisted.Codes) > 0:
			f.State, f.What = doctor.Wrong, fmt.Sprintf("it lists everybody: %s stands in it, which no list may hold (RFC 5782)", unlisted.About)
			f.Remedy = "remove [dnsbl.\"" + l.Zone.String() + "\"]: lists that are given up often answer so"
		case !listed.Listed():
			f.State, f.What = doctor.Wrong, fmt.Sprintf("it does not list its test entry %s, so that it may list nobody", listed.About)
			f.Remedy = "look whether the list still exists, and which answers it gives (answers)"
		}
		found = append(found, f)
	}
	return found
}
