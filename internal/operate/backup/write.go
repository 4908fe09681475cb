package backup

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/kit/safefile"

	"github.com/klauspost/compress/zstd"
)

// Names of the members that every backup has.
const (
	InfoName     = "backup.json"
	ConfigName   = "config/sallyport.toml"
	ManifestName = "manifest.sha256"
)

// LeftOutName is the member, the last before the manifest, that names what could not be read of the mailboxes; a
// backup has it only where there was something.
const LeftOutName = "left-out.txt"

// Format is the format of the archive that this package writes.
const Format = 1

// Info is the first member of a backup.
type Info struct {
	Format     int       `json:"format"`      // of the archive
	DataFormat uint32    `json:"data_format"` // of the data folder
	Program    string    `json:"program"`     // the version that wrote it
	Hostname   string    `json:"hostname"`
	Began      time.Time `json:"began"` // what was acknowledged before is in it
	Mailboxes  bool      `json:"mailboxes"`
	Messages   int       `json:"messages"` // in the queue, about when it began
	Octets     int64     `json:"octets"`   // to come, by estimate
	// Paths says for each key of the configuration that names a file or folder where
	// its content lies in the archive.
	Paths map[string]string `json:"paths,omitempty"`
}

// Summary says what was written or verified.
type Summary struct {
	Path     string `json:"path"`
	Files    int    `json:"files"`
	Octets   int64  `json:"octets"`   // of the files
	Size     int64  `json:"size"`     // of the archive
	Manifest string `json:"manifest"` // SHA-256 of the manifest: it stands for the whole backup
	// LeftOut is how many files and folders of the mailboxes are not in it, since they could not be read.
	LeftOut int    `json:"left_out,omitempty"`
	Unread  string `json:"unread,omitempty"` // the first of them, and why, one a line
}

// Writer writes one backup.
type Writer struct {
	path  string
	file  *os.File
	zstd  *zstd.Encoder
	tar   *tar.Writer
	lines *lineFile
	sum   Summary
	ended bool
}

// Create begins the backup at path, which must not exist. Until Commit its content
// stands in path.part, which its owner alone can read: it holds every key of the
// server.
func Create(path string) (w *Writer, err error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s exists already, and is left as it is", path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	w = &Writer{path: path, sum: Summary{Path: path}}
	if w.file, err = os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return nil, err
	}
	if w.lines, err = newLineFile(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	if w.zstd, err = zstd.NewWriter(w.file, zstd.WithEncoderConcurrency(1)); err != nil {
		return nil, errors.Join(err, w.Abort())
	}
	w.tar = tar.NewWriter(w.zstd)
	return w, nil
}

// AddInfo writes the first member.
func (w *Writer) AddInfo(i Info) error {
	b, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return w.AddBytes(InfoName, append(b, '\n'), i.Began)
}

// AddBytes writes a small member of mode 0600.
func (w *Writer) AddBytes(name string, b []byte, at time.Time) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: int64(len(b)), ModTime: at}
	return w.Add(h, bytesReader(b))
}

// AddFile writes a file of this host under a name of the archive.
func (w *Writer) AddFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	h, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	h.Name = name
	return w.Add(h, f)
}

// Add writes a member from its header and exactly Size octets of its content.
func (w *Writer) Add(h *tar.Header, content io.Reader) error {
	if err := checkHeader(h); err != nil {
		return err
	}
	h.Format = tar.FormatPAX
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag == tar.TypeDir {
		return nil
	}
	sum := sha256.New()
	content = w.sum.counting(h, content)
	n, err := io.Copy(io.MultiWriter(w.tar, sum), io.LimitReader(content, h.Size))
	if err != nil {
		return err
	}
	if n != h.Size {
		return fmt.Errorf("%s has %d octets and had %d when it was opened: it changed while it was read", h.Name, n, h.Size)
	}
	w.sum.Files++
	w.sum.Octets += n
	return w.lines.add(sum, h.Name)
}

// Octets returns how much of the files was written so far.
func (w *Writer) Octets() int64 { return w.sum.Octets }

// Commit writes the manifest, syncs the file and gives it its name.
func (w *Writer) Commit() (Summary, error) {
	if w.ended {
		return w.sum, fs.ErrClosed
	}
	err := w.finish()
	if err != nil {
		return w.sum, errors.Join(err, w.Abort())
	}
	w.ended = true
	return w.sum, errors.Join(w.lines.close(), safefile.SyncDir(filepath.Dir(w.path)))
}

func (w *Writer) finish() error {
	size, sum, err := w.lines.rewind()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: ManifestName, Mode: 0o600, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	if _, err := io.Copy(w.tar, w.lines); err != nil {
		return err
	}
	w.sum.Manifest = sum
	if err := errors.Join(w.tar.Close(), w.zstd.Close(), w.file.Sync()); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	w.sum.Size = info.Size()
	// Link and not Rename: it never replaces what somebody put there meanwhile.
	if err := errors.Join(w.file.Close(), os.Link(w.path+".part", w.path)); err != nil {
		return err
	}
	return os.Remove(w.path + ".part")
}

// Abort removes what was written. After Commit it does nothing.
func (w *Writer) Abort() error {
	if w.ended {
		return nil
	}
	w.ended = true
	if w.zstd != nil {
		_ = w.zstd.Close() // its goroutines end; what it writes is removed
	}
	_ = w.file.Close()
	var err error
	if w.lines != nil {
		err = w.lines.close()
	}
	return errors.Join(err, os.Remove(w.path+".part"))
}

// lineFile gathers the lines of a manifest in a file without a name, since there may
// be millions.
type lineFile struct {
	*bufio.Reader
	file *os.File
	out  *bufio.Writer
	sum  hash.Hash
}

func newLineFile(dir string) (*lineFile, error) {
	f, err := os.CreateTemp(dir, ".manifest-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &lineFile{file: f, out: bufio.NewWriter(f), sum: sha256.New()}, nil
}

// line is how sha256sum(1) writes a file's sum. checkHeader keeps line ends out of
// names.
func line(sum hash.Hash, name string) string {
	return hex.EncodeToString(sum.Sum(nil)) + "  " + name + "\n"
}

func (l *lineFile) add(sum hash.Hash, name string) error {
	text := line(sum, name)
	_, _ = io.WriteString(l.sum, text) // a hash takes everything
	_, err := l.out.WriteString(text)
	return err
}

// rewind makes the lines readable from the first, and returns their size and sum.
func (l *lineFile) rewind() (size int64, sum string, err error) {
	if err := l.out.Flush(); err != nil {
		return 0, "", err
	}
	if size, err = l.file.Seek(0, io.SeekCurrent); err != nil {
		return 0, "", err
	}
	_, err = l.file.Seek(0, io.SeekStart)
	l.Reader = bufio.NewReaderSize(l.file, 2*maxNameOctets)
	return size, hex.EncodeToString(l.sum.Sum(nil)), err
}

func (l *lineFile) close() error { return l.file.Close() }
