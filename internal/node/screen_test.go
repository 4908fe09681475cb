package node

import (
	"context"
	"fmt"
	"net/netip"

	"sallyport/internal/mail"
)

// screenProofs adds those of who is kept out, and of how much comes in.
func screenProofs(all map[string]keyProof) {
	for _, key := range []string{"network_connections", "network_recipients", "network_messages", "share_messages", "mailbox_messages", "mailbox_replies"} {
		all["inflow."+key] = keyProof{set: "[inflow]\n" + key + " = 7", see: func(n *Node) any { return fmt.Sprint(n.data.Inflow.Hits()) }}
	}
	for _, key := range []string{"network_size", "share_size", "mailbox_size"} {
		all["inflow."+key] = keyProof{set: "[inflow]\n" + key + ` = "7TiB"`, see: func(n *Node) any { return fmt.Sprint(n.data.Inflow.Hits()) }}
	}
	see := func(n *Node) any {
		o := n.inspection.Screen().Options()
		return fmt.Sprint(o.List.Rules(), o.Lists, o.RefuseAt, o.Slow, o.Time)
	}
	places := func(n *Node) any { return len(n.inspection.Screen().Options().Atlas.Files()) }
	for key, file := range map[string]string{"as_file": "as.mmdb", "country_file": "country.mmdb"} {
		all["screen."+key] = keyProof{set: "[screen]\n" + key + " = \"" + file + "\"", see: places}
	}
	for key, value := range map[string]string{"list": `"screen"`, "refuse_at": "9", "slow": `"9s"`, "timeout": `"9s"`} {
		all["screen."+key] = keyProof{set: "[screen]\n" + key + " = " + value, see: see}
	}
	all["screen.greylist"] = keyProof{set: "[screen]\ngreylist = \"7m\"", see: func(n *Node) any {
		to, err := mail.ParseAddress("alice@local.test", mail.ASCII)
		return fmt.Sprint(n.data.Greylist.Judge(context.Background(), netip.MustParseAddr("198.51.100.7"), mail.NullPath(), to).OK, err)
	}}
	one := "[dnsbl.\"bl.test\"]"
	for key, value := range map[string]string{"of": `"hello"`, "weight": "-9", "answers": `["127.0.0.4/32"]`} {
		all["dnsbl.NAME."+key] = keyProof{set: one + "\n" + key + " = " + value, see: see, on: one}
	}
}
