package walk

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/test/guide"
)

// What stands between ours and a slapd as Debian configures it: its schemas, its database {1}mdb,
// and root of the host as who may change everything over ldapi.
const slapdConfiguration = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
pidfile /run/slapd/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
referral ldap://elsewhere.example.org
TLS
database config
access to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * none
database mdb
maxsize 67108864
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
directory /var/lib/ldap/walk
access to attrs=userPassword by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by anonymous auth by * none
access to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * none
overlay memberof
overlay ppolicy
ppolicy_default "cn=policy,dc=example,dc=org"
ppolicy_use_lockout
`

const slapdTree = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: cn=policy,dc=example,dc=org
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdMustChange: TRUE
pwdMaxAge: 100000000
pwdGraceAuthNLimit: 1
pwdLockout: TRUE
pwdMaxFailure: 3

dn: ou=services,dc=example,dc=org
objectClass: organizationalUnit
ou: services

dn: cn=sallyport,ou=services,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: sallyport
userPassword: reads what it may

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups
`

const certificates = "TLSCertificateFile /etc/ldap/walk.pem\nTLSCertificateKeyFile /etc/ldap/walk.key"

// person is the LDIF of somebody with the password of everybody.
func person(uid string, more ...string) string {
	return fmt.Sprintf("\ndn: uid=%[1]s,ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nmail: %[1]s@example.org\nuserPassword: %[2]s\n%[3]s\n",
		uid, password, strings.Join(append(more, ""), "\n"))
}

// office is a world with a slapd in it, and a server that follows the guide.
type office struct {
	*follower
	stop func() // the directory
}

const officeZone = nightsZone + "ldap.example.org. 300 IN A 127.0.0.1\nother.example.org. 300 IN A 127.0.0.1\n"

func newOffice(t *testing.T) *office {
	t.Helper()
	needs(t, "slapd", "ldapmodify")
	f := follow(t, guide.Open(t, "openldap.md"), officeZone, least)
	o := &office{follower: f}
	f.swap("[auth]\n", "[auth]\nguesses = 1000\nnetwork_guesses = 10000\nguess_time = \"1m\"\n")
	names := pki.Names{Hosts: []string{"ldap.example.org"}, Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
	ca, err := pki.NewAuthority("the office", names, time.Now())
	must(t, err)
	cert, key, err := ca.Issue(names, time.Now())
	must(t, err)
	for name, text := range map[string]string{"/etc/ssl/certs/office-ca.pem": string(ca.CertPEM()), "/etc/ldap/walk.pem": string(cert), "/etc/ldap/walk.key": string(key),
		"/etc/sallyport/ldap-password": "reads what it may\n", "/etc/ldap/tree.ldif": slapdTree + people()} {
		f.write(name, text)
	}
	f.must("chmod 640 /etc/sallyport/ldap-password && mkdir -p /run/slapd /var/lib/ldap/walk")
	o.configured(certificates)
	f.must("slapadd -q -n 1 -F /etc/ldap/walk.d -l /etc/ldap/tree.ldif")
	o.run()
	o.theGroup()
	return o
}

// theGroup makes the group of those who may send, after the overlay is there, as the guide wants it.
func (o *office) theGroup() {
	o.t.Helper()
	o.entry("dn: cn=mail,ou=groups,dc=example,dc=org\nchangetype: add\nobjectClass: groupOfNames\ncn: mail\n" + members("alice", "bob", "reset", "grace", "locked", "dora", "erin", "printer"))
}

func members(uids ...string) (text string) {
	for _, uid := range uids {
		text += "member: uid=" + uid + ",ou=people,dc=example,dc=org\n"
	}
	return text
}

// people are some whom the guide's sentences are about, and as many that a list ends early.
func people() (text string) {
	text = person("alice", "mailLocalAddress: al@example.org",
		"mailLocalAddress: postmaster@example.org",
		"mailLocalAddress: al@elsewhere.example") + person("bob", "employeeType: staff") +
		person("carol") + person("reset") + person("grace", "pwdChangedTime: 20200101000000Z") + person("locked") + person("dora") + person("erin", "mailLocalAddress: same@example.org") + person("fred", "mailLocalAddress: same@example.org") + person("greta")
	for i := range 600 {
		text += person(fmt.Sprint("many", i))
	}
	return text
}

// configured makes slapd's configuration anew.
func (o *office) configured(tls string) {
	o.t.Helper()
	o.write("/etc/ldap/walk.conf", strings.Replace(slapdConfiguration, "TLS", tls, 1))
	o.must("rm -rf /etc/ldap/walk.d && mkdir /etc/ldap/walk.d && { slaptest -Q -f /etc/ldap/walk.conf -F /etc/ldap/walk.d 2>/dev/null || ls /etc/ldap/walk.d/cn=config >/dev/null; }")
}

func (o *office) run() {
	o.t.Helper()
	o.stop = o.daemon("slapd -d 0 -F /etc/ldap/walk.d -h 'ldap:/// ldapi:///'", func() bool {
		_, code := o.sh("ldapwhoami -Y EXTERNAL -H ldapi:/// 2>/dev/null")
		return code == 0
	})
}

// entry changes the directory as its administrator.
func (o *office) entry(ldif string) {
	o.t.Helper()
	o.write("/etc/ldap/change.ldif", ldif)
	o.must("ldapmodify -Q -Y EXTERNAL -H ldapi:/// -f /etc/ldap/change.ldif")
}

// set replaces an attribute of an entry or, without a value, removes it.
func (o *office) set(dn, attribute, value string) {
	o.t.Helper()
	if value != "" {
		value = attribute + ": " + value + "\n"
	}
	o.entry("dn: " + dn + "\nchangetype: modify\nreplace: " + attribute + "\n" + value)
}

func uid(name string) string { return "uid=" + name + ",ou=people,dc=example,dc=org" }

// says waits until status tells something of the directory, whose list is asked for anew.
func (o *office) says(pattern string) {
	o.t.Helper()
	o.must("sallyport reload")
	out := ""
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if out = o.must("sallyport status"); regexp.MustCompile(pattern).MatchString(strings.Join(strings.Fields(out), " ")) {
			return
		}
		if time.Now().After(until) {
			o.t.Errorf("status never says %q:\n%s", pattern, out)
			return
		}
	}
}

