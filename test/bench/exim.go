package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// eximProgram is where it lies below the folder of the peers.
const eximProgram = "exim/usr/sbin/exim4"

// startExim starts Debian's Exim.
func startExim(ctx context.Context, p place) (*instance, error) {
	doors, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	program, spool, conf := filepath.Join(p.o.peers, eximProgram), filepath.Join(p.dir, "spool"), filepath.Join(p.dir, "exim.conf")
	if err := os.MkdirAll(spool, 0o755); err != nil {
		return nil, err
	}
	err = errors.Join(os.Chown(spool, eximID, eximID), os.WriteFile(conf, []byte(eximConf(program, spool, doors[0], p)), 0o644))
	if err != nil {
		return nil, err
	}
	c, err := startApart(exim, p.dir, apart{Argv: []string{program, "-C", conf, "-bdf"}})
	if err != nil {
		return nil, err
	}
	i := &instance{
		name: exim, roots: []int{c.pid()}, mx: doors[0], stop: c.stop, enlist: trusted,
		queued: func(context.Context) (int, error) {
			return counted(filepath.Join(spool, "input"), func(name string) bool { return strings.HasSuffix(name, "-H") })
		},
	}
	return i, c.serves(ctx, i.mx)
}

// eximConf leaves everything at its default but what gives the instance the same mail to do,
// the brakes (how many connections, how many messages of one are delivered at once), lookups
// of client names, and that deliveries keep the user of the daemon, which spares each the
// start of a program that takes root's rights back: mail that only leaves needs none.
func eximConf(program, spool, mx string, p place) string {
	return fmt.Sprintf(`keep_environment =
primary_hostname = mx.local.test
exim_path = %[1]s
spool_directory = %[2]s
log_file_path = %[2]s/log_%%slog
pid_file_path = %[2]s/pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[3]s
acl_smtp_rcpt = rcpt
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
queue_only = %[4]t
begin acl
rcpt:
  accept domains = local.test
         local_parts = alice
  accept domains = remote.test
         hosts = 127.0.0.1
  deny message = relay not permitted
begin routers
away:
  driver = manualroute
  domains = remote.test
  route_list = * 127.0.0.1 byname
  self = send
  transport = sink
local:
  driver = accept
  domains = local.test
  local_parts = alice
  transport = nowhere
begin transports
sink:
  driver = smtp
  port = %[5]s
  allow_localhost
  hosts_avoid_tls = *
nowhere:
  driver = appendfile
  file = /dev/null
begin retry
* * F,2h,15m
`, program, spool, portOf(mx), p.queueOnly, portOf(p.sink))
}

// counted counts the files below a folder whose names are meant; a folder that is not there
// yet has none, and a file that goes meanwhile counts or not.
func counted(dir string, meant func(name string) bool) (n int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.Type().IsRegular() && meant(d.Name()) {
			n++
		}
		return err
	})
	return n, err
}
