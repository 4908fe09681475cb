package export

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving/mbox"
)

// mboxes writes a file for each folder: INBOX.mbox, Lists/Go.mbox.
type mboxes struct {
	dir   string
	form  mbox.Form
	file  *part
	out   *bufio.Writer
	files []*part
}

// Mbox writes mbox files into a folder that must be missing or empty.
func Mbox(dir string, form mbox.Form) (Writer, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(dir, 0o700)
	case err == nil && len(entries) > 0:
		return nil, fmt.Errorf("%s %w", dir, ErrThere)
	}
	return &mboxes{dir: dir, form: form}, err
}

// Folder implements Writer.
func (m *mboxes) Folder(name string, _ bool, _ uint32) error {
	if err := m.flush(); err != nil {
		return err
	}
	levels := strings.Split(name, mailbox.Separator)
	for i, l := range levels {
		if strings.HasPrefix(l, ".") {
			levels[i] = "_" + l // neither hidden nor a way upwards
		}
	}
	path := filepath.Join(m.dir, filepath.Join(levels...)) + ".mbox"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := newPart(path)
	if err != nil {
		return err
	}
	m.file, m.out = file, bufio.NewWriterSize(file, 64<<10)
	m.files = append(m.files, file)
	return nil
}

func (m *mboxes) flush() error {
	if m.out == nil {
		return nil
	}
	return errors.Join(m.out.Flush(), m.file.settle())
}

// Has implements Writer.
func (m *mboxes) Has(uint32) bool { return false }

// Write implements Writer.
func (m *mboxes) Write(msg Message) (int, error) {
	f := msg.Flags
	n := mbox.Notes{
		Seen: f.Has(mailbox.Seen), Answered: f.Has(mailbox.Answered), Flagged: f.Has(mailbox.Flagged),
		Deleted: f.Has(mailbox.Deleted), Draft: f.Has(mailbox.Draft), Keywords: f.Keywords(),
	}
	return 0, mbox.NewWriter(m.out, m.form).Write(msg.Octets, msg.Date, n)
}

// Commit implements Writer.
func (m *mboxes) Commit() error {
	err := m.flush()
	for _, f := range m.files {
		if err == nil {
			err = f.commit()
		}
	}
	return err
}

// Abort implements Writer.
func (m *mboxes) Abort() {
	for _, f := range m.files {
		f.abort()
	}
}
