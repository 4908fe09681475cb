package node

import (
	"context"

	"sallyport/internal/incident"
	"sallyport/internal/incident/webhook"
	"sallyport/internal/node/settings"
)

func (n *Node) openWebhook(context.Context) error {
	n.webhook = webhook.New(webhook.Options{
		Hostname: n.config().Hostname, Log: incident.NewLog(n.data.Store), Store: n.data.Store, Dial: n.o.Dial, Write: n.data.Trace.Write,
		Limits: webhook.DefaultLimits(), Now: n.o.Now, Logger: n.log,
	})
	return nil
}

// buildWebhook reads who is told of incidents, and tells him from then on.
func (n *Node) buildWebhook(_ context.Context, next, _ *generation) error {
	s, err := settings.Webhook(next.cfg)
	if err != nil {
		return err
	}
	next.then = append(next.then, func() { n.webhook.Adjust(s) })
	return nil
}
