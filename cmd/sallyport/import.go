package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/operate/migrate"
)

type importCommands struct {
	Postfix importPostfix `cmd:"" help:"Make a configuration from Postfix's, and say line by line what could not be carried over."`
}

type importPostfix struct {
	jsonFlag
	Dir   string `arg:"" help:"The folder of main.cf, such as /etc/postfix, or a copy of it."`
	Out   string `placeholder:"FILE" help:"Write the configuration to this file, which must not exist, and what it names beside it; without it, only the report is printed."`
	Root  string `placeholder:"FOLDER" help:"Where files outside of DIR are, such as /etc/aliases: / is this machine. Without it: the folder that has DIR as its etc/postfix; else only DIR."`
	Lost  bool   `help:"Report only what could not be carried over."`
	About string `placeholder:"KIND" help:"Report only this kind: recipients, delivery, trust, tls, filters, rewriting, doors, limits or other."`
}

// Help says what it reads.
func (importPostfix) Help() string {
	return `Reads main.cf, master.cf, the source text of the tables that they name, and the files of aliases
and users; nothing of Postfix is run or changed. Of a copy of /etc/postfix nothing outside the copy is
read: put aliases, mailname, passwd and resolv.conf into it by their bare names, or use --root.
Every line gets a verdict: carried over, done otherwise here, not needed, or could not be carried over
and why. Trust in networks is never carried over, nor are programs, files and lookups that ask elsewhere.
Below stand the commands that are left to be given; with --json, a line with "todo" for each.
The exit code is 1 while anything could not be carried over, or 'check' finds faults in what was made.

Examples:
  sallyport import postfix /etc/postfix                         the report alone
  sallyport import postfix /etc/postfix --lost                  what to think about
  sallyport import postfix /etc/postfix --lost --about tls
  sallyport import postfix /etc/postfix --out new.toml`
}

// Run imports.
func (i importPostfix) Run(_ context.Context, c console) error {
	if i.About != "" && !slices.Contains(migrate.Topics(), migrate.Topic(i.About)) {
		return usageError{fmt.Sprintf("--about: %q is no kind of line; they are %s", i.About, topicList())}
	}
	src := migrate.Source{
		Dir: i.configDirectory(), Read: i.read, MainFile: filepath.Join(i.Dir, "main.cf"),
		MasterFile: filepath.Join(i.Dir, "master.cf"),
	}
	var err error
	src.Main, err = os.ReadFile(src.MainFile)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w; name the folder in which main.cf lies, such as /etc/postfix", err)
	}
	if err != nil {
		return err
	}
	if src.Master, err = os.ReadFile(src.MasterFile); err != nil && !errors.Is(err, fs.ErrNotExist) { // a copy of main.cf alone will do
		return err
	}
	if src.Host, err = os.Hostname(); err != nil {
		return err
	}
	r := migrate.Import(src)
	if err := i.report(c, r); err != nil {
		return err
	}
	out := i.Out
	if out == "" {
		out = "sallyport.toml"
	} else if err := writeImport(out, r); err != nil {
		return err
	}
	_, lost := r.Lost()
	if _, err := config.Parse(out, r.Config); err != nil {
		var faults config.Faults
		if errors.As(err, &faults) {
			fmt.Fprintf(c.err, "what is missing before this is a configuration:\n%v\n", faults)
			return errSilent
		}
		return err
	}
	if lost > 0 {
		return errSilent
	}
	return nil
}

// configDirectory is where the folder was on its host: a copy has been /etc/postfix.
func (i importPostfix) configDirectory() string {
	if dir := filepath.Clean(i.Dir); strings.HasPrefix(dir, "/usr/") || strings.HasPrefix(dir, "/opt/") {
		return dir
	}
	return "/etc/postfix"
}

func topicList() string {
	var all []string
	for _, t := range migrate.Topics() {
		all = append(all, string(t))
	}
	return strings.Join(all, ", ")
}

// read reads a file that the configuration names. A copy of the folder is no reason to
// read those of the machine that it lies on.
func (i importPostfix) read(path string) ([]byte, error) {
	at, ok := i.place(path)
	if !ok {
		return nil, fmt.Errorf("%s is not in %s: put it there as %s, or name its root by --root", path, i.Dir, filepath.Base(path))
	}
	// A person's own file may be anything: nobody waits for a pipe.
	if info, err := os.Stat(at); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", path)
	}
	text, err := os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = absent{err}
	}
	return text, err
}

// absent is the error of a file of which it is known that there is none.
type absent struct{ error }

// Is implements errors.Is.
func (absent) Is(target error) bool { return target == migrate.ErrAbsent }

// Unwrap implements errors.Unwrap.
func (a absent) Unwrap() error { return a.error }

