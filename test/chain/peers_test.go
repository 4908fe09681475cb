package chain

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// write makes a file below the test's folder and returns its path.
func (w *wire) write(name, text string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	must(w.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(w.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// owned makes a folder that a user of this host owns.
func (w *wire) owned(name, who string) (path, uid, gid string) {
	w.t.Helper()
	u, err := user.Lookup(who)
	must(w.t, err)
	path = filepath.Join(w.dir, name)
	must(w.t, os.MkdirAll(path, 0o755))
	uidN, err := strconv.Atoi(u.Uid)
	must(w.t, err)
	gidN, err := strconv.Atoi(u.Gid)
	must(w.t, err)
	must(w.t, os.Chown(path, uidN, gidN))
	return path, u.Uid, u.Gid
}

// dovecot runs a Dovecot that takes mail over LMTP for ada and abe of dove.test.
func (w *wire) dovecot() *process {
	w.t.Helper()
	mail, uid, gid := w.owned("dovecot/mail", "nobody")
	var users strings.Builder
	for _, user := range []struct{ address, quota string }{
		{"ada@dove.test", "1000000"}, {"abe@dove.test", "1000000"}, {"fay@dove.test", "1"}, {"nan@nook.test", "1000000"}, {"ned@nook.test", "1"},
	} {
		name, _, _ := strings.Cut(user.address, "@")
		fmt.Fprintf(&users, "%s::%s:%s::%s/%s::userdb_quota_rule=*:bytes=%s\n", user.address, uid, gid, mail, name, user.quota)
	}
	people := w.write("dovecot/users", users.String())
	conf := w.write("dovecot/dovecot.conf", fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = /dev/stderr
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:%%h
mail_plugins = quota
plugin {
  quota = maildir:User quota
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[2]s
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[2]s
}
service lmtp {
  inet_listener lmtp {
    address = %[3]s
    port = 24
  }
}
`, filepath.Join(w.dir, "dovecot"), people, hosts["dovecot"]))
	p := w.start("dovecot", "dovecot", "-F", "-c", conf)
	w.answers(hosts["dovecot"] + ":24")
	return p
}

// postfix is an instance of Postfix on a host of its own.
type postfix struct {
	w    *wire
	host string
	dir  string
}

// postfix runs a Postfix on a host that takes mail for these addresses alone, and
// refuses at the end of data what is said to be evil.
func (w *wire) postfix(host string, addresses ...string) *postfix {
	w.t.Helper()
	p := &postfix{w, host, filepath.Join(w.dir, host)}
	w.owned(host+"/data", "postfix")
	_, uid, gid := w.owned(host+"/mail", "postfix")
	must(w.t, os.MkdirAll(filepath.Join(p.dir, "queue"), 0o755))
	checks := w.write(host+"/checks", "/^Subject: evil/ REJECT we do not want this\n")
	var boxes, domains []string
	for _, a := range addresses {
		boxes = append(boxes, fmt.Sprintf("{%s = %s/}", a, a))
		domains = append(domains, a[strings.IndexByte(a, '@')+1:])
	}
	w.write(host+"/etc/main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = %[2]s
inet_protocols = ipv4
myhostname = %[3]s.hosts.test
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = %[4]s
virtual_mailbox_maps = inline:{ %[5]s }
virtual_mailbox_base = %[1]s/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:%[6]s
virtual_gid_maps = static:%[7]s
header_checks = regexp:%[8]s
smtpd_peername_lookup = no
smtpd_tls_security_level = none
disable_dns_lookups = yes
in_flow_delay = 0
`, p.dir, hosts[host], host, strings.Join(domains, " "), strings.Join(boxes, " "), uid, gid, checks))
	w.write(host+"/etc/master.cf", strings.Join([]string{
		hosts[host] + ":25 inet n - n - - smtpd",
		"pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
		"tlsmgr unix - - n 1000? 1 tlsmgr", "rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "flush unix n - n 1000? 0 flush",
		"proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "relay unix - - n - - smtp",
		"error unix - - n - - error", "retry unix - - n - - error", "virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd",
	}, "\n")+"\n")
	p.start()
	w.t.Cleanup(p.stop)
	return p
}

func (p *postfix) start() {
	p.w.t.Helper()
	p.w.in(p.host, "postfix", "-c", filepath.Join(p.dir, "etc"), "start")
	p.w.answers(hosts[p.host] + ":25")
}

func (p *postfix) stop() {
	p.w.t.Helper()
	p.w.in(p.host, "postfix", "-c", filepath.Join(p.dir, "etc"), "stop")
	if p.w.t.Failed() {
		log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		p.w.t.Logf("%s:\n%s", p.host, log)
	}
}

// each does something with every process of the instance, which may end meanwhile.
func (p *postfix) each(act func(pid int) error) {
	p.w.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "queue/pid/master.pid"))
	must(p.w.t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(p.w.t, err)
	for _, member := range family(p.w.t, pid) {
		if err := act(member); err != nil && err != syscall.ESRCH {
			p.w.t.Fatal(err)
		}
	}
}

// unbound runs the DNS of this world. Questions about silent.test are never answered,
// those about broken.test with REFUSED.
func (w *wire) unbound() *process {
	w.t.Helper()
	conf := w.write("dns/unbound.conf", fmt.Sprintf(`server:
  directory: "%[1]s"
  chroot: ""
  username: ""
  pidfile: "%[1]s/pid"
  use-syslog: no
  do-daemonize: no
  interface: %[2]s
  access-control: 10.77.0.0/24 allow
  module-config: "iterator"
  local-zone: "." static
  local-zone: "remote.test." static
  local-data: "remote.test. MX 10 mail.remote.test."
  local-data: "mail.remote.test. A %[3]s"
  local-zone: "trap.test." static
  local-data: "trap.test. MX 10 a.trap.test."
  local-data: "trap.test. MX 20 b.trap.test."
  local-data: "a.trap.test. A 127.0.0.1"
  local-data: "b.trap.test. A %[4]s"
  local-zone: "away.test." static
  local-data: 'away.test. TXT "v=spf1 ip4:%[5]s -all"'
  local-data: '_dmarc.away.test. TXT "v=DMARC1; p=reject"'
  local-zone: "other.test." static
  local-data: 'other.test. TXT "v=spf1 ip4:203.0.113.9 -all"'
  local-data: '_dmarc.other.test. TXT "v=DMARC1; p=reject"'
  local-zone: "silent.test." always_deny
  local-zone: "broken.test." always_refuse
`, filepath.Join(w.dir, "dns"), hosts["dns"], hosts["remote"], hosts["mx"], sender))
	p := w.start("dns", "unbound", "-d", "-c", conf)
	eventually(w.t, "the DNS answers", func() bool {
		nc, err := w.dial("client", hosts["dns"]+":53")
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return p
}
