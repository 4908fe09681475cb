package clients

import (
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/port"
)

// relaying is a Postfix of Debian that hands everything to the server.
type relaying struct{ dir, door string }

// needsPostfix skips where no Postfix can be run.
func needsPostfix(t *testing.T) {
	t.Helper()
	if _, err := user.Lookup("postfix"); err != nil || os.Getuid() != 0 {
		t.Skip("needs Debian's postfix, and root: scripts/install-test-tools")
	}
}

// startPostfix runs a Postfix with further settings until the test ends.
func startPostfix(t *testing.T, at, more string) relaying {
	t.Helper()
	owner, err := user.Lookup("postfix")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	gid, _ := strconv.Atoi(owner.Gid)
	r, err := port.Reserve("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "relaying") // not t.TempDir: Postfix's own user has to get there
	if err != nil {
		t.Fatal(err)
	}
	p := relaying{dir: dir, door: "127.0.0.1:" + strconv.Itoa(r.Number)}
	host, number, _ := net.SplitHostPort(at)
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/state
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.client.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
disable_dns_lookups = yes
relayhost = [%[2]s]:%[3]s
smtp_tls_security_level = encrypt
%[4]s`, dir, host, number, more)
	master := strings.Join([]string{p.door + " inet n - n - - smtpd", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "proxymap unix - - n - - proxymap",
		"smtp unix - - n - - smtp", "relay unix - - n - - smtp", "error unix - - n - - error", "retry unix - - n - - error",
		"anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd"}, "\n") + "\n"
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/queue", 0o755), os.Mkdir(dir+"/state", 0o755), os.Chown(dir+"/state", uid, gid), os.Mkdir(dir+"/etc", 0o755),
		os.WriteFile(dir+"/etc/main.cf", []byte(main), 0o644), os.WriteFile(dir+"/etc/master.cf", []byte(master), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("postfix", "-c", dir+"/etc", "start").CombinedOutput(); err != nil {
		t.Fatalf("postfix: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("postfix", "-c", dir+"/etc", "stop").CombinedOutput(); err != nil {
			t.Errorf("postfix: %v\n%s", err, out)
		}
		_ = os.RemoveAll(dir)
		_ = r.Release()
	})
	return p
}

// send hands a message to Postfix and returns what became of it: "sent", or "bounced (why)".
func (p relaying) send(t *testing.T, m sent) string {
	t.Helper()
	before := len(p.log())
	var err error
	for range 100 { // until it answers
		if err = smtp.SendMail(p.door, nil, m.from, m.to, m.octets); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("postfix takes nothing: %v\n%s", err, p.log())
	}
	status := regexp.MustCompile(`to=<` + regexp.QuoteMeta(m.to[0]) + `>.* status=(sent|(?:deferred|bounced) \(.*\))`)
	for range 150 {
		if found := status.FindStringSubmatch(p.log()[before:]); found != nil {
			return found[1]
		}
		time.Sleep(100 * time.Millisecond)
	}
	return "nothing:\n" + p.log()
}

func (p relaying) log() string {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(b)
}

func runPostfix(t *testing.T, a attempt) error {
	more := "smtp_tls_CAfile = " + a.s.CA + "\n"
	if a.implicit {
		more += "smtp_tls_wrappermode = yes\n"
	}
	if a.pem != "" {
		more += "smtp_tls_chain_files = " + a.pem + "\n"
	}
	if a.user != "" {
		more += fmt.Sprintf("smtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{ { [%s]:%s = %s:%s } }\n", a.host(), a.port(), a.user, a.password)
	}
	if a.mech() != "" { // by default it takes none that shows the password
		more += "smtp_sasl_mechanism_filter = " + strings.ToLower(a.mech()) + "\nsmtp_sasl_security_options = noanonymous\n"
	}
	// Ends with this attempt, and not with the test of all mechanisms.
	var became string
	t.Run("postfix", func(t *testing.T) { became = startPostfix(t, a.addr, more).send(t, a.message) })
	if became != "sent" {
		return errors.New("postfix: " + became)
	}
	return nil
}

const perlAttempt = `
use strict; use Net::SMTP; use Authen::SASL;
my ($implicit, $host, $port, $ca, $pem, $mech, $user, $password, $from, $to) = @ARGV;
my %tls = (SSL_ca_file => $ca, SSL_verifycn_scheme => 'none');
%tls = (%tls, SSL_cert_file => $pem, SSL_key_file => $pem) if $pem;
my $smtp = Net::SMTP->new($host, Port => $port, Hello => 'perl.client.test', ($implicit eq 'true' ? (SSL => 1, %tls) : ())) or die "no connection: $@";
$implicit eq 'true' or $smtp->starttls(%tls) or die 'no TLS: ' . $smtp->message;
if ($mech) {
	$smtp->auth(Authen::SASL->new(mechanism => $mech, callback => { user => $user, authname => '', pass => $password })) or die 'no sign-in: ' . $smtp->message;
} elsif ($user) {
	$smtp->auth($user, $password) or die 'no sign-in: ' . $smtp->message;
}
$smtp->mail($from) && $smtp->to($to) && $smtp->data or die 'refused: ' . $smtp->message;
{ local $/; $smtp->datasend(<STDIN>); }
$smtp->dataend or die 'refused: ' . $smtp->message;
$smtp->quit;
`

func runPerl(t *testing.T, a attempt) error {
	return a.run(t, a.lf(), "perl", "-e", perlAttempt, fmt.Sprint(a.implicit), a.host(), a.port(), a.s.CA, a.pem, a.mech(), a.user, a.password, a.message.from, a.to())
}
