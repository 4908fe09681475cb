package node

import "fmt"

// screenProofs adds those of who is kept out.
func screenProofs(all map[string]keyProof) {
	see := func(n *Node) any {
		o := n.now().screen.Options()
		return fmt.Sprint(o.List.Rules(), o.Lists, o.RefuseAt, o.Slow, o.Time)
	}
	for key, value := range map[string]string{"list": `"screen"`, "refuse_at": "9", "slow": `"9s"`, "timeout": `"9s"`} {
		all["screen."+key] = keyProof{set: "[screen]\n" + key + " = " + value, see: see}
	}
	one := "[dnsbl.\"bl.test\"]"
	for key, value := range map[string]string{"of": `"hello"`, "weight": "-9", "answers": `["127.0.0.4/32"]`} {
		all["dnsbl.NAME."+key] = keyProof{set: one + "\n" + key + " = " + value, see: see, on: one}
	}
}
