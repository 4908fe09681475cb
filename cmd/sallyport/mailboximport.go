package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
	"sallyport/internal/moving/maildir"
	"sallyport/internal/moving/mbox"
	"sallyport/internal/moving/mboxes"
	"sallyport/internal/moving/remote"
	"sallyport/internal/operate"
)

// choiceFlags say which folders are meant.
type choiceFlags struct {
	Folder  []string `sep:"none" placeholder:"NAME" help:"This folder alone, with those below it; may be given more than once, and * stands for any word of a level."`
	Exclude []string `sep:"none" placeholder:"NAME" help:"Not this one."`
	DryRun  bool     `help:"Say what would come, and change nothing."`
}

type mailboxImport struct {
	configFlag
	jsonFlag
	choiceFlags
	Into      string `placeholder:"FOLDER" help:"Everything comes below this folder, and what was in the INBOX into it."`
	KeepNames bool   `help:"Folders keep their names also where one for the same is called otherwise here, as Sent Items."`
	Form      string `placeholder:"FORM" default:"any" enum:"any,mboxrd,mboxo,mboxcl,mboxcl2" help:"How mbox files keep messages apart: any, mboxrd, mboxo, mboxcl or mboxcl2."`

	User          string `placeholder:"NAME" help:"Whose name is signed in with on the other server; default: that of the address, or the account."`
	As            string `placeholder:"NAME" help:"Whose mailbox it is there, if --user is a master user."`
	PasswordFile  string `placeholder:"FILE" help:"Read the password for the other server from a file, one line."`
	PasswordStdin bool   `help:"Read it from standard input, one line."`
	Token         bool   `help:"What is read is an OAuth token, not a password."`
	CA            string `name:"ca" placeholder:"FILE" help:"Believe certificates that these authorities signed, and no others."`
	Fingerprint   string `placeholder:"SHA256" help:"Believe the certificate with this SHA-256, and no other."`
	NoTLS         bool   `name:"no-tls" help:"Speak imap:// without TLS: password and mail can be read on the way."`

	Account string `arg:"" help:"Into whose mailbox."`
	From    string `arg:"" help:"A Maildir, an mbox file, a folder of mbox files, or imaps://HOST, imap://HOST (with STARTTLS)."`
}

// Help says what is read and what comes of it.
func (mailboxImport) Help() string {
	return `Adds the messages of a Maildir (with folders as .Sent or within each other), of mbox files, or of
somebody's mailbox on another IMAP server to a mailbox, with flags, keywords and dates. Nothing is
changed there. Folders that are for sent mail, drafts, junk, trash and archives come into those that
are for the same here. A server that runs goes on, and who has the mailbox open sees mail come.

Each message comes once: the same command again brings what is new there, and goes on where an import
was cut off. What its owner removed here meanwhile does not come again. A message that cannot be read
is named, and the rest comes; the exit code is 1 then.

Examples:
  sallyport mailbox import alice@example.org /home/alice/Maildir
  sallyport mailbox import alice@example.org /var/mail/alice --into 'Old mail'
  sallyport mailbox import alice@example.org imaps://old.example.org --password-file /root/alice.pw
  sallyport mailbox import alice@example.org imaps://old.example.org --user master --as alice --password-file /root/master.pw
  sallyport mailbox import alice@example.org imap://old.example.org --exclude Trash --exclude Junk --dry-run`
}

// Run imports.
func (m mailboxImport) Run(ctx context.Context, c console) error {
	place, err := m.open(ctx, c)
	if err != nil {
		return err
	}
	return m.operate(ctx, c, func(o *operate.Client) error {
		err := m.bring(ctx, c, place, operatorTarget{o, m.Account, m.DryRun})
		return errors.Join(err, place.Close())
	})
}

// bring brings everything from a place.
func (m mailboxImport) bring(ctx context.Context, c console, place moving.Place, target moving.Target) error {
	return move(ctx, c, place, target,
		moving.Choice{Folders: m.Folder, Exclude: m.Exclude, Into: m.Into, Keep: m.KeepNames}, m.DryRun,
		m.JSON)
}

