package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown reports the keys of a table that are none of the known.
func (s *source) unknown(n *node, known []string) {
	for _, name := range n.names {
		if slices.Contains(known, name) {
			continue
		}
		at := n.children[name].key
		s.fault(at, join(n.path, name), "unknown key", s.suggest(n.path, name, known))
	}
}

// misspelt says whether an unknown key of the table was meant to be this one: one slip is one
// fault, and the key is not missing as well.
func (s *source) misspelt(n *node, known []string, name string) bool {
	return slices.ContainsFunc(n.names, func(written string) bool {
		return !slices.Contains(known, written) && s.suggest(n.path, written, known) == meant(name)
	})
}

func meant(name string) string { return `did you mean "` + name + `"?` }

// suggest finds what an unknown key may have been meant to be.
func (s *source) suggest(table, name string, known []string) string {
	if hint := elsewhere(name); hint != "" {
		return hint
	}
	if best := nearest(name, known, maxSlips); best != "" {
		return meant(best)
	}
	if hint := ofAnotherTable(name); hint != "" {
		return hint
	}
	return choice(table, name, known)
}

const (
	maxSlips    = 2  // so many slips of the keyboard still tell which key was meant
	maxSlipping = 64 // octets; what is longer is no slip of the keyboard
	longName    = 8  // octets; two slips in a shorter name may make a key that means something else
	maxListed   = 8  // so many keys are told in a hint
	maxTables   = 3  // so many tables are told that have a key
	minStem     = 4  // octets; words that begin with the same are about the same
)

// nearest returns the name that is at most so many slips away, the first of the nearest; ""
// if there is none.
func nearest(name string, among []string, slips int) (best string) {
	if len(name) > maxSlipping {
		return ""
	}
	for _, k := range among {
		if d := editDistance(strings.ToLower(name), k); d <= slips {
			best, slips = k, d-1
		}
	}
	return best
}

// ofAnotherTable answers a key that stands in the wrong table; "" if no table has it.
func ofAnotherTable(name string) string {
	var names []string
	for _, k := range Keys() {
		names = append(names, lastName(k.Path))
	}
	slips := 1
	if len(name) >= longName {
		slips = maxSlips
	}
	if len(name) < minStem {
		slips = 0
	}
	best := nearest(name, names, slips)
	if best == "" {
		return ""
	}
	var tables []string
	for _, k := range Keys() {
		table := strings.TrimSuffix(k.Path, best)
		switch {
		case lastName(k.Path) != best || len(tables) == maxTables:
		case table == "":
			return meant(best) + " It stands above every [table]"
		default:
			tables = append(tables, "["+strings.ReplaceAll(strings.TrimSuffix(table, "."), "NAME", `"…"`)+"]")
		}
	}
	return meant(best) + " It belongs to " + strings.Join(tables, " or ")
}

// choice tells the keys of a table: all where they are few, or those that are about the same
// as an unknown one.
func choice(table, name string, known []string) string {
	of := ""
	if table != "" {
		of = " of [" + table + "]"
	}
	if len(known) <= maxListed {
		return "the keys" + of + " are " + strings.Join(known, ", ")
	}
	var alike []string
	for _, k := range known {
		if len(alike) < maxListed && sharesWord(strings.ToLower(name), k) {
			alike = append(alike, k)
		}
	}
	all := fmt.Sprintf("; all %d are in docs/config.md", len(known))
	if len(alike) == 0 {
		return "no key" + of + " is like it" + all
	}
	return "keys" + of + " like it: " + strings.Join(alike, ", ") + all
}

// sharesWord reports whether two names have a word in common, or the beginning of one.
func sharesWord(a, b string) bool {
	for _, v := range strings.Split(a, "_") {
		for _, w := range strings.Split(b, "_") {
			if len(v) >= minStem && len(w) >= minStem && (strings.HasPrefix(v, w) || strings.HasPrefix(w, v)) {
				return true
			}
		}
	}
	return false
}

// elsewhere answers the words that other mail servers use for what is done
// differently here, most of all those that open a relay.
func elsewhere(name string) string {
	switch strings.ToLower(name) {
	case "mynetworks", "relay_from_hosts", "relay_networks", "trusted_networks", "permit_mynetworks", "local_networks":
		return "no network is trusted as such here: whoever sends to other domains signs in with an account, and devices that cannot have [network.NAME]"
	case "relay_domains", "relay_to_domains":
		return `mail from strangers is taken for our own domains only: [domain."…"]`
	case "relayhost", "smarthost":
		return `write [route."*"] and to = "smtp://host"`
	case "transport_maps", "transport":
		return `write [route."example.net"] and to = "smtp://host"`
	case "myhostname":
		return `did you mean "hostname"?`
	case "mydestination", "virtual_mailbox_domains", "local_domains":
		return `write [domain."example.org"] and deliver = "maildir"`
	case "message_size_limit":
		return `did you mean "limits.message_size"?`
	}
	return ""
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours between two short texts.
func editDistance(a, b string) int {
	older, old := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old = old, row
	}
	return old[len(b)]
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
