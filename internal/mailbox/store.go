package mailbox

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
)

// Stored is what became of a change of flags.
type Stored struct {
	// Messages are those named that are there, as they are now, by UID.
	Messages []Message
	// Modified are those that somebody had changed since the mod-sequence that the change was
	// made for; they are as they were. RFC 7162 §3.1.3.
	Modified []UID
	// Gone are those named that are not there any more.
	Gone []UID
}

// attempts is how often a name is read again that others changed meanwhile.
const attempts = 5

// Store changes the flags of messages. What others did to the same flags meanwhile is merged:
// the names on the disk are read before. Where unchangedSince is not nil, a message that was
// changed after it stays as it is.
// RFC 9051 §6.4.6. It is durable when it returns.
func (m *Mailbox) Store(ctx context.Context, uids []UID, op Op, flags Flags, unchangedSince *ModSeq) (s Stored, err error) {
	f := m.folder
	if m.readOnly {
		return s, ErrReadOnly
	}
	if err := f.mayBear(flags); err != nil {
		return s, err
	}
	f.mu.Lock()
	renamed, noted, err := f.store(ctx, uids, op, flags, unchangedSince, &s)
	dir := f.dir
	f.mu.Unlock()
	if err == nil && renamed {
		err = f.root.dirs.Do(filepath.Join(dir, "cur"))
	}
	if err == nil && noted {
		err = f.sync()
	}
	return s, told(err)
}

func (f *folder) store(ctx context.Context, uids []UID, op Op, flags Flags, since *ModSeq, s *Stored) (renamed, noted bool, err error) {
	was := f.book.modseq
	if _, err := f.look(false); err != nil {
		return false, false, err
	}
	if op != Remove { // what a message loses need not be known here
		if flags, err = f.spelt(flags); err != nil {
			return false, false, err
		}
	}
	if err := f.journal.ensure(f.book.validity, f.book.next, f.book.modseq+1); err != nil {
		return false, false, err
	}
	var out []byte
	modseq := f.book.modseq + 1
	err = f.mine(func() error {
		for _, uid := range uids {
			if err := ctx.Err(); err != nil {
				return err
			}
			e := f.book.entry(uid)
			if e == nil {
				s.Gone = append(s.Gone, uid)
				continue
			}
			if since != nil && e.modseq > *since {
				s.Modified = append(s.Modified, uid)
				continue
			}
			c, moved, err := f.change(uid, op, flags)
			if errors.Is(err, ErrGone) {
				s.Gone = append(s.Gone, uid)
				continue
			}
			if err != nil {
				return err
			}
			renamed = renamed || moved
			if now := f.book.entry(uid); c.flags != now.flags || c.file != now.file {
				c.modseq = max(modseq, f.book.modseq)
				out = c.append(out)
				f.book.put(c)
			}
			s.Messages = append(s.Messages, c.message())
		}
		return nil
	})
	if len(out) > 0 {
		f.wake()
	}
	noted = f.book.modseq != was
	return renamed, noted, errors.Join(err, f.note(out))
}

// change renames the file of a message as its flags become, merged with what others did to its
// name meanwhile. It returns what is to be known of it.
func (f *folder) change(uid UID, op Op, flags Flags) (c *entry, renamed bool, err error) {
	for range attempts {
		e := f.book.entry(uid)
		if e == nil {
			return nil, false, ErrGone
		}
		n := *e
		n.flags = op.apply(e.flags, flags)
		if len(n.flags.Keywords()) > f.root.bounds().Keywords {
			return nil, false, ErrTooMany
		}
		n.file = f.keyword.name(e.file, n.flags)
		if have, _ := lettersOf(e.file); strings.HasSuffix(n.file, ":2,") && have == "" && !e.inCur {
			n.file = e.file // in new, without flags: it stays as it is
		}
		n.inCur = e.inCur || n.file != e.file
		if n.place() == e.place() {
			// Others may have renamed it since it was looked at.
			if _, err := f.root.fs.Lstat(f.path(e.place())); !missing(err) {
				return &n, false, err
			}
		} else if err := f.root.fs.Rename(f.path(e.place()), f.path(n.place())); !missing(err) {
			return &n, true, err
		}
		if _, err := f.look(true); err != nil {
			return nil, false, err
		}
	}
	return nil, false, errors.New("others rename the message all the time")
}

// spelt gives keywords the form in which this folder has them already, and holds the folder to
// its bound of different ones.
func (f *folder) spelt(flags Flags) (Flags, error) {
	if flags.words == "" {
		return flags, nil
	}
	if len(f.words) == 0 {
		f.gather()
	}
	words := flags.Keywords()
	for i, w := range words {
		if known, ok := f.words[strings.ToLower(w)]; ok {
			words[i] = known
			continue
		}
		if most := f.root.bounds().Words; len(f.words) >= most {
			// Those that no message has any more make room.
			if f.gather(words[:i]...); len(f.words) >= most {
				return flags, ErrTooMany
			}
		}
		f.words[strings.ToLower(w)] = w
	}
	return NewFlags(flags.System, words...), nil
}

// gather notes the keywords that messages of the folder have, and some that one is about to get.
func (f *folder) gather(more ...string) {
	clear(f.words)
	for _, e := range f.book.entries {
		for w := range strings.FieldsSeq(e.flags.words) {
			f.words[strings.ToLower(w)] = w
		}
	}
	for _, w := range more {
		f.words[strings.ToLower(w)] = w
	}
}

// Keywords returns the keywords of the folder, for FLAGS and PERMANENTFLAGS.
func (m *Mailbox) Keywords() []string {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	var all Flags
	for _, e := range f.book.entries {
		if e.flags.words != "" && e.flags.words != all.words {
			all = all.With(Flags{words: e.flags.words})
		}
	}
	return all.Keywords()
}
