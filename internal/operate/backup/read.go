package backup

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// ErrDamaged means that a backup is not whole, or not as it was written.
var ErrDamaged = errors.New("the backup is damaged")

const (
	// maxInfoOctets bounds the first member.
	maxInfoOctets = 1 << 20
	// maxNameOctets bounds the name of a member.
	maxNameOctets = 4096
	// maxWindow bounds the memory that decompressing takes.
	maxWindow = 64 << 20
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// checkHeader admits regular files and folders below the top of an archive, and
// nothing else: no link can lead out of it, and no name.
func checkHeader(h *tar.Header) error {
	if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
		return fmt.Errorf("%q is neither file nor folder", h.Name)
	}
	name := strings.TrimSuffix(h.Name, "/")
	if len(name) > maxNameOctets || !filepath.IsLocal(name) || path.Clean(name) != name || name == "." ||
		strings.ContainsAny(name, "\n\x00\\") {
		return fmt.Errorf("%q is no name below the top of an archive", h.Name)
	}
	return nil
}

// Progress is told how much of an archive was read, and how large it is.
type Progress func(read, size int64)

// reader reads the members of an archive.
type reader struct {
	*tar.Reader
	file *os.File
	zstd *zstd.Decoder
	read int64
	size int64
	tell Progress
}

func openArchive(path string, tell Progress) (*reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &reader{file: f, size: info.Size(), tell: tell}
	if r.zstd, err = zstd.NewReader(counted{r}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow)); err != nil {
		return nil, errors.Join(damaged(err), f.Close())
	}
	r.Reader = tar.NewReader(r.zstd)
	return r, nil
}

func (r *reader) close() {
	r.zstd.Close()
	_ = r.file.Close() // only read
}

// counted is the compressed file, which tells how far it was read.
type counted struct{ r *reader }

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.file.Read(p)
	c.r.read += int64(n)
	if c.r.tell != nil {
		c.r.tell(c.r.read, c.r.size)
	}
	return n, err
}

func damaged(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }

// each calls fn for each member but the manifest, which it returns whole to end.
func (r *reader) each(ctx context.Context, fn func(h *tar.Header) error, end func(manifest io.Reader) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			return damaged(errors.New("it ends before its manifest: it was cut short"))
		}
		if err != nil {
			return damaged(err)
		}
		if err := checkHeader(h); err != nil {
			return damaged(err)
		}
		if h.Name != ManifestName {
			if err := fn(h); err != nil {
				return err
			}
			continue
		}
		if err := end(r); err != nil {
			return err
		}
		if _, err := r.Next(); err != io.EOF {
			return damaged(errors.New("something follows its manifest"))
		}
		// The checksum of the compressed stream stands at its end.
		if _, err := io.Copy(io.Discard, r.zstd); err != nil {
			return damaged(err)
		}
		return nil
	}
}

// Verify reads a backup as a whole and compares every member with the manifest. tmp
// is a folder for a file of bounded lines that is removed at once.
func Verify(ctx context.Context, file, tmp string, tell Progress) (Info, Summary, error) {
	r, err := openArchive(file, tell)
	if err != nil {
		return Info{}, Summary{}, err
	}
	defer r.close()
	lines, err := newLineFile(tmp)
	if err != nil {
		return Info{}, Summary{}, err
	}
	defer lines.close()
	var info Info
	sum := Summary{Path: file, Size: r.size}
	err = r.each(ctx, func(h *tar.Header) error {
		if h.Typeflag == tar.TypeDir {
			return nil
		}
		var content io.Reader = r
		if sum.Files == 0 {
			b, err := readInfo(h, r, &info)
			if err != nil {
				return err
			}
			content = bytesReader(b)
		}
		hash := sha256.New()
		n, err := io.Copy(hash, sum.counting(h, content))
		if err != nil {
			return damaged(err)
		}
		sum.Files++
		sum.Octets += n
		return lines.add(hash, h.Name)
	}, func(manifest io.Reader) error {
		var err error
		if _, sum.Manifest, err = lines.rewind(); err != nil {
			return err
		}
		return compare(bufio.NewReaderSize(manifest, 2*maxNameOctets), lines.Reader)
	})
	return info, sum, err
}

func readInfo(h *tar.Header, r io.Reader, into *Info) ([]byte, error) {
	if h.Name != InfoName || h.Size > maxInfoOctets {
		return nil, damaged(errors.New("it does not begin with " + InfoName + ": it is no backup of sallyport"))
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, damaged(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return nil, damaged(err)
	}
	if into.Format != Format {
		return nil, fmt.Errorf("the backup is of format %d, and this program knows format %d: restore it with sallyport %s",
			into.Format, Format, into.Program)
	}
	return b, nil
}

// compare finds the first line in which the manifest and what was read differ.
func compare(manifest, found *bufio.Reader) error {
	for {
		want, errWant := manifest.ReadSlice('\n')
		want = bytes.Clone(want)
		have, errHave := found.ReadSlice('\n')
		switch {
		case errWant != nil && errWant != io.EOF:
			return damaged(errWant)
		case errHave != nil && errHave != io.EOF:
			return errHave
		case !bytes.Equal(want, have):
			return damaged(difference(string(want), string(have)))
		case errHave == io.EOF:
			return nil
		}
	}
}

func difference(want, have string) error {
	wantSum, wantName, _ := strings.Cut(strings.TrimSuffix(want, "\n"), "  ")
	haveSum, haveName, _ := strings.Cut(strings.TrimSuffix(have, "\n"), "  ")
	switch {
	case want == "":
		return fmt.Errorf("%q is in it, and its manifest does not name it", haveName)
	case have == "" || wantName != haveName:
		return fmt.Errorf("%q is missing where its manifest names it", wantName)
	}
	return fmt.Errorf("%q has the SHA-256 %s, and its manifest says %s", wantName, haveSum, wantSum)
}
