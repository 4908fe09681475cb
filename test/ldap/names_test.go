package ldap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sallyport/internal/ldap"
	"sallyport/internal/ldap/terms"
	"sallyport/internal/mail"
	"sallyport/test/slapd"
)

// An attribute is the same by each of its names and by its number, whichever the server answers with, and with a language behind it.
func TestAttributesByTheirOtherNames(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{Entries: slapd.Person("alice", "mail: alice@local.test", "description: al@local.test", "mail;lang-de: liesl@local.test") +
		slapd.Person("bob", "mail;lang-de: bob@local.test", "description;lang-de: bobby@local.test")})
	s.Add(slapd.Group("senders", "alice"))
	domains := []mail.Domain{must(mail.ParseDomain("local.test"))}
	for _, c := range []struct {
		address, alias, group, entry terms.Attribute
	}{
		{"mail", "description", "memberOf", "entryUUID"},
		{"MAIL", "DESCRIPTION", "MEMBEROF", "ENTRYUUID"},
		{"rfc822Mailbox", "2.5.4.13", "1.2.840.113556.1.2.102", "1.3.6.1.1.16.4"},
		{"0.9.2342.19200300.100.1.3", "description", "memberOf", "entryUUID"},
		{"mail", "2.5.4.13", "1.2.840.113556.1.2.102", "1.3.6.1.1.16.4"},
	} {
		o := options(t, s)
		o.Address, o.Aliases, o.Group, o.Entry = c.address, []terms.Attribute{c.alias}, c.group, c.entry
		d := open(t, o)
		p, err := d.Find(t.Context(), address("alice@local.test"))
		if err != nil || p.Address.String() != "alice@local.test" || fmt.Sprint(p.Aliases, p.Groups) != fmt.Sprint([]string{"al@local.test"}, []string{slapd.GroupDN("senders")}) || len(p.Entry) != 36 {
			t.Errorf("%v: %+v, %v", c, p, err)
		}
		d = open(t, o) // and by a list first
		list, err := d.List(t.Context())
		if err != nil || len(list.People) != 2 || list.Nameless != 0 || len(list.Doubtful) != 0 {
			t.Errorf("%v: %+v, %v", c, list, err)
		}
		for _, p := range list.People {
			if p.Entry == "" || len(p.Aliases) != 1 {
				t.Errorf("%v: %+v", c, p)
			}
		}
		all, err := open(t, o).Recipients(t.Context(), domains)
		var names []string
		for _, a := range all {
			names = append(names, a.String())
		}
		slices.Sort(names)
		if err != nil || fmt.Sprint(names) != "[al@local.test alice@local.test bob@local.test bobby@local.test liesl@local.test]" {
			t.Errorf("%v: %v, %v", c, names, err)
		}
	}
}

// Whatever characters are in the name of an entry, it is found, listed, and its password asked for.
func TestEntriesOfAnyName(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, slapd.Options{})
	names := []string{
		`cn=Smith\, John`, `cn=Sue \+ Sons`, `cn=\#1`, `cn=blank\20`, `cn=\20before`, `cn=Lučić`, `cn=a\3Db`, `cn=\22quoted\22`, `cn=back\5Cslash`, `cn=semi\3Bcolon`, `cn=\3Cless\3E`,
		`uid=two+cn=values`, `cn=(paren)*`, `cn=new\0Aline`, `2.5.4.3=number`, `ou=people+uid=below`, `uid=O'Brien`, `cn=Ünï\, cödé`, `uid=a/b`,
	}
	for i, n := range names {
		dn := n + "," + slapd.People
		r := fmt.Sprintf("dn: %s\nobjectClass: inetOrgPerson\nsn: x\nmail: n%d@local.test\nuserPassword: %s\n", dn, i, slapd.Password)
		if !strings.Contains(n, "cn=") && !strings.Contains(n, "2.5.4.3") && !strings.Contains(n, "+cn") {
			r += "cn: x\n"
		}
		s.Add(r)
	}
	d := open(t, options(t, s))
	list, err := d.List(t.Context())
	if err != nil || len(list.People) != len(names) || len(list.Doubtful) != 0 {
		t.Errorf("%d people of %d, %v, %v", len(list.People), len(names), list.Doubtful, err)
	}
	for i, n := range names {
		p, err := d.Find(t.Context(), address(fmt.Sprintf("n%d@local.test", i)))
		if err != nil {
			t.Errorf("%s: %v", n, err)
			continue
		}
		for password, want := range map[string]ldap.Word{slapd.Password: ldap.WordRight, wrong: ldap.WordWrong} {
			if a, err := d.CheckPassword(t.Context(), p.DN, password); err != nil || a.Word != want {
				t.Errorf("%s, as %s: %+v, %v", n, p.DN, a, err)
			}
		}
	}
}
