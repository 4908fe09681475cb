package node

import (
	"context"
	"net/netip"

	"sallyport/internal/node/settings"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/policy"
)

// buildScreen reads who is kept out on port 25; the list is read anew each time.
func (n *Node) buildScreen(_ context.Context, next, last *generation) error {
	o, err := settings.Screen(next.cfg, next.keys.Resolver, n.o.Now)
	if err != nil {
		return err
	}
	var former *policy.Screen
	if last != nil {
		former = last.screen
	}
	next.screen = policy.New(o, former)
	return nil
}

// screening asks the screen in force.
type screening struct{ n *Node }

func (s screening) Exempts(client netip.Addr) bool { return s.n.now().screen.Exempts(client) }

func (s screening) Judge(ctx context.Context, v access.Visitor) policy.Judgement {
	return s.n.now().screen.Judge(ctx, v)
}
