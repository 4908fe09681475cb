package migrate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	firm     = "myhostname = mail.firm.example\nmyorigin = firm.example\nmydestination = firm.example, mail.firm.example, localhost\nalias_maps = hash:/etc/aliases\n"
	services = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\nlmtp unix - - y - - lmtp\nwrapped unix - - n - - smtp -o smtp_tls_wrappermode=yes\n"
)

// One configuration of each kind: what is made of it, what is lost, and what is not made.
func TestKinds(t *testing.T) {
	for name, c := range map[string]struct {
		main   string
		files  map[string]string
		has    []string
		hasNot []string
		lost   []string
	}{
		"aliases of local names are no addresses of a virtual domain": {
			main:  "myhostname = mail.firm.example\nmyorigin = firm.example\nmydestination = mail.firm.example\nvirtual_mailbox_domains = firm.example\nvirtual_mailbox_maps = inline:{ anna@firm.example=x }\nalias_maps = hash:/etc/aliases\n",
			files: map[string]string{"/etc/aliases": "info: anna\n"},
			has:   []string{`"info@mail.firm.example" = ["anna@firm.example"]`}, hasNot: []string{`"info@firm.example"`}},
		"a user is one person in every local domain": {
			main:  "myhostname = mail.firm.example\nmyorigin = mail.firm.example\nmydestination = mail.firm.example, firm.example\nalias_maps =\nvirtual_alias_maps = inline:{ { sales@firm.example = alice@firm.example } { help@firm.example = alice@mail.firm.example } }\n",
			files: map[string]string{}, has: []string{`"alice@firm.example" = ["alice@mail.firm.example"]`, `"sales@firm.example" = ["alice@mail.firm.example"]`}, hasNot: []string{`"alice@mail.firm.example" =`}},
		"domains in a file, several in a line": {main: "myhostname = mail.firm.example\nmyorigin = firm.example\nmydestination = /etc/postfix/ours localhost\nalias_maps =\n", files: map[string]string{"/etc/postfix/ours": "# ours\nfirm.example, mail.firm.example other.example\n/etc/postfix/more\n", "/etc/postfix/more": "third.example\n"},
			has: []string{"[domain.\"firm.example\"]", "[domain.\"mail.firm.example\"]", "[domain.\"other.example\"]", "[domain.\"third.example\"]"}},
		"a file that names itself":     {main: firm + "relay_domains = /etc/postfix/loop\n", files: map[string]string{"/etc/aliases": "", "/etc/postfix/loop": "/etc/postfix/loop\n"}, lost: []string{"relay_domains: /etc/postfix/loop"}},
		"two characters part a detail": {main: firm + "recipient_delimiter = +-\n", files: map[string]string{"/etc/aliases": ""}, has: []string{`detail   = "+"`}, lost: []string{"recipient_delimiter: -"}},
		"a smarthost without brackets": {main: firm + "relayhost = smart.example\n", files: map[string]string{"/etc/aliases": ""}, has: []string{`to = "smtp://smart.example:25"`}, lost: []string{"relayhost: smart.example"}},
		"smarthosts behind one another": {main: firm + "relayhost = [a.example]:587, [b.example]:587 c.example\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{ { [a.example]:587 = me:secret } { [b.example]:587 = me:secret } { [x.example] = me:secret } }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"to = \"smtp://a.example:587\"\nothers = [\"smtp://b.example:587\", \"smtp://c.example:25\"]\ntls = \"required\"\nuser = \"me\""}, lost: []string{"relayhost: c.example", "[x.example]"}},
		"more smarthosts than a route has": {main: firm + "relayhost = [a0.example], [a1.example], [a2.example], [a3.example], [a4.example], [a5.example], [a6.example], [a7.example], [a8.example], [a9.example]\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"\"smtp://a8.example:25\"]\n"}, lost: []string{"relayhost: [a9.example]"}},
		"smarthosts that are none, and of another kind": {main: firm + "relayhost = [a.example], [b.example, [c.example]:465, [d.example]\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"to = \"smtp://a.example:25\"\nothers = [\"smtp://d.example:25\"]\n"}, lost: []string{"relayhost: [b.example", "relayhost: [c.example]:465"}},
		"smarthosts with names and passwords of their own": {main: firm + "relayhost = [a.example], [b.example], [c.example]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = inline:{ { [a.example] = me:secret } { [b.example] = you:secret } { [c.example] = me:other } }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"\nuser = \"me\""}, hasNot: []string{"you"}, lost: []string{"[b.example]", "[c.example]"}},
		"TLS from the first octet on another port": {main: firm + "relayhost = [smart.example]:2465\nsmtp_tls_wrappermode = yes\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{`to = "smtps://smart.example:2465"`}},
		"and by a service": {main: firm + "transport_maps = inline:{ { far.example = wrapped:[mx.far.example]:3465 } }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"[route.\"far.example\"]\nto = \"smtps://mx.far.example:3465\""}},
		"a service that Postfix runs in its queue's folder": {main: firm + "mailbox_transport = lmtp:unix:/dovecot\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{`deliver = "lmtp+unix:///var/spool/postfix/dovecot"`}},
		"times, with their own units": {main: firm + "maximal_queue_lifetime = 3\ndelay_warning_time = 6\nminimal_backoff_time = 600\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{`expire = "3d"`, `warn = "6h"`, `first = "10m"`, "message_size = 10240000"}},
		"no bound of size": {main: firm + "message_size_limit = 0\n", files: map[string]string{"/etc/aliases": ""}, has: []string{"message_size = 2147483648"}, lost: []string{"message_size_limit"}},
		"a catch-all before a server that would be asked": {main: firm + "virtual_mailbox_domains = box.example\nvirtual_transport = lmtp:inet:127.0.0.1:24\nvirtual_alias_maps = inline:{ { @box.example = anna@box.example } { anna@box.example = anna@box.example } }\n",
			files: map[string]string{"/etc/aliases": ""}, has: []string{`recipients_file = "box.example.recipients"`, `"@box.example" = ["anna@box.example"]`}},
		"ways of transport_maps": {main: firm + "relay_domains = a.example, b.example, c.example, d.example\nrelay_transport = smtp:[10.0.0.1]\ntransport_maps = inline:{ { a.example = :[10.0.0.9] } { b.example = error:closed } { c.example = discard: } { d.example = : } }\n",
			files: map[string]string{"/etc/aliases": ""},
			has:   []string{"[domain.\"a.example\"]\ndeliver = \"smtp://10.0.0.9:25\"", "[domain.\"d.example\"]\ndeliver = \"smtp://10.0.0.1:25\""}, hasNot: []string{`"b.example"`, `"c.example"`}, lost: []string{"c.example"}},
		"a backup of others' mail":                    {main: firm + "relay_domains = backup.example\n", files: map[string]string{"/etc/aliases": ""}, hasNot: []string{"backup.example"}, lost: []string{"relay_domains: backup.example"}},
		"unknown local names":                         {main: firm + "luser_relay = anna\nlocal_recipient_maps =\n", files: map[string]string{"/etc/aliases": ""}, has: []string{`"@firm.example" = ["anna@firm.example"]`, `"@mail.firm.example" = ["anna@firm.example"]`}},
		"unknown local names that are refused before": {main: firm + "luser_relay = anna\n", files: map[string]string{"/etc/aliases": ""}, hasNot: []string{`"@firm.example"`}},
		"milters": {main: firm + "smtpd_milters = inet:127.0.0.1:8891, { unix:/run/x.sock, default_action=accept }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{`address = "tcp://127.0.0.1:8891"`, "address = \"unix:///var/spool/postfix/run/x.sock\"\naccounts = \"on\"\ndown = \"accept\""}},
		"demands": {main: firm + "smtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\nsmtpd_recipient_restrictions = reject_rbl_client x.example, check_policy_service inet:127.0.0.1:1\ntls_server_sni_maps = hash:/x\n", files: map[string]string{"/etc/aliases": "", "/etc/resolv.conf": "nameserver 192.0.2.1\n"},
			lost: []string{"smtp_tls_security_level", "smtp_dns_support_level", "tls_server_sni_maps", "smtpd_recipient_restrictions: check_policy_service inet:127.0.0.1:1"}},
		"lists in the DNS": {main: firm + "smtpd_recipient_restrictions = reject_rbl_client zen.example, reject_rbl_client zen.example=127.0.0.9, reject_rhsbl_sender dbl.example=127.0.1.[2..5;7], reject_rhsbl_helo h.example,\n permit_dnswl_client good.example, warn_if_reject reject_rbl_client logged.example, reject_rhsbl_client names.example, reject_rbl_client wide.example=127.[0..255].0.[1;3;5]\n", files: map[string]string{"/etc/aliases": ""},
			has:    []string{"[dnsbl.\"zen.example\"]\n\n", "[dnsbl.\"dbl.example\"]\nof = \"sender\"\nanswers = [\"127.0.1.2/31\", \"127.0.1.4/31\", \"127.0.1.7/32\"]\n", "[dnsbl.\"h.example\"]\nof = \"hello\"\n", "[dnsbl.\"good.example\"]\nweight = -1000\n"},
			hasNot: []string{"logged.example", "names.example", "wide.example", "refuse_at"}, lost: []string{"smtpd_recipient_restrictions: reject_rhsbl_client names.example", "smtpd_recipient_restrictions: reject_rbl_client wide.example=127.[0..255].0.[1;3;5]"}},
		"lists of both names": {main: firm + "smtpd_recipient_restrictions = reject_rhsbl_helo dbl.example, reject_rhsbl_sender dbl.example, reject_rhsbl_helo dbl.example, reject_rhsbl_sender x.example=127.0.1.2, reject_rhsbl_helo x.example\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"[dnsbl.\"dbl.example\"]\nof = \"names\"\n", "[dnsbl.\"x.example\"]\nof = \"sender\"\nanswers = [\"127.0.1.2/32\"]\n"}, lost: []string{"smtpd_recipient_restrictions: reject_rhsbl_helo x.example"}},
		"one attempt alone":                  {main: firm + "maximal_queue_lifetime = 0\n", files: map[string]string{"/etc/aliases": ""}, has: []string{`expire = "1m"`, `first = "1m"`}},
		"told of a delay after it came back": {main: firm + "maximal_queue_lifetime = 1h\ndelay_warning_time = 4\nminimal_backoff_time = 2h\n", files: map[string]string{"/etc/aliases": ""}, has: []string{`expire = "1h"`, `warn = "0s"`, `first = "1h"`}, hasNot: []string{"max ="}},
		"tables of the usual type": {main: firm + "transport_maps = $default_database_type:/etc/postfix/transport\n", files: map[string]string{"/etc/aliases": "", "/etc/postfix/transport": "far.example smtp:[10.0.0.1]\n"},
			has: []string{"[route.\"far.example\"]"}},
		"DANE with a resolver on this host": {main: firm + "smtp_tls_security_level = dane\nsmtp_dns_support_level = dnssec\n", files: map[string]string{"/etc/aliases": "", "/etc/resolv.conf": "nameserver 127.0.0.1\n"}, has: []string{`dns_validates = "on"`}},
		"what leads to a name that a catch-all takes": {main: firm + "virtual_alias_maps = inline:{ { box.example = x } { @box.example = anna } { sales@firm.example = dan@box.example } }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{`"sales@firm.example" = ["anna@firm.example"]`}},
		"a catch-all to somebody whose mail leaves": {main: firm + "virtual_alias_maps = inline:{ { box.example = x } { @box.example = bob } }\n", files: map[string]string{"/etc/aliases": "bob: bob@far.example\n"},
			hasNot: []string{`"@box.example"`}, lost: []string{"@box.example"}},
		"a domain without addresses, and every domain by another host": {main: firm + "virtual_alias_maps = inline:{ { empty.example = anything } }\ntransport_maps = inline:{ { firm.example = : } { mail.firm.example = : } { * = smtp:[10.0.0.1] } }\n", files: map[string]string{"/etc/aliases": ""},
			has: []string{"[domain.\"empty.example\"]\ndeliver = \"maildir\"", "[route.\"*\"]\nto = \"smtp://10.0.0.1:25\""}, hasNot: []string{`"empty.example@firm.example"`}},
		"aliases in a circle": {main: firm, files: map[string]string{"/etc/aliases": "a: b\nb: a\nc: c, a\n"}, has: []string{`"b@firm.example" = ["a@firm.example"]`}, hasNot: []string{`"a@firm.example" =`}, lost: []string{"a"}},
		"what leads to other servers": {main: firm, files: map[string]string{"/etc/aliases": "bob: \\bob, bob@far.example, anna\nout: x@far.example\n"},
			has: []string{`"bob@firm.example" = ["bob@firm.example", "anna@firm.example"]`, `external = "on"`}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["/etc/postfix/master.cf"] = services
			r := site(c.main, c.files)
			for _, want := range c.has {
				if !strings.Contains(string(r.Config), want) {
					t.Errorf("%s is not in\n%s", want, r.Config)
				}
			}
			for _, not := range c.hasNot {
				if strings.Contains(string(r.Config), not) {
					t.Errorf("%s is in\n%s", not, r.Config)
				}
			}
			var lost []string
			for _, v := range r.Lines {
				if v.Kind == Lost && v.What != "mail_spool_directory" && v.What != "virtual_mailbox_base" { // TestOldMailboxes
					lost = append(lost, v.What)
				}
			}
			slices.Sort(lost)
			slices.Sort(c.lost)
			if !slices.Equal(lost, c.lost) {
				t.Errorf("lost: %q, and not %q", lost, c.lost)
			}
		})
	}
}

// What people wrote into ~/.forward is theirs, where no alias has the name: it was lost without a word.
func TestOwnForwards(t *testing.T) {
	people := "root:x:0:0::/root:/bin/sh\n"
	for i, name := range []string{"anna", "ben", "carl", "dan"} {
		people += fmt.Sprintf("%s:x:%d:1::/home/%s:/bin/sh\n", name, firstPerson+i, name)
	}
	files := map[string]string{
		"/etc/passwd": people, "/etc/aliases": "carl: anna\n", "/etc/postfix/master.cf": services,
		"/home/anna/.forward": "# since May\n\\anna, Anna <anna@far.example>\n", "/home/ben/.forward": "\"|/usr/bin/procmail -t\"\n", "/home/carl/.forward": "x@far.example\n",
	}
	r := site(firm, files)
	if len(r.Forwards) != 1 || r.Forwards[0].Account != "anna@firm.example" || !slices.Equal(r.Forwards[0].Targets, []string{"anna@far.example"}) || !r.Forwards[0].Keep {
		t.Errorf("%+v", r.Forwards)
	}
	if want := `"carl@firm.example" = ["anna@firm.example"]`; !strings.Contains(string(r.Config), want) {
		t.Errorf("no %s in\n%s", want, r.Config)
	}
	for _, want := range []Verdict{{File: "/home/anna/.forward", What: "anna", Kind: Carried}, {File: "/home/ben/.forward", What: "ben", Kind: Lost}, {File: "/home/carl/.forward", What: "carl", Kind: Unneeded}} {
		if i := slices.IndexFunc(r.Lines, func(v Verdict) bool { return v.File == want.File }); i < 0 || r.Lines[i].What != want.What || r.Lines[i].Kind != want.Kind {
			t.Errorf("%+v is not in %+v", want, r.Lines)
		}
	}
	if want := []string{"anna@firm.example", "ben@firm.example", "dan@firm.example"}; !slices.Equal(r.People, want) {
		t.Errorf("accounts to make: %v", r.People)
	}
	if v, ok := verdictOf(r, ".forward"); ok {
		t.Errorf("%+v", v)
	}
	for main, read := range map[string]bool{firm + "forward_path =\n": false, firm + "local_transport = lmtp:unix:x\n": false, firm + "forward_path = /var/forward/$user\n": false, firm + "forward_path = $home/.forward\n": true} {
		if r := site(main, files); (len(r.Forwards) == 1) != read {
			t.Errorf("%s: %+v", main, r.Forwards)
		}
	}
	// Of a copy nobody can see them.
	src := Source{Main: []byte(firm), MainFile: "main.cf", Dir: "/etc/postfix", Host: "host.example", Read: func(path string) ([]byte, error) {
		if strings.HasPrefix(path, "/home/") {
			return nil, errors.New("it is not in the copy")
		}
		return []byte(files[path]), nil
	}}
	if v, ok := verdictOf(Import(src), ".forward"); !ok || v.Kind != Lost || !strings.Contains(v.Text, "anna, ben, carl, dan") {
		t.Errorf("%+v", v)
	}
}

// A domain may be written in letters of its own in any of the files.
func TestDomainsOfTheirOwnLetters(t *testing.T) {
	r := site("myhostname = mail.firm.example\nmydestination = localhost\nalias_maps =\nvirtual_mailbox_domains = bücher.example\nvirtual_mailbox_maps = inline:{ { anna@bücher.example = x } { ben@xn--bcher-kva.example = x } }\nvirtual_alias_maps = inline:{ { info@BÜCHER.example = anna@bücher.example } }\ntransport_maps = inline:{ { straße.example = smtp:[10.0.0.9] } }\n",
		map[string]string{"/etc/postfix/master.cf": services})
	if want := `"info@xn--bcher-kva.example" = ["anna@xn--bcher-kva.example"]`; !strings.Contains(string(r.Config), want) {
		t.Errorf("no %s in\n%s", want, r.Config)
	}
	if want := []string{"anna@xn--bcher-kva.example", "ben@xn--bcher-kva.example"}; !slices.Equal(r.People, want) {
		t.Errorf("%v", r.People)
	}
	if want := "[route.\"xn--strae-oqa.example\"]"; !strings.Contains(string(r.Config), want) {
		t.Errorf("no %s in\n%s", want, r.Config)
	}
}

// The lists of postscreen count as they did: together, with their weights, and where it refused.
func TestPostscreen(t *testing.T) {
	const lists = "postscreen_dnsbl_sites = zen.example*3, bl.example=127.0.0.[2..3]*2 good.example*-4 odd.example*x\npostscreen_dnsbl_threshold = 3\nsmtpd_client_restrictions = reject_rbl_client zen.example, reject_rbl_client other.example\n"
	const listens = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
	files := func(master string) map[string]string {
		return map[string]string{"/etc/aliases": "", "/etc/postfix/master.cf": master}
	}
	r := site(firm+lists+"postscreen_dnsbl_action = enforce\n", files(listens))
	for _, want := range []string{"[screen]\nrefuse_at = 3\n", "[dnsbl.\"zen.example\"]\nweight = 3\n", "[dnsbl.\"bl.example\"]\nweight = 2\nanswers = [\"127.0.0.2/31\"]\n", "[dnsbl.\"good.example\"]\nweight = -4\n", "[dnsbl.\"other.example\"]\nweight = 3\n"} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("%s is not in\n%s", want, r.Config)
		}
	}
	if v, ok := verdictOf(r, "postscreen_dnsbl_sites: odd.example*x"); !ok || v.Kind != Lost {
		t.Errorf("%+v", v)
	}
	for _, r := range []Result{site(firm+lists, files(listens)), site(firm+lists+"postscreen_dnsbl_action = drop\n", files(services))} {
		if v, ok := verdictOf(r, "postscreen_dnsbl_sites"); !ok || v.Kind != Unneeded || strings.Contains(string(r.Config), "bl.example") || strings.Contains(string(r.Config), "refuse_at") {
			t.Errorf("nobody was refused for it: %+v\n%s", v, r.Config)
		}
	}
}

