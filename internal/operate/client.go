package operate

import (
	"context"
	"net"
	"os"

	"sallyport/internal/operate/call"
	"sallyport/internal/operate/socket"
)

// Client calls the actions of an Operator, in a server or in this process. Its
// methods are those of the topics without the Caller, which the other end knows.
type Client struct {
	accountCalls
	backupCalls
	calloutCalls
	credentialCalls
	damageCalls
	domainCalls
	incidentCalls
	mailboxCalls
	queueCalls
	reloadCalls
	screeningCalls
	sessionCalls
	signingCalls
	traceCalls

	calls *call.Client
}

func newClient(c *call.Client) *Client {
	return &Client{
		accountCalls{Client: c}, backupCalls{Client: c}, calloutCalls{Client: c}, credentialCalls{Client: c}, damageCalls{Client: c}, domainCalls{Client: c}, incidentCalls{Client: c},
		mailboxCalls{Client: c}, queueCalls{Client: c}, reloadCalls{Client: c}, screeningCalls{Client: c}, sessionCalls{Client: c}, signingCalls{Client: c}, traceCalls{Client: c}, c,
	}
}

// Direct returns a Client of an Operator in this process, acting as its user.
func Direct(op *Operator) *Client { return newClient(call.Direct(Handler(op, uint32(os.Geteuid())))) }

// Dial returns a Client of the server at a socket, as socket.Dial does.
func Dial(ctx context.Context, path string) (*Client, error) {
	c, err := socket.Dial(ctx, path)
	if err != nil {
		return nil, err
	}
	return newClient(c), nil
}

// Over returns a Client whose connections were made beforehand; each serves one request at
// a time.
func Over(all []*net.UnixConn) *Client { return newClient(socket.Over(all)) }

// InServer reports whether a server that runs answers, and not this process itself.
func (c *Client) InServer() bool { return c.calls.InServer() }

// Close ends kept connections.
func (c *Client) Close() { c.calls.Close() }

// Status calls Operator.Status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return call.Do[Status](ctx, c.calls, "status", struct{}{})
}
