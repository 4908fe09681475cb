package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The programs of Postfix, and the user that Debian runs it as.
const (
	postfixCommand  = "postfix"
	postconfCommand = "postconf"
	postfixUser     = "postfix"
)

// startPostfix starts a private instance below dir.
func startPostfix(ctx context.Context, p place) (*instance, error) {
	l := &postfixLayout{dir: p.dir, sink: p.sink, queueOnly: p.queueOnly}
	cfg, err := l.prepare()
	if err != nil {
		return nil, fmt.Errorf("preparing Postfix: %w", err)
	}
	// Without the context: a start that is cut short could leave a master behind that
	// nobody knows of.
	if out, err := exec.Command(postfixCommand, "-c", l.config(), "start").CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("postfix start: %w: %s%s", err, out, l.complaints()), l.stop())
	}
	root, err := l.master(ctx)
	if err != nil {
		return nil, errors.Join(err, l.stop())
	}
	i := &instance{
		name: theirs, roots: []int{root}, mx: l.mx, submission: l.submission, submissions: l.submissions,
		inbox: l.inboxPath(), queued: l.queued, tls: cfg, enlist: trusted, stop: l.stop,
	}
	if err := answers(ctx, i.mx, i.submission, i.submissions); err != nil {
		return nil, errors.Join(err, i.stop())
	}
	if !p.queueOnly {
		return i, nil
	}
	return l.signIn(ctx, i)
}

// prepare makes the folders and files of the instance, and what a client needs to
// trust it.
func (l *postfixLayout) prepare() (*tls.Config, error) {
	owner, err := user.Lookup(postfixUser)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{l.config(), l.queue(), l.data(), l.mail()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Chown(l.data(), uid, gid), os.Chown(l.mail(), uid, gid)); err != nil {
		return nil, err
	}
	doors, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	l.mx, l.submissions, l.submission = doors[0], doors[1], doors[2]
	cert, key, err := selfSigned("mx.local.test", time.Now())
	if err != nil {
		return nil, err
	}
	cfg, err := trust(cert, "mx.local.test")
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(l.certFile(), cert, 0o644), os.WriteFile(l.keyFile(), key, 0o600),
		os.WriteFile(filepath.Join(l.config(), "main.cf"), []byte(l.mainCF(owner)), 0o644),
		os.WriteFile(filepath.Join(l.config(), "master.cf"), []byte(l.masterCF()), 0o644),
		l.silenceWakeUps(uid, gid),
	)
	return cfg, err
}

// silenceWakeUps puts a socket that nobody listens on where cleanup looks for the
// queue manager to wake up. Without it an instance that has no queue manager logs a
// warning for each message, a cost that it would be unfair to measure.
func (l *postfixLayout) silenceWakeUps(uid, gid int) error {
	if !l.queueOnly {
		return nil
	}
	public := filepath.Join(l.queue(), "public")
	if err := os.MkdirAll(public, 0o710); err != nil {
		return err
	}
	postdrop, err := user.LookupGroup("postdrop")
	if err != nil {
		return err
	}
	group, err := strconv.Atoi(postdrop.Gid)
	if err != nil {
		return err
	}
	path := filepath.Join(public, "qmgr")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false)
	return errors.Join(ln.Close(), os.Chown(public, uid, group), os.Chown(path, uid, gid))
}

// pid reads the process id of the instance's master; 0: there is none.
func (l *postfixLayout) pid() (int, error) {
	b, err := os.ReadFile(l.pidFile())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// master waits for the process id of the instance's master.
func (l *postfixLayout) master(ctx context.Context) (int, error) {
	for begun := time.Now(); ; {
		// Until the master has written it, the file may be empty.
		if pid, err := l.pid(); err == nil && pid != 0 {
			return pid, nil
		}
		if time.Since(begun) > startTimeout {
			return 0, fmt.Errorf("the master of Postfix did not start%s", l.complaints())
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

// queued counts the files of the queue that hold mail.
func (l *postfixLayout) queued(context.Context) (int, error) {
	sum := 0
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred", "hold", "corrupt"} {
		err := filepath.WalkDir(filepath.Join(l.queue(), queue), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				sum++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// stop ends the instance, with SIGKILL for what does not end otherwise, and reports
// what it complained of while it ran. It does not take a context: an interrupted run
// stops its servers too.
func (l *postfixLayout) stop() error {
	root, err := l.pid()
	if err != nil || root == 0 {
		return err
	}
	left, err := procfs("/proc").tree(root)
	if err != nil {
		return errors.Join(fmt.Errorf("Postfix had already ended: %w", err), l.verdict())
	}
	if out, stopErr := exec.Command(postfixCommand, "-c", l.config(), "stop").CombinedOutput(); stopErr != nil {
		err = fmt.Errorf("postfix stop: %w: %s", stopErr, out)
	}
	for _, p := range left {
		if !alive(p.pid) {
			continue
		}
		if killErr := syscall.Kill(p.pid, syscall.SIGKILL); killErr != nil && !errors.Is(killErr, syscall.ESRCH) {
			err = errors.Join(err, fmt.Errorf("process %d of Postfix survives: %w", p.pid, killErr))
		}
	}
	return errors.Join(err, l.verdict())
}

// verdict is an error if the instance complained.
func (l *postfixLayout) verdict() error {
	if c := l.complaints(); c != "" {
		return errors.New("Postfix complained:" + c)
	}
	return nil
}

// alive reports, for a while after a stop, whether a process still runs.
func alive(pid int) bool {
	for range 100 {
		if syscall.Kill(pid, 0) != nil {
			return false
		}
		time.Sleep(pollInterval)
	}
	return true
}

// maxComplaints bounds what is shown of a log.
const maxComplaints = 5

// complaints returns the first warnings and errors of the instance's log.
func (l *postfixLayout) complaints() string {
	b, err := os.ReadFile(l.log())
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		return "\n" + err.Error()
	}
	return complaintsIn(string(b))
}

// complaintsIn finds the lines that Postfix marks as warning, error, fatal or panic,
// and mail that it could not deliver at once.
func complaintsIn(log string) string {
	var found []string
	for line := range strings.Lines(log) {
		if complains(line) && len(found) < maxComplaints {
			found = append(found, "\n\t"+strings.TrimSpace(line))
		}
	}
	return strings.Join(found, "")
}

func complains(line string) bool {
	// Kernels since 6.13 stamp files with a finer clock than time(2) reads, so that at
	// the turn of a second a file seems to be of the next. It costs that one message
	// two system calls.
	for _, harmless := range []string{"file system clock is 1 seconds ahead of local clock", "resetting file time stamps"} {
		if strings.Contains(line, harmless) {
			return false
		}
	}
	for _, mark := range []string{": warning: ", ": error: ", ": fatal: ", ": panic: ", "status=deferred", "status=bounced"} {
		if strings.Contains(line, mark) {
			return true
		}
	}
	return false
}