// Commands are left to be given for what no configuration says.
func TestCommandsAreLeft(t *testing.T) {
	r := site(firm+"smtpd_sender_login_maps = inline:{ { sales@firm.example = anna, ben } { anna@firm.example = anna } { @firm.example = anna } }\n",
		map[string]string{"/etc/aliases": "sales: anna, ben\nbob: bob, bob@far.example\n", "/etc/postfix/master.cf": services})
	if want := []Delegate{{"anna@firm.example", "sales@firm.example"}, {"ben@firm.example", "sales@firm.example"}}; !slices.Equal(r.Delegates, want) {
		t.Errorf("%v", r.Delegates)
	}
	if len(r.Forwards) != 1 || r.Forwards[0].Account != "bob@firm.example" || !slices.Equal(r.Forwards[0].Targets, []string{"bob@far.example"}) || !r.Forwards[0].Keep {
		t.Errorf("%v", r.Forwards)
	}
	if want := []string{"anna@firm.example", "ben@firm.example", "bob@firm.example"}; !slices.Equal(r.People, want) {
		t.Errorf("%v", r.People)
	}
	if by, all := r.Lost(); all != 2 || by[TopicDelivery] != 1 || by[TopicTrust] != 1 {
		t.Errorf("%v", by) // nobody sends as a whole domain
	}
}