// move brings what was chosen of a place to a target, and says what came.
func move(ctx context.Context, c console, place moving.Place, target moving.Target, choice moving.Choice, dry, asJSON bool) error {
	folders, err := place.Folders(ctx)
	if err != nil {
		return err
	}
	steps, err := moving.Plan(folders, choice)
	if err != nil {
		return usageError{err.Error()}
	}
	of, asked := int64(0), 0
	for _, s := range steps {
		if s.Left != "" {
			continue
		}
		asked++
		if of += int64(s.From.Messages); s.From.Messages < 0 || of < 0 {
			of = -1 << 62 // nobody knows
		}
	}
	if asked == 0 {
		return errors.New("there is no such folder; there are: " + folderNames(folders))
	}
	bar := newProgress(c, "importing", func(n int64) string { return words.Count(int(n), "message") })
	defer bar.end()
	done, sum, whole := int64(0), moving.Tally{}, true
	t := newTable(c, "FROM", "TO", "FOUND", "NEW", "KNOWN", "OCTETS")
	err = moving.Import(ctx, place, target, steps, moving.Options{
		DryRun: dry,
		Tell:   func() { done++; bar.at(done, max(of, 0)) },
		Say:    func(text string) { bar.end(); fmt.Fprintln(c.err, "sallyport:", mail.Shown(text)) },
	}, func(f moving.Tally) error {
		whole = whole && f.Whole()
		sum.Found, sum.Moved, sum.There = sum.Found+f.Found, sum.Moved+f.Moved, sum.There+f.There
		sum.Octets, sum.Unreadable, sum.Refused = sum.Octets+f.Octets, sum.Unreadable+f.Unreadable, sum.Refused+f.Refused
		sum.Keywords += f.Keywords
		if f.Fault != "" {
			bar.end()
			fmt.Fprintf(c.err, "sallyport: %s: %s\n", mail.Shown(f.From), mail.Shown(f.Fault))
		}
		switch {
		case asJSON:
			return printJSON(c.out, f)
		case f.Left != "":
			t.row(f.From, "- ("+f.Left+")", "-", "-", "-", "-")
		default:
			t.row(f.From, f.To, strconv.Itoa(f.Found), strconv.Itoa(f.Moved), strconv.Itoa(f.There), fact.Octets(f.Octets))
		}
		return nil
	})
	bar.end()
	if !asJSON {
		if flushed := t.flush(); err == nil {
			err = flushed
		}
		tellMoved(c, sum, dry)
	}
	switch {
	case errors.Is(err, moving.ErrLost), errors.Is(err, context.Canceled):
		return fmt.Errorf("%w; the same command again goes on from there", err)
	case err == nil && !whole:
		return errSilent
	}
	return err
}

func tellMoved(c console, sum moving.Tally, dry bool) {
	what := "came"
	if dry {
		what = "would come"
	}
	c.printf("%s %s, %s; %s known from before\n", words.Count(sum.Moved, "message"), what,
		fact.Octets(sum.Octets), words.Count(sum.There, "message"))
	if n := sum.Unreadable + sum.Refused; n > 0 {
		c.printf("%s could not come; each is named above\n", words.Count(n, "message"))
	}
	if sum.Keywords > 0 {
		c.printf("%s were dropped, since a message or folder would have too many\n", words.Count(sum.Keywords, "keyword"))
	}
}

func folderNames(all []moving.Folder) string {
	var names []string
	for _, f := range all {
		names = append(names, f.Name)
	}
	return some(names)
}

// open opens the place that mail comes from.
func (m mailboxImport) open(ctx context.Context, c console) (moving.Place, error) {
	if u, err := url.Parse(m.From); err == nil && (u.Scheme == "imap" || u.Scheme == "imaps") {
		return m.server(ctx, c, u)
	}
	if strings.Contains(m.From, "://") {
		return nil, usageError{mail.Shown(m.From) + " is no place that mail comes from: name a folder, a file, imaps://HOST or imap://HOST"}
	}
	info, err := os.Stat(m.From)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if found, err := maildir.Open(m.From); err == nil {
			return found, nil
		}
	}
	form, _ := mbox.ParseForm(m.Form)
	local, _, _ := strings.Cut(m.Account, "@")
	return mboxes.Open(m.From, form, time.Local, local)
}

