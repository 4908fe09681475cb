package walk

import (
	"regexp"
	"strings"
	"time"

	"sallyport/test/guide"
)

// acts bring about what the guide's tables tell of.
func (o *office) acts() map[string]func(cells []string) {
	return map[string]func(cells []string){
		"the password is right": o.sees(nil, "alice", password),
		"it is wrong, or there is no such person": o.sees(func() {
			o.begins("nobody", signsIn(o.t, "nobody@example.org", password), "535 ")
		}, "alice", "not hers"),
		"it has expired, or must be changed":       o.sees(func() { o.set(uid("reset"), "pwdReset", "TRUE") }, "reset", password),
		"it has expired and grace logins are left": o.sees(nil, "grace", password),
		"the entry is locked, with `ppolicy_use_lockout`": o.sees(func() {
			for _, guess := range []string{"one", "two", "three"} {
				o.begins("a guess", signsIn(o.t, "locked@example.org", guess), "535 ")
			}
		}, "locked", password),
		"the person is of none of `senders`": o.sees(nil, "carol", password),
		"the directory does not answer, or says anything but 49": func(cells []string) {
			o.sees(o.stop, "dora", password)(cells)
			o.run()
			// Names that are nobody's to judge are answered as the last ones that were judged.
			o.eventually("nobody is answered as before", func() bool {
				signsIn(o.t, "dora@example.org", "wrong "+time.Now().String())
				return strings.HasPrefix(signsIn(o.t, "nobody@example.org", password), "535 ")
			})
		},
		"an account was made here for the same address": o.sees(func() {
			o.doc.Says("Programs and printers that the directory does not know get accounts of our own in the same domain:")
			o.gives(0, "echo "+password+"-ours | "+o.doc.Command("sallyport account add printer@example.org")+" --password-stdin")
			o.begins("a printer", signsIn(o.t, "printer@example.org", password+"-ours"), "235")
			o.entry(strings.TrimSpace(strings.Replace(person("printer"), "\nobjectClass", "\nchangetype: add\nobjectClass", 1)) + "\n")
			o.says("printer@example.org is an account from elsewhere too")
			o.begins("a printer's own password", signsIn(o.t, "printer@example.org", password+"-ours"), "535 ")
		}, "printer", password),

		"connect: connection refused, i/o timeout": func([]string) {
			o.stop()
			o.says("connect: .*connection refused")
			o.run()
			o.well()
		},
		"TLS: certificate signed by unknown authority": o.told(`"/etc/ssl/certs/office-ca.pem"`, `"/etc/ssl/certs/ca-certificates.crt"`, "TLS: .*certificate signed by unknown authority"),
		"TLS: certificate is valid for X, not Y":       o.told("ldap://ldap.example.org", "ldap://other.example.org", "TLS: .*certificate is valid for ldap.example.org, not other.example.org"),
		"TLS: result 2 or 52": func([]string) {
			o.stop()
			o.configured("")
			o.run()
			o.says("TLS: .*result (2|52)\\b")
			o.again()
		},
		"bind: result 49": func([]string) {
			o.write("/etc/sallyport/ldap-password", "wrong\n")
			o.says("bind: .*result 49")
			o.write("/etc/sallyport/ldap-password", "reads what it may\n")
			o.well()
		},
		"result 13": func([]string) {
			o.set("cn=config", "olcSecurity", "simple_bind=128")
			o.told(`"ldap://ldap.example.org"]`, "\"ldap://127.0.0.1\"]\ntls = \"off\"", "bind: .*result 13")(nil)
			o.set("cn=config", "olcSecurity", "")
		},
		"result 32": o.told(`"ou=people,`, `"ou=nowhere,`, "search: .*result 32"),
		"search: result 4": func([]string) {
			o.set("olcDatabase={1}mdb,cn=config", "olcLimits", "")
			o.says("search: .*result 4\\b")
			o.again()
		},
		"search: result 50": func([]string) {
			o.set("cn=sallyport,ou=services,dc=example,dc=org", "pwdReset", "TRUE")
			o.says("result 50")
			o.set("cn=sallyport,ou=services,dc=example,dc=org", "pwdReset", "")
			o.well()
		},
		"search: result 10": o.told(`"ou=people,dc=example,`, `"ou=people,dc=others,`, "result 10"),
		"result 3, 11, 51, 52, or cut": func([]string) {
			o.set("olcDatabase={1}mdb,cn=config", "olcLimits", `dn.exact="cn=sallyport,ou=services,dc=example,dc=org" size.unchecked=1`)
			o.says("result 11")
			o.again()
		},
		"the answer has more octets than the limit allows": func([]string) {
			o.t.Log("not brought about here, since it takes entries of many MiB; test/ldap has a test of the bound")
		},
		"the answer has more parts than the limit allows, or an entry or a value is larger": func([]string) {
			o.t.Log("not brought about here, since it takes entries of many thousand values; internal/ldap has tests of the bounds")
		},
	}
}

