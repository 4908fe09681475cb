package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/fact"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/operate/backup"
	"sallyport/internal/operate/format"
	"sallyport/internal/trace"
)

type restoreCommand struct {
	jsonFlag
	From string `required:"" placeholder:"FILE" help:"The backup."`
	To   string `required:"" placeholder:"DIR" help:"The folder to restore into; it must be empty or missing."`
	Hold bool   `help:"Hold all that is in the queue, until it is released by hand."`
}

// Help says what it does and what must be known.
func (restoreCommand) Help() string {
	return `Verifies the whole backup first, then writes DIR/sallyport.toml, DIR/data and what else there was, and
checks the result: the configuration, the data, and the signed log of facts. Run as root, it gives
files back to those whom they belonged to. DIR/original.toml is the configuration as it was; in
sallyport.toml only the paths are others, so that DIR can be started or moved as it is.

What was in the queue when the backup was taken may have been delivered since, and a restored server
delivers it again. With --hold nothing leaves: look with 'queue ls' and 'trace', then 'queue release'
or 'queue rm'. Never run the old server and the restored one at the same time.

Accounts and what they sign in with are as they were, too: what was frozen, contained, revoked or
changed since the backup is not. Do that anew before you serve; the old trace tells what it was.

Examples:
  sallyport restore --from /backup/sallyport-mx.example.org-20260301T020000Z.tar.zst --to /srv/restored --hold
  sallyport serve -c /srv/restored/sallyport.toml`
}

// Names in the folder that is restored into.
const (
	restoredConfig = "sallyport.toml"
	originalConfig = "original.toml"
)

// restored is what --json prints.
type restored struct {
	Config   string             `json:"config"`
	Backup   backup.Summary     `json:"backup"`
	Info     backup.Info        `json:"info"`
	Queue    int                `json:"queue"` // messages that wait
	Held     int                `json:"held"`
	Accounts int                `json:"accounts"`
	Trace    trace.VerifyReport `json:"trace"`
}

// Run restores the backup.
func (r restoreCommand) Run(ctx context.Context, c console) (err error) {
	made, err := emptyDir(r.To)
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if !whole {
			err = errors.Join(err, removeMade(r.To, made))
		}
	}()
	var out restored
	bar := newProgress(c, "verifying", fact.Octets)
	out.Info, out.Backup, err = backup.Verify(ctx, r.From, os.TempDir(), bar.at)
	bar.end()
	if err != nil {
		return fmt.Errorf("%s: %w; nothing was restored", r.From, err)
	}
	if known := format.Current(); out.Info.DataFormat > uint32(known) {
		return fmt.Errorf("%s is of data format %d, and this program knows formats up to %d: restore it with sallyport %s; nothing was restored",
			r.From, out.Info.DataFormat, known, out.Info.Program)
	}
	if err := r.extract(ctx, c, out.Info); err != nil {
		return fmt.Errorf("nothing was restored: %w", errors.Join(err, emptyAgain(r.To)))
	}
	whole = true
	if err := r.finish(ctx, c, &out); err != nil {
		return fmt.Errorf("everything was restored to %s, but it does not pass its checks: %w", r.To, err)
	}
	if r.JSON {
		err = printJSON(c.out, out)
	} else {
		r.tell(c, out)
	}
	if err == nil && !out.Trace.OK() {
		return errSilent
	}
	return err
}

func (r restoreCommand) tell(c console, out restored) {
	c.printf("restored %s of %s from %s\n", words.Count(out.Backup.Files, "file"), out.Info.Hostname, moment(out.Info.Began))
	c.printf("manifest %s\n", out.Backup.Manifest)
	c.printf("%s, %s in the queue, %d of them held\n", words.Count(out.Accounts, "account"), words.Count(out.Queue, "message"), out.Held)
	if out.Trace.OK() {
		c.printf("trace: %s, the log is whole and unchanged\n", words.Count(int(out.Trace.Facts), "fact"))
	} else {
		c.printf("trace: WRONG: %s\n", strings.Join(out.Trace.Faults, "; "))
	}
	tellUnread(c, out.Backup, "was not in the backup", "were not in the backup")
	if !out.Info.Mailboxes {
		c.printf("the backup was made without the mailboxes: bring them back before you serve\n")
	}
	path := mail.ShellWord(filepath.Join(r.To, restoredConfig))
	c.printf("\nNext:\n  sallyport check -c %s\n", path)
	c.printf("  sallyport account ls -c %s   what was frozen or revoked since the backup is good again\n", path)
	if out.Queue > 0 {
		c.printf("  sallyport queue ls -c %s     what waits may have been delivered since the backup\n", path)
	}
	c.printf("  sallyport serve -c %s\n", path)
}

