package flood

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sallyport/internal/filter/bounce"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
)

// Counts are the bounces of one digest.
type Counts struct {
	Box         mail.Address
	All, Fresh  int // that are held for the mailbox, and of them those that are told of now
	First, Last time.Time
	read        int
	remotes     map[string]int
	reasons     map[string]int
	domains     map[string]int
}

// Add counts what one bounce says, and who brought it.
func (c *Counts) Add(remote string, f bounce.Found) {
	if c.remotes == nil {
		c.remotes, c.reasons, c.domains = map[string]int{}, map[string]int{}, map[string]int{}
	}
	c.read++
	c.remotes[cmp.Or(remote, "unknown")]++
	if len(f.Failed) == 0 {
		c.reasons["it names none"]++
		c.domains["it names none"]++
	}
	for _, one := range f.Failed {
		c.reasons[reason(one.Status)]++
		c.domains[cmp.Or(one.Domain.ASCII(), "unknown")]++
	}
}

// reason is a status code with what the most frequent ones mean. RFC 3463 §3
func reason(status string) string {
	for code, means := range map[string]string{
		"5.1.1": "no such mailbox", "5.1.2": "no such domain", "5.1.10": "the domain takes no mail",
		"5.2.1": "the mailbox is closed", "5.2.2": "the mailbox is full", "4.2.2": "the mailbox is full",
		"5.7.1": "refused", "4.4.7": "it could not be delivered in time", "5.4.7": "it could not be delivered in time",
	} {
		if code == status {
			return code + " " + means
		}
	}
	return cmp.Or(status, "no status code")
}

// Subject is one line.
func (c *Counts) Subject() string {
	return fmt.Sprintf("%s to %s kept back", words.Count(c.Fresh, "bounce"), c.Box)
}

// Text is the digest; each table has so many rows at most.
func (c *Counts) Text(rows int) string {
	var b strings.Builder
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
	fmt.Fprintf(&b, "From %s to %s %s came to %s beyond the first ones, which are in the mailbox.\n",
		at(c.First), at(c.Last), words.Count(c.Fresh, "bounce"), c.Box)
	b.WriteString("They are about messages that this server does not know as sent from here, so somebody\nseems to send in this name from elsewhere. No account here need be stolen for that.\n\n")
	if c.read < c.Fresh {
		fmt.Fprintf(&b, "Of them %d were read for these tables.\n\n", c.read)
	}
	table := func(title string, counts map[string]int) {
		fmt.Fprintf(&b, "%s\n", title)
		sorted := slices.SortedFunc(maps.Keys(counts),
			func(x, y string) int { return cmp.Or(cmp.Compare(counts[y], counts[x]), cmp.Compare(x, y)) })
		for _, name := range sorted[:min(len(sorted), rows)] {
			fmt.Fprintf(&b, "%8d  %s\n", counts[name], name)
		}
		if rest := sorted[min(len(sorted), rows):]; len(rest) > 0 {
			n := 0
			for _, name := range rest {
				n += counts[name]
			}
			fmt.Fprintf(&b, "%8d  %s\n", n, words.Count(len(rest), "other"))
		}
		b.WriteString("\n")
	}
	table("Brought by", c.remotes)
	table("Reason, as they say", c.reasons)
	table("Domain of the recipient, as they say", c.domains)
	fmt.Fprintf(&b, "None is lost: %s held in the queue for %s. On the server:\n\n", words.Count(c.All, "bounce"), c.Box)
	for _, verb := range []string{"ls", "release", "rm"} {
		fmt.Fprintf(&b, "    sallyport queue %s --held --sender '<>' --recipient %s\n", verb, c.Box)
	}
	b.WriteString("\nshow them, deliver them, and remove them. A bounce of a message that was sent from here is never kept back.\n")
	return b.String()
}

// remoteOf returns the address that our own Received field gives its client: in parentheses behind
// the name, or in place of one. message.Received writes it.
func remoteOf(received string) string {
	words := strings.Fields(received)
	if len(words) < 3 || words[0] != "from" {
		return ""
	}
	literal := words[1]
	if strings.HasPrefix(words[2], "([") {
		literal = strings.Trim(words[2], "()")
	}
	ip, err := mail.ParseLiteral(literal)
	if err != nil {
		return ""
	}
	return ip.String()
}
