package walk

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/test/guide"
)

// The passwords of this domain; a domain controller wants capitals and figures.
const (
	ownPassword   = "Correct-Horse-1"
	administrator = "Correct-Horse-2"
)

// controller is a world with a domain controller in it: Debian's Samba, which answers as those of
// Microsoft do, result 49 with its codes included.
type controller struct {
	*follower
}

func newController(t *testing.T) *controller {
	t.Helper()
	needs(t, "samba", "samba-tool", "ldapmodify")
	zone := nightsZone + "dc1.example.org. 300 IN A 127.0.0.1\ndc2.example.org. 300 IN A 127.0.0.2\n"
	c := &controller{follow(t, guide.Open(t, "active-directory.md"), zone, least)}
	c.swap("[auth]\n", "[auth]\nguesses = 1000\nnetwork_guesses = 10000\nguess_time = \"1m\"\n")
	names := pki.Names{Hosts: []string{"dc1.example.org", "dc2.example.org"}}
	ca, err := pki.NewAuthority("the office", names, time.Now())
	must(t, err)
	cert, key, err := ca.Issue(names, time.Now())
	must(t, err)
	c.write("/etc/sallyport/office-ca.pem", string(ca.CertPEM()))
	c.write("/etc/samba-cert.pem", string(cert))
	c.write("/etc/samba-key.pem", string(key))
	c.write("/etc/sallyport/ldap-password", "Reads-What-1-May\n")
	c.must("chmod 600 /etc/samba-key.pem; chmod 640 /etc/sallyport/ldap-password; rm -rf /etc/samba/smb.conf /var/lib/samba/private /var/lib/samba/sysvol; mkdir -p /var/lib/samba/private /run/samba /var/cache/samba /var/log/samba")
	c.must("timeout 240 samba-tool domain provision --realm=EXAMPLE.ORG --domain=EXAMPLE --server-role=dc --dns-backend=NONE --host-name=dc1 --host-ip=127.0.0.1 --adminpass=" + administrator +
		" --option='interfaces=lo' --option='bind interfaces only=yes' --option='server services=ldap' --option='tls certfile=/etc/samba-cert.pem' --option='tls keyfile=/etc/samba-key.pem' --option='tls cafile=/etc/sallyport/office-ca.pem' >/root/night/provision 2>&1 || { tail -20 /root/night/provision; exit 1; }")
	c.must("samba-tool domain passwordsettings set --complexity=off --account-lockout-threshold=3 --min-pwd-age=0 >/dev/null")
	c.daemon("samba -i -M single -d1", func() bool {
		_, code := c.sh("timeout 10 " + c.ldap("ldapsearch") + " -LLL -b DC=example,DC=org -s base dn >/dev/null 2>&1")
		return code == 0
	})
	for _, ou := range []string{"Services", "People", "Groups"} {
		c.must("samba-tool ou create OU=" + ou + ",DC=example,DC=org")
	}
	c.must("samba-tool user create sallyport Reads-What-1-May --userou=OU=Services")
	c.must("samba-tool group add Mail --groupou=OU=Groups")
	return c
}

// ldap is a command of ldap-utils as the domain's administrator.
func (c *controller) ldap(command string) string {
	return "env LDAPTLS_CACERT=/etc/sallyport/office-ca.pem " + command + " -x -H ldaps://dc1.example.org -D Administrator@example.org -w " + administrator
}

// person makes somebody who may send.
func (c *controller) person(name string, attributes ...string) {
	c.t.Helper()
	c.must(fmt.Sprintf("samba-tool user create %[1]s %[2]s --userou=OU=People --mail-address=%[1]s@example.org && samba-tool group addmembers Mail %[1]s", name, ownPassword))
	for _, a := range attributes {
		c.set(name, a)
	}
}

// set gives somebody an attribute, in the form of LDIF.
func (c *controller) set(name, attribute string) {
	c.t.Helper()
	kind, _, _ := strings.Cut(attribute, ":")
	c.write("/root/night/change.ldif", "dn: CN="+name+",OU=People,DC=example,DC=org\nchangetype: modify\nreplace: "+kind+"\n"+attribute+"\n")
	c.must(c.ldap("ldapmodify") + " -f /root/night/change.ldif")
}

