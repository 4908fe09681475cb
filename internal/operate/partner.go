package operate

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"

	"sallyport/internal/access/partner"
)

// ListenPartner binds the socket at which a server beside us asks who somebody is, for a group of
// this host, as ListenHelpers does.
func ListenPartner(path string, group int) (net.Listener, error) {
	return listenGroup(path, group, DefaultSocketLimits().Partner)
}

// ServePartner answers on ln who signs in, until ctx is done.
func ServePartner(ctx context.Context, ln net.Listener, judge func(context.Context, partner.Login) partner.Answer, log *slog.Logger) error {
	return serveSocket(ctx, ln, PartnerHandler(judge, uint32(os.Geteuid())), log)
}

// PartnerHandler judges sign-ins, and serves no other action: who may ask learns whether a password
// is right, within the budget of guesses, and nothing else.
func PartnerHandler(judge func(context.Context, partner.Login) partner.Answer, owner uint32) http.Handler {
	mux := http.NewServeMux()
	answer(mux, "signin", func(ctx context.Context, _ Caller, l partner.Login) (partner.Answer, error) {
		return judge(ctx, l), nil
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, &Error{CodeForbidden, "a partner may ask who signs in, and do nothing else"})
	})
	return admitting(mux, owner, mayAsk)
}

// SignIn asks the server at a partner's socket who signs in.
func (c *Client) SignIn(ctx context.Context, l partner.Login) (partner.Answer, error) {
	return call[partner.Answer](ctx, c, "signin", l)
}