// server signs in to another server.
func (m mailboxImport) server(ctx context.Context, c console, u *url.URL) (moving.Place, error) {
	o := remote.Options{User: m.User, As: m.As, Token: m.Token, Fingerprint: m.Fingerprint, Pause: pause}
	if _, set := u.User.Password(); set {
		return nil, usageError{"a password is never part of an address, where others of this machine can see it: --password-file or --password-stdin reads it"}
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageError{"the address of a server is imaps://HOST, imaps://HOST:PORT or imap://HOST; --folder names folders"}
	}
	port := u.Port()
	switch {
	case u.Scheme == "imaps" && m.NoTLS:
		return nil, usageError{"--no-tls goes with imap://"}
	case u.Scheme == "imaps":
		port = cmp.Or(port, "993")
	case m.NoTLS:
		o.Security, port = remote.Clear, cmp.Or(port, "143")
	default:
		o.Security, port = remote.StartTLS, cmp.Or(port, "143")
	}
	o.Address = net.JoinHostPort(u.Hostname(), port)
	o.User = cmp.Or(cmp.Or(o.User, u.User.Username()), m.Account)
	if m.CA != "" {
		pem, err := os.ReadFile(m.CA)
		if err != nil {
			return nil, err
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", m.CA)
		}
	}
	var err error
	if o.Secret, err = m.secret(ctx, c, o); err != nil {
		return nil, err
	}
	place, err := remote.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Address, err)
	}
	return place, nil
}

// pause waits.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// secret reads the password from where it was said to be, or asks for it.
func (m mailboxImport) secret(ctx context.Context, c console, o remote.Options) (string, error) {
	switch {
	case m.PasswordFile != "" && m.PasswordStdin:
		return "", usageError{"--password-file and --password-stdin are two places for one password"}
	case m.PasswordFile != "":
		f, err := os.Open(m.PasswordFile)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return readLine(f)
	case m.PasswordStdin:
		return readLine(c.in)
	}
	tty, ok := c.in.(*os.File)
	if !ok || !isTerminal(tty) {
		return "", usageError{"there is no terminal to ask for a password: use --password-file or --password-stdin"}
	}
	return ask(ctx, tty, c.err, fmt.Sprintf("Password of %s at %s: ", o.User, o.Address))
}

// operatorTarget is a mailbox of ours.
type operatorTarget struct {
	o       *operate.Client
	account string
	dry     bool
}

// Came implements moving.Target.
func (t operatorTarget) Came(ctx context.Context, identity string, fn func(mailbox.Came)) error {
	return t.o.MailboxImport(ctx, operate.MailboxSource{Account: t.account, Source: identity, DryRun: t.dry}, func(m operate.MailboxCame) error {
		origin, err := mailbox.ParseOrigin(m.Origin)
		if err != nil {
			return err
		}
		c := mailbox.Came{Origin: origin, Folder: m.Folder}
		if b, err := hex.DecodeString(m.Digest); err == nil {
			copy(c.Digest[:], b)
		}
		fn(c)
		return nil
	})
}

// Add implements moving.Target.
func (t operatorTarget) Add(ctx context.Context, b moving.Batch) ([]mailbox.Arrived, error) {
	r := operate.MailboxAdd{Account: t.account, Source: b.Identity, Folder: b.Folder, Use: b.Use, Subscribe: b.Subscribe}
	for _, m := range b.Messages {
		in := operate.MailboxIncome{
			Origin: m.Origin.String(), System: m.Flags.System, Keywords: m.Flags.Keywords(), Date: m.Date,
			Size: int64(len(m.Octets)), Octets: m.Octets,
		}
		if m.Known {
			in.Digest = hex.EncodeToString(m.Digest[:])
		}
		r.Messages = append(r.Messages, in)
	}
	a, err := t.o.MailboxAdd(ctx, r)
	if err != nil {
		return nil, err
	}
	var out []mailbox.Arrived
	for i, m := range a.Messages {
		if i == len(b.Messages) {
			break
		}
		out = append(out, mailbox.Arrived{
			Origin: b.Messages[i].Origin, UID: mailbox.UID(m.UID), There: m.There, Refused: m.Refused,
			Dropped: m.Dropped,
		})
	}
	return out, nil
}