// sees prepares something, signs somebody in, and holds the answer and the trace against the line.
func (o *office) sees(prepare func(), who, secret string) func(cells []string) {
	return func(cells []string) {
		o.t.Helper()
		if prepare != nil {
			prepare()
		}
		got := signsIn(o.t, who+"@example.org", secret)
		o.begins(cells[0], got, cells[1][:3])
		if changed := "has to be changed"; strings.Contains(cells[1], changed) != strings.Contains(got, changed) {
			o.t.Errorf("%s: the answer is %s", cells[0], got)
		}
		for _, rule := range regexp.MustCompile("`(signin-[a-z-]+)`").FindAllStringSubmatch(cells[2], -1) {
			if out, _ := o.sh("sallyport trace --since 10m --rule " + rule[1]); !strings.Contains(out, " rule "+rule[1]) || rule[1] != "signin-no-account" && !strings.Contains(out, who+"@example.org") {
				o.t.Errorf("%s: nothing in the trace by the rule %s:\n%s", cells[0], rule[1], out)
			}
		}
	}
}

// told writes something else into the configuration for a while, of which status tells.
func (o *office) told(old, now, pattern string) func([]string) {
	return func([]string) {
		o.t.Helper()
		o.swap(old, now)
		o.says(pattern)
		o.swap(now, old)
		o.well()
	}
}

// well waits until there is a new list, and a good one.
func (o *office) well() {
	o.t.Helper()
	o.must("sallyport reload")
	o.eventually("a new list", func() bool {
		out := o.must("sallyport status")
		return !strings.Contains(out, "no newer list") && regexp.MustCompile(`, listed [0-2]s ago`).MatchString(out)
	})
}

// again gives slapd its configuration anew, with what the guide says.
func (o *office) again() {
	o.t.Helper()
	o.stop()
	o.configured(certificates)
	o.run()
	o.must("ldapmodify -Q -Y EXTERNAL -H ldapi:/// -f sallyport.ldif")
	o.well()
}

// differently is what else stands in the guide's sentences about groups.
func (o *office) differently() {
	o.t.Helper()
	o.doc.Says("Any other attribute does as well: `groups = \"employeeType\"`, `senders = [\"staff\"]`.")
	access, _, _ := strings.Cut(o.read("/root/night/sallyport.ldif"), "-\n")
	o.entry(guide.Replaced(o.t, access, ",memberOf", ",memberOf,employeeType"))
	groups, other := `senders       = ["cn=mail,ou=groups,dc=example,dc=org"]`, "groups = \"employeeType\"\nsenders = [\"staff\"]"
	o.swap(groups, other)
	o.well()
	o.eventually("bob is of the staff", func() bool { return signsIn(o.t, "bob@example.org", password) == "235" })
	o.begins("alice, who is not", signsIn(o.t, "alice@example.org", password), "535 ")
	o.swap(other, groups)
	o.well()
	o.eventually("alice is of the group", func() bool { return signsIn(o.t, "alice@example.org", password) == "235" })
	o.doc.Says("Of a list in which nobody is left, or nobody of a group that had members, nothing is believed")
	o.entry("dn: cn=mail,ou=groups,dc=example,dc=org\nchangetype: delete\n")
	o.says("nobody is of the group")
	o.begins("whom the group had", signsIn(o.t, "alice@example.org", password), "235")
	o.theGroup()
	o.well()
	o.doc.Says("Who is not in a whole list any more has no mailbox and does not sign in")
	o.begins("one of many", offered(o.t, "many1@example.org"), "250")
	o.entry("dn: " + uid("many1") + "\nchangetype: delete\n")
	o.well()
	o.eventually("who left is refused", func() bool { return strings.HasPrefix(offered(o.t, "many1@example.org"), "550 ") })
}

