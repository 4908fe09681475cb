package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The account whose mailbox both servers open.
const (
	readerAddress  = "alice@local.test"
	readerPassword = "a-password-for-the-benchmark"
	dovecotCommand = "dovecot"
	dovecotName    = "Dovecot"
)

// reading is a server of mailboxes that runs.
type reading struct {
	name  string
	root  int // process
	imap  string
	imaps string
	mail  string // where mail is brought: SMTP, or LMTP
	greet string // how one begins there
	tls   *tls.Config
	index []string // what of a folder is the server's index, as patterns
	cmd   *exec.Cmd
	ended chan struct{}
}

// mailboxes is the Maildir that both open, and whose it is.
type mailboxes struct {
	maildir  string
	uid, gid int
}

func newMailboxes(maildir string) (mailboxes, error) {
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return mailboxes{}, err
	}
	uid, errU := strconv.Atoi(nobody.Uid)
	gid, errG := strconv.Atoi(nobody.Gid)
	return mailboxes{maildir, uid, gid}, errors.Join(errU, errG)
}

// own gives a folder, with all in it, to the owner of the mailboxes.
func (m mailboxes) own(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, m.uid, m.gid)
	})
}

// startReading starts sallyport on dir, whose data folder holds the Maildir.
func startReading(ctx context.Context, binary, dir string, m mailboxes) (*reading, error) {
	addrs, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	cfg, err := certificateIn(dir)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "sallyport.toml")
	text := fmt.Sprintf(`hostname = "mx.local.test"
data = "data"
[listen]
mx = [%q]
imap = [%q]
imaps = [%q]
[tls]
cert = "cert.pem"
key = "key.pem"
[domain."local.test"]
deliver = "maildir"
[limits]
reading_connections_per_network = 10000
reading_connections = 10000
reading_sessions_per_account = 10000
[hijack]
mode = "off"
[mx]
delivery = "off"
[authentication]
check = "off"
[inflow]
share_messages = 1000000
share_size = "4GiB"
mailbox_messages = 1000000
mailbox_size = "4GiB"
`, addrs[0], addrs[1], addrs[2])
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o644), m.own(dir)); err != nil {
		return nil, err
	}
	as := &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(m.uid), Gid: uint32(m.gid)}}
	add := exec.CommandContext(ctx, binary, "account", "add", readerAddress, "--password-stdin", "-c", conf)
	add.Stdin, add.SysProcAttr = strings.NewReader(readerPassword+"\n"), as
	if out, err := add.CombinedOutput(); err != nil && !strings.Contains(string(out), "exists") {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	r := &reading{name: ours, imap: addrs[1], imaps: addrs[2], mail: addrs[0], greet: "EHLO", tls: cfg, index: []string{"sallyport"}}
	return r, r.launch(ctx, exec.Command(binary, "serve", "-c", conf), as, dir)
}

// startDovecot starts Debian's Dovecot on the same Maildir. Login processes are its few for many
// connections, which take the least memory.
func startDovecot(ctx context.Context, dir string, m mailboxes) (*reading, error) {
	addrs, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	cfg, err := certificateIn(dir)
	if err != nil {
		return nil, err
	}
	users := filepath.Join(dir, "users")
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/dovecot.log
protocols = imap lmtp
ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:%[2]s
mail_max_userip_connections = 0
default_client_limit = 10000
default_process_limit = 5000
service imap {
  process_limit = 5000
}
service imap-login {
  service_count = 0
  process_min_avail = 2
  inet_listener imap {
    address = 127.0.0.1
    port = %[3]s
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[4]s
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[5]s
  }
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[6]s
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[6]s
}
`, dir, m.maildir, portOf(addrs[0]), portOf(addrs[1]), portOf(addrs[2]), users)
	err = errors.Join(os.WriteFile(conf, []byte(text), 0o644),
		os.WriteFile(users, fmt.Appendf(nil, "%s:{PLAIN}%s:%d:%d::%s::\n", readerAddress, readerPassword, m.uid, m.gid, m.maildir), 0o644))
	if err != nil {
		return nil, err
	}
	r := &reading{
		name: dovecotName, imap: addrs[0], imaps: addrs[1], mail: addrs[2], greet: "LHLO", tls: cfg,
		index: []string{"dovecot.index*", "dovecot-uidlist"},
	}
	return r, r.launch(ctx, exec.Command(dovecotCommand, "-F", "-c", conf), &syscall.SysProcAttr{Setpgid: true}, dir)
}

// certificateIn makes a certificate in a folder, if there is none, and returns what trusts it.
func certificateIn(dir string) (*tls.Config, error) {
	name := filepath.Join(dir, "cert.pem")
	cert, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		var key []byte
		if cert, key, err = selfSigned("mx.local.test", time.Now()); err != nil {
			return nil, err
		}
		err = errors.Join(os.WriteFile(name, cert, 0o644), os.WriteFile(filepath.Join(dir, "key.pem"), key, 0o600))
	}
	if err != nil {
		return nil, err
	}
	return trust(cert, "mx.local.test")
}

// launch starts the server's process and waits until it serves.
func (r *reading) launch(ctx context.Context, cmd *exec.Cmd, as *syscall.SysProcAttr, dir string) error {
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, as
	if err := cmd.Start(); err != nil {
		return err
	}
	r.cmd, r.root, r.ended = cmd, cmd.Process.Pid, make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ends is told by what it no longer answers
		close(r.ended)
	}()
	return answers(ctx, r.imap, r.imaps, r.mail)
}

// stop ends the server.
func (r *reading) stop() error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.ended:
		return nil
	case <-time.After(stopTimeout):
		err := r.cmd.Process.Kill()
		<-r.ended
		return errors.Join(fmt.Errorf("%s did not stop in %s", r.name, stopTimeout), err)
	}
}

// forget removes the server's index of a folder.
func (r *reading) forget(folder string) error {
	for _, pattern := range r.index {
		found, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			return err
		}
		for _, f := range found {
			if err := os.RemoveAll(f); err != nil {
				return err
			}
		}
	}
	return nil
}