// The files of smtpd_tls_chain_files are told apart by what is in them, in whatever order
// they were called; a chain over several files becomes one.
func TestChains(t *testing.T) {
	key, cert := pair(t)
	_, other := pair(t)
	for name, c := range map[string]struct {
		list, cert, key string
		lost            bool
	}{
		"key and chain":     {"/privkey.pem, /fullchain.pem", `cert = "/fullchain.pem"`, `key  = "/privkey.pem"`, false},
		"one file":          {"/both.pem", `cert = "/both.pem"`, `key  = "/both.pem"`, false},
		"three files":       {"/privkey.pem /fullchain.pem /other.pem", `cert = "tls-chain.pem"`, `key  = "/privkey.pem"`, false},
		"another's key":     {"/privkey.pem, /other.pem", "", "", true},
		"what is not there": {"/nowhere.pem, /fullchain.pem", "", "", true},
	} {
		r := site(firm+"smtpd_tls_chain_files = "+c.list+"\n", map[string]string{"/etc/aliases": "", "/etc/postfix/master.cf": services, "/privkey.pem": key, "/fullchain.pem": cert, "/other.pem": other, "/both.pem": key + cert})
		v, _ := verdictOf(r, "smtpd_tls_chain_files")
		if !strings.Contains(string(r.Config), c.cert) || !strings.Contains(string(r.Config), c.key) || (v.Kind == Lost) != c.lost || c.lost == strings.Contains(string(r.Config), "[tls]") {
			t.Errorf("%s: %+v\n%s", name, v, r.Config)
		}
	}
}

