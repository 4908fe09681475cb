package config

import (
	"fmt"
	"strings"
)

// Reference returns the reference of all keys in Markdown, as it stands in
// docs/config.md between its marks.
func Reference() string {
	var b strings.Builder
	section := "-"
	for _, k := range Keys() {
		if s := sectionOf(k.Path); s != section {
			section = s
			fmt.Fprintf(&b, "\n### %s\n\n| key | type | default | bounds | meaning |\n|---|---|---|---|---|\n", sectionTitle(s))
		}
		name := lastName(k.Path)
		if name == "NAME" {
			name = `"ADDRESS"`
			if sectionOf(k.Path) == "sendmail.users" {
				name = `"USER"`
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, strings.TrimPrefix(strings.TrimPrefix(k.Type.String(), "a "), "an "),
			referenceDefault(k), referenceBounds(k), referenceDoc(k))
	}
	return b.String()
}

// sectionOf returns the table that a key stands in.
func sectionOf(path string) string {
	return strings.TrimSuffix(path[:len(path)-len(lastName(path))], ".")
}

func sectionTitle(section string) string {
	switch section {
	case "":
		return "At the top of the file"
	case "alias.NAME":
		return "`[alias.\"ADDRESS\"]`, the same as a table, for a group with a rule of its own"
	case "milter.NAME":
		return "`[milter.NAME]`, one for each milter"
	case "ldap.NAME":
		return "`[ldap.NAME]`, one for each directory of an organisation (LDAP)"
	case "domain.NAME":
		return "`[domain.\"NAME\"]`, one for each domain of ours"
	case "route.NAME":
		return "`[route.\"NAME\"]`, one for each foreign domain with a next hop of its own, or `\"*\"`"
	}
	return "`[" + section + "]`"
}

func referenceDoc(k Key) string {
	if k.Restart == "" {
		return k.Doc
	}
	return k.Doc + " **Needs a restart**: " + k.Restart + "."
}

func referenceDefault(k Key) string {
	switch {
	case k.Required:
		return "must be given, as in `" + k.Example + "`"
	case k.Default == "":
		return "nothing"
	}
	return "`" + k.Default + "`"
}

func referenceBounds(k Key) string {
	switch k.Type {
	case TypeCount, TypeSize, TypeDuration, TypeFactor:
		return k.Min + " to " + k.Max
	case TypeText:
		return "at most " + k.Max + " characters"
	case TypePath, TypeSocket:
		return k.Min + " to " + k.Max + " octets"
	case TypeAddresses:
		if k.Max != "" {
			return "at least one; all of them lead to at most " + k.Max + " mailboxes"
		}
	}
	return ""
}
