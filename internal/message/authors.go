package message

import "sallyport/internal/mail"

const (
	// MaxAuthorAddresses bounds the addresses in all author fields of a message.
	MaxAuthorAddresses = 100
	// MaxDisplayClaims bounds the addresses collected from display names.
	MaxDisplayClaims = 20
)

// Authors is what a header says of those who wrote and sent it. When Fault is not
// empty, the addresses are what was read before it, and nothing to decide by.
type Authors struct {
	From         []mail.Address // of all From fields
	FromFields   int            // RFC 5322 §3.6 wants exactly one
	Sender       []mail.Address
	ResentFrom   []mail.Address
	ResentSender []mail.Address
	// Fault says why the header cannot be trusted to name its author, "" if it can.
	Fault string
	// NeedsUTF8 says that the fault is UTF-8 in a message without SMTPUTF8.
	NeedsUTF8 bool
	// DisplayClaims are addresses that stand in display names and comments, decoded,
	// and that differ from the mailbox beside them.
	DisplayClaims []mail.Address
}

// Authors reads every From, Sender, Resent-From and Resent-Sender field. cs is
// mail.UTF8 if the message came with SMTPUTF8. A group, a source route, an obsolete
// form around an address, an encoded word inside one, several addresses side by
// side, and any line of the header that is no proper field are faults.
func (h Header) Authors(cs mail.Charset) Authors {
	a := Authors{Fault: h.fault}
	sender := 0
	for _, f := range h.fields {
		switch {
		case h.named(f, "From"):
			a.FromFields++
			h.readAuthors(f, "From", cs, &a, &a.From)
		case h.named(f, "Sender"):
			sender++
			h.readAuthors(f, "Sender", cs, &a, &a.Sender)
		case h.named(f, "Resent-From"):
			h.readAuthors(f, "Resent-From", cs, &a, &a.ResentFrom)
		case h.named(f, "Resent-Sender"):
			h.readAuthors(f, "Resent-Sender", cs, &a, &a.ResentSender)
		}
	}
	// RFC 5322 §3.6: at most one Sender, with one mailbox.
	if sender > 1 || sender == 1 && len(a.Sender) > 1 {
		a.setFault("there is more than one Sender", false)
	}
	return a
}

func (a *Authors) setFault(fault string, needsUTF8 bool) {
	if a.Fault == "" {
		a.Fault, a.NeedsUTF8 = fault, needsUTF8
	}
}

// readAuthors adds one field's addresses to list.
func (h Header) readAuthors(f span, name string, cs mail.Charset, a *Authors, list *[]mail.Address) {
	r := addressReader{text: h.value(f), charset: cs, room: MaxAuthorAddresses - len(a.From) - len(a.Sender) - len(a.ResentFrom) - len(a.ResentSender)}
	r.list()
	*list = append(*list, r.found...)
	if r.fault != "" {
		a.setFault(name+": "+r.fault, r.needsUTF8)
	}
	for _, c := range r.claims {
		if len(a.DisplayClaims) < MaxDisplayClaims {
			a.DisplayClaims = append(a.DisplayClaims, c)
		}
	}
}