// listed waits for a new list, and a good one.
func (c *controller) listed(pattern string) {
	c.t.Helper()
	c.must("sallyport reload")
	out := ""
	for until := time.Now().Add(time.Minute); !regexp.MustCompile(pattern+`(?s).*, listed [0-3]s ago`).MatchString(out) || strings.Contains(out, "no newer list"); time.Sleep(100 * time.Millisecond) {
		if out = c.must("sallyport status"); time.Now().After(until) {
			c.t.Fatalf("status never says %q:\n%s", pattern, out)
		}
	}
}

// The guide to Active Directory against a domain controller: its file, its sentences about
// attributes and groups, and each of its codes.
func TestGuideActiveDirectory(t *testing.T) {
	long(t)
	c := newController(t)
	c.doc.EveryCommand(nil)
	c.person("alice", "proxyAddresses: smtp:al@example.org\nproxyAddresses: SMTP:alice@example.org\nproxyAddresses: SIP:sip@example.org\nproxyAddresses: X500:/o=First/cn=alice")
	c.person("bob")
	c.must("samba-tool user create carol " + ownPassword + " --userou=OU=People --mail-address=carol@example.org") // of no group
	c.person("gone")
	c.must("samba-tool user disable gone")
	for i := range 20 {
		c.must(fmt.Sprintf("samba-tool contact create contact%d --ou=OU=People --mail-address=contact%d@example.org", i, i))
	}
	c.swap("[domain.\"example.org\"]\ndeliver = \"maildir\"\n", c.doc.Block("toml", 0))
	c.must("sallyport check")
	c.serve("sallyport serve", "127.0.0.1:25")
	c.listed("directory office: 3 persons")
	c.doc.Says("The filter leaves out who is disabled")
	c.doc.Says("such people have no mailbox, and their mail is refused")
	c.doc.Says("values that begin with `smtp:` count, in any capitals; SIP, X500 and others are passed over")
	for who, want := range map[string]string{"alice@example.org": "250", "al@example.org": "250", "sip@example.org": "550 ", "carol@example.org": "250", "gone@example.org": "550 ", "contact1@example.org": "550 "} {
		c.begins(who, offered(t, who), want)
	}
	c.begins("alice", signsIn(t, "alice@example.org", ownPassword), "235")
	c.begins("carol, of no group", signsIn(t, "carol@example.org", ownPassword), "535 ")
	c.nested()
	c.everyRow(map[string]func([]string){
		"52e, 525":           c.codes(map[string]func() string{"52e": func() string { return c.wrong("alice") }, "525": c.not("names that the directory lacks never reach it")}),
		"532":                c.codes(map[string]func() string{"532": c.expired}),
		"773":                c.codes(map[string]func() string{"773": func() string { c.set("bob", "pwdLastSet: 0"); return c.right("bob") }}),
		"775":                c.codes(map[string]func() string{"775": c.locked}),
		"530, 531, 533, 701": c.codes(map[string]func() string{"530": c.hours, "531": c.not("Samba asks for no workstation at a simple bind"), "533": c.disabled, "701": c.ended}),
	})
	c.recipients()
}

func (c *controller) right(name string) string {
	return signsIn(c.t, name+"@example.org", ownPassword)
}

func (c *controller) wrong(name string) string {
	return signsIn(c.t, name+"@example.org", "Wrong-"+time.Now().String())
}

// not is a code that can't be had here.
func (c *controller) not(why string) func() string {
	return func() string { c.t.Log("left: " + why); return "" }
}

// codes brings about each code of a line, and holds the answer and the trace against it.
func (c *controller) codes(acts map[string]func() string) func([]string) {
	return func(cells []string) {
		c.t.Helper()
		for _, code := range strings.Split(cells[0], ", ") {
			act := acts[code]
			if act == nil {
				c.t.Errorf("nobody brings about %s", code)
				continue
			}
			got := act()
			if got == "" {
				continue
			}
			c.begins(code, got, "535 ")
			told := strings.Contains(cells[2], "has to be changed") || cells[2] == "the same"
			if strings.Contains(got, "has to be changed") != told {
				c.t.Errorf("%s: the answer is %s", code, got)
			}
			words := "data " + code
			if code == "52e" {
				_, words, _ = strings.Cut(c.doc.Says("but for 52e and 525, of which the trace says `wrong password"), "`")
			}
			if out, _ := c.sh("sallyport trace --kind sign-in --since 1m"); !strings.Contains(out, words) {
				c.t.Errorf("%s: the trace does not say %q:\n%s", code, words, out)
			}
		}
	}
}

