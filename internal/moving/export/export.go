package export

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sallyport/internal/mailbox"
)

// Message is one to be written. Its lines end in LF.
type Message struct {
	UID    uint32
	Flags  mailbox.Flags
	Date   time.Time
	Octets []byte
}

// Writer writes a mailbox, folder by folder.
type Writer interface {
	// Folder begins a folder. validity and a UID tell a message from all others.
	Folder(name string, subscribed bool, validity uint32) error
	// Has reports whether a message of the folder was written by an export before this one.
	Has(uid uint32) bool
	// Write writes a message of the folder, and returns how many of its keywords the form cannot
	// hold.
	Write(m Message) (dropped int, err error)
	// Commit ends it, durably.
	Commit() error
	// Abort removes what has no use: what is not whole. After Commit it does nothing.
	Abort()
}

// Unix returns a message with its lines ended by LF.
func Unix(message []byte) []byte { return bytes.ReplaceAll(message, []byte("\r\n"), []byte("\n")) }

// ErrThere: what is to be written is there already.
var ErrThere = errors.New("is there already, and is left as it is")

// keywordLetters is how many keywords a folder of a Maildir can have: a to z.
const keywordLetters = 26

// maildir writes a Maildir++ to wherever store puts files.
type maildir struct {
	store      store
	dir        string // of the folder
	validity   uint32
	letters    []string
	noted      int             // letters that dovecot-keywords has on the disk
	known      map[string]bool // files of the folder, without what follows a comma or colon
	subscribed []string
}

// store is where the files of a Maildir go.
type store interface {
	// mkdir makes a folder, which may be there.
	mkdir(dir string) error
	// write writes a message.
	write(dir, name string, content []byte, at time.Time) error
	// note writes a small file, in place of what it held.
	note(name string, content []byte) error
	// names returns what is in a folder.
	names(dir string) ([]string, error)
	read(name string) ([]byte, error)
	commit() error
	abort()
}

// Folder implements Writer.
func (m *maildir) Folder(name string, subscribed bool, validity uint32) error {
	dir, err := mailbox.DirectoryOf(name)
	if err != nil {
		return err
	}
	m.dir, m.validity, m.letters, m.noted, m.known = dir, validity, nil, 0, map[string]bool{}
	if subscribed && dir != "" {
		m.subscribed = append(m.subscribed, strings.TrimPrefix(dir, "."))
	}
	if err := m.store.mkdir(dir); err != nil {
		return err
	}
	if dir != "" {
		if err := m.store.note(filepath.Join(dir, "maildirfolder"), nil); err != nil {
			return err
		}
	}
	return m.continues()
}

// continues reads what an export before this one wrote.
func (m *maildir) continues() error {
	for _, sub := range []string{"cur", "new"} {
		names, err := m.store.names(filepath.Join(m.dir, sub))
		if err != nil {
			return err
		}
		for _, n := range names {
			n, _, _ = strings.Cut(n, ",")
			n, _, _ = strings.Cut(n, ":")
			if _, rest, ok := strings.Cut(n, "."); ok {
				m.known[rest] = true
			}
		}
	}
	text, err := m.store.read(filepath.Join(m.dir, keywordsFile))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if _, word, ok := strings.Cut(strings.TrimSpace(line), " "); ok && len(m.letters) < keywordLetters {
			m.letters = append(m.letters, word)
		}
	}
	m.noted = len(m.letters)
	return nil
}

const keywordsFile = "dovecot-keywords"

// base is what tells a message from all others, behind the time with which a name begins.
func (m *maildir) base(uid uint32) string { return fmt.Sprintf("V%dU%d.sallyport", m.validity, uid) }

// Has implements Writer.
func (m *maildir) Has(uid uint32) bool { return m.known[m.base(uid)] }

// Write implements Writer.
func (m *maildir) Write(msg Message) (dropped int, err error) {
	for _, w := range msg.Flags.Keywords() {
		switch {
		case strings.EqualFold(w, mailbox.Forwarded), slices.ContainsFunc(m.letters, func(l string) bool { return strings.EqualFold(l, w) }):
		case len(m.letters) < keywordLetters:
			m.letters = append(m.letters, w)
		default:
			dropped++
		}
	}
	// The letters count before a file bears one.
	if err := m.note(); err != nil {
		return dropped, err
	}
	base := fmt.Sprintf("%d.%s,S=%d,W=%d", max(msg.Date.Unix(), 0), m.base(msg.UID), len(msg.Octets),
		len(msg.Octets)+bytes.Count(msg.Octets, []byte("\n")))
	return dropped, m.store.write(m.dir, mailbox.FileFor(base, msg.Flags, m.letters), msg.Octets, msg.Date)
}

func (m *maildir) note() error {
	if len(m.letters) == m.noted {
		return nil
	}
	var text bytes.Buffer
	for i, w := range m.letters {
		fmt.Fprintf(&text, "%d %s\n", i, w)
	}
	m.noted = len(m.letters)
	return m.store.note(filepath.Join(m.dir, keywordsFile), text.Bytes())
}

// Commit implements Writer.
func (m *maildir) Commit() error {
	if len(m.subscribed) > 0 {
		if err := m.store.note("subscriptions", []byte(strings.Join(m.subscribed, "\n")+"\n")); err != nil {
			return err
		}
	}
	return m.store.commit()
}

// Abort implements Writer.
func (m *maildir) Abort() { m.store.abort() }

// Maildir writes a Maildir++ into a folder that must be missing or empty, unless it goes on with
// an export that was cut off, or takes up what came since the last.
func Maildir(dir string, goOn bool) (Writer, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(dir, 0o700)
	case err == nil && len(entries) > 0 && !goOn:
		return nil, fmt.Errorf("%s %w", dir, ErrThere)
	}
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &maildir{store: disk{root}}, nil
}

// disk is a folder. What is written lies in tmp until it is whole.
type disk struct{ root *os.Root }

func (d disk) mkdir(dir string) error {
	for _, sub := range []string{"tmp", "new", "cur"} {
		if err := d.root.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (d disk) write(dir, name string, content []byte, at time.Time) error {
	tmp, to := filepath.Join(dir, "tmp", name), filepath.Join(dir, "cur", name)
	if err := d.root.WriteFile(tmp, content, 0o600); err != nil {
		return errors.Join(err, d.root.Remove(tmp))
	}
	if err := d.root.Chtimes(tmp, at, at); err != nil {
		return err
	}
	// Link and not Rename: it never replaces what is there.
	return errors.Join(d.root.Link(tmp, to), d.root.Remove(tmp))
}

func (d disk) note(name string, content []byte) error { return d.root.WriteFile(name, content, 0o600) }

func (d disk) names(dir string) ([]string, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (d disk) read(name string) ([]byte, error) {
	b, err := d.root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// commit makes everything durable: one call for what may be many files.
func (d disk) commit() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close(), d.root.Close())
}

func (d disk) abort() { _ = d.root.Close() } // what was written is whole, and stays
