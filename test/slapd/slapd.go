// Package slapd runs OpenLDAP's server for tests: with TLS, a password policy, groups that
// entries know of, and whatever goes wrong with a directory.
package slapd

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/internal/kit/pki"
	"sallyport/test/halt"
	"sallyport/test/port"
)

// What every directory of a test has.
const (
	Base         = "dc=local,dc=test"
	People       = "ou=people," + Base
	Admin        = "cn=admin," + Base // may do anything
	Reader       = "cn=reader," + Base
	Password     = "correct horse battery" // of everybody
	ReaderSecret = "reads what it may"
)

// Server is one slapd.
type Server struct {
	t *testing.T
	// Port speaks in clear text, and TLS after StartTLS; TLSPort in TLS from the first octet.
	Port, TLSPort int
	CA            string // file of the authority of its certificate
	dir           string
	run           *exec.Cmd
	out           bytes.Buffer
}

const settings = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile DIR/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload memberof
TLSCertificateFile DIR/server.pem
TLSCertificateKeyFile DIR/server.key
GLOBAL
database mdb
maxsize 67108864
suffix "dc=local,dc=test"
rootdn "cn=admin,dc=local,dc=test"
rootpw "correct horse battery"
directory DIR/data
LIMITS
access to attrs=userPassword by anonymous auth by self write by * none
access to * by dn.exact="cn=reader,dc=local,dc=test" read by self read by anonymous auth by * none
overlay memberof
overlay ppolicy
ppolicy_default "cn=policy,dc=local,dc=test"
LOCKOUT
database monitor
access to * by * read
`

const tree = `dn: dc=local,dc=test
objectClass: dcObject
objectClass: organization
o: local
dc: local

dn: cn=policy,dc=local,dc=test
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
POLICY

dn: cn=reader,dc=local,dc=test
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: reads what it may

dn: ou=people,dc=local,dc=test
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=local,dc=test
objectClass: organizationalUnit
ou: groups

