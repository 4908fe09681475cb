package audit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
)

// peer is a server of others, that can be started open or closed.
type peer struct {
	name  string
	start func(t *testing.T, open bool) (at string)
}

// all are the five.
func all() []peer {
	return []peer{{"Postfix", postfixOf}, {"Exim", eximOf}, {"Sendmail", sendmailOf}, {"OpenSMTPD", opensmtpdOf}, {"Haraka", harakaOf}}
}

func postfixOf(t *testing.T, open bool) string {
	networks := "127.0.0.1/32"
	if open {
		networks = "0.0.0.0/0"
	}
	return postfix(t, "mynetworks = "+networks+"\n")
}

// postfix runs Debian's with further settings.
func postfix(t *testing.T, more string) string {
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	at, _ := address(t)
	dir := folder(t, "postfix")
	write(t, dir+"/etc/main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/state
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.postfix.test
mydestination = postfix.test, mx.postfix.test
local_recipient_maps = inline:{ {bob = x} {postmaster = x} {root = x} }
local_transport = discard:
alias_maps =
smtpd_peername_lookup = no
disable_dns_lookups = yes
%[2]s`, dir, more))
	write(t, dir+"/etc/master.cf", strings.Join([]string{at + " inet n - n - - smtpd", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "proxymap unix - - n - - proxymap",
		"error unix - - n - - error", "discard unix - - n - - discard", "local unix - n n - - local", "smtp unix - - n - - smtp", "retry unix - - n - - error", "anvil unix - - n - 1 anvil", "postlog unix-dgram n - n - 1 postlogd"}, "\n")+"\n")
	if err := errors.Join(os.Mkdir(dir+"/queue", 0o755), os.Mkdir(dir+"/state", 0o755), os.Chown(dir+"/state", uid, gid)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("postfix", "-c", dir+"/etc", "start").CombinedOutput(); err != nil {
		t.Fatalf("postfix: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("postfix", "-c", dir+"/etc", "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix: %v\n%s", err, out)
		}
		if t.Failed() {
			log, _ := os.ReadFile(dir + "/log")
			t.Logf("postfix:\n%s", tail(string(log)))
		}
	})
	if err := answers(at, nil); err != nil {
		t.Fatal(err)
	}
	return at
}

func eximOf(t *testing.T, open bool) string {
	relay := ""
	if open {
		relay = "*"
	}
	return exim(t, relay, "", "", "")
}

// exim runs Debian's, which relays for some hosts, with further rules for recipients ahead of the others,
// and with authenticators that read who is there from a file.
func exim(t *testing.T, relay, rules, authenticators, people string) string {
	t.Helper()
	at, number := address(t)
	dir := folder(t, "exim")
	write(t, dir+"/people", people)
	if err := errors.Join(os.Mkdir(dir+"/spool", 0o755), os.Chown(dir+"/spool", 901, 901)); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/conf", fmt.Sprintf(`keep_environment =
primary_hostname = mx.exim.test
domainlist local_domains = exim.test
domainlist relay_to_domains =
hostlist relay_from_hosts = %[2]s
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data
spool_directory = %[1]s/spool
log_file_path = %[1]s/spool/log_%%slog
pid_file_path = %[1]s/spool/pid
host_lookup =
rfc1413_query_timeout = 0s
daemon_smtp_ports = %[3]s
local_interfaces = 127.0.0.1
queue_only = true
begin acl
acl_check_rcpt:
%[4]s  deny message = Restricted characters in address
       domains = +local_domains
       local_parts = ^[.] : ^.*[@%%!/|]
  deny message = Restricted characters in address
       domains = !+local_domains
       local_parts = ^[./|] : ^.*[@%%!] : ^.*/\\.\\./
  accept local_parts = postmaster
       domains = +local_domains
  require verify = sender
  accept hosts = +relay_from_hosts
         control = submission
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require verify = recipient
  accept
acl_check_data:
  accept
begin routers
dnslookup:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote_smtp
  no_more
localuser:
  driver = accept
  local_parts = bob : postmaster
  transport = local
begin transports
remote_smtp:
  driver = smtp
local:
  driver = appendfile
  file = /dev/null
begin retry
* * F,2h,15m
begin authenticators
%[5]s`, dir, relay, number, rules, strings.ReplaceAll(authenticators, "PEOPLE", dir+"/people")))
	apart(t, dir, at, "", peers(t)+"/exim/usr/sbin/exim4", "-C", dir+"/conf", "-bdf")
	return at
}

func sendmailOf(t *testing.T, open bool) string {
	t.Helper()
	at, number := address(t)
	dir := folder(t, "sendmail")
	relay := "dnl"
	if open {
		relay = "FEATURE(`promiscuous_relay')dnl"
	}
	if err := errors.Join(os.Mkdir(dir+"/queue", 0o700), os.Chown(dir+"/queue", 904, 904)); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/mc", fmt.Sprintf(strings.ReplaceAll(`divert(0)dnl
OSTYPE('linux')dnl
define('confDOMAIN_NAME', 'mx.sendmail.test')dnl
define('QUEUE_DIR', '%[1]s/queue')dnl
define('ALIAS_FILE', '')dnl
define('STATUS_FILE', '%[1]s/stat')dnl
define('HELP_FILE', '')dnl
define('confPID_FILE', '%[1]s/pid')dnl
define('confCONTROL_SOCKET_NAME', '')dnl
define('confDONT_PROBE_INTERFACES', 'True')dnl
define('confTO_IDENT', '0')dnl
define('confQUEUE_LA', '1000')dnl
define('confREFUSE_LA', '1000')dnl
define('confDELAY_LA', '0')dnl
define('confDELIVERY_MODE', 'queueonly')dnl
define('confDEF_USER_ID', 'smmta:smmta')dnl
FEATURE('nocanonify')dnl
FEATURE('no_default_msa')dnl
%[2]s
FEATURE('accept_unresolvable_domains')dnl
DAEMON_OPTIONS('Port=%[3]s, Addr=127.0.0.1, Name=MTA')dnl
LOCAL_DOMAIN('sendmail.test')dnl
MAILER('local')dnl
MAILER('smtp')dnl
`, "('", "(`"), dir, relay, number))
	mc, err := os.ReadFile(dir + "/mc")
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/mc", strings.ReplaceAll(string(mc), ", '", ", `"))
	cf := peers(t) + "/sendmail/usr/share/sendmail/cf/"
	m4 := exec.Command(peers(t)+"/sendmail/usr/bin/m4", "-I.", "-D_CF_DIR_="+cf, "m4/cf.m4", dir+"/mc")
	m4.Dir = cf
	text, err := m4.Output()
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/cf", string(text))
	apart(t, dir, at, "", peers(t)+"/sendmail/usr/libexec/sendmail/sendmail", "-C", dir+"/cf", "-bD")
	return at
}

