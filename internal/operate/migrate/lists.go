package migrate

import "strings"

// maxIncluded bounds the lists in files that one alias may be made of, those within
// others counted too.
const maxIncluded = 100

// localTargets are the targets of an entry of aliases(5), with the members of lists that
// lie in files.
func (im *importer) localTargets(e Entry, name string) (all []string) {
	for _, t := range im.included(targets(e.Value), map[string]bool{}) {
		if own, past := strings.CutPrefix(t, `\`); past && strings.EqualFold(own, name) {
			t = own
		}
		if a, why := im.qualify(t); why == "" {
			t = a
		}
		all = append(all, t)
	}
	return all
}

// included puts the members of a list in a file in the place of its :include:, each file
// once. A file that cannot be read stays what it was, so that it is told of as lost: a list
// without one of its members is another list.
func (im *importer) included(list []string, seen map[string]bool) (all []string) {
	for _, t := range list {
		path, file := strings.CutPrefix(strings.Trim(t, `"`), ":include:")
		switch {
		case !file:
			all = append(all, t)
			continue
		case seen[path]:
			continue
		case len(seen) == maxIncluded:
			all = append(all, t)
			continue
		}
		seen[path] = true
		text, err := im.read(path)
		if err != nil {
			all = append(all, t)
			continue
		}
		all = append(all, im.included(members(string(text)), seen)...)
	}
	return all
}

// members reads a list in a file: each line is a right side of aliases(5), and none goes on
// in the next.
func members(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			all = append(all, targets(line)...)
		}
	}
	return all
}
