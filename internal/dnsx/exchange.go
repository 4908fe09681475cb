package dnsx

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
)

// errUnreachable is a server that there is no way to talk to.
var errUnreachable = fmt.Errorf("%w: it cannot be reached", ErrServer)

// errStrays is a flood of datagrams that are no answer to our question.
var errStrays = errors.New("too many answers to other questions")

// exchange asks one server one question: over UDP, over TCP when the answer is too
// large or somebody forges answers, and without EDNS when the server knows none.
func (l Limits) exchange(ctx context.Context, s Server, q question) answer {
	a := l.overBoth(ctx, s, q, true)
	if errors.Is(a.err, errNoEDNS) {
		// RFC 6891 §7: the server may be too old for EDNS.
		a = l.overBoth(ctx, s, q, false)
	}
	if errors.Is(a.err, errNoEDNS) || errors.Is(a.err, errTruncated) {
		a.err = fmt.Errorf("%w: %s", ErrServer, a.err)
	}
	return a
}

func (l Limits) overBoth(ctx context.Context, s Server, q question, edns bool) answer {
	a := l.over(ctx, s, q, edns, "udp")
	if errors.Is(a.err, errTruncated) || errors.Is(a.err, errStrays) {
		a = l.over(ctx, s, q, edns, "tcp")
	}
	return a
}

// over asks over one transport, on a socket of its own: its port is as hard to
// guess as the identifier (RFC 5452 §4.5), and the kernel drops what comes from
// elsewhere.
func (l Limits) over(ctx context.Context, s Server, q question, edns bool, network string) answer {
	id, wire, err := l.pack(s, q, edns)
	if err != nil {
		return answer{err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, l.Query)
	defer cancel()
	dialer := &net.Dialer{}
	dialer.SetMultipathTCP(false)
	nc, err := dialer.DialContext(ctx, network, s.Addr.String())
	if err != nil {
		return answer{err: unanswered(err)}
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })()
	if network == "tcp" {
		wire, err = l.roundTripTCP(nc, wire, id, q)
	} else {
		wire, err = l.roundTripUDP(nc, wire, id, q)
	}
	if err != nil {
		return answer{err: unanswered(err)}
	}
	return readAnswer(wire, q, l)
}

// pack writes the question with an identifier that nobody can guess.
func (l Limits) pack(s Server, q question, edns bool) (uint16, []byte, error) {
	var chance [2]byte
	if _, err := rand.Read(chance[:]); err != nil {
		return 0, nil, fmt.Errorf("%w: no identifier: %v", ErrServer, err)
	}
	m := dns.Msg{
		MsgHdr: dns.MsgHdr{
			Id: binary.BigEndian.Uint16(chance[:]), RecursionDesired: true,
			// RFC 6840 §5.7: asks to be told whether the answer was validated.
			AuthenticatedData: s.Validating,
		},
		Question: []dns.Question{{Name: q.name.wire(), Qtype: q.rtype, Qclass: dns.ClassINET}},
	}
	if edns {
		m.SetEdns0(uint16(l.UDPOctets), false)
	}
	wire, err := m.Pack()
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %v", ErrBadName, err)
	}
	return m.Id, wire, nil
}

// roundTripUDP waits for the answer and passes over what is none: forged ones, and
// late ones to other questions.
func (l Limits) roundTripUDP(nc net.Conn, wire []byte, id uint16, q question) ([]byte, error) {
	if _, err := nc.Write(wire); err != nil {
		return nil, err
	}
	// One octet more than announced, so that a longer datagram is seen to be one.
	buf := make([]byte, l.UDPOctets+1)
	for range l.Strays {
		n, err := nc.Read(buf)
		if err != nil {
			return nil, err
		}
		if n <= l.UDPOctets && answers(buf[:n], id, q) {
			return buf[:n], nil
		}
	}
	return nil, errStrays
}

// roundTripTCP sends and reads one message with its length before it. RFC 7766 §8.
func (l Limits) roundTripTCP(nc net.Conn, wire []byte, id uint16, q question) ([]byte, error) {
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)
	if _, err := nc.Write(framed); err != nil {
		return nil, err
	}
	var length [2]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n > l.TCPOctets {
		return nil, fmt.Errorf("%w: it is %d octets long", ErrMalformed, n)
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(nc, buf); err != nil {
		return nil, err
	}
	if !answers(buf, id, q) {
		return nil, fmt.Errorf("%w: it answers another question", ErrMalformed)
	}
	return buf, nil
}

// unanswered puts the errors of the network into ours. What this host has no more of is
// not the server's fault.
func unanswered(err error) error {
	if shortage.Of(err) || errors.Is(err, syscall.EAGAIN) {
		return fmt.Errorf("%w: %w", ErrExhausted, err)
	}
	var timeout net.Error
	switch {
	case errors.Is(err, ErrMalformed), errors.Is(err, errStrays):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return ErrTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it closed the connection", errUnreachable)
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	return fmt.Errorf("%w: %s", errUnreachable, mail.Printable(err.Error(), mail.PieceShown))
}
