package incidents

import (
	"context"

	"sallyport/internal/incident"
	"sallyport/internal/operate/call"
)

// Client calls the actions.
type Client struct{ *call.Client }

// IncidentList calls Actions.IncidentList.
func (c Client) IncidentList(ctx context.Context, r IncidentSelect, fn func(incident.Incident) error) error {
	return call.Stream(ctx, c.Client, "incident.ls", r, fn)
}

// IncidentShow calls Actions.IncidentShow.
func (c Client) IncidentShow(ctx context.Context, r IncidentRef) (IncidentShown, error) {
	return call.Do[IncidentShown](ctx, c.Client, "incident.show", r)
}

// IncidentRelease calls Actions.IncidentRelease.
func (c Client) IncidentRelease(ctx context.Context, r IncidentRelease) (IncidentEnd, error) {
	return call.Do[IncidentEnd](ctx, c.Client, "incident.release", r)
}

// IncidentPurge calls Actions.IncidentPurge.
func (c Client) IncidentPurge(ctx context.Context, r IncidentPurge) (IncidentEnd, error) {
	return call.Do[IncidentEnd](ctx, c.Client, "incident.purge", r)
}