// The guide to OpenLDAP: its files, what slapd needs for them, each line of its tables.
func TestGuideOpenLDAP(t *testing.T) {
	o := newOffice(t)
	o.doc.EveryCommand(map[string]string{"sallyport incident release": "there was no incident; docs/operations.md is walked with one"})
	o.swap("[domain.\"example.org\"]\ndeliver = \"maildir\"\n", o.doc.Block("toml", 0))
	o.gives(0, o.doc.Command("sallyport check"), "syntax and meaning: fine")
	o.serve("sallyport serve", "127.0.0.1:25")
	o.doc.Says("OpenLDAP gives 500 entries and then an error (result 4), with pages too; a list that ends so is not taken in.")
	o.doc.Says("Before the first good list nobody knows who exists: 451.")
	o.says("never listed: .*result 32")
	o.begins("before the first list", offered(t, "alice@example.org"), "451 ")
	o.needed()
	o.gives(1, o.doc.Command("sallyport doctor"), "not clear whose these are: same@example.org")
	o.must(o.doc.Command("sallyport reload"))
	o.gives(0, o.doc.Command("sallyport status"), "directory office: 610 persons?, listed \\d+s ago", "not clear: same@example.org", "postmaster@example.org of alice@example.org")
	o.doc.Says("`account ls` and `account show` say which account comes from where")
	o.gives(0, "sallyport account ls | grep alice", "office")
	o.gives(0, "sallyport account show alice@example.org", "office", uid("alice"))
	o.doc.Says("Addresses of other domains beside it do no harm.")
	for who, want := range map[string]string{"alice@example.org": "250", "al@example.org": "250", "carol@example.org": "250", "same@example.org": "550", "nobody@example.org": "550", "al@elsewhere.example": "550"} {
		o.begins(who, offered(t, who), want)
	}
	o.everyRow(o.acts())
	o.differently()
	o.away()
	o.behind()
}

// needed gives slapd what the guide says, and shows that each part is needed and enough.
func (o *office) needed() {
	o.t.Helper()
	o.write("/root/night/sallyport.ldif", dedented(o.doc.Block("ldif", 0)))
	o.must(o.doc.Says("ldapmodify -Y EXTERNAL -H ldapi:/// -f sallyport.ldif"))
	o.says("610 p")
	out := o.must(`ldapsearch -x -LLL -H ldap:/// -D cn=sallyport,ou=services,dc=example,dc=org -w "reads what it may" -b ou=people,dc=example,dc=org "(mail=alice@example.org)" "*" +`)
	for line := range strings.Lines(strings.TrimSpace(out)) {
		name, _, _ := strings.Cut(line, ":")
		if !strings.Contains("dn objectClass mail mailLocalAddress entryUUID memberOf", strings.TrimSpace(name)) {
			o.t.Errorf("the account reads more than it needs: %s", line)
		}
	}
	o.doc.Says("groups that were there before the overlay have to be written anew")
}

// dedented is a block that stands within a list.
func dedented(block string) (text string) {
	for line := range strings.Lines(block) {
		text += strings.TrimPrefix(line, "  ")
	}
	return text
}
