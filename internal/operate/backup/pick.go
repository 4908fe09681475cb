package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
)

// Picking says what is taken out of a backup.
type Picking struct {
	// Want is asked of each member by its name.
	Want func(info Info, name string) bool
	// Take takes a member that is wanted, and its content.
	Take func(h *tar.Header, content io.Reader) error
	Tell Progress
}

// Pick takes a part out of a backup, in one pass, and compares it with the manifest. It returns
// the names of members that are not what was backed up, or of which that cannot be said since the
// backup ends early: then the error is ErrDamaged, and what was read before it has been taken.
func Pick(ctx context.Context, file string, p Picking) (info Info, doubtful []string, err error) {
	r, err := openArchive(file, p.Tell)
	if err != nil {
		return info, nil, err
	}
	defer r.close()
	sums := map[string][sha256.Size]byte{}
	first := true
	err = r.each(ctx, func(h *tar.Header) error {
		if first {
			first = false
			_, err := readInfo(h, r, &info)
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		if !p.Want(info, name) {
			return nil
		}
		if h.Typeflag == tar.TypeDir {
			return p.Take(h, nil)
		}
		sum := sha256.New()
		content := &stream{r: io.TeeReader(r, sum)}
		if err := p.Take(h, content); err != nil {
			if content.err != nil {
				return damaged(content.err)
			}
			return err
		}
		sums[h.Name] = [sha256.Size]byte(sum.Sum(nil))
		return nil
	}, func(manifest io.Reader) error { return strike(manifest, sums) })
	for name := range sums {
		doubtful = append(doubtful, name)
	}
	slices.Sort(doubtful)
	return info, doubtful, err
}

// stream remembers that reading failed, which is the archive's fault.
type stream struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// strike removes those that the manifest names with the same sum.
func strike(manifest io.Reader, sums map[string][sha256.Size]byte) error {
	in := bufio.NewReaderSize(manifest, 2*maxNameOctets)
	for {
		line, err := in.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return damaged(errors.Join(errors.New("its manifest does not read"), err))
		}
		sum, name, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), "  ")
		if is, ok := sums[name]; ok && hex.EncodeToString(is[:]) == sum {
			delete(sums, name)
		}
	}
}

// MailboxRoot is where the mailboxes are in a backup.
func (i Info) MailboxRoot() string {
	if root := i.Paths["maildir.root"]; root != "" {
		return root
	}
	return "data/mail"
}
