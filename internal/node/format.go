package node

import (
	"context"

	"sallyport/internal/config"
	"sallyport/internal/operate/format"
)

// checkFormat refuses a data folder that a newer program wrote, before anything in
// it is touched.
func checkFormat(cfg config.Config) error {
	_, err := format.Check(cfg.Data, format.Steps())
	return err
}

// migrate brings an older folder to this program's format. The store is open, which
// keeps every other process out, and nothing else has read it yet.
func (n *Node) migrate(ctx context.Context, _ keys) error {
	return format.Migrate(ctx, n.config().Data, n.store, format.Steps(), n.o.Version, n.log)
}
