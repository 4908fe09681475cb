package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/kit/toml"
	"sallyport/internal/mail"
)

// blocklist is a list that others keep in the DNS, in which who connects is looked up.
type blocklist struct {
	zone, of string
	weight   int
	answers  []string // which of its answers are entries; none: all
}

// What [screen] and [dnsbl] say where a file does not say it, and the most that they may.
const (
	usualScore     = 10   // screen.refuse_at, and the weight of a list
	mostWeight     = 1000 // the most weight of a list, above and below nothing
	maxBlocklists  = 20   // how many lists are asked about one visitor
	maxListAnswers = 64   // by how many networks the answers of one list are told apart
)

// An IPv4 address has so many parts, each with so many numbers, and so many bits.
const (
	addressParts = 4
	partNumbers  = 256
	addressBits  = 32
)

// asksAbout are the conditions that ask a list, and what each looks up in it.
func asksAbout(condition string) (of string, good bool) {
	switch condition {
	case "reject_rbl_client", "reject_rbl":
		return "client", false
	case "reject_rhsbl_sender":
		return "sender", false
	case "reject_rhsbl_helo":
		return "hello", false
	case "permit_dnswl_client":
		return "client", true
	}
	return "", false
}

// askedList makes a [dnsbl] of a condition, if it is one that asks a list; else asks is false.
func (im *importer) askedList(condition string) (n noted, asks bool) {
	name, at, _ := strings.Cut(condition, " ")
	of, good := asksAbout(name)
	if of == "" {
		return n, false
	}
	weight := im.score
	if good {
		weight = -mostWeight
	}
	return im.list(at, of, weight), true
}

// list makes a [dnsbl] of zone=filter.
func (im *importer) list(at, of string, weight int) noted {
	lost := func(format string, a ...any) noted {
		return noted{Lost, TopicFilters, fmt.Sprintf(format, a...) + "; lists are [dnsbl.NAME] here (docs/screen.md)"}
	}
	zone, filter, filtered := strings.Cut(at, "=")
	d, err := mail.ParseDomain(strings.TrimSuffix(zone, "."))
	if err != nil {
		return lost("%s is no zone", shown(zone))
	}
	l := blocklist{zone: d.ASCII(), of: of, weight: weight}
	if filtered {
		var ok bool
		if l.answers, ok = answersOf(filter); !ok {
			return lost("the filter %s is of more networks than a list has", shown(filter))
		}
	}
	i := slices.IndexFunc(im.blocklists, func(o blocklist) bool { return o.zone == l.zone })
	if i >= 0 && im.blocklists[i].of != of && joins(im.blocklists[i], l) {
		im.blocklists[i].of, l.of, of = ofNames, ofNames, ofNames
	}
	switch {
	case i >= 0 && (im.blocklists[i].of != of || !sameSide(im.blocklists[i], l)):
		return lost("a list is asked about one thing, with one weight, and %s has another already", l.zone)
	case i >= 0:
		im.blocklists[i].answers = both(im.blocklists[i].answers, l.answers)
		im.blocklists[i].weight = max(im.blocklists[i].weight, weight)
	case len(im.blocklists) == maxBlocklists:
		return lost("%d lists are asked at most", maxBlocklists)
	default:
		im.blocklists = append(im.blocklists, l)
	}
	return noted{Carried, TopicFilters, fmt.Sprintf("[dnsbl.%q], of the %s: it is asked about strangers at RCPT, and never about who signs in (docs/screen.md)", l.zone, of)}
}

// ofNames is what a list is asked about that two lines ask about both names.
const ofNames = "names"

// joins reports whether two lines about one list ask the same of different names.
func joins(a, b blocklist) bool {
	names := func(l blocklist) bool { return l.of == "sender" || l.of == "hello" || l.of == ofNames }
	return names(a) && names(b) && a.weight == b.weight && slices.Equal(a.answers, b.answers)
}

// sameSide reports whether two lines about one list can be one: both of its entries are bad, or
// both mean the same.
func sameSide(a, b blocklist) bool {
	return a.weight == b.weight || a.weight > 0 && b.weight > 0 && slices.Equal(a.answers, b.answers)
}

