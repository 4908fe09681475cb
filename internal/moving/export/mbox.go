package export

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving/mbox"
)

// bufferOctets is how much of a file is gathered before it is written.
const bufferOctets = 64 << 10

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
		levels[i] = fileOf(l, i < len(levels)-1)
	}
	path := filepath.Join(m.dir, filepath.Join(levels...)) + ".mbox"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := newPart(path)
	if err != nil {
		return err
	}
	m.file, m.out = file, bufio.NewWriterSize(file, bufferOctets)
	m.files = append(m.files, file)
	return nil
}

// mostOctets is how long the name of a file may be, so that what is put behind it fits: a file system
// takes 255.
const mostOctets = 230

// fileOf is how a level of a name is called on the disk. No two are called alike, and no folder
// is called as the file of another one.
func fileOf(level string, folder bool) string {
	if strings.HasPrefix(strings.TrimLeft(level, "_"), ".") {
		level = "_" + level // neither hidden nor a way upwards
	}
	if len(level) > mostOctets {
		sum := sha256.Sum256([]byte(level))
		level = strings.ToValidUTF8(level[:mostOctets-20], "") + "~" + hex.EncodeToString(sum[:8])
	}
	for _, end := range []string{".mbox", ".mbx", ".part", ".sbd"} {
		if folder && strings.HasSuffix(level, end) {
			return level + ".sbd" // as Mozilla calls what is below a folder; who reads it takes that off
		}
	}
	return level
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
