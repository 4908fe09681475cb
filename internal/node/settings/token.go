package settings

import (
	"sallyport/internal/config"
	"sallyport/internal/nexthop/token"
)

// TokenEndpoint is where the token of a route comes from; zero: nowhere.
func TokenEndpoint(t config.Token) token.Endpoint {
	if t.URL == "" {
		return token.Endpoint{}
	}
	e := token.Endpoint{
		URL: t.URL, CA: t.CA, Client: t.Client, SecretFile: t.SecretFile, RefreshFile: t.RefreshFile,
		Scope: t.Scope, Style: token.StyleBody,
	}
	if t.Header {
		e.Style = token.StyleHeader
	}
	return e
}

// TokenMeans is what sources of tokens work with, for lack of who is told.
func TokenMeans(cfg config.Config, w World) token.Means {
	return token.Means{Keep: token.Keep(cfg.TokensDir()), Limits: token.DefaultLimits(), Now: w.Now, Dial: w.Dial}
}

// RoutesOf returns the names of the routes that an endpoint's tokens sign in at.
func RoutesOf(cfg config.Config, e token.Endpoint) (names []string) {
	for _, r := range cfg.Routes {
		if TokenEndpoint(r.Token) == e {
			names = append(names, r.Name())
		}
	}
	return names
}