// nested are groups within groups, which do not count.
func (c *controller) nested() {
	c.t.Helper()
	c.doc.Says("has the groups that a person is in directly: not those within groups, and not the primary group.")
	c.must("samba-tool group add Within --groupou=OU=Groups && samba-tool group addmembers Within carol && samba-tool group addmembers Mail Within")
	c.listed("3 persons")
	c.begins("carol, of a group within it", c.right("carol"), "535 ")
}

func (c *controller) expired() string {
	c.t.Helper()
	c.person("old")
	c.write("/root/night/expire.py", `from samba.samdb import SamDB
from samba.auth import system_session
from samba.param import LoadParm
import ldb
lp = LoadParm(); lp.load_default()
s = SamDB(session_info=system_session(), lp=lp)
m = ldb.Message(ldb.Dn(s, "CN=old,OU=People,DC=example,DC=org"))
m["pwdLastSet"] = ldb.MessageElement("130000000000000000", ldb.FLAG_MOD_REPLACE, "pwdLastSet")
s.modify(m, controls=["local_oid:1.3.6.1.4.1.7165.4.3.12:1"])
`)
	c.must("python3 /root/night/expire.py")
	c.listed("4 persons")
	return c.right("old")
}

func (c *controller) locked() string {
	c.t.Helper()
	c.person("locked")
	c.listed("5 persons")
	for range 3 {
		c.begins("a guess", c.wrong("locked"), "535 ")
	}
	return c.right("locked")
}

func (c *controller) hours() string {
	c.t.Helper()
	c.person("hours", "logonHours:: AAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	c.listed("6 persons")
	return c.right("hours")
}

// disabled is somebody who is listed, with the filter that leaves nobody out.
func (c *controller) disabled() string {
	c.t.Helper()
	c.doc.Says("To take their mail and only keep them from signing in, leave that part out: the domain controller refuses their passwords itself.")
	part := "(!(userAccountControl:1.2.840.113556.1.4.803:=2))"
	c.swap(part, "")
	c.listed("7 persons")
	c.begins("mail for who is disabled", offered(c.t, "gone@example.org"), "250")
	return c.right("gone")
}

func (c *controller) ended() string {
	c.t.Helper()
	c.person("ended", "accountExpires: 130000000000000000")
	c.listed("8 persons")
	return c.right("ended")
}

// recipients are those of an Exchange server behind us, as the guide's last item says.
func (c *controller) recipients() {
	c.t.Helper()
	c.doc.Says("`recipients = \"ldap\"`, with the filter `(proxyAddresses=*)` and `aliases = [\"proxyAddresses\"]`, so that groups, contacts and public folders count too")
	c.must("samba-tool contact create shared --ou=OU=People --mail-address=shared@example.org")
	c.set("shared", "proxyAddresses: SMTP:shared@example.org\nproxyAddresses: smtp:all@example.org")
	text := c.read("/etc/sallyport/sallyport.toml")
	text = guide.Replaced(c.t, text, "deliver  = \"maildir\"\naccounts = \"ldap\"", "deliver = \"smtp://127.0.0.1:2601\"\nrecipients = \"ldap\"")
	text = regexp.MustCompile(`(?m)^filter .*$`).ReplaceAllString(text, `filter = "(proxyAddresses=*)"`)
	c.write("/etc/sallyport/sallyport.toml", text)
	c.must("sallyport reload")
	for who, want := range map[string]string{"shared@example.org": "250", "all@example.org": "250", "al@example.org": "250", "sip@example.org": "550 ", "nobody@example.org": "550 "} {
		eventually(c.t, who+" is answered "+want, func() bool { return strings.HasPrefix(offered(c.t, who), want) })
	}
}
