package surroundings

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/nexthop/token"
	"sallyport/internal/node/settings"
	"sallyport/internal/oidc"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor/gather"
)

// doctorTokens are the authorization servers of routes, each once. One that takes a refresh
// token is only looked at: to use the token would change it under the server that runs.
func doctorTokens(cfg config.Config, waits []operate.TokenTrouble) (all []gather.Token) {
	var seen []token.Endpoint
	for _, r := range cfg.Routes {
		e := settings.TokenEndpoint(r.Token)
		if e.IsZero() || slices.Contains(seen, e) {
			continue
		}
		seen = append(seen, e)
		t := gather.Token{
			For: "route " + strings.Join(settings.RoutesOf(cfg, e), ", "), Tries: e.RefreshFile == "",
			Ask: askForToken(cfg, e),
		}
		if u, err := url.Parse(e.URL); err == nil {
			t.At = u.Host
		}
		for _, w := range waits {
			if slices.Contains(w.Routes, r.Name()) {
				t.Waits = w.Fault
			}
		}
		all = append(all, t)
	}
	return all
}

func askForToken(cfg config.Config, e token.Endpoint) func(context.Context) error {
	return func(ctx context.Context) error {
		m := settings.TokenMeans(cfg, settings.World{Now: time.Now, Dial: named.Dialer()})
		m.Tell = func(context.Context, token.Endpoint, error) {}
		s, err := token.New(e, m)
		if err != nil {
			return err
		}
		if e.RefreshFile != "" {
			return s.Reach(ctx)
		}
		if _, err = s.Token(ctx); errors.Is(err, context.DeadlineExceeded) {
			return errors.New("it does not answer in time")
		}
		return err
	}
}

// askProvider looks whether the OpenID provider is there and has keys.
func askProvider(cfg config.Config) func(context.Context) error {
	return func(ctx context.Context) error {
		p, ok := settings.Provider(cfg)
		if !ok {
			return nil
		}
		j, err := oidc.New(p, settings.ProviderMeans(settings.World{Now: time.Now, Dial: named.Dialer()}))
		if err != nil {
			return err
		}
		return j.Reach(ctx)
	}
}
