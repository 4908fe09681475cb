package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/backup"
)

type backupCommand struct {
	configFlag
	jsonFlag
	To        string `required:"" placeholder:"FILE|DIR" help:"The file to write, or a folder to write one to that is named by host and time."`
	Mailboxes bool   `negatable:"" default:"true" help:"With the mailboxes; --no-mailboxes leaves them out."`
}

// Help says what is in it.
func (backupCommand) Help() string {
	return `Writes one file, readable by its owner alone, with all that the server keeps: queue, accounts, trace
and its signed checkpoints, keys, mailboxes, the configuration and the files that it names. A running
server goes on meanwhile; everything that was acknowledged before the backup began is in it. The file
holds every key of the server: keep it as you keep them.

It is a tar archive compressed with Zstandard whose last member is a list for sha256sum(1); the
SHA-256 of that list, which is printed, stands for the whole. It appears under its name when it is
whole and on disk.

Examples:
  sallyport backup --to /backup                            a file named by host and time
  sallyport backup --to /backup/before-upgrade.tar.zst
  sallyport backup --to /backup --no-mailboxes             where the mailboxes are backed up otherwise`
}

// Run writes the backup.
func (b backupCommand) Run(ctx context.Context, c console) error {
	if b.To == "-" {
		return usageError{"--to: a backup is a file, which gets its name when it is whole and on disk; for another machine, copy it there afterwards (a file of that name is ./-)"}
	}
	named, err := b.files()
	if err != nil {
		return err
	}
	return b.operate(ctx, c, func(o *operate.Client) error {
		stream, err := o.Backup(ctx, operate.BackupRequest{Mailboxes: b.Mailboxes})
		if err != nil {
			return err
		}
		sum, err := b.write(c, stream, named)
		if err = errors.Join(err, stream.Close()); err != nil {
			return fmt.Errorf("no backup was made: %w", err)
		}
		if b.JSON {
			return errors.Join(printJSON(c.out, sum), unread(sum))
		}
		for _, m := range named.missing {
			fmt.Fprintf(c.err, "sallyport: %s, which %s names, is not there, and so not in the backup\n", mail.Shown(m.Path), m.Key)
		}
		c.printf("wrote %s: %s, %s, %s compressed\nmanifest %s\n", sum.Path, words.Count(sum.Files, "file"),
			fact.Octets(sum.Octets), fact.Octets(sum.Size), sum.Manifest)
		tellUnread(c, sum, "is not in the backup", "are not in the backup")
		return unread(sum)
	})
}

// unread says by the exit code that a backup lacks what could not be read.
func unread(sum backup.Summary) error {
	if sum.LeftOut > 0 {
		return errSilent
	}
	return nil
}

// tellUnread names what a backup lacks, since it could not be read.
func tellUnread(c console, sum backup.Summary, one, many string) {
	if sum.LeftOut == 0 {
		return
	}
	what := many
	if sum.LeftOut == 1 {
		what = one
	}
	fmt.Fprintf(c.err, "sallyport: %s of the mailboxes could not be read, and %s; %s in it names all:\n",
		words.Count(sum.LeftOut, "file"), what, backup.LeftOutName)
	for line := range strings.Lines(sum.Unread) {
		fmt.Fprintf(c.err, "  %s\n", mail.Shown(strings.TrimSuffix(line, "\n")))
	}
}

// namedFiles are the configuration and what it names outside the data folder.
type namedFiles struct {
	path    string
	text    []byte
	names   map[string]string // key: name in the archive
	outside []config.PathAt
	missing []config.PathAt
}

func (b backupCommand) files() (f namedFiles, err error) {
	f = namedFiles{path: b.Config, names: map[string]string{}}
	place, err := config.Locate(b.Config)
	if err != nil {
		return f, err
	}
	if f.text, err = os.ReadFile(b.Config); err != nil {
		return f, err
	}
	paths, err := config.Paths(b.Config, f.text)
	if err != nil {
		return f, err
	}
	for _, p := range paths {
		rel, err := filepath.Rel(place.Data, p.Path)
		switch {
		case err == nil && filepath.IsLocal(rel):
			f.names[p.Key] = filepath.ToSlash(filepath.Join("data", rel))
			continue
		case p.Key == "maildir.root":
			f.names[p.Key] = "mail"
			continue
		}
		if _, err := os.Stat(p.Path); errors.Is(err, fs.ErrNotExist) {
			f.missing = append(f.missing, p)
			continue
		}
		f.names[p.Key] = "files/" + strconv.Itoa(len(f.outside)+1) + "-" + filepath.Base(p.Path)
		f.outside = append(f.outside, p)
	}
	return f, nil
}

// write writes what comes from the server and what is here, as one file or not at
// all.
func (b backupCommand) write(c console, stream *operate.BackupStream, named namedFiles) (sum backup.Summary, err error) {
	h := stream.Head
	to := b.To
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		to = filepath.Join(to, "sallyport-"+h.Hostname+"-"+h.Began.UTC().Format("20060102T150405Z")+".tar.zst")
	}
	w, err := backup.Create(to)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	err = w.AddInfo(backup.Info{
		Format: backup.Format, DataFormat: h.DataFormat, Program: h.Program, Hostname: h.Hostname, Began: h.Began,
		Mailboxes: b.Mailboxes, Messages: h.Messages, Octets: h.Octets, Paths: named.names,
	})
	if err != nil {
		return sum, err
	}
	if err := named.add(w); err != nil {
		return sum, err
	}
	bar := newProgress(c, "backing up", fact.Octets)
	defer bar.end()
	err = stream.Each(func(m *tar.Header, content io.Reader) error {
		bar.at(w.Octets(), h.Octets)
		return w.Add(m, told{content, func(n int64) { bar.at(w.Octets()+n, h.Octets) }}.reader())
	})
	if err != nil {
		return sum, err
	}
	return w.Commit()
}

// told reads and tells how much was read.
type told struct {
	io.Reader
	tell func(n int64)
}

func (t told) reader() io.Reader {
	n := int64(0)
	return readerFunc(func(p []byte) (int, error) {
		m, err := t.Read(p)
		n += int64(m)
		t.tell(n)
		return m, err
	})
}

type readerFunc func(p []byte) (int, error)

// Read calls the function.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (f namedFiles) add(w *backup.Writer) error {
	if err := w.AddFile(backup.ConfigName, f.path); err != nil {
		return err
	}
	for _, p := range f.outside {
		err := filepath.WalkDir(p.Path, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(p.Path, path)
			if err != nil {
				return err
			}
			return w.AddFile(filepath.ToSlash(filepath.Join(f.names[p.Key], rel)), path)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", p.Key, err)
		}
	}
	return nil
}