// place finds a file: in the folder, whatever it was called; below the root that the folder
// is in; or in the folder by its bare name.
func (i importPostfix) place(path string) (at string, ok bool) {
	if rest, found := strings.CutPrefix(filepath.Clean(path), filepath.Clean(i.Dir)+"/"); found {
		return filepath.Join(i.Dir, rest), true
	}
	if rest, found := strings.CutPrefix(filepath.Clean(path), "/etc/postfix/"); found {
		return filepath.Join(i.Dir, rest), true
	}
	root := i.Root
	if dir, err := filepath.Abs(i.Dir); root == "" && err == nil {
		if above, found := strings.CutSuffix(dir, "/etc/postfix"); found {
			root = above + "/"
		}
	}
	if bare := filepath.Join(i.Dir, filepath.Base(path)); root == "" || i.Root == "" && !exists(filepath.Join(root, path)) && exists(bare) {
		return bare, exists(bare)
	}
	return filepath.Join(root, path), true
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (i importPostfix) report(c console, r migrate.Result) error {
	for _, v := range r.Lines {
		if i.Lost && v.Kind != migrate.Lost || i.About != "" && string(v.Topic) != i.About {
			continue
		}
		if i.JSON {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
			continue
		}
		c.printf("%s:%d: %s: %s: %s\n", v.File, v.Line, v.What, v.Word, v.Text)
	}
	if i.JSON {
		return i.todoJSON(c, r)
	}
	i.todo(c, r)
	by, all := r.Lost()
	kinds := map[migrate.Kind]int{}
	for _, v := range r.Lines {
		kinds[v.Kind]++
	}
	c.printf("\n%s: %d carried over, %d not needed, %d done otherwise here, %d could not be carried over\n",
		words.Count(len(r.Lines), "line"), kinds[migrate.Carried], kinds[migrate.Unneeded], kinds[migrate.Changed], all)
	if all == 0 {
		return nil
	}
	var parts []string
	for _, t := range migrate.Topics() {
		if by[t] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", t, by[t]))
		}
	}
	c.printf("lost: %s\n", strings.Join(parts, ", "))
	return nil
}

// toDo is what is left to be done by one command, for programs.
type toDo struct {
	Command string   `json:"todo"` // "account add", "forward add" or "delegate add"
	Account string   `json:"account"`
	Targets []string `json:"targets,omitempty"`
	Keep    bool     `json:"keep,omitempty"`
	Address string   `json:"address,omitempty"`
}

// todoJSON prints the same as todo, for programs.
func (i importPostfix) todoJSON(c console, r migrate.Result) error {
	if i.Lost || i.About != "" {
		return nil
	}
	var all []toDo
	for _, p := range r.People {
		all = append(all, toDo{Command: "account add", Account: p})
	}
	for _, f := range r.Forwards {
		all = append(all, toDo{Command: "forward add", Account: f.Account, Targets: f.Targets, Keep: f.Keep})
	}
	for _, d := range r.Delegates {
		all = append(all, toDo{Command: "delegate add", Account: d.Account, Address: d.Address})
	}
	for _, t := range all {
		if err := printJSON(c.out, t); err != nil {
			return err
		}
	}
	return nil
}

// todo prints the commands that are left to be given.
func (i importPostfix) todo(c console, r migrate.Result) {
	if i.Lost || i.About != "" {
		return
	}
	at := ""
	if i.Out != "" {
		at = " -c " + mail.ShellWord(i.Out)
	}
	if len(r.People) > 0 {
		c.printf("\naccounts to make:\n")
		for _, p := range r.People {
			c.printf("  sallyport account add %s%s\n", mail.ShellWord(p), at)
		}
	}
	if len(r.Forwards) > 0 {
		c.printf("\nforwards to add, when the accounts are there:\n")
		for _, f := range r.Forwards {
			keep := ""
			if f.Keep {
				keep = " --keep"
			}
			c.printf("  sallyport forward add %s", mail.ShellWord(f.Account))
			for _, t := range f.Targets {
				c.printf(" %s", mail.ShellWord(t))
			}
			c.printf("%s%s\n", keep, at)
		}
	}
	if len(r.Delegates) > 0 {
		c.printf("\nrights to add, when the accounts are there:\n")
		for _, d := range r.Delegates {
			c.printf("  sallyport delegate add %s %s%s\n", mail.ShellWord(d.Account), mail.ShellWord(d.Address), at)
		}
	}
}

// writeImport writes the configuration and the files beside it, all or none; none of them may
// be there already.
func writeImport(out string, r migrate.Result) error {
	files := map[string][]byte{out: r.Config}
	for name, text := range r.Secrets {
		files[filepath.Join(filepath.Dir(out), name)] = []byte(text)
	}
	var names []string
	for name := range files {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; nothing was written", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for n, name := range names {
		err := safefile.Create(name, files[name], 0o600)
		if err == nil {
			continue
		}
		for _, written := range names[:n] {
			err = errors.Join(err, os.Remove(written))
		}
		return fmt.Errorf("nothing was written: %w", err)
	}
	return nil
}
