package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// opensmtpdProgram is where it lies below the folder of the peers.
const opensmtpdProgram = "opensmtpd/usr/sbin/smtpd"

// startOpenSMTPD starts Debian's OpenSMTPD. Its folders are in its program, so that folders
// of the instance are put in their place.
func startOpenSMTPD(ctx context.Context, p place) (*instance, error) {
	doors, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	spool, lib, runs := filepath.Join(p.dir, "spool"), filepath.Join(p.dir, "lib"), filepath.Join(p.dir, "run")
	conf := filepath.Join(p.dir, "smtpd.conf")
	err = errors.Join(
		os.MkdirAll(filepath.Join(spool, "smtpd"), 0o711), os.MkdirAll(filepath.Join(lib, "opensmtpd", "empty"), 0o755),
		os.MkdirAll(runs, 0o755), os.WriteFile(conf, []byte(opensmtpdConf(doors[0], p)), 0o600),
	)
	if err != nil {
		return nil, err
	}
	argv := []string{filepath.Join(p.o.peers, opensmtpdProgram), "-d", "-f", conf}
	if p.queueOnly {
		argv = append(argv, "-P", "mta", "-P", "mda")
	}
	c, err := startApart(opensmtpd, p.dir, apart{Argv: argv, Mounts: map[string]string{"/var/spool": spool, "/var/lib": lib, "/run": runs}})
	if err != nil {
		return nil, err
	}
	i := &instance{
		name: opensmtpd, roots: []int{c.pid()}, mx: doors[0], stop: c.stop, enlist: trusted,
		queued: func(context.Context) (int, error) {
			return counted(filepath.Join(spool, "smtpd", "queue"), func(name string) bool { return name == "message" })
		},
	}
	return i, c.serves(ctx, i.mx)
}

// opensmtpdConf leaves everything at its default but the bound on messages of a session, and,
// to one destination, the bounds on connections, of which the others make 20, and the seconds
// between them.
func opensmtpdConf(mx string, p place) string {
	return fmt.Sprintf(`smtp limit max-mails 1000000
mta limit max-conn-per-host 20 max-conn-per-route 20 max-conn-per-connector 20 max-conn-per-relay 20
mta limit conn-delay-host 0 conn-delay-route 0 conn-delay-source 0 conn-delay-connector 0 conn-delay-relay 0 conn-delay-domain 0 reconn-delay-route 0
listen on 127.0.0.1 port %[1]s hostname mx.local.test
action "sink" relay host "smtp://%[2]s"
match from any for domain "local.test" rcpt-to "alice@local.test" action "sink"
match from src 127.0.0.1 for domain "remote.test" action "sink"
`, portOf(mx), p.sink)
}
