package node

import (
	"fmt"
	"strings"
)

// proveDirectories shows that the keys of directories take part in a reload.
func proveDirectories(all map[string]keyProof) {
	see := func(n *Node) any {
		text := ""
		for _, s := range n.now().roll.Sources() {
			text += fmt.Sprintf("%+v %d\n", s, s.Options.Servers[0].Security)
		}
		return text
	}
	one := "[ldap.one]\nurls = [\"ldap://127.0.0.1:1\"]\nbase = \"dc=x\""
	for key, value := range map[string]string{
		"ca": `"tls/ca.pem"`, "tls": `"off"`, "filter": `"(objectClass=device)"`, "address": `"mailLocalAddress"`, "aliases": `["description"]`, "entry": `"objectGUID"`,
		"senders": `["cn=s,dc=x"]`, "receivers": `["cn=r,dc=x"]`, "every": `"7m"`, "timeout": `"7s"`, "connections": "7", "entries": "7",
	} {
		all["ldap.NAME."+key] = keyProof{set: one + "\n" + key + " = " + value, see: see, on: one}
	}
	group := one + "\nsenders = [\"cn=s,dc=x\"]"
	all["ldap.NAME.groups"] = keyProof{set: group + "\ngroups = \"ou\"", see: see, on: group}
	all["ldap.NAME.urls"] = keyProof{set: strings.Replace(one, ":1\"", ":2\"", 1), see: see, on: one}
	all["ldap.NAME.base"] = keyProof{set: strings.Replace(one, "dc=x", "dc=y", 1), see: see, on: one}
	bound := one + "\nbind_dn = \"cn=a,dc=x\"\npassword_file = \"secret\""
	all["ldap.NAME.password_file"] = keyProof{set: bound, see: see, on: one}
	all["ldap.NAME.bind_dn"] = keyProof{set: strings.Replace(bound, "cn=a", "cn=b", 1), see: see, on: bound}
	theirs := one + "\n[domain.\"theirs.test\"]\ndeliver = \"maildir\""
	all["domain.NAME.accounts"] = keyProof{set: theirs + "\naccounts = \"ldap\"", see: see, on: theirs}
	two := one + "\n" + strings.Replace(one, "ldap.one", "ldap.two", 1) + "\n[domain.\"theirs.test\"]\ndeliver = \"maildir\"\naccounts = \"ldap\"\nldap = \"one\""
	all["domain.NAME.ldap"] = keyProof{set: strings.Replace(two, "ldap = \"one\"", "ldap = \"two\"", 1), see: see, on: two}
}
