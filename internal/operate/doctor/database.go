package doctor

import (
	"fmt"
	"strings"
	"time"

	"sallyport/internal/kit/words"
)

// checkDatabase tells of a database that takes nothing, and of what the server could not tell of itself.
func checkDatabase(f Facts) (all []Finding) {
	if d := f.Server.Database; d != nil {
		since := d.Since.UTC().Format(time.DateTime) + " UTC"
		what := fmt.Sprintf("it failed at %s, and is being opened anew: %s", since, d.Cause)
		remedy := "look what the disk says (dmesg, mount, df -h, df -i): the server goes on by itself when it is well again; docs/operations.md, The disk fails"
		if d.Tries > 0 {
			what += fmt.Sprintf("; %s in vain, the last for: %s", words.Count(d.Tries, "try"), d.Last)
		}
		if d.Full {
			what = fmt.Sprintf("it waits for space since %s: %s", since, d.Cause)
			remedy = "make room (df -h, df -i): the server goes on by itself then; docs/operations.md, The disk is full"
		}
		all = append(all, Finding{"database", f.Hostname, Wrong, what + "; mail is put off meanwhile (452)", remedy})
	}
	if m := f.Server.Missing; len(m) > 0 {
		all = append(all, Finding{
			"database", f.Hostname, Unknown, "the server could not tell: " + strings.Join(m, ", "),
			"ask again when it is well; see its log",
		})
	}
	return all
}
