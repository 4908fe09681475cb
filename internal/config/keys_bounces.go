package config

import "sallyport/internal/filter/bounce"

func bouncesKeys() []entry[bounce.Policy] {
	return []entry[bounce.Policy]{
		parsed(Key{Path: "bounces.forged", Type: TypeChoice, Default: "refuse",
			Doc: `What becomes of a bounce from outside whose returned message names a domain of ours and ` +
				`does not stand in the trace as sent from here: "refuse" (550), "junk", and mailboxes of ` +
				`ours keep it apart, or "accept". Nothing is refused before the trace goes back 14 days. ` +
				`Domains with an smtp:// server behind do not count: that server may send by itself. Where ` +
				`mail in our name is also sent from elsewhere, with return paths to here, write "accept".`},
			parseBounceAction, func(b *bounce.Policy) *bounce.Treatment { return &b.Forged }),
		parsed(Key{Path: "bounces.unnamed", Type: TypeChoice, Default: "accept",
			Doc: `What becomes of a bounce from outside that names no message: "accept", "junk" or "refuse". ` +
				`Some honest servers return nothing of the message.`},
			parseBounceAction, func(b *bounce.Policy) *bounce.Treatment { return &b.Unnamed }),
	}
}

func parseBounceAction(text string) (a bounce.Treatment, message, hint string) {
	switch text {
	case "refuse":
		return bounce.TreatRefuse, "", ""
	case "junk":
		return bounce.TreatJunk, "", ""
	case "accept":
		return bounce.TreatAccept, "", ""
	}
	return 0, "this is nothing that can be done with a bounce", `write "refuse", "junk" or "accept"`
}
