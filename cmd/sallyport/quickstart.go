package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/kit/pki"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/mail"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

const (
	quickstartHost   = "mx.local.test"
	quickstartDomain = "local.test"
	// quickstartBase is the port from which the doors are counted: 25, 87 and -35 beyond it give
	// 2525, 2587 and 2465, and those of mailboxes are 2643, 2993, 2610 and 2995.
	quickstartBase = 2500
	// leastBase and mostBase are between which it may be: submissions are 35 below it, and pop3s 495 above.
	leastBase = 36
	mostBase  = 65535 - 495
	// quickstartMark is the first line of a configuration that quickstart may
	// write again.
	quickstartMark = "Written by quickstart at every start. Remove this line to keep changes of yours."
)

type quickstartCommand struct {
	Dir        string            `placeholder:"DIR" help:"The folder to keep everything in (default: sallyport/quickstart below $$XDG_DATA_HOME or ~/.local/share)."`
	JSON       bool              `name:"json" help:"Print one line of JSON that tells where everything is, then serve in silence."`
	ListenBase *int              `placeholder:"PORT" help:"Listen on PORT+25, +87 and -35 for mail, and on PORT+143, +493, +110 and +495 for mailboxes (default: 2500); 0: any free ports."`
	Route      map[string]string `placeholder:"DOMAIN=smtp://HOST:PORT" mapsep:"none" help:"A next hop for a foreign domain; may be repeated."`
	Hijack     string            `enum:"enforce,observe,off" default:"enforce" help:"What follows when an account behaves as if somebody else used it (hijack.mode): enforce, observe, off. For a load of your own making: off."`
	Paused     bool              `help:"Accept and queue mail, but deliver none until started again without this."`
}

// Help shows examples.
func (quickstartCommand) Help() string {
	return `Makes a private CA, a server certificate, the domain local.test and the accounts alice and bob,
prints their passwords and commands to try, and shows what happens as it happens. Ctrl-C stops it;
started again, it has the same accounts and the same mail.

The passwords are kept readable in DIR/passwords.json (mode 0600), so that they can be printed
again. That is a convenience of the quickstart; a real server keeps no passwords.

Examples:
  sallyport quickstart
  sallyport quickstart --dir ./try --listen-base 0
  sallyport quickstart --route remote.test=smtp://127.0.0.1:2626`
}

// quickstartInfo is what --json prints.
type quickstartInfo struct {
	Hostname string              `json:"hostname"`
	Domain   string              `json:"domain"`
	Config   string              `json:"config"`
	Data     string              `json:"data"`
	CA       string              `json:"ca"`
	Listen   node.Addrs          `json:"listen"`
	Accounts []quickstartAccount `json:"accounts"`
}

type quickstartAccount struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	Maildir  string `json:"maildir"`
}

// Run makes what is missing, and serves.
func (q quickstartCommand) Run(ctx context.Context, c console) error {
	dir, err := q.dir()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	switch who, err := folderOwner(dir); {
	case err != nil:
		return err
	case !who.Here():
		return notOurs(dir, who)
	}
	files := pki.In(filepath.Join(dir, "data", "tls"))
	if err := files.Ensure("sallyport quickstart", quickstartNames(), time.Now()); err != nil {
		return err
	}
	path := filepath.Join(dir, "sallyport.toml")
	if err := notRunning(ctx, path); err != nil {
		return err
	}
	if err := q.writeConfig(path, files); err != nil {
		return err
	}
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	accounts, err := quickstartPasswords(filepath.Join(dir, "passwords.json"))
	if err != nil {
		return err
	}
	info := quickstartInfo{Hostname: cfg.Hostname.ASCII(), Domain: quickstartDomain, Config: path, Data: cfg.Data, CA: files.CA}
	for _, a := range accounts {
		local, _, _ := strings.Cut(a.Address, "@")
		a.Maildir = filepath.Join(cfg.Maildir.Root, quickstartDomain, local)
		info.Accounts = append(info.Accounts, a)
	}
	return q.serve(ctx, c, cfg, info)
}

// notRunning refuses to begin where a server runs already: the flags of this start would be
// written into its configuration.
func notRunning(ctx context.Context, path string) error {
	place, err := config.Locate(path)
	if err != nil {
		return nil // there is none yet, or it is written again
	}
	client, err := operate.Dial(ctx, place.Socket())
	if err != nil {
		return nil // nobody answers; what else is wrong there shows when it is opened
	}
	client.Close()
	return alreadyRunning(place)
}

