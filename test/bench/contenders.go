package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the servers in the samples.
const (
	ours      = "sallyport"
	theirs    = "Postfix"
	exim      = "Exim"
	opensmtpd = "OpenSMTPD"
	haraka    = "Haraka"
	floor     = "floor"

	// The same server, set up otherwise: greeting everybody at once, and used by somebody whose
	// account is an ordinary one and who writes to whom he knows.
	oursUngreeted = "sallyport, greet_delay = 0"
	oursOrdinary  = "sallyport, ordinary account"
)

// place is where and how a server is started.
type place struct {
	o         options
	dir       string // for its data
	sink      string // host:port that mail for remote.test goes to
	queueOnly bool   // it accepts and keeps, and does nothing else
}

// contender is a server that takes part.
type contender struct {
	name    string
	start   func(ctx context.Context, p place) (*instance, error)
	missing func(o options) error           // why it cannot be measured; nil: it always can
	version func(o options) (string, error) // nil: it has none of its own
	clients int                             // the most at the same time; 0: as many as are asked for
}

// opensmtpdClients is how many clients OpenSMTPD is measured with: it has the kernel keep five
// connections that wait to be taken, and of 20 that come at once most are dropped, come again
// after a second or more, or are reset. With 20 it took 6 messages a second where it took 104 with 5.
const opensmtpdClients = 5

// contenders are all of them, in the order of the tables.
func contenders() []contender {
	as := func(v variant) func(context.Context, place) (*instance, error) {
		return func(ctx context.Context, p place) (*instance, error) { return startSallyport(ctx, p, v) }
	}
	return []contender{
		{name: floor, start: startFloor},
		{name: ours, start: as(plain)},
		{name: oursUngreeted, start: as(ungreeted)},
		{name: oursOrdinary, start: as(ordinary)},
		{name: theirs, start: startPostfix, missing: postfixMissing, version: postfixVersion},
		{name: exim, start: startExim, missing: unpacked(eximProgram),
			version: debianVersion("exim/usr/share/doc/exim4-daemon-light/changelog.Debian.gz")},
		{name: opensmtpd, start: startOpenSMTPD, missing: unpacked(opensmtpdProgram), clients: opensmtpdClients,
			version: debianVersion("opensmtpd/usr/share/doc/opensmtpd/changelog.Debian.gz")},
		{name: haraka, start: startHaraka, missing: harakaMissing, version: func(o options) (string, error) {
			return npmVersion(filepath.Join(o.peers, harakaModules, "Haraka"))
		}},
	}
}

// chosen returns the contenders of a run: sallyport, and who is named in -beside.
func chosen(o options) ([]contender, error) {
	all := contenders()
	var known []string
	for _, c := range all {
		if !strings.HasPrefix(c.name, ours) {
			known = append(known, strings.ToLower(c.name))
		}
	}
	wanted := strings.FieldsFunc(strings.ToLower(o.beside), func(r rune) bool { return r == ',' || r == ' ' })
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, fmt.Errorf("-beside names %q; there are %s", w, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(c contender) bool {
		return !strings.HasPrefix(c.name, ours) && !slices.Contains(wanted, strings.ToLower(c.name))
	}), nil
}

// atOnce is how many of so many clients a server is measured with.
func (c contender) atOnce(clients int) int {
	if c.clients == 0 {
		return clients
	}
	return min(clients, c.clients)
}

// versions names those that are not built here.
func versions(o options, cs []contender) (all []string, err error) {
	for _, c := range cs {
		if c.version == nil {
			continue
		}
		v, err := c.version(o)
		if err != nil {
			return nil, fmt.Errorf("asking for the version of %s: %w", c.name, err)
		}
		all = append(all, c.name+" "+v)
	}
	return all, nil
}

// require says who of the chosen cannot be measured, of all at once.
func require(o options, cs []contender) error {
	var errs []error
	for _, c := range cs {
		if c.missing == nil {
			continue
		}
		if err := c.missing(o); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w (or leave it out with -beside)", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// unpacked demands a program below the folder of the peers.
func unpacked(program string) func(options) error {
	return func(o options) error {
		if _, err := os.Stat(filepath.Join(o.peers, program)); err != nil {
			return fmt.Errorf("%w: run ./scripts/install-audit-peers", err)
		}
		return nil
	}
}

func postfixMissing(options) error {
	for _, tool := range []string{postfixCommand, postconfCommand, dovecotCommand} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: run ./scripts/install-test-tools", err)
		}
	}
	return nil
}

func harakaMissing(o options) error {
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("%w: install Node.js with npm", err)
	}
	return unpacked(harakaModules + "/Haraka/bin/haraka")(o)
}

func postfixVersion(options) (string, error) {
	out, err := exec.Command(postconfCommand, "-dh", "mail_version").Output()
	if err != nil {
		return "", err
	}
	dovecot, err := exec.Command(dovecotCommand, "--version").Output()
	number, _, _ := strings.Cut(string(dovecot), " ")
	return strings.TrimSpace(string(out)) + " (signs in by Dovecot " + number + ")", err
}

// debianVersion reads the version of an unpacked package out of its changelog, which begins
// with it in parentheses.
func debianVersion(name string) func(options) (string, error) {
	return func(o options) (string, error) {
		f, err := os.Open(filepath.Join(o.peers, name))
		if err != nil {
			return "", err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return "", err
		}
		line, err := bufio.NewReader(z).ReadString('\n')
		if err != nil {
			return "", err
		}
		_, after, _ := strings.Cut(line, "(")
		number, _, ok := strings.Cut(after, ")")
		if !ok {
			return "", fmt.Errorf("%s begins with %q", name, line)
		}
		return number, nil
	}
}

// trusted is a sender whose network the server trusts.
func trusted(context.Context) (sender, error) { return sender{address: localRecipient}, nil }
