package mailbox

import (
	"cmp"
	"slices"
)

// place is where a file of a folder lies.
type place struct {
	file  string
	inCur bool
}

// seen is how the files of a folder differ from what the index says.
type seen struct {
	renamed []renamed
	missing []*entry
	found   []place // files of no message that is known
	twice   []twice // files that seem to be another one of a known message
}

type renamed struct {
	entry *entry
	is    place
}

type twice struct {
	entry *entry
	other place
}

// listing is what lies in a folder. Of cur nothing is said when it was not read.
type listing struct {
	new, cur []string
	curRead  bool
}

// compare says what others did to the files. It changes nothing but the marks of what it met.
func (b *book) compare(l listing) (s seen) {
	b.pass++
	known := func(file string) *entry {
		if len(b.keys) == 0 {
			return nil // of a folder that is seen for the first time, no name need be taken apart
		}
		return b.keys[identity(file)]
	}
	var open []place
	if len(b.keys) == 0 {
		open = make([]place, 0, len(l.new)+len(l.cur))
	}
	exact := func(files []string, inCur bool) {
		for _, file := range files {
			e := known(file)
			if e == nil || e.file != file || e.inCur != inCur {
				if other := b.keys[file]; other != nil {
					e = other
				}
			}
			if e != nil && e.file == file && e.inCur == inCur {
				e.pass = b.pass
				continue
			}
			if file != "" && file[0] != '.' {
				open = append(open, place{file, inCur})
			}
		}
	}
	exact(l.new, false)
	exact(l.cur, true)
	for _, p := range open {
		e := known(p.file)
		switch {
		case e == nil:
			if s.found == nil {
				s.found = make([]place, 0, len(open))
			}
			s.found = append(s.found, p)
		case e.pass == b.pass || e.inCur && !l.curRead:
			s.twice = append(s.twice, twice{e, p})
		default:
			e.pass = b.pass
			s.renamed = append(s.renamed, renamed{e, p})
		}
	}
	for _, e := range b.entries {
		if e.pass != b.pass && (l.curRead || !e.inCur) {
			s.missing = append(s.missing, e)
		}
	}
	inOrder(s.found)
	return s
}

// inOrder puts new files in the order in which they get their UIDs: by the time in their names,
// wherever they lie.
func inOrder(found []place) {
	type aged struct {
		place
		age
	}
	all := make([]aged, len(found))
	for i, p := range found {
		all[i] = aged{p, ageOf(p.file)}
	}
	slices.SortFunc(all, func(a, b aged) int {
		if c := cmp.Compare(a.seconds, b.seconds); c != 0 {
			return c
		}
		if c := cmp.Compare(a.micros, b.micros); c != 0 {
			return c
		}
		return cmp.Compare(a.file, b.file)
	})
	for i := range all {
		found[i] = all[i].place
	}
}

// nothing reports whether the index is right.
func (s *seen) nothing() bool {
	return len(s.renamed)+len(s.missing)+len(s.found)+len(s.twice) == 0
}
