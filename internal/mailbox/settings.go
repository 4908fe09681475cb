package mailbox

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/internal/damage"
	"sallyport/internal/kit/codec"
)

// settingsFile is in the index folder of a mailbox: what its folders are for, and which of them
// their owner wants to see.
const settingsFile = "folders"

// settings is what an account says of its folders.
type settings struct {
	// Begun: the folders that people expect were made.
	Begun bool `json:"begun,omitempty"`
	// Subscribed are names of folders, which need not be there. RFC 9051 §6.3.7.
	Subscribed []string `json:"subscribed,omitempty"`
	// Uses says what folders are for, by name.
	Uses map[string]Use `json:"uses,omitempty"`
}

// Use is what a folder is for. RFC 6154 §2.
type Use string

// The special uses that a folder can have.
const (
	UseNone    Use = ""
	UseArchive Use = "Archive"
	UseDrafts  Use = "Drafts"
	UseJunk    Use = "Junk"
	UseSent    Use = "Sent"
	UseTrash   Use = "Trash"
)

// Valid reports whether it is a use that a folder can have.
func (u Use) Valid() bool {
	return slices.Contains([]Use{UseArchive, UseDrafts, UseJunk, UseSent, UseTrash}, u)
}

func (r *Root) readSettings(dir string) (*settings, error) {
	text, err := readFile(r.fs, filepath.Join(dir, indexFolder, settingsFile))
	if err != nil {
		return nil, err
	}
	if text == nil {
		return r.inherited(dir)
	}
	s := &settings{}
	if err := codec.Decode(text, s); err != nil {
		r.log.Warn("what an account says of its folders is damaged and is forgotten", "file", dir, "err", err)
		if r.damage != nil {
			r.damage(damage.Found{
				Kind: damage.Index, File: filepath.Join(dir, indexFolder, settingsFile), What: "it does not read: " + err.Error(),
				Lost: "which folders the account has subscribed to, and what they are for",
			})
		}
		return &settings{Begun: true}, nil
	}
	return s, nil
}

// save writes what is said of the folders, durably. u.mu is held.
func (u *User) save() error {
	text, err := json.Marshal(u.settings)
	if err != nil {
		return err
	}
	j := newJournal(u.root.fs, filepath.Join(u.dir, indexFolder), u.root.bounds().Reserve)
	if err := j.make(); err != nil {
		return err
	}
	return replaceFile(u.root.fs, filepath.Join(j.dir, settingsFile), text)
}

func (s *settings) subscribed(name string) bool { return slices.Contains(s.Subscribed, name) }

// subscribe adds a name or takes it away, and reports whether that changed anything.
func (s *settings) subscribe(name string, on bool) bool {
	if on == s.subscribed(name) {
		return false
	}
	if on {
		s.Subscribed = append(s.Subscribed, name)
		slices.Sort(s.Subscribed)
	} else {
		s.Subscribed = slices.DeleteFunc(s.Subscribed, func(n string) bool { return n == name })
	}
	return true
}

// use returns what a folder is for: what was said, else what its name says, unless another
// folder was said to be for that.
func (s *settings) use(name string) Use {
	if u, ok := s.Uses[name]; ok {
		return u
	}
	u := Use(name)
	if !u.Valid() {
		return UseNone
	}
	for _, other := range s.Uses {
		if other == u {
			return UseNone
		}
	}
	return u
}

// Junk returns how the folder that is for junk is called on the disk, within the mailbox that lies at a place; ""
// where its owner has said of none that it is.
func (r *Root) Junk(dir string) string {
	r.mu.Lock()
	u := r.users[dir]
	r.mu.Unlock()
	if u != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.settings != nil {
			return r.folderFor(dir, u.settings.Uses, UseJunk)
		}
	}
	var s settings
	text, err := readFile(r.fs, filepath.Join(dir, indexFolder, settingsFile))
	if err != nil || text == nil || codec.Decode(text, &s) != nil {
		return "" // what is wrong with it is said to whoever opens the mailbox
	}
	return r.folderFor(dir, s.Uses, UseJunk)
}

// folderFor returns how the folder for a use is called on the disk, if it is there.
func (r *Root) folderFor(dir string, uses map[string]Use, use Use) string {
	for name, is := range uses {
		if is != use {
			continue
		}
		if sub, err := directory(name, r.bounds()); err == nil && sub != "" {
			if _, err := r.fs.Stat(filepath.Join(dir, sub, "cur")); err == nil {
				return sub
			}
		}
	}
	return ""
}

// rename takes what is said of a folder, and of those below it, to another name.
func (s *settings) rename(from, to string) {
	uses := map[string]Use{}
	for name, u := range s.Uses {
		uses[moved(name, from, to)] = u
	}
	if u := s.use(from); u != UseNone {
		uses[to] = u // it is for that whatever it is called
	}
	s.Uses = uses
	for i, name := range s.Subscribed {
		s.Subscribed[i] = moved(name, from, to)
	}
	slices.Sort(s.Subscribed)
	s.Subscribed = slices.Compact(s.Subscribed)
}

// moved returns what a folder is called after a rename of one that may be above it.
func moved(name, from, to string) string {
	if name == from {
		return to
	}
	if rest, ok := strings.CutPrefix(name, from+Separator); ok {
		return to + Separator + rest
	}
	return name
}

// inherited takes over what the account subscribed to in the program that opened the mailbox
// before: Dovecot or Courier.
func (r *Root) inherited(dir string) (*settings, error) {
	s := &settings{}
	for _, file := range []string{"subscriptions", "courierimapsubscribed"} {
		text, err := readFile(r.fs, filepath.Join(dir, file))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(text[:min(len(text), maxInherited)])) {
			line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", ".")
			name := folderName(strings.TrimPrefix(line, "INBOX."))
			if _, err := directory(name, r.bounds()); err == nil && !strings.HasPrefix(line, "V.") && len(s.Subscribed) < r.bounds().Subscriptions {
				s.subscribe(name, true)
			}
		}
	}
	return s, nil
}

// maxInherited bounds a file of settings that another server left, in octets.
const maxInherited = 1 << 20
