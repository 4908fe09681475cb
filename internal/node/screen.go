package node

import (
	"context"
	"net/netip"

	"sallyport/internal/node/settings"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/geo"
	"sallyport/internal/screen/policy"
)

// buildScreen reads who is kept out on port 25; the list is read anew each time.
func (n *Node) buildScreen(_ context.Context, next, last *generation) error {
	o, err := settings.Screen(next.cfg, next.keys.Resolver, n.log, n.o.Now)
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

// watchPlaces rereads the files that say where addresses belong.
func (n *Node) watchPlaces(ctx context.Context) {
	geo.Watch(ctx, func() *geo.Atlas { return n.now().screen.Options().Atlas })
}

// screening asks the screen in force.
type screening struct{ n *Node }

func (s screening) Exempts(client netip.Addr) bool { return s.n.now().screen.Exempts(client) }

func (s screening) Judge(ctx context.Context, v access.Visitor) policy.Judgement {
	return s.n.now().screen.Judge(ctx, v)
}
