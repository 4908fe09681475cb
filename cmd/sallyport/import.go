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

	"sallyport/internal/config"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/operate/migrate"
)

type importCommands struct {
	Postfix importPostfix `cmd:"" help:"Make a configuration from Postfix's, and say line by line what could not be carried over."`
}

type importPostfix struct {
	jsonFlag
	Dir string `arg:"" help:"The folder of main.cf, such as /etc/postfix, or a copy of it."`
	Out string `placeholder:"FILE" help:"Write the configuration to this file, which must not exist, and what it names beside it; without it, only the report is printed."`
}

// Help says what it reads.
func (importPostfix) Help() string {
	return `Reads main.cf, the source text of the tables that it names, the file of aliases, and master.cf where it is;
nothing of Postfix is run or changed. Names below /etc/postfix are read in DIR. Every line of main.cf and master.cf
gets a verdict: carried over as what, could not be carried over and why, or not needed. Trust in networks is never carried over, nor are programs, files and
lookups that ask elsewhere. The exit code is 1 while 'check' finds faults in what was made.

Examples:
  sallyport import postfix /etc/postfix                         the report alone
  sallyport import postfix /etc/postfix --out new.toml`
}

// Run imports.
func (i importPostfix) Run(_ context.Context, c console) error {
	path := filepath.Join(i.Dir, "main.cf")
	main, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	r := migrate.Import(main, path, i.Dir, host, i.read)
	services := filepath.Join(i.Dir, "master.cf")
	switch text, err := os.ReadFile(services); {
	case err == nil:
		r.Lines = append(r.Lines, migrate.MasterVerdicts(text, services)...)
	case !errors.Is(err, fs.ErrNotExist): // a copy of main.cf alone will do
		return err
	}
	if err := i.report(c, r); err != nil {
		return err
	}
	out := i.Out
	if out == "" {
		out = "sallyport.toml"
	} else if err := writeImport(out, r); err != nil {
		return err
	}
	if _, err := config.Parse(out, r.Config); err != nil {
		var faults config.Faults
		if errors.As(err, &faults) {
			fmt.Fprintf(c.err, "what is missing before this is a configuration:\n%v\n", faults)
			return errSilent
		}
		return err
	}
	return nil
}

// read reads a file that the configuration names.
func (i importPostfix) read(path string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(path, "/etc/postfix/"); ok {
		path = filepath.Join(i.Dir, rest)
	} else if _, err := os.Stat(filepath.Join(i.Dir, filepath.Base(path))); err == nil && path == "/etc/aliases" {
		// A copy of the folder may have it beside main.cf.
		path = filepath.Join(i.Dir, "aliases")
	}
	return os.ReadFile(path)
}

func (i importPostfix) report(c console, r migrate.Result) error {
	for _, v := range r.Lines {
		if i.JSON {
			if err := printJSON(c.out, v); err != nil {
				return err
			}
			continue
		}
		c.printf("%s:%d: %s: %s: %s\n", v.File, v.Line, v.What, v.Word, v.Text)
	}
	if !i.JSON && len(r.People) > 0 {
		c.printf("\naccounts to make:\n")
		for _, p := range r.People {
			c.printf("  sallyport account add %s\n", p)
		}
	}
	return nil
}

// writeImport writes the configuration and the files beside it; none of them may be
// there already.
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
	for _, name := range names {
		if err := safefile.Create(name, files[name], 0o600); err != nil {
			return err
		}
	}
	return nil
}