func pair(t *testing.T) (key, cert string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		t.Fatal(err)
	}
	octets, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: octets})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// Doors are those of master.cf and no others.
func TestDoors(t *testing.T) {
	const master = "smtp inet n - y - - smtpd\n192.0.2.7:2525 inet n - y - - smtpd\nsubmission inet n - y - - smtpd -o smtpd_sasl_auth_enable=yes\n2465 inet n - y - - smtpd -o smtpd_tls_wrappermode=yes\n127.0.0.1:10025 inet n - y - - smtpd -o content_filter=\nlocalhost:10026 inet n - y - - smtpd -o content_filter=\n"
	main := firm + "inet_interfaces = 192.0.2.1\nsmtpd_tls_cert_file = /c.pem\n"
	r := site(main, map[string]string{"/etc/aliases": "", "/etc/postfix/master.cf": master})
	for _, want := range []string{`mx = ["192.0.2.1:25", "192.0.2.7:2525"]`, `submission = ["192.0.2.1:587"]`, `submissions = ["192.0.2.1:2465"]`} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("%s is not in\n%s", want, r.Config)
		}
	}
	r = site(main+"smtpd_sasl_auth_enable = yes\n", map[string]string{"/etc/aliases": "", "/etc/postfix/master.cf": "smtp inet n - y - - smtpd\n"})
	if strings.Contains(string(r.Config), "submission") || strings.Contains(string(r.Config), "sendmail") {
		t.Errorf("doors that are not there:\n%s", r.Config)
	}
	if v, ok := verdictOf(r, "smtpd_sasl_auth_enable: yes"); !ok || v.Kind != Lost || v.Topic != TopicDoors {
		t.Errorf("%+v", v)
	}
}

