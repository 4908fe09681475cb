package milter

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// ErrBusy says that as many conversations go on as there may be.
var ErrBusy = errors.New("milter: all connections are in use")

// Options say where a filter is.
type Options struct {
	Network string // "tcp" or "unix"
	Address string
	Limits  Limits
}

// Limits bound one filter.
type Limits struct {
	// Time is how long the whole conversation about one message may take, waiting for
	// its turn included.
	Time time.Duration
	// Connections is how many conversations there may be at once.
	Connections int
	// PacketOctets is the longest reply.
	PacketOctets int
	// Packets is how many replies there may be about one message.
	Packets int
	// Fields is how many header fields a filter may add, FieldOctets how long they
	// may be together; what is beyond is not added.
	Fields, FieldOctets int
}

// DefaultLimits are right for a filter on the same host.
func DefaultLimits() Limits {
	return Limits{Time: 15 * time.Second, Connections: 20, PacketOctets: 128 << 10, Packets: 10_000, Fields: 50, FieldOctets: 16 << 10}
}

// Client shows messages to one filter. It is used by many at once.
type Client struct {
	o     Options
	turns chan struct{}
}

// New returns a client; it connects to nothing yet.
func New(o Options) *Client { return &Client{o: o, turns: make(chan struct{}, o.Limits.Connections)} }

// Options returns what the client was made with.
func (c *Client) Options() Options { return c.o }

// Field is a header field. Value is what stands behind the colon, white space in
// front included, folded lines parted by CRLF, without the CRLF at the end.
type Field struct{ Name, Value string }

// Message is what a filter is shown, beside the body.
type Message struct {
	Hostname mail.Domain // our own
	Door     string
	ID       mail.ID
	Client   netip.Addr
	// ClientName is the name that its address proves; "": none is known.
	ClientName string
	Hello      string
	Account    mail.Address // who signed in; zero: nobody
	From       mail.ReversePath
	To         []mail.Recipient
	Fields     []Field
	// TLSVersion and TLSCipher are empty for clear text.
	TLSVersion, TLSCipher string
}

// Action is what a filter advises. The zero Action is none.
type Action uint8

const (
	ActionUnknown Action = iota
	Accept
	Reject
	TempFail
	Quarantine
	Discard
)

// Advice is what a filter says of a message. Its texts are the filter's.
type Advice struct {
	Action Action
	Stage  string     // the command that it answered so: "RCPT", "end of message"
	Reply  mail.Reply // for Reject and TempFail; zero: the filter chose none
	Reason string     // for Quarantine
	Fields []Field    // to add, for Accept and Quarantine
	// Undone are changes that it asked for and that are not made.
	Undone []string
	// Cut is how many fields of the message are longer than the protocol has room for, and were
	// shown as far as it has.
	Cut int
}

// Check shows the filter a message. An error means that it gave no advice that could
// be understood within the limits.
func (c *Client) Check(ctx context.Context, m Message, body Reader) (Advice, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Limits.Time)
	defer cancel()
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	case <-ctx.Done():
		return Advice{}, ErrBusy
	}
	conn, err := new(net.Dialer).DialContext(ctx, c.o.Network, c.o.Address)
	if err != nil {
		return Advice{}, fmt.Errorf("milter: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s := newConversation(conn, c.o.Limits, m)
	a, err := s.run(body)
	if err != nil && ctx.Err() != nil {
		return Advice{}, errors.New("milter: it does not answer in time")
	}
	return a, err
}

// Ping finds out whether the filter is there and speaks the protocol, without showing it a
// message.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.Limits.Time)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, c.o.Network, c.o.Address)
	if err != nil {
		return fmt.Errorf("milter: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s := newConversation(conn, c.o.Limits, Message{})
	if err := s.negotiate(); err != nil {
		if ctx.Err() != nil {
			return errors.New("milter: it does not answer in time")
		}
		return err
	}
	if writePacket(s.w, cmdQuit, nil) == nil {
		_ = s.w.Flush() // it has answered already
	}
	return nil
}

// connectInfo is the argument of the connect command.
func (m Message) connectInfo() []byte {
	if !m.Client.IsValid() {
		return append(texts("localhost"), 'U')
	}
	family := byte('4')
	if m.Client.Is6() {
		family = '6'
	}
	name := m.ClientName
	if name == "" {
		name = "[" + m.Client.String() + "]"
	}
	b := append(texts(name), family)
	b = binary.BigEndian.AppendUint16(b, 0)
	// Sendmail writes "IPv6:" before the address and Postfix does not. Each filter reads the latter;
	// those that do without libmilter may find no address in the former.
	return append(b, texts(m.Client.WithZone("").String())...)
}
