package main

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"sallyport/internal/mail"
	"sallyport/internal/operate/history"
)

// openPlain opens a file, or what comes in for "-"; size is 0 where nobody knows it.
func openPlain(c console, path string) (in io.ReadCloser, size int64, err error) {
	if path == "-" {
		return io.NopCloser(c.in), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// unpacked reads through gzip or bzip2, if that is what begins. What is packed otherwise is told:
// no line of it would be understood, and nothing be learnt without a word.
func unpacked(in io.Reader) (io.Reader, error) {
	r := bufio.NewReader(in)
	lead, _ := r.Peek(longestLead)
	switch {
	case bytes.HasPrefix(lead, []byte{0x1f, 0x8b}): // RFC 1952 §2.3.1
		return gzip.NewReader(r)
	case bytes.HasPrefix(lead, []byte("BZh")):
		return bzip2.NewReader(r), nil
	case bytes.HasPrefix(lead, []byte("\xfd7zXZ\x00")):
		return nil, errPacked("xz")
	case bytes.HasPrefix(lead, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errPacked("zstd")
	}
	return r, nil
}

// longestLead is how many octets tell how a file is packed.
const longestLead = 6

// errPacked says what helps with a file that is packed by another program.
func errPacked(program string) error {
	return fmt.Errorf("it is packed by %s, which is not read here: unpack it (%s -d), or give it to us unpacked on standard input, as -", program, program)
}

// maildirStep is how many entries of a folder are read at once.
const maildirStep = 1000

// maildir takes in the messages of a folder of a Maildir.
func (p *past) maildir(ctx context.Context, folder string, whose mail.Address) error {
	bar := newProgress(p.c, "reading", func(n int64) string { return strconv.FormatInt(n, 10) + " messages" })
	defer bar.end()
	found := false
	for _, sub := range []string{"cur", "new"} {
		dir, err := os.Open(filepath.Join(folder, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		found = true
		err = p.messages(ctx, dir, whose, bar)
		if err = errors.Join(err, dir.Close()); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s is no folder of a Maildir: there is neither cur nor new in it", folder)
	}
	return nil
}

func (p *past) messages(ctx context.Context, dir *os.File, whose mail.Address, bar *progress) error {
	for {
		entries, err := dir.ReadDir(maildirStep)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := message(filepath.Join(dir.Name(), e.Name()), p.limits)
			if err != nil {
				p.unread++
				continue
			}
			if !whose.IsZero() {
				s.From = whose
			}
			if err := p.add(s); err != nil {
				return err
			}
			bar.at(int64(p.read), 0)
		}
	}
}

// message reads one file. A Maildir is its owner's, who may be anybody and is not who runs
// this: neither a link nor a pipe is followed.
func message(path string, l history.Limits) (history.Sent, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return history.Sent{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return history.Sent{}, err
	}
	if !info.Mode().IsRegular() {
		return history.Sent{}, errors.New("it is no file")
	}
	return history.Message(f, info.ModTime(), l)
}
