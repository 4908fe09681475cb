package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// signIn has a private Dovecot sign people in for Postfix, which leaves passwords to it; its
// processor time counts as Postfix's.
func (l *postfixLayout) signIn(ctx context.Context, i *instance) (*instance, error) {
	conf, users := filepath.Join(l.dir, "dovecot.conf"), filepath.Join(l.dir, "users")
	err := errors.Join(
		os.WriteFile(conf, []byte(l.dovecotConf(users)), 0o644),
		os.WriteFile(users, fmt.Appendf(nil, "%s:{PLAIN}%s\n", localRecipient, readerPassword), 0o644),
	)
	if err != nil {
		return nil, errors.Join(err, i.stop())
	}
	c, err := spawn(dovecotName, filepath.Join(l.dir, "dovecot.output"), exec.Command(dovecotCommand, "-F", "-c", conf))
	if err != nil {
		return nil, errors.Join(err, i.stop())
	}
	stop := i.stop
	i.stop = func() error { return errors.Join(stop(), c.stop()) }
	i.roots = append(i.roots, c.pid())
	i.enlist = func(context.Context) (sender, error) {
		return sender{address: localRecipient, password: readerPassword}, nil
	}
	for range startTimeout / pollInterval {
		if _, err := os.Stat(l.authSocket()); err == nil {
			return i, nil
		}
		if err := pause(ctx, pollInterval); err != nil {
			return nil, errors.Join(err, i.stop())
		}
	}
	return nil, errors.Join(errors.New("Dovecot opens no socket for Postfix: "+strings.TrimSpace(c.tail())), i.stop())
}

// dovecotConf is a Dovecot that signs in and does nothing else. Its passwords are in clear,
// which is the least that verifying one can cost.
func (l *postfixLayout) dovecotConf(users string) string {
	return fmt.Sprintf(`base_dir = %[1]s/dovecot-run
state_dir = %[1]s/dovecot-state
log_path = %[1]s/dovecot.log
protocols =
ssl = no
auth_mechanisms = plain
service auth {
  unix_listener %[2]s {
    mode = 0600
    user = %[3]s
  }
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[4]s
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
`, l.dir, l.authSocket(), postfixUser, users)
}
