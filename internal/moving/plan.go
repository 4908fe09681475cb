package moving

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"sallyport/internal/mailbox"
)

// Choice says which folders are meant, and what becomes of their names.
type Choice struct {
	Folders []string // patterns of path.Match; none: all
	Exclude []string // the same
	Into    string   // everything comes below this folder; "": where it was
	Keep    bool     // names stay as they are, whatever folders are for
}

// Step is one folder of a plan.
type Step struct {
	From Folder
	To   string
	Use  mailbox.Use
	Left string // why it is left out; "" if it is not
}

// Plan says what becomes of each folder. It fails if a pattern does not read.
func Plan(folders []Folder, c Choice) ([]Step, error) {
	var steps []Step
	for _, f := range folders {
		s := Step{From: f, To: nameOf(f.Levels)}
		asked, err := matches(c.Folders, f, s.To)
		if err != nil {
			return nil, err
		}
		excluded, err := matches(c.Exclude, f, s.To)
		switch {
		case err != nil:
			return nil, err
		case excluded:
			s.Left = "excluded"
		case len(c.Folders) > 0 && !asked:
			s.Left = "not asked for"
		case len(c.Folders) == 0:
			s.Left = f.Left
		}
		steps = append(steps, s)
	}
	if !c.Keep && c.Into == "" {
		assignUses(steps)
	}
	if c.Into != "" {
		for i := range steps {
			steps[i].To, steps[i].Use = below(c.Into, steps[i].To), mailbox.UseNone
		}
	}
	return steps, nil
}

// below is where a folder comes that is put below another; what was in the INBOX comes into that
// itself.
func below(into, name string) string {
	if name == mailbox.Inbox {
		return into
	}
	return into + mailbox.Separator + name
}

func matches(patterns []string, f Folder, to string) (bool, error) {
	for _, p := range patterns {
		for _, name := range []string{f.Name, to} {
			ok, err := path.Match(p, name)
			if err != nil {
				return false, &mailbox.NameError{Name: p, Why: "the pattern does not read"}
			}
			if ok || strings.EqualFold(p, name) || strings.HasPrefix(name, p+mailbox.Separator) {
				return true, nil
			}
		}
	}
	return false, nil
}

// nameOf is how a folder is called here. What no name here can hold becomes an underscore.
func nameOf(levels []string) string {
	if len(levels) > 0 && strings.EqualFold(levels[0], mailbox.Inbox) {
		levels = slices.Clone(levels)
		levels[0] = mailbox.Inbox
	}
	clean := make([]string, 0, len(levels))
	for _, l := range levels {
		l = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || strings.ContainsRune("/*%\u2028\u2029", r) {
				return '_'
			}
			return r
		}, strings.ToValidUTF8(l, "_"))
		if l == "" {
			l = "_"
		}
		clean = append(clean, l)
	}
	return strings.Join(clean, mailbox.Separator)
}

// usual are names that folders of a use have in other programs, the likeliest first.
func usual(use mailbox.Use) []string {
	switch use {
	case mailbox.UseSent:
		return []string{
			"sent", "sent items", "sent messages", "sent mail", "sent-mail", "gesendet", "gesendete elemente",
			"gesendete objekte",
		}
	case mailbox.UseTrash:
		return []string{"trash", "deleted items", "deleted messages", "bin", "papierkorb", "gelöschte elemente", "gelöschte objekte"}
	case mailbox.UseDrafts:
		return []string{"drafts", "draft", "entwürfe"}
	case mailbox.UseJunk:
		return []string{"junk", "spam", "junk e-mail", "junk email", "junk mail", "bulk mail", "junk-e-mail"}
	case mailbox.UseArchive:
		return []string{"archive", "archives", "archiv"}
	}
	return nil
}

// assignUses gives the folder that is for something the name that it has here: one that the place
// says is for that, else the one with the likeliest name. What is below it goes with it.
func assignUses(steps []Step) {
	for _, use := range []mailbox.Use{mailbox.UseSent, mailbox.UseTrash, mailbox.UseDrafts, mailbox.UseJunk, mailbox.UseArchive} {
		best, rank := -1, len(usual(use))+1
		for i, s := range steps {
			if s.Left != "" {
				continue
			}
			at := slices.Index(usual(use), strings.ToLower(s.To))
			switch {
			case s.From.Use == use:
				at = -1
			case at < 0 || s.From.Use != mailbox.UseNone:
				continue
			}
			if at < rank {
				best, rank = i, at
			}
		}
		if best < 0 {
			continue
		}
		was, taken := steps[best].To, slices.ContainsFunc(steps, func(s Step) bool { return s.To == string(use) })
		steps[best].Use = use
		if taken && was != string(use) {
			continue // another is called so: this one is for it under its own name
		}
		for i, s := range steps {
			if rest, ok := strings.CutPrefix(s.To, was); ok && (rest == "" || strings.HasPrefix(rest, mailbox.Separator)) {
				steps[i].To = string(use) + rest
			}
		}
	}
}
