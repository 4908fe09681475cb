package node

import (
	"context"

	"golang.org/x/sys/unix"

	"sallyport/internal/operate"
)

// health reads what tells trouble before it comes.
func (n *Node) health(ctx context.Context) operate.Health {
	var h operate.Health
	if at, ok := n.oldest(ctx); ok {
		h.Oldest = at
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(n.config().Data, &disk); err == nil {
		h.DiskFree, h.DiskTotal = disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	}
	if leaf := n.leaf(); leaf != nil {
		h.CertificateExpires = leaf.NotAfter
	}
	h.Obtained = n.obtained()
	var err error
	if h.ReturnPath, err = ReturnPathOf(n.config()); err != nil {
		n.log.Error("it is not known since when return paths are signed", "err", err)
	}
	return h
}
