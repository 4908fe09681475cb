package config

import (
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
	best, distance := "", 3
	for _, k := range known {
		if len(name) > 64 {
			break // too long to be a slip of the keyboard
		}
		if d := editDistance(strings.ToLower(name), k); d < distance {
			best, distance = k, d
		}
	}
	if best != "" {
		return meant(best)
	}
	for _, k := range Keys() {
		if lastName(k.Path) == name && !strings.Contains(k.Path, "NAME") {
			return `did you mean "` + k.Path + `"? A key belongs to the [table] above it`
		}
	}
	if table == "" {
		return "the keys are " + strings.Join(known, ", ")
	}
	return "the keys of [" + table + "] are " + strings.Join(known, ", ")
}

// elsewhere answers the words that other mail servers use for what is done
// differently here, most of all those that open a relay.
func elsewhere(name string) string {
	switch strings.ToLower(name) {
	case "mynetworks", "relay_from_hosts", "relay_networks", "trusted_networks", "permit_mynetworks", "local_networks":
		return "no network is trusted here: whoever sends to other domains signs in with an account"
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
