package access

import "slices"

// Kind says what a door is for. The zero Kind is refused.
type Kind uint8

const (
	KindUnknown Kind = iota
	KindIMAP         // port 143: STARTTLS, then sign-in. RFC 9051
	KindIMAPS        // port 993: TLS from the first octet. RFC 8314 §3.2
	KindPOP3         // port 110: STLS, then sign-in. RFC 1939, 2595
	KindPOP3S        // port 995: TLS from the first octet. RFC 8314 §3.1
)

// Kinds are all kinds of doors, in the order in which they are listed.
func Kinds() []Kind { return []Kind{KindIMAP, KindIMAPS, KindPOP3, KindPOP3S} }

// String returns the kind as the configuration and facts name it.
func (k Kind) String() string {
	switch k {
	case KindIMAP:
		return "imap"
	case KindIMAPS:
		return "imaps"
	case KindPOP3:
		return "pop3"
	case KindPOP3S:
		return "pop3s"
	}
	return "unknown"
}

// KindOf returns the kind of a name; KindUnknown: there is none.
func KindOf(name string) Kind {
	for _, k := range Kinds() {
		if k.String() == name {
			return k
		}
	}
	return KindUnknown
}

// implicit reports whether TLS comes first.
func (k Kind) implicit() bool { return k == KindIMAPS || k == KindPOP3S }

// protocol is what is spoken: the name of the door without TLS.
func (k Kind) protocol() string {
	if k == KindPOP3 || k == KindPOP3S {
		return KindPOP3.String()
	}
	return KindIMAP.String()
}

func (k Kind) valid() bool { return slices.Contains(Kinds(), k) }
