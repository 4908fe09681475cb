package node

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"sallyport/internal/access"
	"sallyport/internal/accounts"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/node/settings"
	"sallyport/internal/smtp/server"
)

// keyProof shows that a reload takes a key in: a line that sets it, below its table, and
// what the running server then does differently. The observation asks the room that
// uses the value, never the configuration.
type keyProof struct {
	set string // "notice = \"n\"", or "[limits]\nrecipients = 150"
	see func(*Node) any
	on  string // what stands there before, in the same form; "": siteText as it is
}

func door25(f func(server.Config) any) func(*Node) any {
	return func(n *Node) any { return f(n.doors.Posting(server.KindMX)) }
}

func class(address string) func(*Node) any {
	return func(n *Node) any {
		a, err := mail.ParseAddress(address, mail.ASCII)
		if err != nil {
			return err
		}
		return fmt.Sprint(n.book.Snapshot().Classify(a))
	}
}

func boundsOfIdentity(n *Node) any {
	l, m := n.data.Accounts.Bounds()
	return fmt.Sprint(l, m)
}

func boundsOfSpool(n *Node) any {
	p, l := n.data.Spool.Bounds()
	return fmt.Sprint(p, l)
}

func theRoute(n *Node) any {
	var all []string
	for _, known := range n.book.Stated().Config.Routes {
		all = append(all, fmt.Sprintf("%+v %p", known, n.ways().Route(known)))
	}
	return strings.Join(all, "\n")
}

func theDomain(n *Node) any {
	d := n.book.Stated().Config.Domains[len(n.book.Stated().Config.Domains)-1]
	return fmt.Sprintf("%+v %v %s", d, d.Server.TLS, d.Server.CA)
}

// lastServer is the server behind the last domain.
func lastServer(n *Node) *named.Target {
	set, _ := n.ways().Behind().InForce()
	t, err := set.Find(n.book.Stated().Config.Domains[len(n.book.Stated().Config.Domains)-1].Server)
	if err != nil {
		return nil
	}
	return t
}

func theExchangers(n *Node) any { return fmt.Sprintf("%p", n.now().ways.Exchangers()) }

func limitsOfDoor(n *Node) any {
	return fmt.Sprintf("%+v", n.doors.Posting(server.KindMX).Limits)
}

func limitsOfReaders(n *Node) any {
	c, _ := n.doors.Reading(access.KindIMAPS)
	return fmt.Sprintf("%+v", c.Limits)
}