`

// Options say what a test's directory has beside.
type Options struct {
	Global  string // lines of slapd.conf before its database
	Limits  string // within it
	Lockout bool   // tells of locked entries
	Policy  string // attributes of the password policy
	Entries string // LDIF
}

// Person is the LDIF of somebody whose password is Password.
func Person(uid string, attributes ...string) string {
	return fmt.Sprintf("dn: uid=%s,%s\nobjectClass: inetOrgPerson\nuid: %s\ncn: %s\nsn: %s\nuserPassword: %s\n%s\n\n",
		uid, People, uid, uid, uid, Password, strings.Join(attributes, "\n"))
}

// Group is the LDIF of a group, for Add: entries know of it only if it is added to a server that
// runs.
func Group(name string, members ...string) string {
	text := fmt.Sprintf("dn: %s\nobjectClass: groupOfNames\ncn: %s\n", GroupDN(name), name)
	for _, m := range members {
		text += "member: uid=" + m + "," + People + "\n"
	}
	return text + "\n"
}

// GroupDN is the name of a group.
func GroupDN(name string) string { return "cn=" + name + ",ou=groups," + Base }

// Start runs one for as long as the test runs.
func Start(t *testing.T, o Options) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{t: t, dir: dir, Port: port.Of(t, "127.0.0.1"), TLSPort: port.Of(t, "127.0.0.1")}
	files := pki.In(dir)
	if err := files.Ensure("slapd", pki.Names{Hosts: []string{"ldap.local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.CA = files.CA
	lockout := ""
	if o.Lockout {
		lockout = "ppolicy_use_lockout"
	}
	text := strings.NewReplacer("DIR", dir, "GLOBAL", o.Global, "LIMITS", o.Limits, "LOCKOUT", lockout).Replace(settings)
	ldif := strings.Replace(tree, "POLICY", o.Policy, 1) + o.Entries
	for strings.Contains(ldif, "\n\n\n") {
		ldif = strings.ReplaceAll(ldif, "\n\n\n", "\n\n")
	}
	for name, content := range map[string]string{"slapd.conf": text, "tree.ldif": ldif} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("/usr/sbin/slapadd", "-q", "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "tree.ldif")).CombinedOutput(); err != nil {
		t.Fatalf("slapadd: %v: %s", err, out)
	}
	s.Run()
	t.Cleanup(s.Stop)
	return s
}

// Run starts the server; Start has done so already.
func (s *Server) Run() {
	s.t.Helper()
	s.out.Reset()
	s.run = exec.Command("/usr/sbin/slapd", "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"),
		"-h", fmt.Sprintf("ldap://127.0.0.1:%d ldaps://127.0.0.1:%d", s.Port, s.TLSPort))
	s.run.Stdout, s.run.Stderr = &s.out, &s.out
	s.run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.run.Start(); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range []int{s.Port, s.TLSPort} {
		deadline := time.Now().Add(30 * time.Second)
		for {
			c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
			if err == nil {
				_ = c.Close()
				break
			}
			if time.Now().After(deadline) {
				s.t.Fatalf("slapd does not listen: %s", s.out.String())
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// Stop ends the server.
func (s *Server) Stop() {
	if s.run == nil {
		return
	}
	_ = s.run.Process.Signal(syscall.SIGCONT)
	_ = s.run.Process.Kill()
	_ = s.run.Wait()
	s.run = nil
}

// Freeze stops it midway: connections are taken by the kernel, and nothing is answered.
func (s *Server) Freeze() {
	s.t.Helper()
	if err := halt.Stop(s.run.Process.Pid); err != nil {
		s.t.Fatal(err)
	}
}

// Thaw lets it go on.
func (s *Server) Thaw() {
	s.t.Helper()
	if err := s.run.Process.Signal(syscall.SIGCONT); err != nil {
		s.t.Fatal(err)
	}
}

// as runs one act of somebody.
func (s *Server) as(who, password string, act func(*ldap.Conn) error) error {
	s.t.Helper()
	c, err := ldap.DialURL(fmt.Sprintf("ldap://127.0.0.1:%d", s.Port))
	if err != nil {
		s.t.Fatal(err)
	}
	defer c.Close()
	if err := c.Bind(who, password); err != nil {
		s.t.Fatal(err)
	}
	return act(c)
}

// Add adds what an LDIF of Person or Group says.
func (s *Server) Add(ldif string) {
	s.t.Helper()
	var r *ldap.AddRequest
	values := map[string][]string{}
	var order []string
	for line := range strings.Lines(ldif) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case !ok:
		case name == "dn":
			r = ldap.NewAddRequest(value, nil)
		default:
			if _, had := values[name]; !had {
				order = append(order, name)
			}
			values[name] = append(values[name], value)
		}
	}
	for _, name := range order {
		r.Attribute(name, values[name])
	}
	s.must(s.as(Admin, Password, func(c *ldap.Conn) error { return c.Add(r) }))
}

// Remove removes an entry.
func (s *Server) Remove(dn string) {
	s.t.Helper()
	s.must(s.as(Admin, Password, func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) }))
}

// Binds is how many binds the server was asked for, this one among them.
func (s *Server) Binds() (n int) {
	s.t.Helper()
	s.must(s.as(Admin, Password, func(c *ldap.Conn) error {
		r, err := c.Search(ldap.NewSearchRequest("cn=Bind,cn=Operations,cn=Monitor", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{"monitorOpInitiated"}, nil))
		if err != nil {
			return err
		}
		n, err = strconv.Atoi(r.Entries[0].GetAttributeValue("monitorOpInitiated"))
		return err
	}))
	return n
}

// Set replaces the values of an attribute of an entry; none removes it.
func (s *Server) Set(dn, attribute string, values ...string) {
	s.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace(attribute, values)
	s.must(s.as(Admin, Password, func(c *ldap.Conn) error { return c.Modify(r) }))
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