// emptyDir makes a folder, or takes one that is empty. made is the topmost folder that it made, "" for none.
func emptyDir(dir string) (made string, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		made = missingFrom(filepath.Clean(dir))
		return made, os.MkdirAll(dir, 0o755)
	case err != nil:
		return "", err
	case len(entries) > 0:
		return "", fmt.Errorf("%s is not empty, and is left as it is: name a new folder", dir)
	}
	return "", nil
}

// missingFrom is the topmost folder on the way to dir that is not there.
func missingFrom(dir string) string {
	for {
		above := filepath.Dir(dir)
		if _, err := os.Lstat(above); above == dir || !errors.Is(err, fs.ErrNotExist) {
			return dir
		}
		dir = above
	}
}

// removeMade removes the folders that emptyDir made, unless something is in them by now.
func removeMade(dir, made string) error {
	if made == "" {
		return nil
	}
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		err := os.Remove(dir)
		switch {
		case errors.Is(err, syscall.ENOTEMPTY):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		case dir == made:
			return nil
		}
	}
}

// emptyAgain removes what a failed restore left in a folder that was empty.
func emptyAgain(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func (r restoreCommand) extract(ctx context.Context, c console, info backup.Info) error {
	root, err := os.OpenRoot(r.To)
	if err != nil {
		return err
	}
	defer root.Close()
	bar := newProgress(c, "restoring", fact.Octets)
	defer bar.end()
	err = backup.Extract(ctx, r.From, backup.Extraction{Root: root, Owners: os.Geteuid() == 0, Tell: bar.at, Rename: func(name string) string {
		if name == backup.ConfigName {
			return originalConfig
		}
		return name
	}})
	if err != nil {
		return err
	}
	return r.writeConfig(root, info)
}

// writeConfig writes the configuration as it was, with the paths of the new folder.
func (r restoreCommand) writeConfig(root *os.Root, info backup.Info) error {
	text, err := root.ReadFile(originalConfig)
	if err != nil {
		return err
	}
	moved, err := config.Relocate(restoredConfig, text, info.Paths)
	if err != nil {
		return err
	}
	note := "# Restored from a backup of " + info.Began.UTC().Format("2006-01-02 15:04:05 UTC") + "; only paths differ from " + originalConfig + ".\n"
	was, err := root.Stat(originalConfig)
	if err != nil {
		return err
	}
	f, err := root.OpenFile(restoredConfig, os.O_WRONLY|os.O_CREATE|os.O_EXCL, was.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(note), bytes.TrimPrefix(moved, []byte("\ufeff"))...))
	if stat, ok := was.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
		err = f.Chown(int(stat.Uid), int(stat.Gid))
	}
	return errors.Join(err, f.Sync(), f.Close(), safefile.SyncDir(r.To))
}

// finish opens what was restored, records that it was, and verifies it.
func (r restoreCommand) finish(ctx context.Context, c console, out *restored) error {
	out.Config = filepath.Join(r.To, restoredConfig)
	cfg, err := config.Load(out.Config)
	if err != nil {
		return err
	}
	n, err := node.Open(ctx, cfg, node.Options{World: node.World{Logger: quiet(c)}, Version: version(), Paused: true})
	if err != nil {
		return err
	}
	err = r.examine(ctx, n, out)
	if err = errors.Join(err, n.Close()); err != nil || os.Geteuid() != 0 {
		return err
	}
	return giveBack(cfg.Data)
}

func (r restoreCommand) examine(ctx context.Context, n *node.Node, out *restored) error {
	_, err := n.Operator().Restored(ctx, operate.Self(), operate.Restored{
		Began: out.Info.Began, Manifest: out.Backup.Manifest, Hold: r.Hold,
	})
	if err != nil {
		return err
	}
	o := operate.Direct(n.Operator())
	if out.Trace, err = o.TraceVerify(ctx); err != nil {
		return err
	}
	status, err := o.Status(ctx)
	out.Queue, out.Held, out.Accounts = status.Queue.Messages, status.Queue.Held, status.Accounts
	for _, m := range status.Missing {
		err = errors.Join(err, fmt.Errorf("%s: %s", m.What, m.Why))
	}
	return err
}

// giveBack gives what root made while it looked at a data folder to the owner of the
// folder that it lies in.
func giveBack(data string) error {
	return filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		above, err := os.Stat(filepath.Dir(path))
		if err != nil {
			return err
		}
		its, ok := info.Sys().(*syscall.Stat_t)
		folder, known := above.Sys().(*syscall.Stat_t)
		if path == data || !ok || !known || its.Uid != 0 || folder.Uid == 0 {
			return nil
		}
		return os.Lchown(path, int(folder.Uid), int(folder.Gid))
	})
}