// Whoever has a Maildir here read mail elsewhere before; with a server behind nothing changes.
func TestOldMailboxes(t *testing.T) {
	const box = "myhostname = mail.box.example\nmydestination = localhost\nvirtual_mailbox_domains = box.example\nvirtual_mailbox_maps = inline:{ { x@box.example = x } }\nvirtual_mailbox_base = /srv\n"
	for main, want := range map[string]string{
		firm: "mail_spool_directory", firm + "home_mailbox = Maildir/\n": "home_mailbox", firm + "mailbox_transport = lmtp:unix:x\n": "",
		box: "virtual_mailbox_base", box + "virtual_transport = lmtp:unix:x\n": "",
	} {
		r := site(main, map[string]string{"/etc/aliases": "info: anna\n", "/etc/postfix/master.cf": services})
		var lost []string
		for _, v := range r.Lines {
			if v.Kind == Lost {
				lost = append(lost, v.What)
			}
		}
		if strings.Join(lost, " ") != want {
			t.Errorf("%s: lost %q, and not %s", main, lost, want)
		}
	}
}

// An entry without a domain is about the name in every local domain: nobody is made of it.
func TestNamesWithoutADomain(t *testing.T) {
	r := site(firm+"virtual_alias_maps = inline:{ { desk = anna } }\n", map[string]string{"/etc/aliases": "help: desk@mail.firm.example\n", "/etc/postfix/master.cf": services})
	for _, want := range []string{`"desk@firm.example" = ["anna@firm.example"]`, `"desk@mail.firm.example" = ["anna@firm.example"]`, `"help@firm.example" = ["desk@mail.firm.example"]`} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("%s is not in\n%s", want, r.Config)
		}
	}
	if !slices.Equal(r.People, []string{"anna@firm.example"}) {
		t.Errorf("accounts to make: %v", r.People)
	}
}

