package node

import (
	"context"

	"sallyport/internal/node/settings"
	"sallyport/internal/returnpath"
)

func (n *Node) openReturnPaths(_ context.Context, k keys) error {
	n.returnPaths = returnpath.New(returnpath.Options{Keys: k.returns, Note: returnpath.NoteIn(n.config().KeysDir()), Now: n.o.Now, Logger: n.log})
	return nil
}

func (n *Node) buildReturnPath(_ context.Context, next, _ *generation) error {
	state, err := n.returnPaths.Build(settings.ReturnRules(next.cfg))
	if err != nil {
		return next.cfg.Fault("return_path.sign", err.Error(), "")
	}
	next.then = append(next.then, state.Adopt)
	next.undo = append(next.undo, state.Abandon)
	return nil
}
