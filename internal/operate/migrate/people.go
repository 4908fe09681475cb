package migrate

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// oldMailboxes says of people whose mail comes to Maildirs that it came to another place
// before, where they still look for it.
func (im *importer) oldMailboxes() {
	const text = "mail comes to Maildirs below maildir.root: point whoever reads it there (docs/guides/maildir.md); what lies in the old mailboxes stays where it is"
	var local, virtual bool
	for _, a := range im.people {
		_, host, _ := strings.Cut(a, "@")
		if d := im.ours(host); d != nil && d.deliver == "maildir" {
			local, virtual = local || d.class == classLocal, virtual || d.class == classMailbox && d.param != "myorigin"
		}
	}
	tell := func(param string) {
		if im.given(param) {
			im.note(param, Lost, TopicDelivery, "%s", text)
			return
		}
		im.extra = append(im.extra, Verdict{File: im.main, What: param, Kind: Lost, Topic: TopicDelivery, Text: text})
	}
	if local && im.value("home_mailbox") == "" && im.value("mailbox_command") == "" {
		tell("mail_spool_directory")
	}
	if n, told := im.notes["virtual_transport"]; virtual && !(told && n.kind == Lost) {
		tell("virtual_mailbox_base")
	}
}

// senders makes rights of smtpd_sender_login_maps: who may send as which address.
func (im *importer) senders() {
	const name = "smtpd_sender_login_maps"
	im.submitters()
	if !im.given(name) {
		return
	}
	im.note(name, Carried, TopicTrust,
		"an account sends as its own address and as aliases that lead to it alone; what is more is told below as 'delegate add'")
	for _, spec := range Words(im.value(name)) {
		if contains(Words(im.value("virtual_alias_maps")), spec) || contains(Words(im.value("virtual_mailbox_maps")), spec) {
			im.rightsOf(spec, true)
			continue
		}
		im.rightsOf(spec, false)
	}
}

// rightsOf reads one table; quietly where another parameter told of its entries.
func (im *importer) rightsOf(spec string, told bool) {
	entries, err := im.p.Table(spec, im.read)
	if err != nil {
		im.beside("smtpd_sender_login_maps", spec, Lost, TopicTrust,
			"%v; an account sends as its own addresses, others are 'sallyport delegate add ACCOUNT ADDRESS'",
			err)
		return
	}
	for _, e := range entries {
		said := len(im.extra)
		im.right(e)
		if told {
			im.extra = im.extra[:said]
		}
	}
}

// right gives the logins of an entry the right to send as its address.
func (im *importer) right(e Entry) {
	address, why := im.qualify(strings.ToLower(e.Key))
	_, host, _ := strings.Cut(address, "@")
	switch {
	case strings.HasPrefix(e.Key, "@"):
		im.entry(e, Lost, TopicTrust, "nobody sends as a whole domain here; add a delegate for each address")
		return
	case why != "" || im.ours(host) == nil:
		im.entry(e, Lost, TopicTrust, "nobody sends as an address that is not ours")
		return
	}
	var rights, unknown []string
	for _, login := range Words(e.Value) {
		account, known := im.login(login)
		switch {
		case !known:
			unknown = append(unknown, login)
		case account == address || slices.Equal(im.aliases[address], []string{account}):
		case !im.exists(address):
			unknown = append(unknown, address)
		default:
			if r := (Delegate{account, address}); !slices.Contains(im.delegates, r) {
				im.delegates = append(im.delegates, r)
			}
			rights = append(rights, account)
		}
	}
	switch {
	case len(unknown) > 0:
		im.entry(e, Lost, TopicTrust, "no account and no address here is %s", brief(unknown))
	case len(rights) > 0:
		im.entry(e, Carried, TopicTrust, "'delegate add' for %s, told below", brief(rights))
	default:
		im.entry(e, Carried, TopicTrust, "it is the account's own address, or leads to it alone")
	}
}

