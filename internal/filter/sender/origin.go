package sender

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"sallyport/internal/auth/spf"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// origin is the client that SPF, and DMARC by it, is asked about: who connected, or who gave the message to a relay in front of us.
type origin struct {
	peer  netip.Addr
	hello string
	// through is the relay that connected; invalid: none did, or nobody outside gave it the message.
	through netip.Addr
	fault   string // why it cannot be told who gave it the message; the client is the relay then
}

// originOf goes up the Received fields as long as relays wrote them. The first one is by the relay that connected; the next one, if
// that had the message from another relay or from itself, is by that one, and so on. What stands below is anybody's.
func originOf(m intake.Message, relays []netip.Prefix) origin {
	o := origin{peer: m.Peer, hello: m.Hello}
	within := func(ip netip.Addr) bool {
		return slices.ContainsFunc(relays, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
	}
	if !within(m.Peer) {
		return o
	}
	for i, f := range m.Header.Fields("Received") {
		came, ok := message.CameFrom(f.Value)
		switch {
		case !ok:
			return origin{m.Peer, m.Hello, m.Peer, fmt.Sprintf("its Received field %d does not say from which address it came to the relay", i+1)}
		case within(came.Remote), came.Remote.IsLoopback():
		case !came.Remote.IsGlobalUnicast() || came.Remote.IsPrivate():
			return origin{m.Peer, m.Hello, m.Peer, fmt.Sprintf("its Received field %d names %s, which is no address of the world and no relay's", i+1, came.Remote)}
		default:
			return origin{peer: came.Remote, hello: came.Hello, through: m.Peer}
		}
	}
	return o // the relay wrote it itself
}

// unknown is what SPF says where it cannot be told whom to ask about: another relay might tell. RFC 7208 §2.6.6
func (o origin) unknown() spf.Result {
	return spf.Result{Verdict: spf.TempError, Err: errors.New(o.fault)}
}

// notes is the evidence for the trace.
func (o origin) notes() []fact.Pair {
	switch {
	case !o.through.IsValid():
		return nil
	case o.fault != "":
		return []fact.Pair{{Name: "relay", Value: o.through.String() + ": " + o.fault}}
	}
	return []fact.Pair{{Name: "relay", Value: fmt.Sprintf("%s had it from %s, HELO %s", o.through, o.peer, mail.Printable(o.hello, mail.PieceShown))}}
}

// told is the same for Authentication-Results.
func (o origin) told() string {
	if !o.through.IsValid() || o.fault != "" {
		return ""
	}
	return "of " + o.peer.String() + " through " + o.through.String()
}
