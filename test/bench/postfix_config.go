package main

import (
	"fmt"
	"os/user"
	"path/filepath"
	"strings"
)

// postfixLayout is where a private instance keeps what is its own.
type postfixLayout struct {
	dir         string // all of the below is in it
	mx          string // host:port
	submission  string // host:port
	submissions string // host:port
	sink        string // host:port that mail for remote.test is relayed to
	queueOnly   bool   // no queue manager: mail is accepted and stays
}

func (l postfixLayout) config() string     { return filepath.Join(l.dir, "etc") }
func (l postfixLayout) queue() string      { return filepath.Join(l.dir, "queue") }
func (l postfixLayout) data() string       { return filepath.Join(l.dir, "data") }
func (l postfixLayout) mail() string       { return filepath.Join(l.dir, "mail") }
func (l postfixLayout) log() string        { return filepath.Join(l.dir, "log") }
func (l postfixLayout) authSocket() string { return filepath.Join(l.dir, "auth") }
func (l postfixLayout) pidFile() string    { return filepath.Join(l.queue(), "pid", "master.pid") }
func (l postfixLayout) certFile() string   { return filepath.Join(l.config(), "cert.pem") }
func (l postfixLayout) keyFile() string    { return filepath.Join(l.config(), "key.pem") }
func (l postfixLayout) inboxPath() string  { return filepath.Join(l.mail(), "alice", "new") }

// mainCF leaves everything at Postfix's default but: what makes the instance
// private, what gives it the same mail to do as sallyport, the limits and the
// brake that would keep a load on loopback from being one, and the lookups of client
// names, which sallyport does not make. Mail and queue are synced as Postfix
// always does; it has no switch for that.
func (l postfixLayout) mainCF(owner *user.User) string {
	return fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %s
data_directory = %s
maillog_file = %s
maillog_file_prefixes = %s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.local.test
mydomain = local.test
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = local.test
virtual_mailbox_maps = inline:{ {alice@local.test = alice/} }
virtual_mailbox_base = %s
virtual_minimum_uid = 1
virtual_uid_maps = static:%s
virtual_gid_maps = static:%s
transport_maps = inline:{ {remote.test = smtp:[127.0.0.1]:%s} }
smtp_tls_security_level = none
smtpd_tls_security_level = may
smtpd_tls_chain_files = %s, %s
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
smtpd_client_recipient_rate_limit = 0
smtpd_peername_lookup = no
in_flow_delay = 0
disable_dns_lookups = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = %s
`, l.queue(), l.data(), l.log(), l.dir, l.mail(), owner.Uid, owner.Gid, portOf(l.sink), l.keyFile(), l.certFile(), l.authSocket())
}

// masterCF is Debian's, without chroot and without the services that carry no mail
// here, and without a bound on smtpd, which would refuse idle connections.
func (l postfixLayout) masterCF() string {
	services := []string{
		l.mx + " inet n - n - 0 smtpd",
		l.submissions + " inet n - n - 0 smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt",
		l.submission + " inet n - n - 0 smtpd -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes" +
			" -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_recipient_restrictions=",
		"cleanup unix n - n - 0 cleanup",
		"tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite",
		"bounce unix - - n - 0 bounce",
		"defer unix - - n - 0 bounce",
		"trace unix - - n - 0 bounce",
		"flush unix n - n 1000? 0 flush",
		"proxymap unix - - n - - proxymap",
		"smtp unix - - n - - smtp",
		"relay unix - - n - - smtp",
		"error unix - - n - - error",
		"retry unix - - n - - error",
		"virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil",
		"scache unix - - n - 1 scache",
		"postlog unix-dgram n - n - 1 postlogd",
	}
	if !l.queueOnly {
		services = append(services, "pickup unix n - n 60 1 pickup", "qmgr unix n - n 300 1 qmgr")
	}
	return strings.Join(services, "\n") + "\n"
}

// portOf returns what follows the last colon.
func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