// login is the account that a login of SASL stands for.
func (im *importer) login(login string) (account string, known bool) {
	login = strings.ToLower(login)
	if !strings.Contains(login, "@") {
		realm := strings.ToLower(im.value("smtpd_sasl_local_domain"))
		if im.ours(realm) == nil {
			realm = im.localDomain()
		}
		if place := im.place(login); realm == im.localDomain() && place != "" {
			login = place
		} else {
			login += "@" + realm
		}
	}
	_, host, _ := strings.Cut(login, "@")
	d := im.ours(host)
	if d == nil {
		return "", false
	}
	if !contains(im.people, login) && len(im.aliases[login]) == 0 {
		im.people = append(im.people, login) // who sends needs an account
		d.list[login] = d.list[login] || d.class == classLocal
	}
	return login, contains(im.people, login)
}

// exists reports whether an address of ours is an account's or an alias.
func (im *importer) exists(address string) bool {
	return len(im.aliases[address]) > 0 || contains(im.people, address) || im.listed(address)
}

// submitters makes an account of everybody who has a mailbox on a server behind us, where
// people sign in to send.
func (im *importer) submitters() {
	signIn := im.yes("smtpd_sasl_auth_enable") || slices.ContainsFunc(im.services, func(s Service) bool {
		v, _ := s.Option("smtpd_sasl_auth_enable")
		return strings.EqualFold(v, "yes")
	})
	if !signIn {
		return
	}
	for _, d := range im.domains {
		if d.class != classMailbox && d.class != classLocal || d.deliver == "maildir" {
			continue
		}
		for _, a := range sortedNames(d.list) {
			if !contains(im.people, a) {
				im.people = append(im.people, a)
			}
		}
	}
}

// roles gives the roles of every domain to whom the local alias of postmaster leads.
func (im *importer) roles() {
	if place := im.place("postmaster"); place != "" && im.exists(place) {
		im.postmast = place
	}
	if im.postmast == "" {
		for _, a := range sortedAliases(im.aliases) {
			if strings.HasPrefix(a, "postmaster@") {
				im.postmast = a
				break
			}
		}
	}
	if im.sendmail == "" && im.master != "" && im.ours(im.origin) != nil &&
		slices.ContainsFunc(im.services, func(s Service) bool { return s.Command == "pickup" }) {
		im.sendmail = im.origin
	}
}

// asked reports whether no table lists the recipients of a domain with a server behind it, so that
// the server is asked.
func (im *importer) asked(d *domain) bool {
	return d.class == classMailbox && (im.boxesAll || im.boxes["@"+d.name]) || d.class == classRelay &&
		(im.relayAll || im.relayed["@"+d.name]) || d.class == classLocal
}

// lists says of each domain with a server behind it who knows its recipients.
func (im *importer) lists() {
	for _, d := range im.domains {
		if d.deliver == "maildir" {
			continue
		}
		_, caught := im.aliases["@"+d.name]
		all := im.asked(d)
		if all && !caught {
			continue // asked at RCPT
		}
		d.listed = true
		if all {
			im.extra = append(im.extra, Verdict{File: im.main, What: d.name, Kind: Changed, Topic: TopicRecipients,
				Text: fmt.Sprintf("a catch-all would hide whom the server behind knows, so that a list names them: add to %s.recipients who has a mailbox there; Postfix gave all their mail to the catch-all", d.name)})
		}
		var names []string
		for _, a := range sortedNames(d.list) {
			if _, err := mail.ParseAddress(a, mail.UTF8); err == nil {
				names = append(names, a)
			}
		}
		if len(names) == 0 && !all {
			im.beside(d.param, d.name, Changed, TopicRecipients,
				"no table lists anybody of it, so that Postfix refused everybody but aliases: %s.recipients is empty",
				d.name)
		}
		im.secrets[d.name+".recipients"] = strings.Join(append([]string{"# The recipients of " + d.name + ", imported from Postfix"}, names...),
			"\n") + "\n"
	}
}

func sortedAliases(m map[string][]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
