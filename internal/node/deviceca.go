package node

import (
	"context"

	"sallyport/internal/ca"
)

// openDeviceCA finds the authority that signs certificates of devices.
func (n *Node) openDeviceCA(context.Context, keys) error {
	n.deviceCA = ca.New(n.store, ca.Options{
		Host: n.config().Hostname, Keys: n.config().KeysDir(), Holding: n.identity.Holding, Limits: ca.DefaultLimits(), Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	})
	return nil
}