func (o *office) eventually(what string, ok func() bool) { o.t.Helper(); eventually(o.t, what, ok) }

// away is what holds while the directory is away.
func (o *office) away() {
	o.t.Helper()
	_, app, made := strings.Cut(o.must("sallyport account app add alice@example.org phone"), "password: ")
	if app, _, _ = strings.Cut(app, "\n"); !made {
		o.t.Fatal("no app password is printed")
	}
	o.begins("alice", signsIn(o.t, "alice@example.org", password), "235")
	o.stop()
	o.doc.Says("Mail for everybody whom the last good list had is taken, and everybody else is refused, as before.")
	o.begins("mail for erin", offered(o.t, "erin@example.org"), "250")
	o.begins("mail for nobody", offered(o.t, "nobody@example.org"), "550 ")
	o.doc.Says("Who signed in within five minutes, and whoever has an app password or a certificate, gets in; others are told to come back (454).")
	o.begins("alice, who was there", signsIn(o.t, "alice@example.org", password), "235")
	o.begins("her telephone", signsIn(o.t, "alice@example.org", app), "235")
	o.begins("erin", signsIn(o.t, "erin@example.org", password), "454 ")
	o.doc.Says("`account freeze` ends it at once.")
	o.must("sallyport account freeze alice@example.org --reason test")
	if got := signsIn(o.t, "alice@example.org", password); got == "235" {
		o.t.Error("who is frozen gets in while the directory is away")
	}
	o.must("sallyport account thaw alice@example.org")
	o.run()
	o.well()
	o.gives(0, o.doc.Command("sallyport account passwd alice@example.org --directory"), "alice@example.org")
	o.begins("alice, thawed", signsIn(o.t, "alice@example.org", password), "235")
}

// behind is the last part of the guide: a server of ours at the address that it prints, whose
// recipients the directory has.
func (o *office) behind() {
	o.t.Helper()
	if out, err := netCommand("addr", "add", "10.0.0.5/32", "dev", "lo"); err != nil {
		o.t.Fatalf("%v\n%s", err, out)
	}
	o.t.Cleanup(func() { _, _ = netCommand("addr", "del", "10.0.0.5/32", "dev", "lo") })
	back := listen(o.t, "10.0.0.5:25")
	domain, ours, found := strings.Cut(o.doc.Block("toml", 0), "\n\n")
	if !found || !strings.HasPrefix(ours, "[ldap.office]") {
		o.t.Fatal("the first block is to be looked at again")
	}
	o.swap(domain+"\n", o.doc.Block("toml", 1))
	o.well()
	o.doc.Says("Every address of the domain in `address` or `aliases` of any entry exists; others are refused at RCPT.")
	for who, want := range map[string]string{"alice@example.org": "250", "al@example.org": "250", "same@example.org": "250", "nobody@example.org": "550 ", "many1@example.org": "550 "} {
		got := ""
		for until := time.Now().Add(20 * time.Second); !strings.HasPrefix(got, want) && time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
			got = offered(o.t, who)
		}
		o.begins(who, got, want)
	}
	o.doc.Says("People sign in here as well with `recipients = \"accounts\"` and `accounts = \"ldap\"`.")
	o.swap(`recipients = "ldap"`, "recipients = \"accounts\"\naccounts = \"ldap\"")
	o.well()
	o.eventually("she signs in", func() bool { return signsIn(o.t, "alice@example.org", password) == "235" })
	c := dial(o.t, "127.0.0.1:25")
	defer c.Close()
	must(o.t, c.Mail("stranger@remote.test"))
	must(o.t, c.Rcpt("al@example.org"))
	_, err := c.data("From: <stranger@remote.test>\r\nTo: <al@example.org>\r\nSubject: behind\r\n\r\nhello\r\n")
	must(o.t, err)
	o.eventually("the server behind has it", func() bool { return back.has("alice@example.org") })
}