// proofs has one entry for each key that needs no restart.
func proofs() map[string]keyProof {
	all := map[string]keyProof{
		"postmaster":                             {set: `postmaster = "bob@local.test"`, see: class("postmaster@local.test")},
		"notice":                                 {set: `notice = "Keep out"`, see: door25(func(c server.Config) any { return c.Notice })},
		"detail":                                 {set: `detail = "off"`, see: class("alice+x@local.test")},
		"literals":                               {set: `literals = ["192.0.2.7"]`, see: class("postmaster@[192.0.2.7]")},
		"listen.mx":                              {set: `listen.mx = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().MX) }},
		"listen.submission":                      {set: `listen.submission = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().Submission) }},
		"listen.submissions":                     {set: `listen.submissions = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().Submissions) }},
		"listen.imap":                            {set: `listen.imap = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().IMAP) }},
		"listen.imaps":                           {set: `listen.imaps = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().IMAPS) }},
		"listen.pop3":                            {set: `listen.pop3 = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().POP3) }},
		"listen.pop3s":                           {set: `listen.pop3s = ["127.0.0.1:0", "127.0.0.2:0"]`, see: func(n *Node) any { return len(n.Addrs().POP3S) }},
		"tls.cert":                               {set: `tls = { cert = "other/server.pem", key = "other/server.key" }`, see: door25(func(c server.Config) any { return string(c.TLS.Certificates[0].Certificate[0]) })},
		"domain.NAME.deliver":                    {set: "[domain.\"new.test\"]\ndeliver = \"maildir\"", see: class("alice@new.test")},
		"domain.NAME.postmaster":                 {set: "[domain.\"local.test\"]\ndeliver = \"maildir\"\npostmaster = \"bob@local.test\"", see: class("postmaster@local.test")},
		"alias.NAME":                             {set: "[alias]\n\"new@local.test\" = [\"bob@local.test\"]", see: class("new@local.test")},
		"mx.delivery":                            {set: "[mx]\ndelivery = \"off\"", see: theExchangers},
		"mx.dns":                                 {set: "[mx]\ndns = [\"127.0.0.53:53\"]", see: theExchangers},
		"mx.private":                             {set: "[mx]\nprivate = [\"10.0.0.0/8\"]", see: theExchangers},
		"limits.sessions_per_account":            {set: "[limits]\nsessions_per_account = 3", see: func(n *Node) any { return n.desk.Bounds().SessionsPerAccount }},
		"limits.reading_sessions_per_account":    {set: "[limits]\nreading_sessions_per_account = 3", see: func(n *Node) any { return n.desk.Bounds().ReadersPerAccount }},
		"limits.reading_connections":             {set: "[limits]\nreading_connections = 7", see: func(n *Node) any { return limitsOfReaders(n) }},
		"limits.reading_connections_per_network": {set: "[limits]\nreading_connections_per_network = 7", see: func(n *Node) any { return limitsOfReaders(n) }},
		"limits.shutdown_grace":                  {set: "[limits]\nshutdown_grace = \"3s\"", see: limitsOfDoor},
		"limits.unjudged_memory":                 {set: "[limits]\nunjudged_memory = \"77MiB\"", see: func(n *Node) any { return n.doors.Memory().Use().Most }},
		"limits.memory":                          {set: "[limits]\nmemory = \"7GiB\"", see: func(*Node) any { return debug.SetMemoryLimit(-1) }},
		"limits.min_free":                        {set: "[limits]\nmin_free = \"7MiB\"", see: func(n *Node) any { return n.data.Disks[0].Reserved() }},
		"limits.alias_targets":                   {set: "[limits]\nalias_targets = 2", see: func(n *Node) any { return n.book.Stated().Config.MaxExpansion }},
		"limits.alias_depth":                     {set: "[limits]\nalias_depth = 3", see: func(n *Node) any { return n.book.Stated().Config.MaxDepth }},
		"trace.keep":                             {set: "[trace]\nkeep = \"3d\"", see: func(n *Node) any { return n.data.Trace.Bounds().Keep }},
		"trace.keep_strangers":                   {set: "[trace]\nkeep_strangers = \"3d\"", see: func(n *Node) any { return n.data.Trace.Bounds().StrangersKeep }},
		"trace.checkpoint_every":                 {set: "[trace]\ncheckpoint_every = \"3s\"", see: func(n *Node) any { return n.data.Trace.Bounds().CheckpointEvery }},
		"auth.mechanisms":                        {set: "[auth]\nmechanisms = [\"PLAIN\"]", see: boundsOfIdentity},
	}
	all["tls.key"] = all["tls.cert"] // they change together
	all["proxy.from"] = keyProof{set: "[proxy]\nfrom = [\"192.0.2.0/24\"]", see: door25(func(c server.Config) any { return fmt.Sprint(c.Balancers) })}
	all["proxy.timeout"] = keyProof{set: "[proxy]\nfrom = [\"192.0.2.0/24\"]\ntimeout = \"9s\"", see: limitsOfDoor}
	all["forward.external"] = keyProof{set: "[forward]\nexternal = \"on\"", see: func(n *Node) any { return n.book.Stated().Config.ForwardExternal }}
	held := func(n *Node) any {
		p := n.data.Quota.Policy()
		a, _ := mail.ParseAddress("nobody@local.test", mail.ASCII)
		mailbox, domain := p.Of(a)
		return fmt.Sprint(mailbox, domain, p.Warn, n.data.Mail.Bounds())
	}
	for _, key := range []string{"mailbox.quota_messages", "mailbox.quota_warn", "mailbox.folders", "mailbox.keywords", "mailbox.subscriptions"} {
		all[key] = keyProof{set: "[mailbox]\n" + strings.TrimPrefix(key, "mailbox.") + " = 7", see: held}
	}
	all["mailbox.quota"] = keyProof{set: "[mailbox]\nquota = \"7GiB\"", see: held}
	for _, key := range []string{"quota_messages", "quota_total_messages"} {
		all["domain.NAME."+key] = keyProof{set: "[domain.\"local.test\"]\n" + key + " = 7", see: held}
	}
	for _, key := range []string{"quota", "quota_total"} {
		all["domain.NAME."+key] = keyProof{set: "[domain.\"local.test\"]\n" + key + " = \"7GiB\"", see: held}
	}
	all["forward.targets"] = keyProof{set: "[forward]\nexternal = \"on\"\ntargets = 9", see: func(n *Node) any { return n.book.Stated().Config.ForwardTargets }}
	all["forward.return_age"] = keyProof{set: "[forward]\nreturn_age = \"3d\"", see: func(n *Node) any { return n.data.ReturnPaths.Rules().ForwardAge }}
	for key, see := range map[string]func(*Node) any{
		"person_hour": func(n *Node) any {
			return settings.Allowing(n.config)(accounts.Account{Role: accounts.RolePerson}).Hour
		},
		"person_day":   func(n *Node) any { return settings.Allowing(n.config)(accounts.Account{Role: accounts.RolePerson}).Day },
		"bulk_hour":    func(n *Node) any { return settings.Allowing(n.config)(accounts.Account{Role: accounts.RoleBulk}).Hour },
		"bulk_day":     func(n *Node) any { return settings.Allowing(n.config)(accounts.Account{Role: accounts.RoleBulk}).Day },
		"forward_hour": func(n *Node) any { return n.outflow.Allowance().Hour },
		"forward_day":  func(n *Node) any { return n.outflow.Allowance().Day },
	} {
		all["budget."+key] = keyProof{set: "[budget]\n" + key + " = 7", see: see}
	}
	for key, set := range map[string]string{
		"mode": `"observe"`, "odds": "77777", "hold": `"7s"`, "new_at_once": "7", "new_hour": "7", "new_day": "77", "new_week": "77",
	} {
		all["hijack."+key] = keyProof{set: "[hijack]\n" + key + " = " + set, see: func(n *Node) any { return fmt.Sprintf("%+v", n.watchers.Watch.Settings()) }}
	}
	provider := "[oidc]\nissuer = \"https://login.local.test/a\"\naudience = \"a\"\nscope = \"s\"\nclients = [\"c\"]"
	for key, set := range map[string]string{
		"issuer": strings.Replace(provider, "test/a", "test/b", 1), "audience": strings.Replace(provider, "audience = \"a\"", "audience = \"b\"", 1),
		"scope": strings.Replace(provider, "scope = \"s\"", "scope = \"t\"", 1), "clients": strings.Replace(provider, "[\"c\"]", "[\"d\"]", 1),
		"claim": provider + "\nclaim = \"upn\"", "read_scope": provider + "\nread_scope = \"imap\"", "ca": provider + "\nca = \"tls/ca.pem\"",
		"ask_as": provider + "\nask_as = \"us\"\nask_secret_file = \"secret\"", "ask_secret_file": provider + "\nask_as = \"us\"\nask_secret_file = \"secret\"",
	} {
		all["oidc."+key] = keyProof{set: set, on: provider, see: func(n *Node) any { return fmt.Sprintf("%+v", n.provider().Provider()) }}
	}
	hook := "[webhook]\nurl = \"https://hooks.local.test/a\"\nkey_file = \"webhook-a\""
	for key, set := range map[string]string{
		"url":      strings.Replace(hook, "/a", "/b", 1),
		"key_file": strings.Replace(hook, "webhook-a", "webhook-b", 1),
		"ca":       hook + "\nca = \"tls/ca.pem\"",
	} {
		all["webhook."+key] = keyProof{set: set, on: hook, see: func(n *Node) any {
			s := n.letters.Webhook.Settings()
			return fmt.Sprintf("%v %q %q", s.URL, s.Keys, s.Trust)
		}}
	}
	proveDirectories(all)
	proveDKIM(all)
	who := func(n *Node) any { return n.doors.LocalUser(uint32(os.Geteuid())) }
	all["sendmail.domain"] = keyProof{set: "[sendmail]\ndomain = \"local.test\"", see: func(n *Node) any {
		_, why := localdoor.Users{Named: n.config().Sendmail.Users, Domain: n.config().Sendmail.Domain}.Account(4711, "alice", func(mail.Address) bool { return true })
		return why
	}}
	all["sendmail.users.NAME"] = keyProof{set: fmt.Sprintf("[sendmail.users]\n%d = \"alice@local.test\"", os.Geteuid()), see: who}
	printers := "[network.printers]\nfrom = [\"10.20.0.0/24\"]\naccount = \"alice@local.test\"\n"
	reports := func(n *Node) any { return fmt.Sprintf("%+v", n.watchers.Networks.Reports()) }
	most := func(n *Node) any {
		alice, err := mail.ParseAddress("alice@local.test", mail.ASCII)
		a, _ := n.data.Accounts.Lookup(alice)
		return fmt.Sprint(settings.Allowing(n.config)(a), err)
	}
	all["network.NAME.from"] = keyProof{on: printers, set: strings.Replace(printers, "10.20", "10.30", 1), see: reports}
	all["network.NAME.account"] = keyProof{on: printers, set: strings.Replace(printers, "alice", "bob", 1), see: reports}
	all["network.NAME.recipients_hour"] = keyProof{on: printers, set: printers + "recipients_hour = 7\n", see: most}
	all["network.NAME.recipients_day"] = keyProof{on: printers, set: printers + "recipients_day = 70\n", see: most}
	list := "[alias.\"list@local.test\"]\nto = [\"bob@local.test\"]"
	aliases := func(n *Node) any { return fmt.Sprintf("%+v", n.book.Stated().Config.Aliases) }
	all["alias.NAME.to"] = keyProof{set: list, see: aliases}
	all["alias.NAME.from"] = keyProof{set: list + "\nfrom = \"accounts\"", see: aliases, on: list}
	for key, value := range map[string]string{"mode": `"enforce"`, "max_age": `"9d"`} {
		all["tls_policy."+key] = keyProof{set: "[tls_policy]\n" + key + " = " + value, see: func(n *Node) any { return fmt.Sprint(n.identity.Policy()) }}
	}
	for key, value := range map[string]string{"mta_sts": `"off"`, "dane": `"off"`, "dns_validates": `"on"`, "report_account": `"alice@local.test"`, "ca": `"tls/ca.pem"`} {
		own := "[mx]\ndns = [\"127.0.0.1:53\"]"
		all["tls_policy."+key] = keyProof{set: own + "\n[tls_policy]\n" + key + " = " + value, see: theExchangers, on: own}
	}
	contentProofs(all)
	all["submission.sender_binding"] = keyProof{set: "[submission]\nsender_binding = \"report\"", see: func(n *Node) any { return n.intake.Binding() }}
	screenProofs(all)
	signs := "[return_path]\nsign = \"require\""
	for key, value := range map[string]string{"sign": `"tag"`, "age": `"20d"`, "exempt": `["bob@local.test"]`} {
		p := keyProof{set: signs + "\n" + key + " = " + value, on: signs, see: theSigning}
		if key == "sign" {
			p.set, p.on = "[return_path]\nsign = "+value, ""
		}
		all["return_path."+key] = p
	}
	behind := "[domain.\"behind.test\"]\ndeliver = \"smtp://192.0.2.9\""
	for key, value := range map[string]string{"tls": `"required"`, "ca": "\"tls/ca.pem\"\ntls = \"required\"", "recipients": `"accounts"`, "cut_through": `"on"`, "recipients_file": `"names"`} {
		p := keyProof{set: behind + "\n" + key + " = " + value, see: theDomain, on: behind}
		if key == "ca" {
			p.on += "\ntls = \"required\""
		}
		all["domain.NAME."+key] = p
	}
	for key, value := range map[string]string{"connections": "3", "messages": "3"} {
		all["domain.NAME."+key] = keyProof{set: behind + "\n" + key + " = " + value, on: behind, see: func(n *Node) any {
			return fmt.Sprint(lastServer(n).Place().Limits)
		}}
	}
	for key, value := range map[string]string{
		"timeout": `"9s"`, "positive_ttl": `"9m"`, "grace": `"9h"`, "negative_ttl": `"9s"`, "entries": "999", "rate": "9", "waiting": "9",
	} {
		all["callout."+key] = keyProof{set: "[callout]\n" + key + " = " + value, see: func(n *Node) any { return fmt.Sprintf("%p", n.now().ways.Callouts()) }}
	}
	all["callout.connections"] = keyProof{set: behind + "\n[callout]\nconnections = 9", on: behind, see: func(n *Node) any {
		return fmt.Sprint(lastServer(n).Place().Limits)
	}}
	for key, value := range map[string]string{
		"to": `"smtp://127.0.0.1:2727"`, "tls": `"opportunistic"`, "ca": `"tls/ca.pem"`, "user": `"u"`, "password_file": `"secret"`,
		"connections": "3", "messages": "3",
		"cert": "", "cert_key": "", "others": "", "token_url": "", "token_ca": "", "client_id": "", "client_secret_file": "", "refresh_token_file": "", "token_scope": "", "token_auth": "",
	} {
		line := "[route.\"remote.test\"]\nto = \"smtp://127.0.0.1:2626\"\ntls = \"none\"\n" + key + " = " + value
		switch key {
		case "to":
			line = "[route.\"remote.test\"]\ntls = \"none\"\nto = " + value
		case "others":
			line = "[route.\"remote.test\"]\nto = \"smtp://127.0.0.1:2626\"\ntls = \"none\"\nothers = [\"smtp://127.0.0.1:2627\"]"
		case "tls":
			line = "[route.\"remote.test\"]\nto = \"smtp://127.0.0.1:2626\"\ntls = " + value
		case "ca":
			line = "[route.\"remote.test\"]\nto = \"smtp://127.0.0.1:2626\"\ntls = \"required\"\nca = " + value
		case "user", "password_file":
			line = "[route.\"remote.test\"]\nto = \"smtps://127.0.0.1:2626\"\nuser = \"u\"\npassword_file = \"secret\""
		case "cert", "cert_key":
			line = "[route.\"remote.test\"]\nto = \"smtps://127.0.0.1:2626\"\ncert = \"tls/server.pem\"\ncert_key = \"tls/server.key\""
		case "token_url", "token_ca", "client_id", "client_secret_file", "refresh_token_file", "token_scope", "token_auth":
			line = "[route.\"remote.test\"]\nto = \"smtps://127.0.0.1:2626\"\nuser = \"u\"\ntoken_url = \"https://127.0.0.1:2627/token\"\ntoken_ca = \"tls/ca.pem\"\nclient_id = \"c\"\nclient_secret_file = \"secret\"\nrefresh_token_file = \"secret\"\ntoken_scope = \"s\"\ntoken_auth = \"header\""
		}
		all["route.NAME."+key] = keyProof{set: line, see: theRoute}
	}
	for key, value := range map[string]string{
		"connections": "99", "connections_per_network": "9", "handshakes": "9", "handshake_time": `"9s"`, "greet_delay": `"9ms"`,
		"command_timeout": `"9s"`, "data_timeout": `"9s"`, "min_data_rate": "9", "session_time": `"9m"`, "transactions": "9", "recipients": "109",
		"errors": "9", "unknown_commands": "9", "junk_commands": "19", "auth_failures": "9", "message_size": `"1MiB"`,
	} {
		all["limits."+key] = keyProof{set: "[limits]\n" + key + " = " + value, see: limitsOfDoor}
	}
	for key, value := range map[string]string{"header_size": `"32KiB"`, "header_fields": "99", "hops": "11"} {
		all["limits."+key] = keyProof{set: "[limits]\n" + key + " = " + value, see: func(n *Node) any { return n.intake.Bounds() }}
	}
	for key, value := range map[string]string{"queue_messages": "99", "queue_size": `"9MiB"`, "queue_messages_per_account": "9", "inline_size": `"9KiB"`} {
		all["limits."+key] = keyProof{set: "[limits]\n" + key + " = " + value, see: boundsOfSpool}
	}
	for key, value := range map[string]string{"active_messages": "99", "deliveries_per_domain": "9"} {
		all["limits."+key] = keyProof{set: "[limits]\n" + key + " = " + value, see: func(n *Node) any { _, l := n.outflow.Bounds(); return l }}
	}
	for key, value := range map[string]string{"first": `"9s"`, "max": `"9h"`, "factor": "3", "jitter": "0.3", "warn": `"9h"`, "expire": `"2d"`} {
		all["retry."+key] = keyProof{set: "[retry]\n" + key + " = " + value, see: func(n *Node) any { p, _ := n.outflow.Bounds(); return fmt.Sprint(p, boundsOfSpool(n)) }}
	}
	for key, value := range map[string]string{
		"cache_ttl": `"9s"`, "cache_entries": "9", "hashing": "9", "waiting": "9", "wait_time": `"9s"`, "guesses": "9", "guess_time": `"9m"`,
		"network_guesses": "9", "total_guesses": "9", "wrong_for": `"9h"`,
		"scram_rounds": "5000", "argon_memory": `"9MiB"`, "argon_rounds": "3",
	} {
		all["auth."+key] = keyProof{set: "[auth]\n" + key + " = " + value, see: boundsOfIdentity}
	}
	return all
}
