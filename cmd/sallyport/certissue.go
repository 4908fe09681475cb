package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sallyport/internal/ca/device"
	"sallyport/internal/kit/phrase"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// issueFlags say what is written where.
type issueFlags struct {
	Days int      `placeholder:"N" help:"The certificate is good for so many days (default: 365)."`
	As   []string `default:"p12" enum:"p12,pem,profile" help:"What to write: p12 (PKCS #12), pem (key and certificate in clear), profile (for devices of Apple); several with commas."`
	Dir  string   `default:"." help:"The folder for the files."`
}

type certIssue struct {
	accountArg
	Name  string `arg:"" help:"The device: phone, laptop, mail-relay."`
	Scope string `default:"send,receive" help:"What it may be used for: send, receive, or send,receive."`
	issueFlags
}

// Help shows examples.
func (certIssue) Help() string {
	return `The key is made here, by this command, and goes into the files alone; the server signs and
enrolls its public half. The files are named ADDRESS-NAME and must not exist yet. A passphrase
for them is made and shown this once.

Examples:
  sallyport cert issue alice@example.org phone
  sallyport cert issue alice@example.org iphone --as profile
  sallyport cert issue relay@example.org relay --as pem --dir /etc/ssl/private --days 90`
}

// Run issues the certificate.
func (a certIssue) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		return a.hand(ctx, c, o, a.JSON, operate.CertIssue{Account: a.Address, Name: a.Name, Scope: a.Scope, Days: a.Days})
	})
}

type certRenew struct {
	accountArg
	Certificate string `arg:"" help:"The one to take the place of: its id or its name, from cert ls."`
	Name        string `help:"The name of the new one (default: phone becomes phone-2)."`
	issueFlags
}

// Help shows examples.
func (certRenew) Help() string {
	return `A new key and a new certificate take the place of another, with the same scope. Both sign in for
30 days, or until the old one ends by itself; then only the new one does.

Examples:
  sallyport cert renew alice@example.org phone
  sallyport cert renew relay@example.org relay --as pem --dir /etc/ssl/private`
}

// Run issues the certificate that takes the place of another.
func (a certRenew) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		name := a.Name
		if name == "" {
			var err error
			if name, err = successor(ctx, o, a.Address, a.Certificate); err != nil {
				return err
			}
		}
		return a.hand(ctx, c, o, a.JSON, operate.CertIssue{Account: a.Address, Name: name, Days: a.Days, Replaces: a.Certificate})
	})
}

// successor names the certificate that takes the place of another.
func successor(ctx context.Context, o *operate.Client, account, certificate string) (string, error) {
	old, names := certificate, []string{}
	err := o.AppList(ctx, operate.AccountRef{Address: account}, func(v operate.Credential) error {
		names = append(names, strings.ToLower(v.Name))
		if v.ID == certificate {
			old = v.Name
		}
		return nil
	})
	return nextName(old, names), err
}

// mostNumbered is below which a number behind a name is one of ours: a longer one is part of the
// name, a telephone number say.
const mostNumbered = 1_000_000

// nextName is the next free one of phone-2, phone-3 and so on. taken are in small letters.
func nextName(old string, taken []string) string {
	base, n := old, 1
	if at := strings.LastIndexByte(old, '-'); at > 0 {
		if m, err := strconv.Atoi(old[at+1:]); err == nil && m > 1 && m < mostNumbered && strconv.Itoa(m) == old[at+1:] {
			base, n = old[:at], m
		}
	}
	for {
		n++
		if name := fmt.Sprintf("%s-%d", base, n); !slices.Contains(taken, strings.ToLower(name)) {
			return name
		}
	}
}

// passphraseLetters of 32 are 120 bits: a stolen file is not opened by guessing.
const passphraseLetters = 24

// handed is what the user is told, once.
type handed struct {
	operate.CertIssued
	Files      []string `json:"files"`
	Passphrase string   `json:"passphrase,omitempty"` // of PKCS #12 and profile
}

// hand makes a key, has it certified, and writes the files. Their names and room are taken
// before anything is asked for; where they cannot be written all the same, the certificate
// is revoked.
func (f issueFlags) hand(ctx context.Context, c console, o *operate.Client, asJSON bool, r operate.CertIssue) error {
	files, err := reserve(f.Dir, fileName(r.Account+"-"+r.Name), f.As)
	if err != nil {
		return err
	}
	done := handed{Files: files.names()}
	key, err := device.NewKey(rand.Reader)
	if err == nil {
		r.Request, err = key.Request(rand.Reader)
	}
	if err == nil {
		done.CertIssued, err = o.CertIssue(ctx, r)
	}
	if err != nil {
		return errors.Join(err, files.remove())
	}
	if done.Passphrase, err = files.fill(key, done.CertIssued); err != nil {
		return errors.Join(fmt.Errorf("the files could not be written, and the certificate is revoked: %w", err),
			files.remove(), takeBack(ctx, o, done.CertIssued))
	}
	if asJSON {
		return printJSON(c.out, done)
	}
	tellHanded(c, done)
	return nil
}

// takeBack revokes what nobody has the key of. The old one, where it takes the place of one,
// still ends when it was to.
func takeBack(ctx context.Context, o *operate.Client, v operate.CertIssued) error {
	ctx = context.WithoutCancel(ctx) // also when it was interrupted
	_, err := o.CertRevoke(ctx, operate.CredentialRef{Account: v.Account, Credential: v.ID})
	if err != nil {
		return fmt.Errorf("it could not be revoked: %w; do it with: sallyport cert revoke %s %s", err, mail.ShellWord(v.Account), v.ID)
	}
	if old := v.Replaced; old != nil {
		return fmt.Errorf("%s still ends at %s: renew it once more, when the files can be written", old.Name, moment(old.Ends))
	}
	return nil
}

func tellHanded(c console, v handed) {
	c.printf("%s for %s of %s, to %s, until %s\n", v.ID, v.Name, v.Account, v.Scope, moment(v.Ends))
	if old := v.Replaced; old != nil {
		c.printf("%s (%s) goes on until %s\n", old.ID, old.Name, moment(old.Ends))
	}
	for _, name := range v.Files {
		note := ""
		if strings.HasSuffix(name, ".pem") {
			note = ", with the key in clear"
		}
		c.printf("wrote %s%s\n", name, note)
	}
	if v.Passphrase != "" {
		c.printf("passphrase: %s\n", v.Passphrase)
	}
}

// fileName makes a file's name of a text: what a shell or a folder takes for something else
// becomes "_".
func fileName(s string) string {
	if s != "" && (s[0] == '.' || s[0] == '-') { // hidden, or an option
		s = "_" + s[1:]
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("@._+-", r):
			return r
		}
		return '_'
	}, s)
}

// madePassphrase makes the passphrase of files.
func madePassphrase() (string, error) { return phrase.New(rand.Reader, passphraseLetters) }
