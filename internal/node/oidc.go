package node

import (
	"context"

	"sallyport/internal/node/settings"
	"sallyport/internal/oidc"
)

// buildProvider makes who judges access tokens.
func (n *Node) buildProvider(_ context.Context, next, last *generation) (err error) {
	p, ok := settings.Provider(next.cfg)
	if !ok {
		return nil
	}
	var former *oidc.Judge
	if last != nil {
		former = last.provider
	}
	if next.provider, err = oidc.Build(p, settings.ProviderMeans(n.o.World), former); err != nil {
		return next.cfg.Fault("oidc.issuer", err.Error(), "")
	}
	return nil
}

// provider is who judges access tokens now; nil: nobody.
func (n *Node) provider() *oidc.Judge { return n.now().provider }