// both are the answers of one list that two lines name; none of one means all.
func both(a, b []string) []string {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	for _, s := range b {
		if !contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}

// answersOf writes a filter of Postfix as networks: four parts, each a number or numbers in
// brackets, as in 127.0.0.[2..11;13]. postconf(5), reject_rbl_client.
func answersOf(filter string) (networks []string, ok bool) {
	heads := []string{""}
	rest := filter
	for range addressParts - 1 {
		var part string
		if part, rest, ok = cutPart(rest); !ok {
			return nil, false
		}
		numbers, ok := numbersOf(part)
		if !ok {
			return nil, false
		}
		var longer []string
		for _, h := range heads {
			for _, n := range numbers {
				longer = append(longer, h+strconv.Itoa(n)+".")
			}
		}
		if heads = longer; len(heads) > maxListAnswers {
			return nil, false
		}
	}
	last, ok := numbersOf(rest)
	if !ok {
		return nil, false
	}
	for _, h := range heads {
		for _, n := range blocks(last) {
			networks = append(networks, h+n)
		}
	}
	return networks, len(networks) <= maxListAnswers
}

// cutPart parts what stands before the next dot that is in no brackets.
func cutPart(s string) (part, rest string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.Index(s, "].")
		if end < 0 {
			return "", "", false
		}
		return s[:end+1], s[end+len("]."):], true
	}
	return strings.Cut(s, ".")
}

// numbersOf reads one part of a filter: 4, or [2;4;6..11].
func numbersOf(part string) (all []int, ok bool) {
	has := [partNumbers]bool{}
	for piece := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(part, "["), "]"), ";") {
		first, last, ranged := strings.Cut(piece, "..")
		if !ranged {
			last = first
		}
		from, err := strconv.ParseUint(first, 10, 8)
		to, errTo := strconv.ParseUint(last, 10, 8)
		if err != nil || errTo != nil || from > to {
			return nil, false
		}
		for n := from; n <= to; n++ {
			has[n] = true
		}
	}
	for n, is := range has {
		if is {
			all = append(all, n)
		}
	}
	return all, true
}

// blocks writes sorted last octets as the fewest networks: 2, 3 and 4 as 2/31 and 4/32.
func blocks(all []int) (out []string) {
	for i := 0; i < len(all); {
		size, bits := 1, addressBits
		for all[i]%(2*size) == 0 && i+2*size <= len(all) && all[i+2*size-1] == all[i]+2*size-1 {
			size, bits = 2*size, bits-1
		}
		out = append(out, fmt.Sprintf("%d/%d", all[i], bits))
		i += size
	}
	return out
}

// greeter carries over the lists of postscreen(8), which adds up their weights.
func (im *importer) greeter() {
	const name = "postscreen_dnsbl_sites"
	im.score = usualScore
	sites := Words(im.value(name))
	if !im.given(name) || len(sites) == 0 {
		return
	}
	if im.master != "" && !slices.ContainsFunc(im.services, func(s Service) bool { return s.Command == "postscreen" }) {
		im.note(name, Unneeded, TopicFilters, "no service of master.cf is postscreen, so that nobody asked them")
		return
	}
	if action := strings.ToLower(im.value("postscreen_dnsbl_action")); action != "enforce" && action != "drop" {
		im.note(name, Unneeded, TopicFilters, "postscreen_dnsbl_action is not set to enforce or drop: nobody was refused for them")
		return
	}
	least, ok := number(im.value("postscreen_dnsbl_threshold"), "")
	if !ok || least < 1 || least > mostWeight {
		least = 1
	}
	im.score = int(least)
	im.note("postscreen_dnsbl_threshold", Carried, TopicFilters, "screen.refuse_at = %d", im.score)
	im.note(name, Carried, TopicFilters, "a [dnsbl] each, with its weight, as told below; they are asked at RCPT here (docs/screen.md)")
	for _, site := range sites {
		at, by, weighted := strings.Cut(site, "*")
		weight, err := 1, error(nil)
		if weighted {
			weight, err = strconv.Atoi(by)
		}
		if err != nil || weight == 0 || weight > mostWeight || weight < -mostWeight {
			im.beside(name, site, Lost, TopicFilters, "%s is no weight of a list", shown(by))
			continue
		}
		n := im.list(at, "client", weight)
		im.beside(name, site, n.kind, n.topic, "%s", n.text)
	}
}

// blocklistsText writes the lists.
func (im *importer) blocklistsText(b *strings.Builder) {
	if len(im.blocklists) == 0 {
		return
	}
	if im.score != usualScore {
		fmt.Fprintf(b, "\n[screen]\nrefuse_at = %d\n", im.score)
	}
	for _, l := range im.blocklists {
		fmt.Fprintf(b, "\n[dnsbl.%s]\n", toml.Quote(l.zone))
		if l.of != "client" {
			fmt.Fprintf(b, "of = %s\n", toml.Quote(l.of))
		}
		if l.weight != usualScore {
			fmt.Fprintf(b, "weight = %d\n", l.weight)
		}
		if len(l.answers) > 0 {
			fmt.Fprintf(b, "answers = %s\n", list(l.answers))
		}
	}
}
