// Package partner serves the socket at which a server beside this one authenticates users: it
// judges sign-ins, and does nothing else.
package partner

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"

	"sallyport/internal/access/partner"
	"sallyport/internal/operate/call"
	"sallyport/internal/operate/socket"
)

// Judge says who signs in.
type Judge = func(context.Context, partner.Login) partner.Answer

// Listen binds the socket at which a server beside us asks who somebody is, for a group of
// this host, as socket.ListenGroup does.
func Listen(path string, group int) (net.Listener, error) {
	return socket.ListenGroup(path, group, socket.DefaultLimits().Partner)
}

// Serve answers on ln who signs in, until ctx is done.
func Serve(ctx context.Context, ln net.Listener, judge Judge, log *slog.Logger) error {
	return socket.Serve(ctx, ln, Handler(judge, uint32(os.Geteuid())), log)
}

// Handler judges sign-ins, and serves no other action: who may ask learns whether a password
// is right, within the budget of guesses, and nothing else.
func Handler(judge Judge, owner uint32) http.Handler {
	routes := call.NewRoutes()
	call.Answer(routes, "signin", func(ctx context.Context, _ call.Caller, l partner.Login) (partner.Answer, error) {
		return judge(ctx, l), nil
	})
	routes.Otherwise(call.Forbidden("a partner may ask who signs in, and do nothing else"))
	return call.Admitting(routes, owner, call.MayAsk)
}

// Client asks at a partner's socket.
type Client struct{ *call.Client }

// Dial returns a Client of the server at a socket, as socket.Dial does.
func Dial(ctx context.Context, path string) (Client, error) {
	c, err := socket.Dial(ctx, path)
	return Client{c}, err
}

// SignIn asks who signs in.
func (c Client) SignIn(ctx context.Context, l partner.Login) (partner.Answer, error) {
	return call.Do[partner.Answer](ctx, c.Client, "signin", l)
}