// serve adds the accounts that are missing, tells where everything is, and serves.
func (q quickstartCommand) serve(ctx context.Context, c console, cfg config.Config, info quickstartInfo) error {
	o := node.Options{World: node.World{Logger: quiet(c), Commands: commandsFor(cfg.File)}, Version: version(), Paused: q.Paused}
	if !q.JSON {
		o.Events = happening(c)
	} else {
		o.Logger = slog.New(slog.NewTextHandler(c.err, nil))
	}
	err := serve(ctx, cfg, o, func(n *node.Node) error {
		if err := addMissing(ctx, operate.Direct(n.Operator()), info.Accounts); err != nil {
			return err
		}
		info.Listen = n.Addrs()
		if q.JSON {
			return printJSON(c.out, info)
		}
		c.lines(welcome(info))
		return nil
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w, with --listen-base", err)
	}
	return err
}

// addMissing makes the accounts that do not exist.
func addMissing(ctx context.Context, o *operate.Client, accounts []quickstartAccount) error {
	for _, a := range accounts {
		_, err := o.AccountAdd(ctx, operate.AccountAdd{Address: a.Address, Password: a.Password, Role: "person"})
		var known *operate.Error
		if err != nil && !(errors.As(err, &known) && known.Code == operate.CodeExists) {
			return err
		}
	}
	return nil
}

// dir returns the folder, absolute.
func (q quickstartCommand) dir() (string, error) {
	if q.Dir != "" {
		return filepath.Abs(q.Dir)
	}
	if base := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "sallyport", "quickstart"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usageError{"there is no home folder: name a folder with --dir"}
	}
	return filepath.Join(home, ".local", "share", "sallyport", "quickstart"), nil
}

func quickstartNames() pki.Names {
	return pki.Names{
		Hosts:     []string{quickstartHost, "localhost"},
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()},
	}
}

// writeConfig writes the configuration that the flags ask for, unless the user has
// made the file their own.
func (q quickstartCommand) writeConfig(path string, files pki.Files) error {
	t, err := q.template(files)
	if err != nil {
		return err
	}
	text := t.Text()
	old, err := os.ReadFile(path)
	switch {
	case err == nil && !bytes.HasPrefix(old, []byte("# "+quickstartMark)):
		if q.ListenBase != nil || len(q.Route) > 0 {
			return usageError{path + " was changed by hand, so that --listen-base and --route cannot be written into it; edit it, or name another --dir"}
		}
		return nil
	case err == nil && bytes.Equal(old, text):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := config.Parse(path, text); err != nil {
		return fmt.Errorf("these flags make no configuration:\n%w", err)
	}
	return safefile.Replace(path, text, 0o600)
}

func (q quickstartCommand) template(files pki.Files) (t config.Template, err error) {
	if t.Hostname, err = mail.ParseDomain(quickstartHost); err != nil {
		return t, err
	}
	if t.Domain, err = mail.ParseDomain(quickstartDomain); err != nil {
		return t, err
	}
	t.Preamble = []string{quickstartMark, "", "A server on loopback. Every key is explained in docs/config.md."}
	t.Sendmail = "sendmail.sock"
	if q.Hijack != (config.Hijack{}).Mode.String() {
		t.Hijack = q.Hijack
	}
	t.Users = map[string]string{strconv.Itoa(os.Geteuid()): "alice@" + quickstartDomain}
	t.Data, t.Cert, t.Key, t.NoMX = "data", files.Cert, files.Key, true
	if err = q.doors(&t); err != nil {
		return t, err
	}
	for _, domain := range slices.Sorted(maps.Keys(q.Route)) {
		t.Routes = append(t.Routes, config.TemplateRoute{Domain: domain, To: q.Route[domain]})
	}
	return t, nil
}

// doors sets the listening addresses.
func (q quickstartCommand) doors(t *config.Template) error {
	base := quickstartBase
	if q.ListenBase != nil {
		base = *q.ListenBase
	}
	port := func(offset int) string {
		if base == 0 {
			offset = 0
		}
		return net.JoinHostPort("127.0.0.1", strconv.Itoa(base+offset))
	}
	if base != 0 && (base < leastBase || base > mostBase) {
		return usageError{fmt.Sprintf("--listen-base must be 0, or %d to %d", leastBase, mostBase)}
	}
	t.MX, t.Submission, t.Submissions = port(25), port(87), port(-35)
	t.IMAP, t.IMAPS, t.POP3, t.POP3S = port(143), port(493), port(110), port(495)
	return nil
}

// quickstartPeople are the accounts, in the order in which the welcome tells of them.
func quickstartPeople() []string { return []string{"alice", "bob"} }

// quickstartPasswords reads the accounts' passwords, or makes them. They are on
// disk before the accounts are made, so that a crash between loses none.
func quickstartPasswords(path string) ([]quickstartAccount, error) {
	text, err := os.ReadFile(path)
	if err == nil {
		var accounts []quickstartAccount
		if err := json.Unmarshal(text, &accounts); err != nil {
			return nil, fmt.Errorf("%s: %w; put it back as it was, or name a new --dir", path, err)
		}
		if len(accounts) < len(quickstartPeople()) {
			return nil, fmt.Errorf("%s names fewer than the %d accounts that quickstart tells of: put it back as it was, or name a new --dir", path, len(quickstartPeople()))
		}
		return accounts, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var accounts []quickstartAccount
	for _, local := range quickstartPeople() {
		password, err := newPassword()
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, quickstartAccount{Address: local + "@" + quickstartDomain, Password: password})
	}
	if text, err = json.MarshalIndent(accounts, "", "  "); err != nil {
		return nil, err
	}
	return accounts, safefile.Replace(path, append(text, '\n'), 0o600)
}
