package mailbox

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
)

// Message is what is known of a message without reading it. It is a value that never changes.
type Message struct {
	UID    UID
	ModSeq ModSeq
	Flags  Flags
}

// State is a folder at one moment.
type State struct {
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	Messages      []Message // by UID; many have it, and nobody changes it
}

// Changes is what happened in a folder after a mod-sequence.
type Changes struct {
	// Messages are those that are new or have other flags, as they are now, by UID.
	Messages []Message
	// Gone are the UIDs that vanished, in the order in which they did.
	Gone []UID
	// Forgotten: more UIDs vanished than are remembered. Every UID below UIDNext of which
	// there is no message is gone. RFC 7162 §3.2.6 allows to tell them all.
	Forgotten     bool
	UIDNext       UID
	HighestModSeq ModSeq
}

// Mailbox is one session's view of a folder. Many sessions may have views of one folder.
type Mailbox struct {
	folder   *folder
	name     string
	readOnly bool
	// unbounded: what is added is not held against the quota of the mailbox.
	unbounded bool

	mu     sync.Mutex
	recent []span   // UIDs that this session is the first to see
	last   *Content // what is known of the long message that was opened last; nil: it was short
	closed bool
}

// span is the UIDs from first on and before end.
type span struct{ first, end UID }

// Select opens a folder, and looks at the disk. Unless it is for reading only, new messages move
// to where seen ones are, and this session is the one to which they are recent.
func (u *User) Select(ctx context.Context, name string, readOnly bool) (*Mailbox, error) {
	f, err := u.occupy(name)
	if err != nil {
		return nil, told(err)
	}
	m := &Mailbox{folder: f, name: name, readOnly: readOnly}
	if _, err := m.Refresh(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// occupy opens a folder for somebody who reads, within Limits.Messages.
func (u *User) occupy(name string) (*folder, error) {
	u.mu.Lock()
	dir, err := u.find(name)
	var f *folder
	if err == nil {
		f, err = u.acquire(dir)
	}
	if err == nil {
		err = u.mayOpen()
	}
	u.mu.Unlock()
	if err != nil && f != nil {
		u.release(f)
	}
	return f, err
}

// Close ends the view. A second time it does nothing.
func (m *Mailbox) Close() {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if !closed {
		m.folder.user.release(m.folder)
	}
}

// Unbounded has what is added from now on not asked for room within the quota: what an operator
// puts back was taken once. Nobody else uses the view yet.
func (m *Mailbox) Unbounded() { m.unbounded = true }

func (e *entry) message() Message { return Message{e.uid, e.modseq, e.flags} }

// State returns the folder as it was last looked at. After a change it costs as much as the folder
// is long: ask once, and Since from then on.
func (m *Mailbox) State() State {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.modseq != f.book.modseq || len(f.messages) != len(f.book.entries) {
		f.messages, f.modseq = make([]Message, len(f.book.entries)), f.book.modseq
		for i, e := range f.book.entries {
			f.messages[i] = e.message()
		}
	}
	return State{UIDValidity: f.book.validity, UIDNext: f.book.next, HighestModSeq: f.book.modseq, Messages: f.messages}
}

// UIDValidity returns what State says of it, without the rest.
func (m *Mailbox) UIDValidity() uint32 {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.book.validity
}

// Ended reports whether nobody can go on with the folder: it was removed, or the mailbox was.
func (m *Mailbox) Ended() bool {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ended != nil
}

// Exists reports whether a message is there, as far as the folder was looked at.
func (m *Mailbox) Exists(uid UID) bool {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.book.entry(uid) != nil
}

// Since returns what happened after a mod-sequence that State or Since told.
func (m *Mailbox) Since(modseq ModSeq) Changes {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	c := Changes{UIDNext: f.book.next, HighestModSeq: f.book.modseq, Forgotten: modseq < f.book.goneSince}
	if modseq >= f.book.modseq {
		return c
	}
	for _, e := range f.book.entries {
		if e.modseq > modseq {
			c.Messages = append(c.Messages, e.message())
		}
	}
	for i := len(f.book.gone); i > 0 && f.book.gone[i-1].modseq > modseq; i-- {
		c.Gone = append(c.Gone, f.book.gone[i-1].uid)
	}
	for i, j := 0, len(c.Gone)-1; i < j; i, j = i+1, j-1 {
		c.Gone[i], c.Gone[j] = c.Gone[j], c.Gone[i]
	}
	return c
}

// Changed returns a channel that is closed at the next change by anybody, or when it is time to
// call Refresh since something may have changed. Ask for it before State or Since, so that
// nothing is missed in between.
func (m *Mailbox) Changed() <-chan struct{} {
	f := m.folder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended != nil {
		ended := make(chan struct{})
		close(ended)
		return ended
	}
	return f.changed
}

// AnyRecent reports whether there may be a message of which Recent is true.
func (m *Mailbox) AnyRecent() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.recent) > 0
}

// Recent reports whether this session is the first that was told of a message. RFC 3501 §2.3.2.
func (m *Mailbox) Recent(uid UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.recent {
		if s.first <= uid && uid < s.end {
			return true
		}
	}
	return false
}

// Refresh takes what other programs did to the files, and what was delivered. Unless the view is
// for reading only, new messages move to where seen ones are. What it found is durable when it
// returns, so that a UID that was told once stays.
func (m *Mailbox) Refresh(ctx context.Context) (changed bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	f := m.folder
	f.mu.Lock()
	was := f.book.modseq
	_, err = f.look(false)
	noted := f.book.modseq != was
	if err == nil && !m.readOnly {
		var took bool
		took, err = f.claim()
		noted = noted || took
	}
	m.see()
	f.mu.Unlock()
	if err != nil {
		return false, told(err)
	}
	if noted {
		err = f.sync()
	}
	return noted, err
}

// see gives this session the messages that nobody has seen yet. The folder's lock is held.
func (m *Mailbox) see() {
	b := m.folder.book
	if b.recent >= b.next || m.folder.ended != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := span{b.recent, b.next}
	if n := len(m.recent); n > 0 && m.recent[n-1].end >= s.first {
		m.recent[n-1].end = s.end
	} else {
		m.recent = append(m.recent, s)
	}
	if !m.readOnly {
		b.recent = b.next
		_ = m.folder.note(appendClaim(nil, b.recent)) // what is lost of it is shown as recent once more
	}
}

// claim moves files from new to cur, as whoever shows them to their reader does.
func (f *folder) claim() (any bool, err error) {
	var out []byte
	var moved bool
	if f.book.inNew == 0 {
		return false, nil
	}
	err = f.mine(func() error {
		for _, e := range f.book.entries {
			if e.inCur {
				continue
			}
			c := *e
			c.inCur = true
			if _, info := split(e.file); info == "" {
				c.file = e.file + ":2,"
			}
			err := f.root.fs.Rename(f.path(e.place()), f.path(c.place()))
			if missing(err) {
				continue // others were faster: the next look finds it
			}
			if err != nil {
				return err
			}
			moved = true
			out = c.append(out)
			f.book.put(&c)
		}
		if !moved {
			return nil
		}
		// cur comes first: what is in neither is lost.
		return errors.Join(f.root.dirs.Do(filepath.Join(f.dir, "cur")), f.root.dirs.Do(filepath.Join(f.dir, "new")))
	})
	return moved, errors.Join(err, f.note(out))
}
