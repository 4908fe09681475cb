package node

import (
	"context"

	"sallyport/internal/node/settings"
)

func (n *Node) buildReturnPath(_ context.Context, next, _ *generation) error {
	state, err := n.data.ReturnPaths.Build(settings.ReturnRules(next.cfg))
	if err != nil {
		return next.cfg.Fault("return_path.sign", err.Error(), "")
	}
	return next.take(state, nil)
}