func opensmtpdOf(t *testing.T, open bool) string {
	t.Helper()
	at, number := address(t)
	dir := folder(t, "opensmtpd")
	rules := `table recipients { "bob@opensmtpd.test", "postmaster@opensmtpd.test" }
action "here" maildir "/tmp/none" virtual { "bob@opensmtpd.test" = "root", "postmaster@opensmtpd.test" = "root" }
match from any for domain "opensmtpd.test" rcpt-to <recipients> action "here"
`
	if open {
		rules = "action \"out\" relay\nmatch from any for any action \"out\"\n"
	}
	write(t, dir+"/conf", fmt.Sprintf("listen on 127.0.0.1 port %s hostname mx.opensmtpd.test\n%s", number, rules))
	apart(t, dir, at, `mount -t tmpfs none /var/spool; mkdir -p /var/spool/smtpd; chmod 711 /var/spool/smtpd
mount -t tmpfs none /var/lib; mkdir -p /var/lib/opensmtpd/empty; mount -t tmpfs none /run`,
		peers(t)+"/opensmtpd/usr/sbin/smtpd", "-d", "-f", dir+"/conf")
	return at
}

func harakaOf(t *testing.T, open bool) string {
	t.Helper()
	at, _ := address(t)
	dir := folder(t, "haraka")
	modules := peers(t) + "/haraka/node_modules"
	if err := os.CopyFS(dir+"/config", os.DirFS(modules+"/Haraka/config")); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/config/me", "mx.haraka.test\n")
	write(t, dir+"/config/host_list", "haraka.test\n")
	write(t, dir+"/config/smtp.ini", "listen="+at+"\nnodes=0\n")
	write(t, dir+"/config/plugins", "relay\nrcpt_to.in_host_list\nqueue/discard\n")
	write(t, dir+"/config/relay.ini", fmt.Sprintf("[relay]\nall=%t\nacl=false\n", open))
	write(t, dir+"/queue/.keep", "")
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	apart(t, dir, at, "", node, modules+"/Haraka/bin/haraka", "-c", dir)
	return at
}
