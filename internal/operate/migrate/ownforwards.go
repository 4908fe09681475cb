package migrate

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// usualForward is forward_path where main.cf says nothing.
const usualForward = "$home/.forward${recipient_delimiter}${extension}, $home/.forward"

// ownForwards takes what people wrote into ~/.forward for aliases of theirs, as local(8) does with
// who has no alias. The names of its files with a detail are not looked for.
func (im *importer) ownForwards() {
	const name = "forward_path"
	s, given := im.p.Given(name)
	switch {
	case given && strings.TrimSpace(s.Value) == "":
		im.note(name, Unneeded, TopicRecipients, "nobody had a file of that kind")
		return
	case given && strings.Join(Words(s.Value), ", ") != usualForward && s.Value != "$home/.forward":
		im.note(name, Lost, TopicRecipients, "people's own forwards are read from $home/.forward alone; see what is in these files, and add each: 'sallyport forward add'")
		return
	case given:
		im.note(name, Carried, TopicRecipients, "what people wrote there is an alias or a forward of theirs, as told below")
	}
	if t, _, _ := strings.Cut(im.value("local_transport"), ":"); t != "local" || im.localDomain() == "" {
		return
	}
	var unseen []string
	for _, user := range slices.Sorted(maps.Keys(im.homes)) {
		path := strings.TrimSuffix(im.homes[user], "/") + "/.forward"
		text, err := im.read(path)
		switch all := members(string(text)); {
		case errors.Is(err, ErrAbsent):
		case err != nil:
			unseen = append(unseen, user)
		case len(all) > 0:
			im.ownForward(Entry{Key: user, Value: strings.Join(all, ", "), File: path, Line: 1}, all)
		}
	}
	if len(unseen) > 0 {
		im.extra = append(im.extra, Verdict{File: "/etc/passwd", What: ".forward", Kind: Lost, Topic: TopicRecipients,
			Text: "whether these send their mail on by ~/.forward cannot be seen here: " + brief(unseen) + "; run the import as root on the host itself, or with --root"})
	}
}

// ownForward takes one person's file. What cannot be carried over of it leaves the mail with them.
func (im *importer) ownForward(e Entry, all []string) {
	if _, alias := im.local.entry[e.Key]; alias {
		im.entry(e, Unneeded, TopicRecipients, "an alias has that name, and that one counts")
		return
	}
	for _, t := range all {
		if own, past := strings.CutPrefix(t, `\`); past && strings.EqualFold(own, e.Key) {
			continue
		}
		if _, why := im.qualify(t); why != "" {
			im.entry(e, Lost, TopicRecipients, "%s: %s; the mail stays in the mailbox", shown(t), why)
			return
		}
	}
	im.local.add(e.Key, e)
}
