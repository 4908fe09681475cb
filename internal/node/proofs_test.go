package node

import (
	"fmt"
	"sallyport/internal/filter/sender"
	"sallyport/internal/reports/dmarc"
	"strings"
)

// contentProofs adds those of the checks of content.
func contentProofs(all map[string]keyProof) {
	see := func(n *Node) any {
		o := n.now().inspected.Checks.Options()
		if o.Rspamd != nil {
			return fmt.Sprintf("%+v %+v", *o.Rspamd, o.Milters)
		}
		return fmt.Sprintf("%+v", o.Milters)
	}
	values := map[string]string{"timeout": `"9s"`, "max_size": `"9KiB"`, "down": `"accept"`, "accounts": `"on"`, "connections": "9"}
	for name, start := range map[string]string{"rspamd": "[rspamd]\nurl = \"http://127.0.0.1:1\"", "milter.NAME": "[milter.one]\naddress = \"tcp://127.0.0.1:1\""} {
		for key, value := range values {
			all[name+"."+key] = keyProof{set: start + "\n" + key + " = " + value, see: see, on: start}
		}
	}
	all["bounces.forged"] = keyProof{set: "[bounces]\nforged = \"junk\"", see: func(n *Node) any { return n.now().inspected.Checks.Bounces().Forged }}
	all["bounces.unnamed"] = keyProof{set: "[bounces]\nunnamed = \"junk\"", see: func(n *Node) any { return n.now().inspected.Checks.Bounces().Unnamed }}
	on := "[rspamd]\nurl = \"http://127.0.0.1:1\""
	all["rspamd.url"] = keyProof{set: strings.Replace(on, ":1\"", ":2\"", 1), see: see, on: on}
	all["rspamd.spam"] = keyProof{set: on + "\nspam = \"field\"", see: see, on: on}
	all["rspamd.password_file"] = keyProof{set: on + "\npassword_file = \"secret\"", see: see, on: on}
	one := "[milter.one]\naddress = \"tcp://127.0.0.1:1\""
	all["milter.NAME.address"] = keyProof{set: strings.Replace(one, ":1\"", ":2\"", 1), see: see, on: one}
	all["milter.NAME.fields"] = keyProof{set: one + "\nfields = [\"DKIM-Signature\"]", see: see, on: one}
}

// proveDKIM shows that the signer, the verifier and the ring see a reload.
func proveDKIM(all map[string]keyProof) {
	signer := func(n *Node) sender.Signer {
		all := n.inspection.Inspectors()
		s, _ := all[len(all)-1].(sender.Signer)
		return s
	}
	all["dkim.sign"] = keyProof{set: "[dkim]\nsign = \"off\"", see: func(n *Node) any { return signer(n).On() }}
	all["dkim.lasts"] = keyProof{set: "[dkim]\nlasts = \"9d\"", see: func(n *Node) any { return signer(n).Lasts() }}
	all["dkim.overlap"] = keyProof{set: "[dkim]\noverlap = \"9d\"", see: func(n *Node) any { return n.data.Ring.Overlap() }}
	policy := func(n *Node) sender.Policy {
		a, _ := n.inspection.Inspectors()[0].(sender.Authenticator)
		return a.Policy()
	}
	proveDMARCReports(all)
	all["authentication.check"] = keyProof{set: "[authentication]\ncheck = \"off\"", see: func(n *Node) any { return policy(n).Check }}
	all["authentication.apply"] = keyProof{set: "[authentication]\napply = \"off\"", see: func(n *Node) any { return policy(n).Apply }}
	all["authentication.time"] = keyProof{set: "[authentication]\ntime = \"7s\"", see: func(n *Node) any { return policy(n).Time }}
	all["authentication.relays"] = keyProof{set: "[authentication]\nrelays = [\"192.0.2.25/32\"]", see: func(n *Node) any { return len(policy(n).Relays) }}
	all["authentication.own"] = keyProof{set: "[authentication]\nown = \"junk\"", see: func(n *Node) any { return policy(n).Own }}
}

// proveDMARCReports shows that the reporter sees a reload.
func proveDMARCReports(all map[string]keyProof) {
	const on = "[dmarc_report]\naccount = \"alice@local.test\""
	reporter := func(see func(*dmarc.Options) any) func(*Node) any {
		return func(n *Node) any {
			o, err := n.reporting.DMARC(n.reportMeans(n.now()))
			if err != nil || o == nil {
				return err
			}
			return see(o)
		}
	}
	for key, p := range map[string]struct {
		set string
		see func(*dmarc.Options) any
	}{
		"organisation": {`"Local"`, func(r *dmarc.Options) any { return r.Organisation }},
		"contact":      {`"https://local.test/"`, func(r *dmarc.Options) any { return r.Extra }},
		"daily":        {`7`, func(r *dmarc.Options) any { return r.Daily }},
		"size":         {`"7KiB"`, func(r *dmarc.Options) any { return r.Octets }},
	} {
		all["dmarc_report."+key] = keyProof{set: on + "\n" + key + " = " + p.set, see: reporter(p.see), on: on}
	}
	all["dmarc_report.account"] = keyProof{set: on, see: reporter(func(r *dmarc.Options) any { return r.Mail.Account() })}
}

// theSigning is how a server signs, and whom it asks for signatures.
func theSigning(n *Node) any { return fmt.Sprintf("%+v", n.data.ReturnPaths.Rules()) }
