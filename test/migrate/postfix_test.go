package migrate

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// What the sites are expected to do is what Postfix itself does with them: the same
// addresses are taken, and lead to the same people.
func TestPostfixDoesTheSame(t *testing.T) {
	heavy(t)
	if _, err := user.Lookup("postfix"); err != nil || os.Getuid() != 0 {
		t.Skip("needs Debian's postfix, and root: scripts/install-test-tools")
	}
	for _, name := range sites() {
		t.Run(name, func(t *testing.T) {
			s := open(t, name)
			at := s.postfix()
			s.compare(at, "p", s.differ, s.theirPlaces)
		})
	}
}

// postfix runs a Postfix with the site's configuration, on a port of its own, for strangers.
// Users of the host are behind LMTP, since this machine does not have them.
func (s *site) postfix() (at string) {
	s.t.Helper()
	etc := filepath.Join(s.root, "etc/postfix")
	owner, err := user.Lookup("postfix")
	must(s.t, err)
	uid, err := strconv.Atoi(owner.Uid)
	must(s.t, err)
	gid, err := strconv.Atoi(owner.Gid)
	must(s.t, err)
	for _, d := range []string{"queue", "state"} {
		must(s.t, os.MkdirAll(filepath.Join(s.dir, d), 0o755))
	}
	must(s.t, os.Chown(filepath.Join(s.dir, "state"), uid, gid))
	text, err := os.ReadFile(filepath.Join(etc, "main.cf"))
	must(s.t, err)
	main := strings.ReplaceAll(strings.ReplaceAll(string(text), "/etc/", s.root+"/etc/"), "$config_directory", etc)
	if aliases, err := os.ReadFile(filepath.Join(s.root, "etc/aliases")); err == nil { // its lists lie in the site's folder too
		must(s.t, os.WriteFile(filepath.Join(s.root, "etc/aliases"), []byte(strings.ReplaceAll(string(aliases), ":include:/etc/", ":include:"+s.root+"/etc/")), 0o644))
	}
	door := freePort(s.t)
	site := main
	over := fmt.Sprintf(`
queue_directory = %[1]s/queue
data_directory = %[1]s/state
maillog_file = %[1]s/postfix.log
maillog_file_prefixes = %[1]s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_tls_chain_files =
tls_server_sni_maps =
smtp_tls_security_level = none
smtp_dns_support_level = disabled
disable_dns_lookups = yes
in_flow_delay = 0
mailbox_size_limit = 0
mailbox_command =
home_mailbox =
fallback_transport = lmtp:inet:127.0.0.1:%[2]s
relayhost = [127.0.0.1]:%[3]s
`, s.dir, s.lmtp, s.smtp)
	if !strings.Contains(site, "\nalias_maps") {
		over += "alias_maps = hash:" + s.root + "/etc/aliases\n"
	}
	if !strings.Contains(site, "\nlocal_recipient_maps") {
		over += "local_recipient_maps = inline:{ {alice=x} {bob=x} } $alias_maps\n"
	}
	if strings.Contains(site, "\nluser_relay") { // the users that the host has come before it
		over = strings.Replace(over, "fallback_transport = ", "unused_transport = ", 1)
		over += "fallback_transport_maps = inline:{ {alice=lmtp:inet:127.0.0.1:" + s.lmtp + "} {bob=lmtp:inet:127.0.0.1:" + s.lmtp + "} }\n"
	}
	must(s.t, os.WriteFile(filepath.Join(etc, "main.cf"), []byte(without(site, over)+over), 0o644))
	must(s.t, os.WriteFile(filepath.Join(etc, "master.cf"), []byte(strings.Join([]string{
		"127.0.0.1:" + door + " inet n - n - - smtpd",
		"pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr", "tlsmgr unix - - n 1000? 1 tlsmgr",
		"rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "flush unix n - n 1000? 0 flush",
		"proxymap unix - - n - - proxymap", "smtp unix - - n - - smtp", "relay unix - - n - - smtp", "slow unix - - n - - smtp", "lmtp unix - - n - - lmtp",
		"error unix - - n - - error", "retry unix - - n - - error", "discard unix - - n - - discard", "local unix - n n - - local", "virtual unix - n n - - virtual",
		"anvil unix - - n - 1 anvil", "scache unix - - n - 1 scache", "postlog unix-dgram n - n - 1 postlogd",
	}, "\n")+"\n"), 0o644))
	s.tables(etc)
	if out, err := exec.Command("postfix", "-c", etc, "start").CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
	s.t.Cleanup(func() {
		if out, err := exec.Command("postfix", "-c", etc, "stop").CombinedOutput(); err != nil {
			s.t.Errorf("%v\n%s", err, out)
		}
		if text, err := os.ReadFile(filepath.Join(s.dir, "postfix.log")); err == nil && s.t.Failed() {
			s.t.Logf("%s", text)
		}
	})
	at = "127.0.0.1:" + door
	eventually(s.t, "Postfix answers", func() bool {
		nc, err := net.Dial("tcp", at)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	return at
}

// without returns a main.cf without what another sets: Postfix would warn of each parameter that
// is set twice, in every process, and postlogd waits for itself with what it has to say.
func without(main, over string) string {
	var kept strings.Builder
	skip := false
	for line := range strings.Lines(main) {
		if name, _, found := strings.Cut(line, "="); found && strings.Trim(line[:1], " \t#") != "" {
			skip = strings.Contains(over, "\n"+strings.TrimSpace(name)+" =")
		}
		if !skip {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// tables makes the indexed files that Postfix reads.
func (s *site) tables(etc string) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(filepath.Join(s.root, "etc"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.Contains([]string{"main.cf", "master.cf", "passwd", "mailname", "resolv.conf"}, d.Name()) {
			return err
		}
		command := "postmap"
		if text, err := os.ReadFile(path); err == nil && filepath.Base(filepath.Dir(path)) == "etc" || strings.Contains(string(text), "announce:") {
			command = "postalias"
		}
		if out, err := exec.Command(command, "-c", etc, "hash:"+path).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", command, path, err, out)
		}
		return nil
	}))
}

// theirPlaces says who got a message of Postfix. A local user is the same in every local
// domain, with a detail or without.
func (s *site) theirPlaces(token string) []string {
	places := outside(s.sink.places(token))
	for i, p := range places {
		name, host, _ := strings.Cut(p, "@")
		if slices.Contains(s.local, strings.ToLower(host)) {
			name, _, _ = strings.Cut(strings.ToLower(name), "+")
			places[i] = name + "@" + s.local[0]
		}
	}
	return places
}
