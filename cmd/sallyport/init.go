package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/mail"
)

type initCommand struct {
	Dir      string `required:"" placeholder:"DIR" help:"The folder to write sallyport.toml to; made where it is missing."`
	Hostname string `required:"" placeholder:"NAME" help:"The name of this server in the DNS."`
	Domain   string `required:"" placeholder:"NAME" help:"The domain to receive mail for."`
	Data     string `placeholder:"DIR" help:"The folder for queue, accounts, trace and mailboxes (default: data in DIR)."`
	Cert     string `placeholder:"FILE" help:"The certificate chain; opens submission and imap, with --key."`
	Key      string `placeholder:"FILE" help:"Its private key."`
}

// Help shows examples.
func (initCommand) Help() string {
	return `Writes DIR/sallyport.toml and makes the data folder. The configuration is closed: it takes mail
for one domain, and relays for nobody. An existing file is never touched.

Examples:
  sallyport init --dir /etc/sallyport --hostname mx.example.org --domain example.org --data /var/lib/sallyport
  sallyport init --dir ./try --hostname mx.example.org --domain example.org --cert chain.pem --key key.pem`
}

// Run writes the configuration.
func (i initCommand) Run(_ context.Context, c console) error {
	t, err := i.template()
	if err != nil {
		return err
	}
	path := filepath.Join(i.Dir, "sallyport.toml")
	text := t.Text()
	// What is written is checked first: nobody should begin with a broken file.
	cfg, err := config.Parse(path, text)
	if err != nil {
		return err
	}
	exists := fmt.Errorf("%s exists already, and is left as it is", path)
	if _, err := os.Lstat(path); err == nil {
		return exists
	}
	// The file comes last: what keeps the folders from being made can be put right, and the
	// same command given again.
	if err := os.MkdirAll(i.Dir, 0o755); err != nil {
		return unwritable(err)
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return unwritable(err)
	}
	err = safefile.Create(path, text, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return exists
	}
	if err != nil {
		return unwritable(err)
	}
	i.tell(c, path)
	return nil
}

// unwritable says what helps who may not write where a configuration is to be.
func unwritable(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as root, or name folders of your own with --dir and --data", err)
	}
	return err
}

func (i initCommand) tell(c console, path string) {
	c.printf("wrote %s\n\nNext:\n", path)
	if i.Cert == "" {
		c.printf("  edit %s: name a certificate in [tls], or let [acme] obtain one, and open submission and imaps in [listen], to let people send and read\n",
			path)
	}
	at := mail.ShellWord(path)
	c.printf("  sallyport check -c %s\n  sallyport account add you@%s -c %s\n  sallyport domain records %s -c %s    what the DNS has to say\n  sallyport serve -c %s\n",
		at, i.Domain, at, i.Domain, at, at)
	c.printf("\nFor good, let systemd run it: docs/lifecycle.md says how.\n")
}

func (i initCommand) template() (t config.Template, err error) {
	if t.Hostname, err = mail.ParseHostname(i.Hostname); err != nil {
		return t, usageError{"--hostname: " + err.Error()}
	}
	if t.Domain, err = mail.ParseHostname(i.Domain); err != nil {
		return t, usageError{"--domain: " + err.Error()}
	}
	if (i.Cert == "") != (i.Key == "") {
		return t, usageError{"--cert and --key go together"}
	}
	if t.Data = "data"; i.Data != "" {
		if t.Data, err = filepath.Abs(i.Data); err != nil {
			return t, err
		}
	}
	t.MX, t.Both = "0.0.0.0:25", hasIPv6()
	if i.Cert != "" {
		if t.Cert, err = filepath.Abs(i.Cert); err != nil {
			return t, err
		}
		if t.Key, err = filepath.Abs(i.Key); err != nil {
			return t, err
		}
		t.Submission, t.Submissions = "0.0.0.0:587", "0.0.0.0:465"
		t.IMAP, t.IMAPS = "0.0.0.0:143", "0.0.0.0:993"
	}
	t.Preamble = []string{
		"The configuration of sallyport. Every key is explained in docs/config.md.",
		"Check it after each change: sallyport check -c " + mail.ShownLine(filepath.Join(i.Dir, "sallyport.toml"), maxShownPath),
	}
	return t, nil
}

// maxShownPath bounds a path in a comment. A folder's name may not end it.
const maxShownPath = 4096

// hasIPv6 reports whether this host can listen on IPv6 at all: an address that cannot be
// bound would keep the server from starting.
func hasIPv6() bool {
	ln, err := net.Listen("tcp6", "[::]:0")
	return err == nil && ln.Close() == nil
}