// Members are written with their names, as people write addresses.
func TestMembersWithNames(t *testing.T) {
	r := site(firm+"virtual_alias_maps = hash:/etc/virtual\n", map[string]string{
		"/etc/aliases":           "all: :include:/etc/lists/all\nboss: Anna Adams <anna>, ben@firm.example (Ben)\n",
		"/etc/lists/all":         "Anna Adams <anna@firm.example>\n\"Brown, Ben\" <ben@firm.example>, carl (until May)\n",
		"/etc/virtual":           "desk@firm.example  Anna <anna@firm.example>, ben carl\n",
		"/etc/postfix/master.cf": services,
	})
	for _, want := range []string{
		`"all@firm.example" = ["anna@firm.example", "ben@firm.example", "carl@firm.example"]`, `"boss@firm.example" = ["anna@firm.example", "ben@firm.example"]`,
		`"desk@firm.example" = ["anna@firm.example", "ben@firm.example", "carl@firm.example"]`,
	} {
		if !strings.Contains(string(r.Config), want) {
			t.Errorf("no %s in\n%s", want, r.Config)
		}
	}
}

// A list in a file becomes its members: lists within it too, each once, and never a program.
// One that cannot be read makes its alias lost, since a list without a member is another list.
func TestListsInFiles(t *testing.T) {
	r := site(firm, map[string]string{
		"/etc/aliases":           "all: :include:/etc/lists/all\nsome: anna, \":include:/etc/lists/gone\"\nrobots: :include:/etc/lists/robots\n",
		"/etc/lists/all":         "# everybody\nanna,\n  :include:/etc/lists/sales\n\n#carl\n",
		"/etc/lists/sales":       "ben\n:include:/etc/lists/all\n",
		"/etc/lists/robots":      "anna\n\"|/bin/robot\"\n",
		"/etc/postfix/master.cf": services,
	})
	if want := `"all@firm.example" = ["anna@firm.example", "ben@firm.example"]`; !strings.Contains(string(r.Config), want) {
		t.Errorf("no %s in\n%s", want, r.Config)
	}
	for _, name := range []string{"some", "robots"} {
		if i := slices.IndexFunc(r.Lines, func(v Verdict) bool { return v.What == name }); i < 0 || r.Lines[i].Kind != Lost {
			t.Errorf("%s is not lost: %+v", name, r.Lines)
		}
	}
}
