package config

// BounceAction says what becomes of a bounce. The zero value refuses it.
type BounceAction uint8

const (
	BounceRefuse BounceAction = iota
	BounceJunk
	BounceAccept
)

// Bounces says what becomes of bounces from outside that are no answer to our mail.
type Bounces struct {
	Forged  BounceAction // of a message in our name that was never sent from here
	Unnamed BounceAction // that do not tell of which message
}

func bouncesKeys() []entry[Bounces] {
	return []entry[Bounces]{
		parsed(Key{Path: "bounces.forged", Type: TypeChoice, Default: "refuse",
			Doc: `What becomes of a bounce from outside whose returned message names a domain of ours and does not stand in the trace as sent from here: "refuse" (550), "junk", and mailboxes of ours keep it apart, or "accept". Nothing is refused before the trace goes back 14 days. Domains with an smtp:// server behind do not count: that server may send by itself. Where mail in our name is also sent from elsewhere, with return paths to here, write "accept".`},
			parseBounceAction, func(b *Bounces) *BounceAction { return &b.Forged }),
		parsed(Key{Path: "bounces.unnamed", Type: TypeChoice, Default: "accept",
			Doc: `What becomes of a bounce from outside that names no message: "accept", "junk" or "refuse". Some honest servers return nothing of the message.`},
			parseBounceAction, func(b *Bounces) *BounceAction { return &b.Unnamed }),
	}
}

func parseBounceAction(text string) (a BounceAction, message, hint string) {
	switch text {
	case "refuse":
		return BounceRefuse, "", ""
	case "junk":
		return BounceJunk, "", ""
	case "accept":
		return BounceAccept, "", ""
	}
	return 0, "this is nothing that can be done with a bounce", `write "refuse", "junk" or "accept"`
}
